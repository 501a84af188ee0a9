//! Verifying a bundle offline with a key the verifier already has.

use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

use super::{Bundle, Content, KeyMaterial, MessageSignature};
use crate::dsse::{Envelope, Options, ThresholdError, TrustedKey};
use crate::scheme::HashAlg;
use crate::statement::{self, Accept, StatementError, StatementSummary};
use crate::verify::{PublicKey, VerifyError};

/// The artifact that a bundle is held against.
#[derive(Debug, Clone, Copy)]
pub enum Artifact<'a> {
    /// Its bytes.
    Bytes(&'a [u8]),
    /// Its SHA-256, where the bytes are large or elsewhere. Ed25519 message signatures need the bytes.
    Sha256([u8; 32]),
}

/// A statement that the key signed.
#[derive(Debug)]
pub struct VerifiedBundle {
    /// The payload's bytes; `None` for a message signature.
    pub payload: Option<Vec<u8>>,
    /// The statement in it; `None` for a message signature.
    pub statement: Option<StatementSummary>,
}

/// Why a bundle does not verify.
#[derive(Debug, thiserror::Error)]
pub enum BundleVerifyError {
    /// hint and keyid name different keys.
    #[error("the bundle's hint {hint:?} is not the keyid {keyid:?} of its signature")]
    HintDiffers {
        /// verificationMaterial.publicKey.hint.
        hint: String,
        /// dsseEnvelope.signatures[0].keyid.
        keyid: String,
    },
    /// The certificate inside is for another key.
    #[error("the certificate in the bundle is not for the key it is verified with")]
    OtherCertificate,
    /// The envelope is not signed by the key.
    #[error("the bundle's envelope is not signed by the given key: {0}")]
    Envelope(#[from] ThresholdError),
    /// The message signature is not by the key, or not over the artifact.
    #[error("the bundle's signature does not cover the artifact: {0}")]
    Signature(#[from] VerifyError),
    /// Another payloadType.
    #[error("payloadType {0:?} is not that of an in-toto statement")]
    PayloadType(String),
    /// No acceptable statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The artifact is none of the subjects.
    #[error("no subject of the statement has the artifact's SHA-256 {0}")]
    NotASubject(String),
    /// The bundle's own note of the digest is of another artifact.
    #[error("messageDigest is not the artifact's digest")]
    MessageDigest,
    /// A message signature, where a statement is asked for.
    #[error("the bundle holds a message signature, not a statement")]
    NoStatement,
    /// Only the digest of the artifact was given.
    #[error("a signature with {0} is verified over the artifact's bytes, not its digest")]
    NeedsBytes(crate::scheme::Scheme),
}

impl Artifact<'_> {
    /// SHA-256 of the artifact.
    pub fn sha256(&self) -> [u8; 32] {
        match self {
            Self::Bytes(bytes) => crate::digest::Sha256Digest::of(&[bytes]).0,
            Self::Sha256(digest) => *digest,
        }
    }

    /// The artifact's digest under `hash`, where it can be known.
    pub fn digest(&self, hash: HashAlg) -> Option<Vec<u8>> {
        match (self, hash) {
            (_, HashAlg::Sha256) => Some(self.sha256().to_vec()),
            (Self::Bytes(bytes), _) => Some(hash.digest(&[bytes])),
            (Self::Sha256(_), _) => None,
        }
    }
}

impl Bundle {
    /// Verifies the signature with `key`, and that it is about `artifact`: a subject of the statement, or the
    /// message itself. Log entries and time stamps are not looked at.
    pub fn verify(
        &self,
        key: &TrustedKey,
        artifact: Artifact<'_>,
    ) -> Result<VerifiedBundle, BundleVerifyError> {
        match &self.content {
            Content::Dsse(_) => {
                let verified = self.verify_statement(key)?;
                let sha256 = hex::encode(artifact.sha256());
                match &verified.statement {
                    Some(statement) if statement.has_digest("sha256", &sha256) => Ok(verified),
                    _ => Err(BundleVerifyError::NotASubject(sha256)),
                }
            }
            Content::Message(message) => {
                self.check_material(key, "")?;
                verify_message(message, key, artifact)?;
                Ok(VerifiedBundle {
                    payload: None,
                    statement: None,
                })
            }
        }
    }

    /// Verifies a bundle that holds a statement, whatever its subjects: the caller looks at them.
    pub fn verify_statement(&self, key: &TrustedKey) -> Result<VerifiedBundle, BundleVerifyError> {
        let Content::Dsse(envelope) = &self.content else {
            return Err(BundleVerifyError::NoStatement);
        };
        let keyid = envelope
            .signatures()
            .first()
            .map_or("", |signature| &signature.keyid);
        self.check_material(key, keyid)?;
        let envelope = Envelope::clone(envelope);
        let verified = envelope.verify(std::slice::from_ref(key), 1, Options::default())?;
        if verified.payload_type != statement::PAYLOAD_TYPE {
            return Err(BundleVerifyError::PayloadType(verified.payload_type));
        }
        let statement = statement::check(&verified.payload, Accept::AlsoV01)?;
        Ok(VerifiedBundle {
            payload: Some(verified.payload),
            statement: Some(statement),
        })
    }

    /// The bundle must not name another key than the one it is verified with.
    ///
    /// A hint's form is the signer's choice, so it is compared with the keyid only; cosign leaves that out.
    fn check_material(&self, key: &TrustedKey, keyid: &str) -> Result<(), BundleVerifyError> {
        match &self.material.key {
            KeyMaterial::Hint(hint) if hint != keyid && !hint.is_empty() && !keyid.is_empty() => {
                let (hint, keyid) = (hint.clone(), keyid.to_owned());
                Err(BundleVerifyError::HintDiffers { hint, keyid })
            }
            KeyMaterial::Hint(_) => Ok(()),
            KeyMaterial::Certificates(certificates) => {
                let own = certificates.first().and_then(|der| certified_key(der));
                let given = PublicKey::from_spki_der(key.spki().der()).ok();
                if own.is_some() && own == given {
                    Ok(())
                } else {
                    Err(BundleVerifyError::OtherCertificate)
                }
            }
        }
    }
}

fn certified_key(certificate: &[u8]) -> Option<PublicKey> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let spki = certificate
        .tbs_certificate()
        .subject_public_key_info()
        .to_der()
        .ok()?;
    PublicKey::from_spki_der(&spki).ok()
}

fn verify_message(
    message: &MessageSignature,
    key: &TrustedKey,
    artifact: Artifact<'_>,
) -> Result<(), BundleVerifyError> {
    if let Some((algorithm, digest)) = &message.digest {
        let hash = match algorithm.as_str() {
            "SHA2_256" => Some(HashAlg::Sha256),
            "SHA2_384" => Some(HashAlg::Sha384),
            _ => None,
        };
        if hash.and_then(|hash| artifact.digest(hash)).as_ref() != Some(digest) {
            return Err(BundleVerifyError::MessageDigest);
        }
    }
    match (artifact, key.scheme().prehash()) {
        (Artifact::Bytes(bytes), _) => Ok(key.verify(&[bytes], &message.signature)?),
        (Artifact::Sha256(digest), Some(HashAlg::Sha256)) => {
            Ok(key.verify_prehashed(&digest, &message.signature)?)
        }
        (Artifact::Sha256(_), _) => Err(BundleVerifyError::NeedsBytes(key.scheme())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::encode_bundle;
    use crate::digest::Sha256Digest;
    use crate::dsse::Pae;
    use crate::spki::Spki;
    use crate::statement::{Subject, build};
    use p256::ecdsa::signature::Signer as _;
    use p256::pkcs8::EncodePublicKey as _;
    use std::collections::BTreeMap;

    const ARTIFACT: &[u8] = b"artifact";

    fn signer(seed: u8) -> (p256::ecdsa::SigningKey, TrustedKey) {
        let key = p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap();
        let der = key.verifying_key().to_public_key_der().unwrap().into_vec();
        (
            key,
            TrustedKey::with_default_scheme(Spki::from_der(der)).unwrap(),
        )
    }

    fn sign(key: &p256::ecdsa::SigningKey, message: &[u8]) -> Vec<u8> {
        let signature: p256::ecdsa::DerSignature = key.sign(message);
        signature.as_bytes().to_vec()
    }

    fn statement() -> Vec<u8> {
        let sha256 = Sha256Digest::of(&[ARTIFACT]).to_string();
        let digests = BTreeMap::from([("sha256".to_owned(), sha256)]);
        build(
            &[Subject {
                digests,
                name: None,
            }],
            "https://e/p",
            b"{}",
        )
        .unwrap()
    }

    fn bundle_of(payload_type: &str, payload: &[u8], seed: u8) -> String {
        let (key, trusted) = signer(seed);
        let signature = sign(
            &key,
            &Pae {
                payload_type,
                payload,
            }
            .to_vec(),
        );
        let keyid = trusted.spki().keyid();
        let encoded = encode_bundle(payload_type, payload, &keyid, &signature, None);
        String::from_utf8(encoded.into_bytes()).unwrap()
    }

    fn verify(text: &str, artifact: Artifact<'_>) -> Result<VerifiedBundle, BundleVerifyError> {
        Bundle::parse(text.as_bytes())
            .unwrap()
            .verify(&signer(1).1, artifact)
    }

    #[test]
    fn a_bundle_we_wrote_verifies_for_its_artifact_only() {
        let text = bundle_of(statement::PAYLOAD_TYPE, &statement(), 1);
        let verified = verify(&text, Artifact::Bytes(ARTIFACT)).unwrap();
        assert_eq!(verified.payload.unwrap(), statement());
        let digest = Sha256Digest::of(&[ARTIFACT]).0;
        verify(&text, Artifact::Sha256(digest)).unwrap();
        let error = verify(&text, Artifact::Bytes(b"other")).unwrap_err();
        assert!(
            matches!(error, BundleVerifyError::NotASubject(_)),
            "{error}"
        );
    }

    #[test]
    fn another_keys_bundle_is_refused() {
        let text = bundle_of(statement::PAYLOAD_TYPE, &statement(), 2);
        let error = verify(&text, Artifact::Bytes(ARTIFACT)).unwrap_err();
        assert!(matches!(error, BundleVerifyError::Envelope(_)), "{error}");
    }

    #[test]
    fn hint_and_keyid_must_not_contradict_each_other() {
        let text = bundle_of(statement::PAYLOAD_TYPE, &statement(), 1);
        let keyid = signer(1).1.spki().keyid();
        let other_hint = text.replace(&format!("\"hint\":\"{keyid}\""), "\"hint\":\"x\"");
        let error = verify(&other_hint, Artifact::Bytes(ARTIFACT)).unwrap_err();
        assert!(
            matches!(error, BundleVerifyError::HintDiffers { .. }),
            "{error}"
        );
        let no_keyid = other_hint.replace(&format!("\"keyid\":\"{keyid}\","), "");
        verify(&no_keyid, Artifact::Bytes(ARTIFACT)).unwrap();
    }

    #[test]
    fn only_statements_are_accepted_in_an_envelope() {
        let text = bundle_of("text/plain", &statement(), 1);
        let error = verify(&text, Artifact::Bytes(ARTIFACT)).unwrap_err();
        assert!(
            matches!(error, BundleVerifyError::PayloadType(_)),
            "{error}"
        );
        let text = bundle_of(statement::PAYLOAD_TYPE, b"{}", 1);
        let error = verify(&text, Artifact::Bytes(ARTIFACT)).unwrap_err();
        assert!(matches!(error, BundleVerifyError::Statement(_)), "{error}");
    }

    #[test]
    fn a_certificate_for_another_key_is_refused() {
        let (key, trusted) = signer(1);
        let payload = statement();
        let pae = Pae {
            payload_type: statement::PAYLOAD_TYPE,
            payload: &payload,
        };
        let signature = sign(&key, &pae.to_vec());
        let encoded = encode_bundle(
            pae.payload_type,
            &payload,
            "k",
            &signature,
            Some(b"no certificate"),
        );
        let bundle = Bundle::parse(encoded.bytes()).unwrap();
        let error = bundle
            .verify(&trusted, Artifact::Bytes(ARTIFACT))
            .unwrap_err();
        assert!(
            matches!(error, BundleVerifyError::OtherCertificate),
            "{error}"
        );
    }

    #[test]
    fn a_message_signature_covers_the_artifact_and_its_own_note_of_the_digest_must_fit() {
        use base64::Engine as _;
        let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let digest = Sha256Digest::of(&[ARTIFACT]).0;
        let message = |noted: &[u8]| {
            format!(
                r#"{{"mediaType":"{}","verificationMaterial":{{"publicKey":{{}}}},"messageSignature":{{"messageDigest":{{"algorithm":"SHA2_256","digest":"{}"}},"signature":"{}"}}}}"#,
                crate::bundle::MEDIA_TYPE,
                base64(noted),
                base64(&sign(&signer(1).0, ARTIFACT)),
            )
        };
        verify(&message(&digest), Artifact::Bytes(ARTIFACT)).unwrap();
        verify(&message(&digest), Artifact::Sha256(digest)).unwrap();
        let error = verify(&message(&[0; 32]), Artifact::Bytes(ARTIFACT)).unwrap_err();
        assert!(matches!(error, BundleVerifyError::MessageDigest), "{error}");
        let error = verify(
            &message(&Sha256Digest::of(&[b"x"]).0),
            Artifact::Bytes(b"x"),
        )
        .unwrap_err();
        assert!(matches!(error, BundleVerifyError::Signature(_)), "{error}");
        let bundle = Bundle::parse(message(&digest).as_bytes()).unwrap();
        let error = bundle.verify_statement(&signer(1).1).unwrap_err();
        assert!(matches!(error, BundleVerifyError::NoStatement), "{error}");
    }
}
