//! Sigstore bundles: written as v0.3, read from v0.1 on, verified with a key the verifier has.
//!
//! <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto>, as proto3 JSON: bytes
//! are base64, 64-bit integers are strings.

mod encode;
mod log;
mod logged;
mod material;
mod proto;
mod rekor;
mod timestamp;
mod trusted_root;
mod verify;

use std::borrow::Cow;

use serde::Deserialize;

use crate::dsse::{Envelope, EnvelopeError, EnvelopeJson};
use crate::json::{self, JsonError};
use proto::Base64;

pub use encode::{EncodedBundle, encode_bundle};
pub use log::LogError;
pub use logged::LoggedError;
pub use material::{InclusionProof, KeyMaterial, LogEntry, VerificationMaterial};
pub use timestamp::TimestampError;
pub use trusted_root::TrustedRoot;
pub use verify::{Artifact, BundleVerifyError, VerifiedBundle};

/// mediaType of the bundles we write.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Most log entries, and most time stamps, of one bundle.
pub const PROOFS_MAX: usize = 32;

/// A bundle's format version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.1: an inclusion promise may stand alone.
    V01,
    /// 0.2: log entries carry inclusion proofs.
    V02,
    /// 0.3: the certificate stands alone, without its chain.
    V03,
}

/// A bundle as it came, decoded but not verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// Its format version.
    pub version: Version,
    /// What helps to verify it.
    pub material: VerificationMaterial,
    /// What was signed.
    pub content: Content,
}

/// The two things a bundle can hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// An envelope.
    Dsse(Envelope),
    /// A signature over an artifact that lies elsewhere.
    Message(MessageSignature),
}

/// A signature over an artifact's own bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageSignature {
    /// The artifact's digest as the bundle claims it: `(algorithm, digest)`, such as `SHA2_256`.
    pub digest: Option<(String, Vec<u8>)>,
    /// The signature.
    pub signature: Vec<u8>,
}

/// Why bytes are no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not acceptable as JSON, or a member is missing or of a wrong type.
    #[error("the bundle is refused: {0}")]
    Json(#[from] JsonError),
    /// A mediaType we do not read.
    #[error("mediaType {0:?} is not one of a Sigstore bundle v0.1 to v0.3")]
    MediaType(String),
    /// None or several of publicKey, certificate and x509CertificateChain.
    #[error("the bundle must carry exactly one of publicKey, certificate and x509CertificateChain")]
    KeyMaterial,
    /// A chain in v0.3.
    #[error(
        "a v0.3 bundle carries its certificate alone; x509CertificateChain belongs to v0.1 and v0.2"
    )]
    Chain,
    /// None or both of messageSignature and dsseEnvelope.
    #[error("the bundle must carry exactly one of messageSignature and dsseEnvelope")]
    Content,
    /// The envelope inside is not one.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Not exactly one DSSE signature.
    #[error("a bundle's envelope has exactly one signature, this one has {0}")]
    Signatures(usize),
    /// Too many log entries or time stamps.
    #[error("the bundle has {0} log entries or time stamps, at most {PROOFS_MAX} are looked at")]
    TooManyProofs(usize),
    /// A log entry from v0.2 on without inclusion proof.
    #[error("log entries of a v0.2 or v0.3 bundle need an inclusion proof")]
    NoInclusionProof,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BundleJson<'a> {
    #[serde(borrow)]
    media_type: Cow<'a, str>,
    verification_material: material::MaterialJson,
    #[serde(borrow)]
    dsse_envelope: Option<EnvelopeJson<'a>>,
    message_signature: Option<MessageSignatureJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageSignatureJson {
    message_digest: Option<DigestJson>,
    signature: Base64,
}

#[derive(Deserialize)]
struct DigestJson {
    algorithm: String,
    digest: Base64,
}

impl Bundle {
    /// Reads a bundle's JSON. Members it does not know are ignored.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let json: BundleJson<'_> = json::from_slice(bytes)?;
        let version = version_of(&json.media_type)?;
        Ok(Self {
            version,
            material: VerificationMaterial::from_json(json.verification_material, version)?,
            content: content(json.dsse_envelope, json.message_signature)?,
        })
    }
}

fn version_of(media_type: &str) -> Result<Version, BundleError> {
    match media_type {
        "application/vnd.dev.sigstore.bundle+json;version=0.1" => Ok(Version::V01),
        "application/vnd.dev.sigstore.bundle+json;version=0.2" => Ok(Version::V02),
        "application/vnd.dev.sigstore.bundle+json;version=0.3" | MEDIA_TYPE => Ok(Version::V03),
        other => Err(BundleError::MediaType(other.chars().take(100).collect())),
    }
}

fn content(
    envelope: Option<EnvelopeJson<'_>>,
    message: Option<MessageSignatureJson>,
) -> Result<Content, BundleError> {
    match (envelope, message) {
        (Some(json), None) => {
            let envelope = Envelope::try_from(json)?;
            match envelope.signatures().len() {
                1 => Ok(Content::Dsse(envelope)),
                count => Err(BundleError::Signatures(count)),
            }
        }
        (None, Some(json)) => Ok(Content::Message(MessageSignature {
            digest: json
                .message_digest
                .map(|json| (json.algorithm, json.digest.0)),
            signature: json.signature.0,
        })),
        _ => Err(BundleError::Content),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVELOPE: &str =
        r#""dsseEnvelope":{"payload":"","payloadType":"t","signatures":[{"sig":"AA=="}]}"#;
    const MESSAGE: &str = r#""messageSignature":{"signature":"AA=="}"#;
    const HINT: &str = r#""publicKey":{"hint":"h"}"#;

    fn bundle(version: &str, material: &str, content: &str) -> Result<Bundle, BundleError> {
        let text = format!(
            r#"{{"mediaType":"application/vnd.dev.sigstore.bundle{version}","verificationMaterial":{{{material}}},{content}}}"#
        );
        Bundle::parse(text.as_bytes())
    }

    #[test]
    fn every_version_in_use_is_read() {
        for (text, version) in [
            ("+json;version=0.1", Version::V01),
            ("+json;version=0.2", Version::V02),
            ("+json;version=0.3", Version::V03),
            (".v0.3+json", Version::V03),
        ] {
            assert_eq!(bundle(text, HINT, ENVELOPE).unwrap().version, version);
        }
        assert!(matches!(
            bundle(".v0.4+json", HINT, ENVELOPE),
            Err(BundleError::MediaType(_))
        ));
    }

    #[test]
    fn there_is_one_key_and_one_content() {
        let v03 = |material: &str, content: &str| bundle(".v0.3+json", material, content);
        v03(HINT, MESSAGE).unwrap();
        let certificate = r#""certificate":{"rawBytes":"AA=="}"#;
        let both = format!("{HINT},{certificate}");
        assert!(matches!(v03("", ENVELOPE), Err(BundleError::KeyMaterial)));
        assert!(matches!(
            v03(&both, ENVELOPE),
            Err(BundleError::KeyMaterial)
        ));
        assert!(matches!(v03(HINT, "\"x\":1"), Err(BundleError::Content)));
        assert!(matches!(
            v03(HINT, &format!("{ENVELOPE},{MESSAGE}")),
            Err(BundleError::Content)
        ));
        let chain = r#""x509CertificateChain":{"certificates":[{"rawBytes":"AA=="}]}"#;
        assert!(matches!(v03(chain, ENVELOPE), Err(BundleError::Chain)));
        let old = bundle("+json;version=0.2", chain, ENVELOPE).unwrap();
        assert_eq!(old.material.key, KeyMaterial::Certificates(vec![vec![0]]));
    }

    #[test]
    fn an_envelope_in_a_bundle_has_exactly_one_signature() {
        for (signatures, count) in [("", 0), (r#"{"sig":""},{"sig":""}"#, 2)] {
            let content = ENVELOPE.replace(r#"{"sig":"AA=="}"#, signatures);
            let error = bundle(".v0.3+json", HINT, &content).unwrap_err();
            assert!(
                matches!(error, BundleError::Signatures(n) if n == count),
                "{error}"
            );
        }
    }

    #[test]
    fn as_many_proofs_as_the_limit_are_read_and_one_more_is_not() {
        let material = |n: usize| {
            let stamps = vec![r#"{"signedTimestamp":"AA=="}"#; n].join(",");
            format!(r#"{HINT},"timestampVerificationData":{{"rfc3161Timestamps":[{stamps}]}}"#)
        };
        let v03 = |n| bundle(".v0.3+json", &material(n), ENVELOPE);
        assert_eq!(
            v03(PROOFS_MAX).unwrap().material.timestamps.len(),
            PROOFS_MAX
        );
        assert!(matches!(
            v03(PROOFS_MAX + 1),
            Err(BundleError::TooManyProofs(33))
        ));
    }
}
