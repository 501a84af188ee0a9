//! Runs the `mtls-client-certs` vectors: certificate path and identity together, as a connection judges them.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use sealwright_core::identity::{Identity, identity_of};
use sealwright_core::time::Timestamp;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    name: String,
    roots: Vec<String>,
    leaf: String,
    intermediates: Vec<String>,
    time: Timestamp,
    #[serde(rename = "x5t#S256")]
    x5t: String,
    verdict: String,
    identity: Option<String>,
    identity_kind: Option<String>,
}

fn certificate(pem: &str) -> Result<CertificateDer<'static>, String> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| e.to_string())
}

fn judge(case: &Case) -> Result<Identity, String> {
    let mut roots = RootCertStore::empty();
    for root in &case.roots {
        roots.add(certificate(root)?).map_err(|e| e.to_string())?;
    }
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|e| e.to_string())?;
    let leaf = certificate(&case.leaf)?;
    let intermediates: Result<Vec<_>, _> = case
        .intermediates
        .iter()
        .map(|pem| certificate(pem))
        .collect();
    let seconds = u64::try_from(case.time.unix_seconds()).map_err(|e| e.to_string())?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    verifier
        .verify_client_cert(&leaf, &intermediates?, now)
        .map_err(|e| e.to_string())?;
    identity_of(&leaf, true).map_err(|e| e.to_string())
}

fn check(case: &Case) -> Result<(), String> {
    use base64::Engine as _;
    let leaf = certificate(&case.leaf)?;
    let sha256 = sealwright_core::digest::Sha256Digest::of(&[&leaf]);
    let x5t = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(sha256.0);
    if x5t != case.x5t {
        return Err(format!("x5t#S256 is {x5t}"));
    }
    match (case.verdict.as_str(), judge(case)) {
        ("reject", Err(_)) => Ok(()),
        ("reject", Ok(identity)) => Err(format!("accepted as {identity}")),
        ("accept", Err(reason)) => Err(format!("refused: {reason}")),
        ("accept", Ok(identity)) => {
            let kind = match identity {
                Identity::Uri(_) => "uri",
                Identity::Dns(_) => "dns",
            };
            let got = (Some(identity.as_str()), Some(kind));
            let want = (case.identity.as_deref(), case.identity_kind.as_deref());
            if got == want {
                Ok(())
            } else {
                Err(format!("{got:?} instead of {want:?}"))
            }
        }
        (other, _) => Err(format!("no verdict: {other:?}")),
    }
}

#[test]
fn mtls_client_certs() {
    let Some(vectors) = std::env::var_os("SEALWRIGHT_VECTORS").map(PathBuf::from) else {
        println!("SEALWRIGHT_VECTORS is not set: no vectors ran");
        return;
    };
    let text = std::fs::read(vectors.join("mtls-client-certs/cases.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&text).unwrap();
    assert!(!cases.is_empty(), "mtls-client-certs is empty");
    let failures: Vec<String> = cases
        .iter()
        .enumerate()
        .filter_map(|(n, case)| {
            check(case)
                .err()
                .map(|why| format!("{n} {}: {why}", case.name))
        })
        .collect();
    // The harness leaves its line open: a line of our own begins with a line end.
    println!("\nmtls-client-certs: {} run", cases.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
