//! Commands for people: the certificate that a token keeps beside a key.
//!
//! It comes from standard input: the sandbox lets nobody open a file that the configuration does not name.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use sealwright_driver_api::{Certificates, DriverError, KeyDriver, KeyUri, Token};
use x509_cert::Certificate;
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{Decode as _, Encode as _, EncodePem as _};

use crate::HostError;

/// Longest input in bytes: no device keeps a certificate as long as that.
const INPUT_MAX: u64 = 64 << 10;

pub(crate) fn show(token: &dyn Token, uri: &KeyUri) -> Result<ExitCode, HostError> {
    let mut worker = token.open_worker()?;
    let der = ability(worker.as_mut())?.certificate(uri)?;
    let certificate = Certificate::from_der(&der);
    let pem = certificate.and_then(|certificate| certificate.to_pem(LineEnding::LF));
    let pem = pem.map_err(|e| {
        let detail = format!("what the token keeps beside {uri} is no certificate: {e}");
        DriverError::unsupported(detail)
    })?;
    let printed = std::io::stdout().lock().write_all(pem.as_bytes());
    printed.map_err(HostError::Print)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn install(token: &dyn Token, uri: &KeyUri) -> Result<ExitCode, HostError> {
    let der = given()?;
    let mut worker = token.open_worker()?;
    ability(worker.as_mut())?.install_certificate(uri, &der)?;
    Ok(ExitCode::SUCCESS)
}

/// The one certificate on standard input.
fn given() -> Result<Vec<u8>, HostError> {
    let mut text = Vec::new();
    let input = std::io::stdin().lock();
    let mut input = input.take(INPUT_MAX);
    input.read_to_end(&mut text).map_err(HostError::Input)?;
    let chain = Certificate::load_pem_chain(&text).unwrap_or_default();
    let [certificate] = &chain[..] else {
        let detail = "standard input has to hold one CERTIFICATE in PEM, and nothing else";
        return Err(DriverError::bad_request(detail).into());
    };
    let der = certificate.to_der();
    Ok(der.map_err(|e| DriverError::bad_request(e.to_string()))?)
}

fn ability(worker: &mut dyn KeyDriver) -> Result<&mut dyn Certificates, DriverError> {
    let refused = || {
        let detail = "this kind of token keeps no certificates";
        DriverError::unsupported(detail)
    };
    worker.certificates().ok_or_else(refused)
}
