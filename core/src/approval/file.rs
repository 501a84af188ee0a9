//! An approval as it is signed and carried: a DSSE envelope around the statement, with the signer's certificates.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::{Decode as _, Encode as _};
use serde::{Deserialize, Serialize};
use x509_cert::Certificate;

use crate::digest::Sha256Digest;
use crate::dsse::{Envelope, EnvelopeError, EnvelopeJson, Options, ThresholdError, TrustedKey};
use crate::identity::{Identity, IdentityError, identity_of};
use crate::json::{self, JsonError};
use crate::scheme::Scheme;
use crate::spki::Spki;
use crate::statement::{self, Accept, PAYLOAD_TYPE, StatementError, Subject};
use crate::time::Timestamp;
use crate::verify::{KeyError, VerifyError};

/// Of an approval's statement.
pub const PREDICATE_TYPE: &str = "https://sealwright.dev/approval/v1";

/// `type` of the file.
const FILE_TYPE: &str = "sealwright.dev/approval-v1";

/// Longest file in bytes: it goes into a record whole.
pub const FILE_MAX: usize = 32 << 10;

/// Most certificates of one approval, the approver's own included.
pub const CERTIFICATES_MAX: usize = 8;

/// What an approver says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Let it happen.
    Granted,
    /// Do not.
    Denied,
}

impl Verdict {
    /// The name in statements.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Denied => "denied",
        }
    }
}

/// The predicate of the statement. Its subject is the request, by SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Predicate {
    /// Yes or no.
    pub verdict: Verdict,
    /// The approver's identity, the one of its certificate.
    pub approver: String,
    /// By the clock of whoever signed.
    pub made_at: Timestamp,
    /// From then on it does not count; where absent, it counts as long as the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// In the approver's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The text that an approver signs.
///
/// # Errors
/// [`StatementError`]: the reason is no JSON text.
pub fn statement(request: Sha256Digest, predicate: &Predicate) -> Result<Vec<u8>, StatementError> {
    let subject = Subject {
        name: Some("request".to_owned()),
        digests: BTreeMap::from([("sha256".to_owned(), request.to_string())]),
    };
    let predicate = serde_json::to_vec(predicate).map_err(JsonError::Form)?;
    statement::build(&[subject], PREDICATE_TYPE, &predicate)
}

/// What a FIDO2 key has to sign an approval with: a key that somebody else picked up approves nothing.
pub const FIDO2_SCHEME: Scheme = Scheme::WebAuthnP256Sha256Uv;

/// The file's text: `envelope` as canonical JSON, `certificates` as DER, the approver's own first; `scheme` where it is not
/// the usual one of the certificate's key.
pub fn encode(envelope: &str, certificates: &[impl AsRef<[u8]>], scheme: Option<Scheme>) -> String {
    let scheme = scheme.map(|scheme| format!("\"scheme\":\"{scheme}\","));
    let scheme = scheme.unwrap_or_default();
    let certificates: Vec<String> = certificates
        .iter()
        .map(|der| format!("\"{}\"", STANDARD.encode(der)))
        .collect();
    let certificates = certificates.join(",");
    format!(
        "{{\"certificates\":[{certificates}],\"envelope\":{envelope},{scheme}\"type\":\"{FILE_TYPE}\"}}"
    )
}

/// An approval whose signature was verified with the key of its own certificate. Whether that certificate means
/// anything, its path and its validity, is not said by that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalFile {
    /// SHA-256 of the request it is about.
    pub request: Sha256Digest,
    /// What was said.
    pub predicate: Predicate,
    /// SHA-256 of the certificate's public key.
    pub spki_sha256: Sha256Digest,
    /// DER, the approver's own first.
    pub certificates: Vec<Vec<u8>>,
}

/// Why bytes are no approval.
#[derive(Debug, thiserror::Error)]
pub enum BadApproval {
    /// Too long.
    #[error("the file has {0} bytes, an approval at most {FILE_MAX}")]
    TooLong(usize),
    /// Not JSON, or without a member.
    #[error("it is no approval file: {0}")]
    Json(#[from] JsonError),
    /// Another kind of file.
    #[error("it is of type {0:?}, not {FILE_TYPE}")]
    Type(String),
    /// None, too many, or no base64.
    #[error("it has to carry 1 to {CERTIFICATES_MAX} certificates, DER in base64")]
    Certificates,
    /// The first one is no certificate, or names nobody.
    #[error("its certificate cannot be used: {0}")]
    Identity(#[from] IdentityError),
    /// The certificate's key is of a kind that signs nothing here.
    #[error("the public key of its certificate cannot be used: {0}")]
    Key(#[from] KeyError),
    /// A scheme that approves nothing.
    #[error(
        "it says scheme {0}; that is left out, or {FIDO2_SCHEME} for a FIDO2 key, which has to be shown its PIN"
    )]
    Scheme(Scheme),
    /// The certificate is not for a FIDO2 key.
    #[error("the public key of its certificate is of no FIDO2 key: {0}")]
    NoFido2Key(VerifyError),
    /// The envelope does not parse.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Signed by another key.
    #[error("the key of its certificate did not sign it: {0}")]
    Signature(#[from] ThresholdError),
    /// The payload is something else.
    #[error("what was signed is of type {0}, not {PREDICATE_TYPE}")]
    OtherPayload(String),
    /// No statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// Several subjects, or one without SHA-256.
    #[error("its subject has to be one request, by SHA-256")]
    Subject,
    /// The statement speaks for somebody else.
    #[error("it speaks for {said}, but its certificate is that of {certified}")]
    OtherApprover {
        /// By the predicate.
        said: String,
        /// By the certificate.
        certified: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileJson<'a> {
    r#type: String,
    certificates: Vec<String>,
    #[serde(borrow)]
    envelope: EnvelopeJson<'a>,
    #[serde(default)]
    scheme: Option<Scheme>,
}

impl ApprovalFile {
    /// Reads a file and verifies its signature.
    ///
    /// # Errors
    /// [`BadApproval`]
    pub fn verify(bytes: &[u8]) -> Result<Self, BadApproval> {
        if bytes.len() > FILE_MAX {
            return Err(BadApproval::TooLong(bytes.len()));
        }
        let file: FileJson<'_> = json::from_slice(bytes)?;
        if file.r#type != FILE_TYPE {
            return Err(BadApproval::Type(file.r#type));
        }
        let certificates = certificates(&file.certificates)?;
        let own = certificates.first().ok_or(BadApproval::Certificates)?;
        let identity = identity(own)?;
        let key = trusted(spki_of(own)?, file.scheme)?;
        let envelope = Envelope::try_from(file.envelope)?;
        let signed = envelope.verify(std::slice::from_ref(&key), 1, Options::default())?;
        if signed.payload_type != PAYLOAD_TYPE {
            return Err(BadApproval::OtherPayload(signed.payload_type));
        }
        let (request, predicate) = read_statement(&signed.payload)?;
        if predicate.approver != identity.as_str() {
            return Err(BadApproval::OtherApprover {
                said: predicate.approver,
                certified: identity.to_string(),
            });
        }
        Ok(Self {
            request,
            predicate,
            spki_sha256: key.spki().sha256(),
            certificates,
        })
    }
}

/// Only a key that signs nothing but assertions says its scheme; every other one signs with its usual one.
fn trusted(spki: Spki, scheme: Option<Scheme>) -> Result<TrustedKey, BadApproval> {
    match scheme {
        None => Ok(TrustedKey::with_default_scheme(spki)?),
        Some(FIDO2_SCHEME) => TrustedKey::new(spki, FIDO2_SCHEME).map_err(BadApproval::NoFido2Key),
        Some(scheme) => Err(BadApproval::Scheme(scheme)),
    }
}

fn certificates(texts: &[String]) -> Result<Vec<Vec<u8>>, BadApproval> {
    if !(1..=CERTIFICATES_MAX).contains(&texts.len()) {
        return Err(BadApproval::Certificates);
    }
    let decoded = texts.iter().map(|text| STANDARD.decode(text));
    decoded
        .collect::<Result<_, _>>()
        .map_err(|_| BadApproval::Certificates)
}

/// URI or DNS name: whether its trust domain takes DNS names is asked where the domains are known.
fn identity(certificate: &[u8]) -> Result<Identity, IdentityError> {
    identity_of(certificate, true)
}

fn spki_of(certificate: &[u8]) -> Result<Spki, IdentityError> {
    let parsed = Certificate::from_der(certificate).map_err(|_| IdentityError::NotACertificate)?;
    let spki = parsed.tbs_certificate().subject_public_key_info().to_der();
    spki.map(Spki::from_der)
        .map_err(|_| IdentityError::NotACertificate)
}

/// Reads the text that an approver signs: what it is about, and what he says.
///
/// # Errors
/// [`BadApproval`]: something else.
pub fn read_statement(payload: &[u8]) -> Result<(Sha256Digest, Predicate), BadApproval> {
    let summary = statement::check(payload, Accept::V1)?;
    if summary.predicate_type != PREDICATE_TYPE {
        return Err(BadApproval::OtherPayload(summary.predicate_type));
    }
    let [subject] = summary.subjects.as_slice() else {
        return Err(BadApproval::Subject);
    };
    let digest = subject.digests.get("sha256").map(|text| text.parse());
    let Some(Ok(request)) = digest else {
        return Err(BadApproval::Subject);
    };
    Ok((request, statement::predicate(payload)?))
}
