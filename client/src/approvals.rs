//! Dual control from the caller's side: what waits for approvals, and signing one.

use std::path::Path;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::CertificateDer;
use rustls::{Error, SignatureScheme};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::state::approvals::Status;
use sealwright_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::ClientError;
use crate::tls::{bad, certificates, private_key};

/// Something that waits for approvals, or did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Operation {
    /// Its name: the index of its request's record.
    pub operation: u64,
    /// Where it stands.
    pub status: Status,
    /// Approvals that are missing.
    pub missing: u32,
    /// SHA-256 of `request`, by the daemon's word.
    pub digest: Sha256Digest,
    /// Canonical JSON of a [`sealwright_core::approval::Request`], byte for byte.
    pub request: Box<RawValue>,
    /// When it runs out.
    pub expires_at: Timestamp,
    /// Who said yes.
    pub granted: Vec<Granted>,
    /// Who said no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied_by: Option<String>,
    /// The record of what was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_by: Option<u64>,
    /// Why it was done before it was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<String>,
}

/// One approver's yes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Granted {
    /// The identity.
    pub approver: String,
    /// SHA-256 of the public key that signed.
    pub spki_sha256: Sha256Digest,
    /// From then on it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Its record.
    pub record: u64,
}

/// A policy that came into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyActivated {
    /// SHA-256 of its text.
    pub digest: Sha256Digest,
    /// Its record.
    pub record: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct OperationList {
    pub(crate) operations: Vec<Operation>,
}

/// What a call says of approvals; the default says nothing.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    /// The operation whose approvals let it happen.
    pub operation: Option<u64>,
    /// Why it cannot wait for them.
    pub break_glass: Option<String>,
}

impl Gate {
    /// `path` with what is to be said as its query.
    pub(crate) fn on(&self, path: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(operation) = self.operation {
            query.append_pair("operation", &operation.to_string());
        }
        if let Some(reason) = &self.break_glass {
            query.append_pair("break_glass", reason);
        }
        match query.finish() {
            query if query.is_empty() => path.to_owned(),
            query => format!("{path}?{query}"),
        }
    }
}

/// Reads a certificate and those that follow it, PEM, as DER.
///
/// # Errors
/// [`ClientError::Pem`]
pub fn certificate_chain(path: &Path) -> Result<Vec<Vec<u8>>, ClientError> {
    let chain = certificates(path)?;
    Ok(chain.iter().map(|der| der.to_vec()).collect())
}

/// A certificate's key, to sign approvals with: the one that the holder connects with.
#[derive(Debug)]
pub struct CertificateKey {
    chain: Vec<CertificateDer<'static>>,
    signer: Box<dyn rustls::sign::Signer>,
}

impl CertificateKey {
    /// Reads a chain and its private key, PEM. No daemon is needed.
    ///
    /// # Errors
    /// [`ClientError::Pem`]
    pub fn read(cert: &Path, key: &Path) -> Result<Self, ClientError> {
        let chain = certificates(cert)?;
        let signing = any_supported_type(&private_key(key)?)
            .map_err(|e| bad(key, format!("cannot sign: {e}")))?;
        let signer = signing.choose_scheme(&[
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ED25519,
            SignatureScheme::RSA_PKCS1_SHA256,
        ]);
        let no_scheme = || {
            bad(
                key,
                "is of a kind that signs no approvals; take P-256, P-384, Ed25519 or RSA",
            )
        };
        Ok(Self {
            chain,
            signer: signer.ok_or_else(no_scheme)?,
        })
    }

    /// DER, the holder's own first.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Signs a message as DSSE has it: ECDSA as DER.
    ///
    /// # Errors
    /// The key failed.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        self.signer.sign(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_says_only_what_it_has_to_say() {
        assert_eq!(Gate::default().on("/v1/x"), "/v1/x");
        let gate = Gate {
            operation: Some(7),
            break_glass: Some("fire & smoke".to_owned()),
        };
        assert_eq!(
            gate.on("/v1/x"),
            "/v1/x?operation=7&break_glass=fire+%26+smoke"
        );
    }
}
