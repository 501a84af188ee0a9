//! Certificates in files that a token's configuration names.

use std::path::Path;

use sealwright_driver_api::DriverError;
use x509_cert::Certificate;

/// Reads the certificates in a PEM file. `what` names the setting in messages.
pub fn pem_chain(what: &str, path: &Path) -> Result<Vec<Certificate>, DriverError> {
    let bad = |why: String| DriverError::config(format!("{what} {}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
    Certificate::load_pem_chain(&pem).map_err(|e| bad(e.to_string()))
}
