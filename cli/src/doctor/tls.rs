//! The daemon's certificate and key, and the CA of each trust domain.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::SystemTime;

use sealwright_client::SERVER_NAME;

use super::Finding;
use crate::certificate::{self, EXPIRES_SOON_DAYS, Facts, Validity};
use crate::config::{Domain, Site};

pub(super) fn examine(site: &Site) -> Vec<Finding> {
    let mut findings = server(&site.api.certificate, &site.api.key);
    if site.domains.is_empty() {
        let next = "add a [[domain]] with name and ca to sealwright.toml";
        findings.push(Finding::new(
            "domain.none",
            "sealwright.toml",
            "no [[domain]]: nobody can connect",
            next,
        ));
    }
    findings.extend(site.domains.iter().flat_map(domain));
    findings
}

fn server(certificate: &Path, key: &Path) -> Vec<Finding> {
    let facts = match certificate::read_first(certificate) {
        Ok(facts) => facts,
        Err(error) => {
            let id = "certificate.unreadable";
            let next = "make one with `sealwright pki server`, or correct [api] certificate";
            let unreadable = Finding::about_path(id, certificate, error, next);
            return std::iter::once(unreadable)
                .chain(server_key(key, certificate, None))
                .collect();
        }
    };
    let renew = "make another one with `sealwright pki server`";
    let mut findings: Vec<Finding> = expiry("certificate", certificate, &facts, renew)
        .into_iter()
        .collect();
    if !facts.dns.iter().any(|name| name == SERVER_NAME) {
        let problem = format!("is not for {SERVER_NAME}, the name that clients ask for");
        let id = "certificate.wrong-name";
        findings.push(Finding::about_path(id, certificate, problem, renew));
    }
    findings.extend(server_key(key, certificate, Some(&facts)));
    findings
}

fn server_key(key: &Path, certificate: &Path, facts: Option<&Facts>) -> Vec<Finding> {
    let public = match certificate::public_key_of(key) {
        Ok(public) => public,
        Err(error) => {
            let next = "run doctor as the daemon's user or root; else put the key there, readable for the daemon";
            return vec![Finding::about_path("key.unreadable", key, error, next)];
        }
    };
    let mut findings = Vec::new();
    if facts.is_some_and(|facts| facts.spki != public) {
        let problem = format!("is not the key of {}", certificate.display());
        let next = "put the key and the certificate of the same `sealwright pki server` run there";
        findings.push(Finding::about_path(
            "certificate.key-mismatch",
            key,
            problem,
            next,
        ));
    }
    if std::fs::metadata(key).is_ok_and(|metadata| metadata.mode() & 0o007 != 0) {
        let next = "chmod 0640, owned by root and the daemon's group; if others had access, make a new key";
        findings.push(Finding::about_path(
            "key.permission",
            key,
            "can be read by everybody",
            next,
        ));
    }
    findings
}

fn domain(domain: &Domain) -> Vec<Finding> {
    let next = format!("put the roots of domain {:?} there, PEM", domain.name);
    match certificate::read_all(&domain.ca) {
        Err(error) => vec![Finding::about_path(
            "ca.unreadable",
            &domain.ca,
            error,
            next,
        )],
        Ok(roots) => {
            let renew = format!(
                "renew the CA of domain {:?} and the certificates under it",
                domain.name
            );
            roots
                .iter()
                .filter_map(|root| expiry("ca", &domain.ca, root, &renew))
                .collect()
        }
    }
}

fn expiry(what: &str, path: &Path, facts: &Facts, renew: &str) -> Option<Finding> {
    let id = |ca, certificate| if what == "ca" { ca } else { certificate };
    let (id, problem) = match facts.validity(SystemTime::now()) {
        Validity::Expired => (
            id("ca.expired", "certificate.expired"),
            "has expired".to_owned(),
        ),
        Validity::NotYet => {
            let problem = "is not valid yet; is this host's clock right?".to_owned();
            (id("ca.not-yet-valid", "certificate.not-yet-valid"), problem)
        }
        Validity::Valid { days_left } if days_left < u64::from(EXPIRES_SOON_DAYS) => (
            id("ca.expires-soon", "certificate.expires-soon"),
            format!("expires in {days_left} days"),
        ),
        Validity::Valid { .. } => return None,
    };
    Some(Finding::about_path(id, path, problem, renew))
}
