//! Software keys of every kind that a scheme signs with.

use aws_lc_rs::digest::{Digest, SHA256, SHA384};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use sealwright_driver_api::{DriverError, HashAlg, Scheme, SignInput};
use serde::Deserialize;

/// A kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Algorithm {
    P256,
    P384,
    Rsa2048,
    Rsa3072,
    Rsa4096,
    Ed25519,
}

impl Algorithm {
    /// The kind that signs with `scheme`.
    pub(crate) fn of(scheme: Scheme, rsa_bits: u16) -> Result<Self, DriverError> {
        match (scheme, rsa_bits) {
            (Scheme::EcdsaP256Sha256, _) => Ok(Self::P256),
            (Scheme::EcdsaP384Sha384, _) => Ok(Self::P384),
            (Scheme::Ed25519, _) => Ok(Self::Ed25519),
            (Scheme::WebAuthnP256Sha256 | Scheme::WebAuthnP256Sha256Uv, _) => {
                let detail = format!("a scripted key makes no {scheme} signatures");
                Err(DriverError::unsupported(detail))
            }
            (_, 2048) => Ok(Self::Rsa2048),
            (_, 3072) => Ok(Self::Rsa3072),
            (_, 4096) => Ok(Self::Rsa4096),
            (_, bits) => Err(DriverError::bad_request(format!(
                "RSA keys have 2048, 3072 or 4096 bits, not {bits}"
            ))),
        }
    }

    /// The object name of the key that is made at the first start.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
            Self::Ed25519 => "ed25519",
        }
    }

    /// Makes a key; PKCS#8 DER.
    pub(crate) fn make(self) -> Result<Vec<u8>, DriverError> {
        let ec = |algorithm| {
            Ok(EcdsaKeyPair::generate(algorithm)?
                .to_pkcs8v1()?
                .as_ref()
                .to_vec())
        };
        let rsa = |size| {
            let pair = RsaKeyPair::generate(size)?;
            Ok(AsDer::<Pkcs8V1Der<'_>>::as_der(&pair)?.as_ref().to_vec())
        };
        let made: Result<Vec<u8>, aws_lc_rs::error::Unspecified> = match self {
            Self::P256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Self::P384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Self::Rsa2048 => rsa(KeySize::Rsa2048),
            Self::Rsa3072 => rsa(KeySize::Rsa3072),
            Self::Rsa4096 => rsa(KeySize::Rsa4096),
            Self::Ed25519 => {
                Ed25519KeyPair::generate().and_then(|pair| Ok(pair.to_pkcs8v1()?.as_ref().to_vec()))
            }
        };
        made.map_err(|_| broken("cannot make a key"))
    }
}

/// A key that signs.
pub(crate) struct SoftKey {
    pair: Pair,
    spki: Vec<u8>,
}

enum Pair {
    Ecdsa(Scheme, EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SoftKey {
    /// Reads PKCS#8 DER; `None` where it is none of our kinds.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let ecdsa = |scheme, algorithm| {
            let pair = EcdsaKeyPair::from_pkcs8(algorithm, der).ok()?;
            let spki = spki(pair.public_key())?;
            Some(Self {
                pair: Pair::Ecdsa(scheme, pair),
                spki,
            })
        };
        let rsa = || {
            let pair = RsaKeyPair::from_pkcs8(der).ok()?;
            let spki = spki(pair.public_key())?;
            Some(Self {
                pair: Pair::Rsa(pair),
                spki,
            })
        };
        let ed25519 = || {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
            let spki = spki(pair.public_key())?;
            Some(Self {
                pair: Pair::Ed25519(pair),
                spki,
            })
        };
        ecdsa(Scheme::EcdsaP256Sha256, &ECDSA_P256_SHA256_FIXED_SIGNING)
            .or_else(|| ecdsa(Scheme::EcdsaP384Sha384, &ECDSA_P384_SHA384_FIXED_SIGNING))
            .or_else(rsa)
            .or_else(ed25519)
    }

    /// SubjectPublicKeyInfo DER.
    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The schemes it signs with, the preferred one first.
    pub(crate) fn schemes(&self) -> Vec<Scheme> {
        match &self.pair {
            Pair::Ecdsa(scheme, _) => vec![*scheme],
            Pair::Rsa(_) => vec![Scheme::RsaPkcs1Sha256, Scheme::RsaPssSha256],
            Pair::Ed25519(_) => vec![Scheme::Ed25519],
        }
    }

    /// Another key of the same kind, made for the purpose.
    pub(crate) fn sibling(&self) -> Result<Self, DriverError> {
        let algorithm = match &self.pair {
            Pair::Ecdsa(Scheme::EcdsaP384Sha384, _) => Algorithm::P384,
            Pair::Ecdsa(..) => Algorithm::P256,
            Pair::Ed25519(_) => Algorithm::Ed25519,
            Pair::Rsa(pair) if pair.public_modulus_len() == 256 => Algorithm::Rsa2048,
            Pair::Rsa(pair) if pair.public_modulus_len() == 384 => Algorithm::Rsa3072,
            Pair::Rsa(_) => Algorithm::Rsa4096,
        };
        Self::from_pkcs8(&algorithm.make()?).ok_or_else(|| broken("a new key cannot be read"))
    }

    /// Signs what [`sealwright_driver_api::SignRequest::check`] has let pass.
    pub(crate) fn sign(&self, scheme: Scheme, input: &SignInput) -> Result<Vec<u8>, DriverError> {
        match (&self.pair, scheme, input) {
            (Pair::Ecdsa(own, pair), _, SignInput::Digest { hash, bytes }) if *own == scheme => {
                let signature = pair.sign_digest(&digest(*hash, bytes)?);
                Ok(signature
                    .map_err(|_| broken("cannot sign"))?
                    .as_ref()
                    .to_vec())
            }
            (Pair::Rsa(pair), Scheme::RsaPkcs1Sha256, SignInput::Digest { hash, bytes }) => {
                sign_rsa(pair, &RSA_PKCS1_SHA256, &digest(*hash, bytes)?)
            }
            (Pair::Rsa(pair), Scheme::RsaPssSha256, SignInput::Digest { hash, bytes }) => {
                sign_rsa(pair, &RSA_PSS_SHA256, &digest(*hash, bytes)?)
            }
            (Pair::Ed25519(pair), Scheme::Ed25519, SignInput::Message(message)) => {
                Ok(pair.sign(message).as_ref().to_vec())
            }
            _ => Err(DriverError::bad_request(format!(
                "this key does not sign with {scheme}"
            ))),
        }
    }
}

fn sign_rsa(
    pair: &RsaKeyPair,
    encoding: &'static dyn RsaEncoding,
    digest: &Digest,
) -> Result<Vec<u8>, DriverError> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign_digest(encoding, digest, &mut signature)
        .map_err(|_| broken("cannot sign"))?;
    Ok(signature)
}

fn digest(hash: HashAlg, bytes: &[u8]) -> Result<Digest, DriverError> {
    let algorithm = match hash {
        HashAlg::Sha256 => &SHA256,
        HashAlg::Sha384 => &SHA384,
    };
    Digest::import_less_safe(bytes, algorithm)
        .map_err(|_| DriverError::bad_request("the digest has not the length of its hash"))
}

fn spki<'a>(key: &impl AsDer<PublicKeyX509Der<'a>>) -> Option<Vec<u8>> {
    key.as_der().ok().map(|der| der.as_ref().to_vec())
}

fn broken(what: &str) -> DriverError {
    DriverError::new(sealwright_driver_api::ErrorClass::Transient, "", what)
}
