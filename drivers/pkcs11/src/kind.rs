//! Key types this driver signs with, as PKCS#11 and as X.509 spell them.

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{SECP_256_R_1, SECP_384_R_1};
use const_oid::db::rfc8410::ID_ED_25519;
use cryptoki::object::KeyType;
use der::asn1::PrintableStringRef;
use der::{Decode, Encode};
use sealwright_driver_api::Scheme;

/// A type of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    P256,
    P384,
    Ed25519,
    Rsa,
}

impl KeyKind {
    /// From CKA_KEY_TYPE and, for curves, CKA_EC_PARAMS; the error names what the key is instead.
    pub(crate) fn of(key_type: KeyType, ec_params: Option<&[u8]>) -> Result<Self, String> {
        match (key_type, ec_params) {
            (KeyType::RSA, _) => Ok(Self::Rsa),
            (KeyType::EC | KeyType::EC_EDWARDS, Some(params)) => Self::of_curve(params),
            (KeyType::EC | KeyType::EC_EDWARDS, None) => Err("has no CKA_EC_PARAMS".to_owned()),
            (other, _) => Err(format!("is of type {other}")),
        }
    }

    fn of_curve(params: &[u8]) -> Result<Self, String> {
        // Ed25519 has two spellings in the field: the OID, and the name from PKCS#11 3.0.
        if let Ok(name) = PrintableStringRef::from_der(params) {
            return match name.as_str() {
                "edwards25519" => Ok(Self::Ed25519),
                other => Err(format!("is on curve {other:?}")),
            };
        }
        match ObjectIdentifier::from_der(params) {
            Ok(SECP_256_R_1) => Ok(Self::P256),
            Ok(SECP_384_R_1) => Ok(Self::P384),
            Ok(ID_ED_25519) => Ok(Self::Ed25519),
            Ok(other) => Err(format!("is on the curve with OID {other}")),
            Err(_) => Err("has a curve that is given by parameters, not by name".to_owned()),
        }
    }

    /// The schemes a key of this kind signs with, the preferred one first.
    pub(crate) const fn schemes(self) -> &'static [Scheme] {
        match self {
            Self::P256 => &[Scheme::EcdsaP256Sha256],
            Self::P384 => &[Scheme::EcdsaP384Sha384],
            Self::Ed25519 => &[Scheme::Ed25519],
            Self::Rsa => &[Scheme::RsaPkcs1Sha256, Scheme::RsaPssSha256],
        }
    }

    /// The kind that signs with `scheme`; `None` where no PKCS#11 token does.
    pub(crate) const fn for_scheme(scheme: Scheme) -> Option<Self> {
        match scheme {
            Scheme::EcdsaP256Sha256 => Some(Self::P256),
            Scheme::EcdsaP384Sha384 => Some(Self::P384),
            Scheme::Ed25519 => Some(Self::Ed25519),
            Scheme::RsaPkcs1Sha256 | Scheme::RsaPssSha256 => Some(Self::Rsa),
            Scheme::WebAuthnP256Sha256 | Scheme::WebAuthnP256Sha256Uv => None,
        }
    }

    /// The curve; `None` for RSA.
    pub(crate) const fn curve(self) -> Option<ObjectIdentifier> {
        match self {
            Self::P256 => Some(SECP_256_R_1),
            Self::P384 => Some(SECP_384_R_1),
            Self::Ed25519 => Some(ID_ED_25519),
            Self::Rsa => None,
        }
    }

    /// CKA_EC_PARAMS for a new key; `None` for RSA.
    pub(crate) fn ec_params(self) -> Option<Vec<u8>> {
        self.curve().and_then(|oid| oid.to_der().ok())
    }

    /// Whether `point` is an uncompressed point of this curve by length and prefix.
    pub(crate) fn fits_point(self, point: &[u8]) -> bool {
        match self {
            Self::P256 => point.len() == 65 && point.first() == Some(&4),
            Self::P384 => point.len() == 97 && point.first() == Some(&4),
            Self::Ed25519 => point.len() == 32,
            Self::Rsa => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_ed25519_are_read() {
        let oid = KeyKind::Ed25519.ec_params().unwrap();
        let name = [b"\x13\x0cedwards25519".as_slice()].concat();
        for params in [&oid, &name] {
            assert_eq!(
                KeyKind::of(KeyType::EC_EDWARDS, Some(params)),
                Ok(KeyKind::Ed25519)
            );
        }
    }

    #[test]
    fn curve_parameters_are_read_as_they_are_written() {
        for kind in [KeyKind::P256, KeyKind::P384] {
            let params = kind.ec_params().unwrap();
            assert_eq!(KeyKind::of(KeyType::EC, Some(&params)), Ok(kind));
        }
    }

    #[test]
    fn a_key_of_another_type_or_curve_is_named() {
        let of = |key_type, params: Option<&[u8]>| KeyKind::of(key_type, params).unwrap_err();
        let p521 = [6, 5, 0x2b, 0x81, 4, 0, 0x23];
        assert!(of(KeyType::EC, Some(&p521)).contains("1.3.132.0.35"));
        assert!(of(KeyType::EC, Some(&[0x30, 0])).contains("by parameters"));
        assert!(of(KeyType::EC_EDWARDS, Some(b"\x13\x0aedwards448")).contains("edwards448"));
        assert!(of(KeyType::EC, None).contains("CKA_EC_PARAMS"));
        assert!(of(KeyType::AES, None).contains("AES"));
    }

    #[test]
    fn every_plain_scheme_has_a_kind_that_signs_with_it() {
        for scheme in Scheme::PLAIN {
            let kind = KeyKind::for_scheme(scheme).unwrap();
            assert!(kind.schemes().contains(&scheme));
        }
    }
}
