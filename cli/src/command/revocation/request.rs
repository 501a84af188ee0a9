//! What an authority that is not enrolled here has to be told, so that it revokes a certificate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_client::Key;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::time::Timestamp;
use serde::Serialize;
use x509_cert::Certificate;
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{Decode as _, EncodePem as _};

/// A request to revoke a certificate, for whoever takes it at the authority.
#[derive(Debug, Serialize)]
pub(super) struct RevocationRequest {
    /// Serial number, hex with colons.
    serial: String,
    /// Distinguished names (RFC 4514).
    issuer: String,
    subject: String,
    /// RFC 5280 section 5.3.1.
    reason: &'static str,
    /// Since when the key may be in other hands.
    invalidity_date: Timestamp,
    spki_sha256: Sha256Digest,
    /// The certificate, PEM.
    certificate: String,
}

impl RevocationRequest {
    /// For the certificate of a compromised version; `None` for one without.
    pub(super) fn of(key: &Key) -> Option<Self> {
        let der = STANDARD.decode(key.certificate.as_deref()?).ok()?;
        let certificate = Certificate::from_der(&der).ok()?;
        let inner = certificate.tbs_certificate();
        Some(Self {
            serial: inner.serial_number().to_string(),
            issuer: inner.issuer().to_string(),
            subject: inner.subject().to_string(),
            reason: "keyCompromise",
            invalidity_date: key.compromise.as_ref()?.effective_time,
            spki_sha256: key.spki_sha256,
            certificate: certificate.to_pem(LineEnding::LF).ok()?,
        })
    }

    pub(super) fn text(&self) -> String {
        let Self { serial, issuer, .. } = self;
        format!("ask {issuer} to revoke its certificate with serial {serial}: keyCompromise")
    }
}
