//! SubjectPublicKeyInfo from what a token gives out: point or modulus. CKA_PUBLIC_KEY_INFO is not used:
//! SoftHSM has it with no bytes in it.

use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION};
use der::asn1::{Any, BitString, Null, OctetStringRef, UintRef};
use der::{Decode, Encode, Sequence};
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use crate::kind::KeyKind;

/// Modulus lengths in bits that are served.
pub(crate) const RSA_BITS: [usize; 3] = [2048, 3072, 4096];

/// RFC 8017 appendix A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    public_exponent: UintRef<'a>,
}

/// SPKI of an elliptic curve key from CKA_EC_POINT.
pub(crate) fn of_point(kind: KeyKind, ec_point: &[u8]) -> Result<Vec<u8>, String> {
    let point = decode_point(kind, ec_point).ok_or_else(|| {
        format!(
            "has a CKA_EC_POINT of {} bytes, which is no uncompressed point of its curve",
            ec_point.len()
        )
    })?;
    let curve = kind.curve().ok_or("is on no curve")?;
    let algorithm = match kind {
        KeyKind::Ed25519 => AlgorithmIdentifierOwned {
            oid: curve,
            parameters: None,
        },
        _ => AlgorithmIdentifierOwned {
            oid: ID_EC_PUBLIC_KEY,
            parameters: Some(Any::from(&curve)),
        },
    };
    to_der(algorithm, point)
}

/// SPKI of an RSA key from CKA_MODULUS and CKA_PUBLIC_EXPONENT.
pub(crate) fn of_modulus(modulus: &[u8], exponent: &[u8]) -> Result<Vec<u8>, String> {
    let bits = bit_length(modulus);
    if !RSA_BITS.contains(&bits) {
        return Err(format!(
            "is RSA with {bits} bits; 2048, 3072 and 4096 are served"
        ));
    }
    let uint = |bytes| UintRef::new(bytes).map_err(|e| e.to_string());
    let key = RsaPublicKey {
        modulus: uint(modulus)?,
        public_exponent: uint(exponent)?,
    };
    let key = key.to_der().map_err(|e| e.to_string())?;
    let algorithm = AlgorithmIdentifierOwned {
        oid: RSA_ENCRYPTION,
        parameters: Some(Null.into()),
    };
    to_der(algorithm, &key)
}

/// The standard wraps the point in an OCTET STRING, some tokens don't. A raw point can look wrapped (its
/// second byte is random), so the form whose content fits the curve is taken.
fn decode_point(kind: KeyKind, ec_point: &[u8]) -> Option<&[u8]> {
    let wrapped = <&OctetStringRef>::from_der(ec_point)
        .ok()
        .map(OctetStringRef::as_bytes);
    [wrapped, Some(ec_point)]
        .into_iter()
        .flatten()
        .find(|point| kind.fits_point(point))
}

fn bit_length(modulus: &[u8]) -> usize {
    let significant = modulus.iter().skip_while(|byte| **byte == 0);
    let first_zeros = significant
        .clone()
        .next()
        .map_or(0, |byte| byte.leading_zeros() as usize);
    (significant.count() * 8).saturating_sub(first_zeros)
}

fn to_der(algorithm: AlgorithmIdentifierOwned, key: &[u8]) -> Result<Vec<u8>, String> {
    let subject_public_key = BitString::from_bytes(key).map_err(|e| e.to_string())?;
    SubjectPublicKeyInfoOwned {
        algorithm,
        subject_public_key,
    }
    .to_der()
    .map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn point(kind: KeyKind) -> Vec<u8> {
        match kind {
            KeyKind::P256 => [vec![4], vec![7; 64]].concat(),
            KeyKind::P384 => [vec![4], vec![7; 96]].concat(),
            _ => vec![7; 32],
        }
    }

    fn wrap(point: &[u8]) -> Vec<u8> {
        OctetStringRef::new(point).unwrap().to_der().unwrap()
    }

    #[test]
    fn wrapped_and_raw_points_give_the_same_key() {
        for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519] {
            let raw = point(kind);
            let spki = of_point(kind, &raw).unwrap();
            assert_eq!(of_point(kind, &wrap(&raw)).unwrap(), spki);
            let read = SubjectPublicKeyInfoOwned::from_der(&spki).unwrap();
            assert_eq!(read.subject_public_key.raw_bytes(), raw);
        }
    }

    #[test]
    fn a_raw_point_that_looks_wrapped_is_taken_raw() {
        let mut raw = point(KeyKind::P256);
        raw[1] = 63; // 04 3F …: by chance a whole OCTET STRING
        assert_eq!(decode_point(KeyKind::P256, &raw), Some(raw.as_slice()));
    }

    #[test]
    fn points_of_another_length_or_form_are_refused() {
        for bad in [
            &[][..],
            &[4; 64],
            &[2; 33],
            &[6; 65],
            &wrap(&[4; 97]),
            &[4, 66, 0],
        ] {
            assert!(of_point(KeyKind::P256, bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn rsa_lengths_are_counted_in_bits_without_leading_zeros() {
        let modulus = |bytes: usize| [vec![0, 0x80], vec![1; bytes - 1]].concat();
        for bits in RSA_BITS {
            assert!(of_modulus(&modulus(bits / 8), &[1, 0, 1]).is_ok());
        }
        let error = of_modulus(&modulus(128), &[1, 0, 1]).unwrap_err();
        assert!(error.contains("1024 bits"), "{error}");
        assert!(
            of_modulus(&[0x7f; 256], &[1, 0, 1])
                .unwrap_err()
                .contains("2047 bits")
        );
        assert!(of_modulus(&[], &[]).unwrap_err().contains("0 bits"));
    }

    proptest! {
        #[test]
        fn any_attribute_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519, KeyKind::Rsa] {
                let _ = of_point(kind, &bytes);
            }
            let _ = of_modulus(&bytes, &bytes);
            let _ = KeyKind::of(cryptoki::object::KeyType::EC, Some(&bytes));
        }
    }
}
