//! What a TPM's public area says in the field's own forms: SubjectPublicKeyInfo, schemes, claims, signatures.

use der::asn1::{AnyRef, BitString, UintRef};
use der::oid::ObjectIdentifier;
use der::{Encode as _, Sequence};
use sealwright_driver_api::Scheme;
use spki::{AlgorithmIdentifier, SubjectPublicKeyInfo};
use tss_esapi::attributes::ObjectAttributes;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::structures::{
    EccPoint, EccScheme, HashScheme, Public, PublicRsaParameters, RsaScheme, Signature,
};

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP256R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// Exponent that a TPM means by zero.
const RSA_EXPONENT: u32 = 65_537;

/// A signing key as the outside knows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SigningKey {
    /// SubjectPublicKeyInfo DER.
    pub(crate) spki_der: Vec<u8>,
    /// The schemes it signs with, the preferred one first.
    pub(crate) schemes: Vec<Scheme>,
    /// Bytes of r and s, or of the modulus.
    width: usize,
}

/// Why a public area is no key this driver signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("it is no signing key")]
    NoSigningKey,
    #[error("it is a restricted key, which signs only what the TPM itself has hashed")]
    Restricted,
    #[error("it is used by a policy, not by an auth value")]
    PolicyOnly,
    #[error(
        "it is under the TPM's dictionary-attack protection (no noDA attribute): a wrong credential would lock \
         the whole TPM"
    )]
    LocksTheTpm,
    #[error("its curve, modulus or scheme is none that Sealwright signs with")]
    Algorithm,
    #[error("its public key is malformed")]
    Malformed,
}

impl SigningKey {
    /// Reads a public area.
    pub(crate) fn of(public: &Public) -> Result<Self, Unusable> {
        check(public.object_attributes())?;
        match public {
            Public::Ecc {
                parameters, unique, ..
            } => Self::ecc(parameters.ecc_curve(), parameters.ecc_scheme(), unique),
            Public::Rsa {
                parameters, unique, ..
            } => Self::rsa(*parameters, unique.value()),
            _ => Err(Unusable::NoSigningKey),
        }
    }

    fn ecc(curve: EccCurve, scheme: EccScheme, point: &EccPoint) -> Result<Self, Unusable> {
        let (curve, width, scheme) = match (curve, scheme) {
            (EccCurve::NistP256, EccScheme::Null) => (SECP256R1, 32, Scheme::EcdsaP256Sha256),
            (EccCurve::NistP256, EccScheme::EcDsa(hash)) if is(hash, HashingAlgorithm::Sha256) => {
                (SECP256R1, 32, Scheme::EcdsaP256Sha256)
            }
            (EccCurve::NistP384, EccScheme::Null) => (SECP384R1, 48, Scheme::EcdsaP384Sha384),
            (EccCurve::NistP384, EccScheme::EcDsa(hash)) if is(hash, HashingAlgorithm::Sha384) => {
                (SECP384R1, 48, Scheme::EcdsaP384Sha384)
            }
            _ => return Err(Unusable::Algorithm),
        };
        // SEC 1 section 2.3.3, uncompressed; a TPM may leave leading zeros away.
        let mut sec1 = vec![4];
        sec1.extend(padded(point.x().value(), width).ok_or(Unusable::Malformed)?);
        sec1.extend(padded(point.y().value(), width).ok_or(Unusable::Malformed)?);
        let spki_der =
            spki(EC_PUBLIC_KEY, AnyRef::from(&curve), &sec1).ok_or(Unusable::Malformed)?;
        Ok(Self {
            spki_der,
            schemes: vec![scheme],
            width,
        })
    }

    fn rsa(parameters: PublicRsaParameters, modulus: &[u8]) -> Result<Self, Unusable> {
        let schemes = match parameters.rsa_scheme() {
            RsaScheme::RsaSsa(hash) if is(hash, HashingAlgorithm::Sha256) => {
                vec![Scheme::RsaPkcs1Sha256]
            }
            RsaScheme::RsaPss(hash) if is(hash, HashingAlgorithm::Sha256) => {
                vec![Scheme::RsaPssSha256]
            }
            RsaScheme::Null => vec![Scheme::RsaPssSha256, Scheme::RsaPkcs1Sha256],
            _ => return Err(Unusable::Algorithm),
        };
        let width = modulus.len();
        if ![256, 384, 512].contains(&width) {
            return Err(Unusable::Algorithm);
        }
        let exponent = match parameters.exponent().value() {
            0 => RSA_EXPONENT,
            given => given,
        };
        let key = rsa_public_key(modulus, exponent).ok_or(Unusable::Malformed)?;
        let spki_der = spki(RSA_ENCRYPTION, AnyRef::NULL, &key).ok_or(Unusable::Malformed)?;
        Ok(Self {
            spki_der,
            schemes,
            width,
        })
    }

    /// A signature of this key in raw form: r‖s at fixed width, or as many bytes as the modulus. `None` where
    /// the TPM answered with something else.
    pub(crate) fn raw_signature(&self, signature: &Signature) -> Option<Vec<u8>> {
        match signature {
            Signature::EcDsa(ecdsa) => {
                let r = padded(ecdsa.signature_r().value(), self.width)?;
                let s = padded(ecdsa.signature_s().value(), self.width)?;
                Some([r, s].concat())
            }
            Signature::RsaSsa(rsa) | Signature::RsaPss(rsa) => {
                padded(rsa.signature().value(), self.width)
            }
            _ => None,
        }
    }
}

/// What the public area claims about the key's origin. The TPM signed none of it.
pub(crate) fn claims(attributes: ObjectAttributes) -> Vec<(String, String)> {
    [
        ("fixedTPM", attributes.fixed_tpm()),
        ("fixedParent", attributes.fixed_parent()),
        ("sensitiveDataOrigin", attributes.sensitive_data_origin()),
        ("noDA", attributes.no_da()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_string()))
    .into()
}

fn check(attributes: ObjectAttributes) -> Result<(), Unusable> {
    if !attributes.sign_encrypt() {
        return Err(Unusable::NoSigningKey);
    }
    if attributes.restricted() {
        return Err(Unusable::Restricted);
    }
    if !attributes.user_with_auth() {
        return Err(Unusable::PolicyOnly);
    }
    if !attributes.no_da() {
        return Err(Unusable::LocksTheTpm);
    }
    Ok(())
}

fn is(scheme: HashScheme, hash: HashingAlgorithm) -> bool {
    scheme.hashing_algorithm() == hash
}

/// Left-pads with zeros to `width`; `None` where it is longer.
fn padded(bytes: &[u8], width: usize) -> Option<Vec<u8>> {
    let missing = width.checked_sub(bytes.len())?;
    let mut out = vec![0; missing];
    out.extend_from_slice(bytes);
    Some(out)
}

fn spki(oid: ObjectIdentifier, parameters: AnyRef<'_>, key: &[u8]) -> Option<Vec<u8>> {
    let algorithm = AlgorithmIdentifier {
        oid,
        parameters: Some(parameters),
    };
    let subject_public_key = BitString::from_bytes(key).ok()?;
    SubjectPublicKeyInfo {
        algorithm,
        subject_public_key,
    }
    .to_der()
    .ok()
}

/// RSAPublicKey (RFC 8017 appendix A.1.1).
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: u32,
}

fn rsa_public_key(modulus: &[u8], exponent: u32) -> Option<Vec<u8>> {
    RsaPublicKey {
        modulus: UintRef::new(modulus).ok()?,
        exponent,
    }
    .to_der()
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template;
    use tss_esapi::structures::{EccParameter, EccSignature};

    fn p256(x: &[u8], y: &[u8]) -> Result<SigningKey, Unusable> {
        let number = |bytes: &[u8]| EccParameter::try_from(bytes).unwrap();
        let Some(Public::Ecc {
            object_attributes,
            name_hashing_algorithm,
            auth_policy,
            parameters,
            ..
        }) = template::key(Scheme::EcdsaP256Sha256, 0)
        else {
            panic!("a P-256 key is an ECC key")
        };
        let unique = EccPoint::new(number(x), number(y));
        SigningKey::of(&Public::Ecc {
            object_attributes,
            name_hashing_algorithm,
            auth_policy,
            parameters,
            unique,
        })
    }

    #[test]
    fn short_coordinates_and_signature_halves_are_padded_to_the_curve() {
        let key = p256(&[1; 31], &[2; 30]).unwrap();
        let point = key.spki_der.split_last_chunk::<64>().unwrap().1;
        assert_eq!(point[..2], [0, 1]);
        assert_eq!(point[32..35], [0, 0, 2]);

        let number = |bytes: &[u8]| EccParameter::try_from(bytes).unwrap();
        let signature = |r: &[u8], s: &[u8]| {
            let ecdsa = EccSignature::create(HashingAlgorithm::Sha256, number(r), number(s));
            key.raw_signature(&Signature::EcDsa(ecdsa.unwrap()))
        };
        let raw = signature(&[3; 31], &[4; 1]).unwrap();
        assert_eq!(
            (raw.len(), raw[0], raw[1], raw[62], raw[63]),
            (64, 0, 3, 0, 4)
        );
        assert_eq!(signature(&[3; 33], &[4; 32]), None);
    }

    #[test]
    fn a_coordinate_longer_than_the_curve_is_malformed() {
        assert_eq!(p256(&[1; 33], &[2; 32]), Err(Unusable::Malformed));
    }

    #[test]
    fn keys_that_could_lock_the_tpm_or_cannot_sign_digests_are_refused() {
        let of = |change: fn(
            tss_esapi::attributes::ObjectAttributesBuilder,
        ) -> tss_esapi::attributes::ObjectAttributesBuilder| {
            let usable = ObjectAttributes::builder()
                .with_sign_encrypt(true)
                .with_user_with_auth(true)
                .with_no_da(true);
            check(change(usable).build().unwrap())
        };
        assert_eq!(of(|a| a), Ok(()));
        assert_eq!(of(|a| a.with_no_da(false)), Err(Unusable::LocksTheTpm));
        assert_eq!(of(|a| a.with_restricted(true)), Err(Unusable::Restricted));
        assert_eq!(
            of(|a| a.with_user_with_auth(false)),
            Err(Unusable::PolicyOnly)
        );
        assert_eq!(
            of(|a| a.with_sign_encrypt(false)),
            Err(Unusable::NoSigningKey)
        );
    }
}
