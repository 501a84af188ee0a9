//! Signature schemes: what is signed, with which hash, and in which shape the signature comes back.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Sha256, Sha384};

use crate::webauthn::Demand;

/// A named scheme fixes key type, hash and padding: a caller never signs "a digest under a guess".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scheme {
    /// ECDSA on P-256 with SHA-256: the default, and the only one that every verifier in the field takes.
    #[serde(rename = "ecdsa-p256-sha256")]
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "ecdsa-p384-sha384")]
    EcdsaP384Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-256, 2048 to 4096 bits.
    #[serde(rename = "rsa-pkcs1-sha256")]
    RsaPkcs1Sha256,
    /// RSASSA-PSS with SHA-256, MGF1-SHA-256 and a 32-byte salt.
    #[serde(rename = "rsa-pss-sha256")]
    RsaPssSha256,
    /// Pure Ed25519: signs the whole message, so the message has to reach the token.
    #[serde(rename = "ed25519")]
    Ed25519,
    /// ES256 of a FIDO2 key that somebody touched: signs what [`crate::webauthn`] says, for our relying party.
    #[serde(rename = "webauthn-p256-sha256")]
    WebAuthnP256Sha256,
    /// The same of a key that was also shown a PIN or a finger.
    #[serde(rename = "webauthn-p256-sha256-uv")]
    WebAuthnP256Sha256Uv,
}

/// The hash a scheme applies to the message before the device sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HashAlg {
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
}

impl HashAlg {
    /// Digest length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "no hash has an empty digest")]
    pub const fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
        }
    }

    /// Hashes `parts` as one message.
    pub fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        fn run<H: sha2::Digest>(parts: &[&[u8]]) -> Vec<u8> {
            let mut hasher = H::new();
            parts.iter().for_each(|part| hasher.update(part));
            hasher.finalize().to_vec()
        }
        match self {
            Self::Sha256 => run::<Sha256>(parts),
            Self::Sha384 => run::<Sha384>(parts),
        }
    }
}

impl Scheme {
    /// Every scheme, in the order documents list them.
    pub const ALL: [Self; 7] = [
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::RsaPkcs1Sha256,
        Self::RsaPssSha256,
        Self::Ed25519,
        Self::WebAuthnP256Sha256,
        Self::WebAuthnP256Sha256Uv,
    ];

    /// Those whose signatures are plain ones.
    pub const PLAIN: [Self; 5] = [
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::RsaPkcs1Sha256,
        Self::RsaPssSha256,
        Self::Ed25519,
    ];

    /// The hash to apply, or `None` where the device needs the message itself.
    pub const fn prehash(self) -> Option<HashAlg> {
        match self {
            Self::EcdsaP256Sha256 | Self::RsaPkcs1Sha256 | Self::RsaPssSha256 => {
                Some(HashAlg::Sha256)
            }
            Self::EcdsaP384Sha384 => Some(HashAlg::Sha384),
            // The library that speaks to FIDO2 keys hashes by itself, and takes no digest.
            Self::Ed25519 | Self::WebAuthnP256Sha256 | Self::WebAuthnP256Sha256Uv => None,
        }
    }

    /// What an assertion has to say of the person at the key; `None` where the scheme's signatures are plain ones.
    pub const fn assertion(self) -> Option<Demand> {
        match self {
            Self::WebAuthnP256Sha256 => Some(Demand::Presence),
            Self::WebAuthnP256Sha256Uv => Some(Demand::Verification),
            _ => None,
        }
    }

    /// Length in bytes of a raw signature (ECDSA: r‖s at fixed width); `None` for RSA, where the modulus decides,
    /// and for assertions, which have no raw form.
    pub const fn raw_signature_len(self) -> Option<usize> {
        match self {
            Self::EcdsaP256Sha256 | Self::Ed25519 => Some(64),
            Self::EcdsaP384Sha384 => Some(96),
            Self::RsaPkcs1Sha256
            | Self::RsaPssSha256
            | Self::WebAuthnP256Sha256
            | Self::WebAuthnP256Sha256Uv => None,
        }
    }

    /// The name used in configuration, records and on the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::EcdsaP384Sha384 => "ecdsa-p384-sha384",
            Self::RsaPkcs1Sha256 => "rsa-pkcs1-sha256",
            Self::RsaPssSha256 => "rsa-pss-sha256",
            Self::Ed25519 => "ed25519",
            Self::WebAuthnP256Sha256 => "webauthn-p256-sha256",
            Self::WebAuthnP256Sha256Uv => "webauthn-p256-sha256-uv",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no scheme.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no signature scheme is called {0:?}; known: ecdsa-p256-sha256, ecdsa-p384-sha384, rsa-pkcs1-sha256, rsa-pss-sha256, ed25519, webauthn-p256-sha256, webauthn-p256-sha256-uv"
)]
pub struct UnknownScheme(pub String);

impl FromStr for Scheme {
    type Err = UnknownScheme;

    fn from_str(text: &str) -> Result<Self, UnknownScheme> {
        Self::ALL
            .into_iter()
            .find(|scheme| scheme.as_str() == text)
            .ok_or_else(|| UnknownScheme(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_schemes_are_those_without_assertions() {
        let plain = Scheme::ALL.into_iter().filter(|s| s.assertion().is_none());
        assert!(plain.eq(Scheme::PLAIN));
    }

    #[test]
    fn every_scheme_is_spelled_the_same_in_text_and_json() {
        for scheme in Scheme::ALL {
            assert_eq!(scheme.as_str().parse(), Ok(scheme));
            assert_eq!(
                serde_json::to_string(&scheme).unwrap(),
                format!("\"{scheme}\"")
            );
        }
        assert!("ecdsa".parse::<Scheme>().is_err());
    }
}
