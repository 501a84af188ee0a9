//! Public keys we can verify with, from SubjectPublicKeyInfo.

use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION};
use const_oid::db::rfc8410::ID_ED_25519;
use p256::pkcs8::EncodePublicKey as _;
use rsa::BoxedUint;
use rsa::traits::PublicKeyParts as _;
use spki::SubjectPublicKeyInfoRef;
use spki::der::Decode as _;

use crate::scheme::Scheme;
use crate::spki::Spki;

/// Smallest RSA modulus in bits.
pub const RSA_BITS_MIN: usize = 2048;

/// Largest RSA modulus in bits; Rekor takes no larger one, and verifying gets slow.
pub const RSA_BITS_MAX: usize = 4096;

/// Tag of an uncompressed point (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// Why a SubjectPublicKeyInfo is no usable key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not DER of that structure.
    #[error("the public key is not a SubjectPublicKeyInfo in DER")]
    NotSpki,
    /// Another algorithm or curve.
    #[error("the public key is none of ECDSA P-256, ECDSA P-384, RSA and Ed25519")]
    Unsupported,
    /// The right algorithm, but no key.
    #[error("the public key's bits are not a key of its algorithm")]
    Malformed,
    /// A point in a form that gives one key two SubjectPublicKeyInfos, hence two key ids.
    #[error("the public key is a compressed point; export it uncompressed")]
    CompressedPoint,
    /// RSA of a size outside the limits.
    #[error("RSA keys have {RSA_BITS_MIN} to {RSA_BITS_MAX} bits, this one has {0}")]
    RsaSize(usize),
    /// An Ed25519 key of small order, under which one signature fits many messages.
    #[error("the Ed25519 public key is a point of small order; generate another key")]
    WeakEd25519,
}

/// A public key, ready to verify. Equal keys are one signer, whatever key id they go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// ECDSA on P-256.
    P256(p256::ecdsa::VerifyingKey),
    /// ECDSA on P-384.
    P384(p384::ecdsa::VerifyingKey),
    /// RSA of [`RSA_BITS_MIN`] to [`RSA_BITS_MAX`] bits.
    Rsa(rsa::RsaPublicKey),
    /// Ed25519.
    Ed25519(ed25519_dalek::VerifyingKey),
}

impl PublicKey {
    /// Reads SubjectPublicKeyInfo DER (RFC 5280 section 4.1.2.7, RFC 5480, RFC 8410).
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyError::NotSpki)?;
        match spki.algorithm.oid {
            ID_EC_PUBLIC_KEY => from_ec(spki),
            RSA_ENCRYPTION => from_rsa(spki),
            ID_ED_25519 => from_ed25519(spki),
            _ => Err(KeyError::Unsupported),
        }
    }

    /// The schemes this key can sign with, the default first.
    pub fn schemes(&self) -> &'static [Scheme] {
        match self {
            Self::P256(_) => &[
                Scheme::EcdsaP256Sha256,
                Scheme::WebAuthnP256Sha256,
                Scheme::WebAuthnP256Sha256Uv,
            ],
            Self::P384(_) => &[Scheme::EcdsaP384Sha384],
            Self::Rsa(_) => &[Scheme::RsaPkcs1Sha256, Scheme::RsaPssSha256],
            Self::Ed25519(_) => &[Scheme::Ed25519],
        }
    }

    /// The scheme Sigstore's clients assume for this key.
    pub fn default_scheme(&self) -> Scheme {
        match self {
            Self::P256(_) => Scheme::EcdsaP256Sha256,
            Self::P384(_) => Scheme::EcdsaP384Sha384,
            Self::Rsa(_) => Scheme::RsaPkcs1Sha256,
            Self::Ed25519(_) => Scheme::Ed25519,
        }
    }
}

/// The schemes a key can sign with, the default first; empty where it is no usable key.
pub fn schemes_of(spki_der: &[u8]) -> Vec<Scheme> {
    PublicKey::from_spki_der(spki_der).map_or_else(|_| Vec::new(), |key| key.schemes().to_vec())
}

/// The scheme Sigstore's clients assume for a key.
pub fn default_scheme(spki_der: &[u8]) -> Result<Scheme, KeyError> {
    Ok(PublicKey::from_spki_der(spki_der)?.default_scheme())
}

/// The key with these coordinates, in the full width of its curve: P-256 or P-384.
pub(crate) fn spki_of_ec(x: &[u8], y: &[u8]) -> Result<Spki, KeyError> {
    // That the point lies on the curve is checked with it.
    let point = [&[UNCOMPRESSED], x, y].concat();
    let der = match (x.len(), y.len()) {
        (32, 32) => p256::PublicKey::from_sec1_bytes(&point)
            .ok()
            .and_then(|key| key.to_public_key_der().ok()),
        (48, 48) => p384::PublicKey::from_sec1_bytes(&point)
            .ok()
            .and_then(|key| key.to_public_key_der().ok()),
        _ => None,
    };
    let der = der.ok_or(KeyError::Malformed)?;
    Ok(Spki::from_der(der.into_vec()))
}

/// The key with this modulus and exponent.
pub(crate) fn spki_of_rsa(n: BoxedUint, e: BoxedUint) -> Result<Spki, KeyError> {
    let key = rsa::RsaPublicKey::new(n, e).map_err(|_| KeyError::Malformed)?;
    let der = key.to_public_key_der().map_err(|_| KeyError::Malformed)?;
    Ok(Spki::from_der(der.into_vec()))
}

fn from_ec(spki: SubjectPublicKeyInfoRef<'_>) -> Result<PublicKey, KeyError> {
    let curve = spki
        .algorithm
        .parameters_oid()
        .map_err(|_| KeyError::Unsupported)?;
    let point = spki
        .subject_public_key
        .as_bytes()
        .ok_or(KeyError::Malformed)?;
    if matches!(point.first(), Some(2 | 3)) {
        return Err(KeyError::CompressedPoint);
    }
    if point.first() != Some(&UNCOMPRESSED) {
        return Err(KeyError::Malformed);
    }
    match curve {
        const_oid::db::rfc5912::SECP_256_R_1 => {
            p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map(PublicKey::P256)
        }
        const_oid::db::rfc5912::SECP_384_R_1 => {
            p384::ecdsa::VerifyingKey::from_sec1_bytes(point).map(PublicKey::P384)
        }
        _ => return Err(KeyError::Unsupported),
    }
    .map_err(|_| KeyError::Malformed)
}

fn from_rsa(spki: SubjectPublicKeyInfoRef<'_>) -> Result<PublicKey, KeyError> {
    let key = rsa::RsaPublicKey::try_from(spki).map_err(|_| KeyError::Malformed)?;
    let bits = key.n().bit_width_vartime() as usize;
    if (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
        Ok(PublicKey::Rsa(key))
    } else {
        Err(KeyError::RsaSize(bits))
    }
}

fn from_ed25519(spki: SubjectPublicKeyInfoRef<'_>) -> Result<PublicKey, KeyError> {
    let key = ed25519_dalek::VerifyingKey::try_from(spki).map_err(|_| KeyError::Malformed)?;
    if key.is_weak() {
        Err(KeyError::WeakEd25519)
    } else {
        Ok(PublicKey::Ed25519(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p256_spki() -> Vec<u8> {
        let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        key.verifying_key().to_public_key_der().unwrap().into_vec()
    }

    /// An RSA key with a modulus of `bits` ones: a key by form, though nobody's.
    fn rsa_spki(bits: usize) -> Vec<u8> {
        let n = rsa::BoxedUint::from_be_slice_vartime(&vec![0xff; bits / 8]);
        let key = rsa::RsaPublicKey::new(n, rsa::BoxedUint::from(65537u32)).unwrap();
        key.to_public_key_der().unwrap().into_vec()
    }

    #[test]
    fn each_key_has_its_default_scheme_first() {
        assert_eq!(default_scheme(&p256_spki()), Ok(Scheme::EcdsaP256Sha256));
        let rsa = rsa_spki(2048);
        assert_eq!(
            schemes_of(&rsa),
            [Scheme::RsaPkcs1Sha256, Scheme::RsaPssSha256]
        );
        assert_eq!(default_scheme(&rsa), Ok(Scheme::RsaPkcs1Sha256));
        assert_eq!(schemes_of(b"no key"), []);
    }

    #[test]
    fn rsa_keys_outside_the_limits_are_refused() {
        for bits in [RSA_BITS_MIN, 3072, RSA_BITS_MAX] {
            PublicKey::from_spki_der(&rsa_spki(bits)).unwrap();
        }
        for bits in [1024, RSA_BITS_MIN - 8, RSA_BITS_MAX + 8] {
            assert_eq!(
                PublicKey::from_spki_der(&rsa_spki(bits)),
                Err(KeyError::RsaSize(bits))
            );
        }
    }

    #[test]
    fn a_key_has_one_encoding() {
        let spki = p256_spki();
        let mut trailing = spki.clone();
        trailing.push(0);
        assert_eq!(PublicKey::from_spki_der(&trailing), Err(KeyError::NotSpki));

        let mut off_curve = spki.clone();
        *off_curve.last_mut().unwrap() ^= 1;
        assert_eq!(
            PublicKey::from_spki_der(&off_curve),
            Err(KeyError::Malformed)
        );

        // SEQUENCE { algorithm (21 bytes), BIT STRING { 0 unused bits, 0x02 or 0x03, x } }
        let mut compressed = vec![0x30, 57];
        compressed.extend_from_slice(&spki[2..23]);
        compressed.extend_from_slice(&[0x03, 34, 0, 2 + (spki[90] & 1)]);
        compressed.extend_from_slice(&spki[27..59]);
        assert_eq!(
            PublicKey::from_spki_der(&compressed),
            Err(KeyError::CompressedPoint)
        );
    }

    #[test]
    fn an_ed25519_key_under_which_everything_verifies_is_refused() {
        let identity = [&[1][..], &[0; 31]].concat();
        let spki = [
            b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".as_slice(),
            &identity,
        ]
        .concat();
        assert_eq!(PublicKey::from_spki_der(&spki), Err(KeyError::WeakEd25519));
    }
}
