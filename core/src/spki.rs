//! A pinned public key: SubjectPublicKeyInfo in DER, and the names derived from it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::Document;
use serde::{Deserialize, Serialize, de};

use crate::digest::Sha256Digest;

/// SubjectPublicKeyInfo DER (RFC 5280 section 4.1.2.7) with its SHA-256.
///
/// Holding one promises only that the bytes are kept together with their digest; whether they parse as a
/// usable key of some scheme is [`crate::verify`]'s answer.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Spki {
    der: Vec<u8>,
    sha256: Sha256Digest,
}

/// The text is no `PUBLIC KEY` PEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the text is not one PEM block of type PUBLIC KEY; `openssl pkey -pubin` or `-pubout` writes one"
)]
pub struct NotPublicKeyPem;

impl Spki {
    /// Takes DER bytes as they are.
    pub fn from_der(der: Vec<u8>) -> Self {
        let sha256 = Sha256Digest::of(&[&der]);
        Self { der, sha256 }
    }

    /// Reads `PUBLIC KEY` PEM (RFC 7468 section 13).
    pub fn from_pem(text: &str) -> Result<Self, NotPublicKeyPem> {
        match Document::from_pem(text.trim()) {
            Ok(("PUBLIC KEY", der)) => Ok(Self::from_der(der.into_vec())),
            _ => Err(NotPublicKeyPem),
        }
    }

    /// The DER bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the DER: how records and people name the key.
    pub fn sha256(&self) -> Sha256Digest {
        self.sha256
    }

    /// `base64(SHA-256(SPKI DER))`: the DSSE `keyid` and the bundle's `hint`.
    pub fn keyid(&self) -> String {
        STANDARD.encode(self.sha256.0)
    }

    /// `PUBLIC KEY` PEM with a line end after the last line.
    pub fn to_pem(&self) -> String {
        let body = STANDARD.encode(&self.der);
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        for line in body.as_bytes().chunks(64) {
            pem.extend(line.iter().copied().map(char::from));
            pem.push('\n');
        }
        pem.push_str("-----END PUBLIC KEY-----\n");
        pem
    }
}

impl std::fmt::Debug for Spki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Spki({:?})", self.sha256)
    }
}

impl Serialize for Spki {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.der))
    }
}

impl<'de> Deserialize<'de> for Spki {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let der = STANDARD
            .decode(text.as_bytes())
            .map_err(de::Error::custom)?;
        Ok(Self::from_der(der))
    }
}
