//! Evidence of a key's origin: one document for every kind of device, and what it proves (`docs/evidence.md`).
//!
//! A driver states, this module judges. What a module merely says of itself is [`EvidenceGrade::Claimed`] at best: a
//! software token makes the same claims as an HSM.

mod activation;
mod bytes;
mod claims;
mod piv;
mod roots;
mod tpm;
mod tpm_structures;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::json::{self, JsonError};
use crate::key::EvidenceGrade;
use crate::spki::Spki;
use crate::uri::KeyUri;

pub use self::activation::{Activation, Challenge, Entropy};
pub use self::bytes::Bytes;
pub use self::claims::Claims;
pub use self::piv::{PivFacts, PivStatement};
pub use self::roots::{ROOTS_MAX, Roots, RootsError};
pub use self::tpm::TpmStatement;

/// Longest document in bytes.
pub const DOCUMENT_MAX: usize = 64 << 10;

/// 32 bytes that whoever asks for evidence chose; 64 lower-case hex digits as text.
pub type Nonce = Sha256Digest;

/// What was asked, and what the device answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    format: Format,
    /// What the asker chose.
    pub nonce: Nonce,
    /// The token, as it describes itself.
    pub token: TokenIdentity,
    /// The key's address on it.
    pub uri: KeyUri,
    /// The key.
    pub spki: Spki,
    /// What is said of it.
    pub statement: Statement,
}

/// Version of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Format {
    #[serde(rename = "sealwright-evidence-v1")]
    V1,
}

/// A token in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenIdentity {
    /// The URI scheme of its keys.
    pub kind: String,
    /// Its label.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// Who made it.
    pub manufacturer: String,
    /// Its model.
    pub model: String,
    /// Version of its firmware.
    pub firmware: String,
}

/// What a device says of a key; one arm per format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statement {
    /// Attributes of a PKCS#11 private key.
    Pkcs11Claims(Claims),
    /// A YubiKey's certificate for a key in one of its slots.
    PivAttestation(PivStatement),
    /// TPM2_Certify, with the certificate of the endorsement key.
    Tpm2Certify(Box<TpmStatement>),
}

/// Where a key was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// On the token.
    Generated,
    /// Elsewhere: there may be copies.
    Imported,
    /// The token does not say.
    Unknown,
}

/// Whether a key can sign on this token only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exclusive {
    /// The device proves it.
    Proven,
    /// The module says so.
    Claimed,
    /// It can leave the token, could once, or came from elsewhere.
    No,
}

/// What evidence is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How far it is proved.
    pub grade: EvidenceGrade,
    /// Where the key was made.
    pub origin: Origin,
    /// Whether it can sign elsewhere.
    pub exclusive: Exclusive,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            EvidenceGrade::None => "nothing is known",
            EvidenceGrade::Claimed => "claimed by the module, proved by nothing",
            EvidenceGrade::Attested => "attested by the device",
        };
        let origin = match self.origin {
            Origin::Generated => "made on the token",
            Origin::Imported => "imported",
            Origin::Unknown => "of unknown origin",
        };
        let exclusive = match self.exclusive {
            Exclusive::Proven => "it can sign there only",
            Exclusive::Claimed => "it is said to sign there only",
            Exclusive::No => "it may sign elsewhere, too",
        };
        write!(f, "{grade}: {origin}; {exclusive}")
    }
}

/// Why evidence proves nothing of this key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Over [`DOCUMENT_MAX`].
    #[error("an evidence document has at most {DOCUMENT_MAX} bytes; this one has {0}")]
    TooLong(usize),
    /// Not the document's shape.
    #[error("this is no evidence document (sealwright-evidence-v1): {0}")]
    Malformed(String),
    /// A document has one spelling, or its digest would name nothing.
    #[error(
        "the evidence document is not in canonical form (RFC 8785); take it as it was written, unformatted"
    )]
    NotCanonical,
    /// Evidence of another key.
    #[error("the evidence is of another key: its fingerprint is {found}, not {wanted}")]
    OtherKey {
        /// The key asked about.
        wanted: Sha256Digest,
        /// The key in the evidence.
        found: Sha256Digest,
    },
    /// An answer to another question, perhaps an old one.
    #[error("the evidence answers nonce {found}, not {wanted}; ask for fresh evidence")]
    OtherNonce {
        /// What was asked with.
        wanted: Nonce,
        /// What it answers.
        found: Nonce,
    },
    /// Nobody is trusted to say where a device was made.
    #[error(
        "the device proves itself with its maker's certificate, and no maker is trusted here; name their certificates: \
         [evidence] roots in sealwright.toml, --device-roots for verify"
    )]
    NoRoots,
    /// A maker that nobody trusts.
    #[error(
        "the device's certificate was issued by {issuer:?}, whose certificate is none of those that are trusted"
    )]
    UntrustedDevice {
        /// Who is named as its issuer.
        issuer: String,
    },
    /// Nobody signed this.
    #[error("its attestation key did not sign it")]
    NotSigned,
    /// Signed by a key that signs what it is given.
    #[error(
        "it is signed by a key in one of the card's slots, which signs whatever it is given, and not by the card's \
         attestation key"
    )]
    OrdinaryKey,
    /// The certificates do not lead to the maker.
    #[error(
        "certificate {0} behind the attestation may not issue certificates, or was not issued by the one after it"
    )]
    BrokenChain(usize),
    /// Signed by another device than the one that was asked.
    #[error("it comes from the device with serial number {found}, not {wanted}")]
    OtherDevice {
        /// The token that was asked.
        wanted: String,
        /// The device that signed.
        found: String,
    },
    /// A key whose signatures anybody could ask for.
    #[error(
        "the key that signed it is no attestation key: it is not restricted to what its TPM says, or may be elsewhere"
    )]
    NotAttestationKey,
    /// Signed, but of something else.
    #[error("the TPM certified another object than the one that is shown")]
    OtherObject,
    /// No challenge can be made for it.
    #[error("the device's endorsement key is not RSA; no other kind is challenged")]
    EndorsementKey,
    /// The endorsement key's TPM does not have the attestation key.
    #[error(
        "it comes from another TPM: the one that is certified does not have the key that signed"
    )]
    OtherTpm,
}

impl EvidenceError {
    /// Whether it says something of what is trusted here, and nothing of the device.
    pub fn is_about_trust(&self) -> bool {
        matches!(self, Self::NoRoots | Self::UntrustedDevice { .. })
    }
}

impl From<JsonError> for EvidenceError {
    fn from(error: JsonError) -> Self {
        Self::Malformed(error.to_string())
    }
}

fn malformed(member: &str, why: impl fmt::Display) -> EvidenceError {
    EvidenceError::Malformed(format!("{member}: {why}"))
}

impl Document {
    /// Puts a device's answer together.
    pub fn new(
        nonce: Nonce,
        token: TokenIdentity,
        uri: KeyUri,
        spki: Spki,
        statement: Statement,
    ) -> Self {
        Self {
            format: Format::V1,
            nonce,
            token,
            uri,
            spki,
            statement,
        }
    }

    /// Reads a document in canonical form.
    ///
    /// # Errors
    /// [`EvidenceError::TooLong`], [`EvidenceError::Malformed`], [`EvidenceError::NotCanonical`].
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > DOCUMENT_MAX {
            return Err(EvidenceError::TooLong(bytes.len()));
        }
        json::check(bytes)?;
        let document =
            serde_json::from_slice(bytes).map_err(|e| EvidenceError::Malformed(e.to_string()))?;
        if json::canonicalize(bytes)? != bytes {
            return Err(EvidenceError::NotCanonical);
        }
        Ok(document)
    }

    /// Its one spelling: canonical JSON (RFC 8785). Records name a document by the SHA-256 of this.
    ///
    /// # Errors
    /// [`EvidenceError::TooLong`]: the device said more than a document holds.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EvidenceError> {
        let text = serde_json::to_vec(self).map_err(|e| EvidenceError::Malformed(e.to_string()))?;
        let bytes = json::canonicalize(&text)?;
        if bytes.len() > DOCUMENT_MAX {
            return Err(EvidenceError::TooLong(bytes.len()));
        }
        Ok(bytes)
    }

    /// What it is worth as evidence of `key`, if `roots` say where devices are made. Without a `nonce` nothing is said
    /// of its age. Where there is an [`Document::activation`], it holds for whoever saw that answered.
    ///
    /// # Errors
    /// Every [`EvidenceError`] but those of the document's form and [`EvidenceError::OtherTpm`].
    pub fn verify(
        &self,
        key: Sha256Digest,
        nonce: Option<Nonce>,
        roots: &Roots,
    ) -> Result<Finding, EvidenceError> {
        let found = self.spki.sha256();
        if found != key {
            return Err(EvidenceError::OtherKey { wanted: key, found });
        }
        match nonce {
            Some(wanted) if wanted != self.nonce => Err(EvidenceError::OtherNonce {
                wanted,
                found: self.nonce,
            }),
            _ => match &self.statement {
                Statement::Pkcs11Claims(claims) => Ok(claims.finding()),
                Statement::PivAttestation(piv) => piv.judge(&self.spki, &self.token.serial, roots),
                Statement::Tpm2Certify(tpm) => tpm.judge(&self.spki, self.nonce, roots),
            },
        }
    }

    /// What the device has to be asked besides, by whoever wants to rely on it; `None` where its statement is all.
    ///
    /// # Errors
    /// [`EvidenceError::EndorsementKey`], [`EvidenceError::NotAttestationKey`], [`EvidenceError::Malformed`].
    pub fn activation(&self, entropy: Entropy) -> Result<Option<Activation>, EvidenceError> {
        match &self.statement {
            Statement::Pkcs11Claims(_) | Statement::PivAttestation(_) => Ok(None),
            Statement::Tpm2Certify(tpm) => tpm.activation(entropy).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nonce(byte: u8) -> Nonce {
        Sha256Digest([byte; 32])
    }

    fn document() -> Document {
        let text = |text: &str| text.to_owned();
        let token = TokenIdentity {
            kind: text("pkcs11"),
            label: text("hsm1"),
            serial: text("01ab"),
            manufacturer: text("SoftHSM project"),
            model: text("SoftHSM v2"),
            firmware: text("2.6"),
        };
        let uri = "pkcs11:object=release".parse().unwrap();
        let spki = Spki::from_der(vec![0x30, 0]);
        let claims = Statement::Pkcs11Claims(Claims::of_a_generated_key());
        Document::new(nonce(1), token, uri, spki, claims)
    }

    #[test]
    fn a_document_is_read_as_it_was_written() {
        let bytes = document().to_bytes().unwrap();
        assert_eq!(Document::parse(&bytes), Ok(document()));
    }

    #[test]
    fn another_spelling_of_a_document_is_refused() {
        let mut bytes = document().to_bytes().unwrap();
        bytes.push(b'\n');
        assert_eq!(Document::parse(&bytes), Err(EvidenceError::NotCanonical));
    }

    #[test]
    fn a_document_over_the_limit_is_neither_written_nor_read() {
        let mut long = document();
        long.token.model = "m".repeat(DOCUMENT_MAX);
        assert!(matches!(long.to_bytes(), Err(EvidenceError::TooLong(_))));
        let bytes = vec![b' '; DOCUMENT_MAX + 1];
        let refused = Err(EvidenceError::TooLong(DOCUMENT_MAX + 1));
        assert_eq!(Document::parse(&bytes), refused);
    }

    #[test]
    fn members_that_nobody_knows_and_other_formats_are_refused() {
        let text = String::from_utf8(document().to_bytes().unwrap()).unwrap();
        let newer = text.replace("evidence-v1", "evidence-v2");
        let more = text.replacen('{', "{\"a\":1,", 1);
        for text in [newer, more] {
            let refused = Document::parse(text.as_bytes());
            assert!(
                matches!(refused, Err(EvidenceError::Malformed(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn evidence_of_another_key_is_refused() {
        let (wanted, found) = (nonce(9), document().spki.sha256());
        let refused = Err(EvidenceError::OtherKey { wanted, found });
        assert_eq!(
            document().verify(wanted, Some(nonce(1)), &Roots::default()),
            refused
        );
    }

    #[test]
    fn evidence_for_another_nonce_is_refused() {
        let (wanted, found) = (nonce(2), nonce(1));
        let key = document().spki.sha256();
        let refused = Err(EvidenceError::OtherNonce { wanted, found });
        assert_eq!(
            document().verify(key, Some(wanted), &Roots::default()),
            refused
        );
        assert!(document().verify(key, None, &Roots::default()).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Document::parse(&bytes);
        }

        #[test]
        fn a_truncated_document_is_refused(cut in 0usize..10_000) {
            let bytes = document().to_bytes().unwrap();
            let cut = cut % bytes.len();
            prop_assert!(Document::parse(&bytes[..cut]).is_err());
        }
    }
}
