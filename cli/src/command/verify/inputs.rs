//! What the flags of `verify` name: public keys, and the policy for log proofs.

use std::fmt::Display;
use std::path::Path;

use sealwright_core::bundle::TrustedRoot;
use sealwright_core::dsse::TrustedKey;
use sealwright_core::evidence::Roots;
use sealwright_core::scheme::Scheme;
use sealwright_core::spki::Spki;
use sealwright_core::tlog::{Policy, VerifierKey};
use sealwright_core::trust::Document;
use x509_cert::Certificate;
use x509_cert::der::{Encode as _, pem};

use super::Args;
use crate::failure::Failure;
use crate::files;

/// Reads a `PUBLIC KEY` PEM file.
pub(in crate::command) fn trusted(
    path: &Path,
    scheme: Option<Scheme>,
) -> Result<TrustedKey, Failure> {
    let bad = |reason: &dyn Display| Failure::Local(format!("{}: {reason}", path.display()));
    let text = files::read_text(path)?;
    let decoded = pem::decode_vec(text.as_bytes());
    let (label, der) = decoded.map_err(|_| bad(&"is no public key in PEM"))?;
    if label != "PUBLIC KEY" {
        return Err(bad(&format!("holds a {label}; expected a PUBLIC KEY")));
    }
    let spki = Spki::from_der(der);
    match scheme {
        Some(scheme) => TrustedKey::new(spki, scheme).map_err(|e| bad(&e)),
        None => TrustedKey::with_default_scheme(spki).map_err(|e| bad(&e)),
    }
}

/// The device makers that `--device-roots` names; none without it.
pub(super) fn device_roots(args: &Args) -> Result<Roots, Failure> {
    let Some(path) = &args.device_roots else {
        return Ok(Roots::default());
    };
    let bad = |reason: &dyn Display| Failure::Local(format!("{}: {reason}", path.display()));
    let chain = Certificate::load_pem_chain(&files::read(path)?).map_err(|e| bad(&e))?;
    let ders: Vec<Vec<u8>> = chain.iter().filter_map(|one| one.to_der().ok()).collect();
    if ders.is_empty() {
        return Err(bad(&"holds no certificate in PEM"));
    }
    Roots::new(&ders).map_err(|e| bad(&e))
}

/// The time stamp authorities that `--tsa-roots` names; none without it.
pub(super) fn authorities(args: &Args) -> Result<Option<TrustedRoot>, Failure> {
    let Some(path) = &args.tsa_roots else {
        return Ok(None);
    };
    let bytes = files::read(path)?;
    let root = match Certificate::load_pem_chain(&bytes) {
        Ok(chain) if !chain.is_empty() => {
            let certificates = chain
                .iter()
                .filter_map(|certificate| certificate.to_der().ok());
            TrustedRoot::of_authorities(certificates)
        }
        _ => TrustedRoot::parse(&bytes).map_err(|e| {
            let why = "holds neither certificates in PEM nor a trusted_root.json";
            Failure::Local(format!("{} {why}: {e}", path.display()))
        })?,
    };
    if root.has_authorities() {
        Ok(Some(root))
    } else {
        let why = "names no time stamp authority";
        Err(Failure::Local(format!("{} {why}", path.display())))
    }
}

/// The logs and witnesses that count for `--proof` and `--log`; a trust document names its logs.
pub(super) fn log_policy(args: &Args, trust: Option<&Document>) -> Result<Policy, Failure> {
    if let Some(path) = &args.policy {
        let bad = |e| Failure::Local(format!("{}: {e}", path.display()));
        return files::read_text(path)?.parse().map_err(bad);
    }
    let given = match (args.log_key.as_deref(), trust) {
        (Some(given), _) => given,
        (None, Some(document)) => return logs_of(document),
        (None, None) => {
            return Err(Failure::local(
                "--proof and --log need --log-key or --policy",
            ));
        }
    };
    if let Ok(key) = given.parse::<VerifierKey>() {
        return Ok(Policy::of_log(key));
    }
    let text = files::read_text(Path::new(given))?;
    let bad = |e| Failure::Local(format!("{given}: {e}"));
    Ok(Policy::of_log(text.trim_end().parse().map_err(bad)?))
}

fn logs_of(document: &Document) -> Result<Policy, Failure> {
    let keys = document.logs().map(|log| log.vkey.parse::<VerifierKey>());
    let keys: Result<Vec<_>, _> = keys.collect();
    Ok(Policy::of_logs(keys.map_err(Failure::local)?))
}
