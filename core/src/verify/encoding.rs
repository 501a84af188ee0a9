//! The two ways to write an ECDSA signature, and the way between them.

use super::EcdsaForm;
use crate::scheme::Scheme;

/// The bytes are no signature of the scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// A wrong number of bytes for the scheme.
    #[error("a raw {scheme} signature has {want} bytes, this one has {got}")]
    Length {
        /// The scheme.
        scheme: Scheme,
        /// Bytes given.
        got: usize,
        /// Bytes of the scheme.
        want: usize,
    },
    /// r or s is zero or not below the order of the curve, or the DER is not strict.
    #[error("the bytes are no {0} signature: r and s lie between 1 and the order of the curve")]
    Value(Scheme),
    /// Only ECDSA has two forms.
    #[error("{0} signatures have only one form")]
    OneForm(Scheme),
}

/// `r‖s` at the curve's exact width → minimal DER. S is left as it is, high or low.
pub fn raw_to_der(scheme: Scheme, raw: &[u8]) -> Result<Vec<u8>, EncodingError> {
    let value = |_| EncodingError::Value(scheme);
    match scheme {
        Scheme::EcdsaP256Sha256 => {
            check_length(scheme, raw)?;
            let signature = read_p256(raw, EcdsaForm::P1363).map_err(value)?;
            Ok(signature.to_der().as_bytes().to_vec())
        }
        Scheme::EcdsaP384Sha384 => {
            check_length(scheme, raw)?;
            let signature = read_p384(raw, EcdsaForm::P1363).map_err(value)?;
            Ok(signature.to_der().as_bytes().to_vec())
        }
        _ => Err(EncodingError::OneForm(scheme)),
    }
}

/// Strict DER → `r‖s` at the curve's width.
pub fn der_to_raw(scheme: Scheme, der: &[u8]) -> Result<Vec<u8>, EncodingError> {
    let value = |_| EncodingError::Value(scheme);
    match scheme {
        Scheme::EcdsaP256Sha256 => Ok(read_p256(der, EcdsaForm::Der)
            .map_err(value)?
            .to_bytes()
            .to_vec()),
        Scheme::EcdsaP384Sha384 => Ok(read_p384(der, EcdsaForm::Der)
            .map_err(value)?
            .to_bytes()
            .to_vec()),
        _ => Err(EncodingError::OneForm(scheme)),
    }
}

/// What an envelope carries for a raw signature from a device: ECDSA becomes DER, the rest stays.
pub fn encode_raw(scheme: Scheme, raw: Vec<u8>) -> Result<Vec<u8>, EncodingError> {
    match scheme {
        Scheme::EcdsaP256Sha256 | Scheme::EcdsaP384Sha384 => raw_to_der(scheme, &raw),
        Scheme::RsaPkcs1Sha256 | Scheme::RsaPssSha256 | Scheme::Ed25519 => {
            check_length(scheme, &raw)?;
            Ok(raw)
        }
        Scheme::WebAuthnP256Sha256 | Scheme::WebAuthnP256Sha256Uv => {
            Err(EncodingError::OneForm(scheme))
        }
    }
}

fn check_length(scheme: Scheme, raw: &[u8]) -> Result<(), EncodingError> {
    match scheme.raw_signature_len() {
        Some(want) if want != raw.len() => Err(EncodingError::Length {
            scheme,
            got: raw.len(),
            want,
        }),
        _ => Ok(()),
    }
}

pub(super) fn read_p256(
    bytes: &[u8],
    form: EcdsaForm,
) -> Result<p256::ecdsa::Signature, signature::Error> {
    match form {
        EcdsaForm::Der => p256::ecdsa::Signature::from_der(bytes),
        EcdsaForm::P1363 => p256::ecdsa::Signature::from_slice(bytes),
    }
}

pub(super) fn read_p384(
    bytes: &[u8],
    form: EcdsaForm,
) -> Result<p384::ecdsa::Signature, signature::Error> {
    match form {
        EcdsaForm::Der => p384::ecdsa::Signature::from_der(bytes),
        EcdsaForm::P1363 => p384::ecdsa::Signature::from_slice(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const P256: Scheme = Scheme::EcdsaP256Sha256;

    fn raw(r: &[u8], s: &[u8]) -> Vec<u8> {
        let pad = |n: &[u8]| [vec![0; 32 - n.len()], n.to_vec()].concat();
        [pad(r), pad(s)].concat()
    }

    #[test]
    fn der_is_minimal_and_keeps_a_high_s() {
        assert_eq!(
            raw_to_der(P256, &raw(&[1], &[0x80])),
            Ok(vec![0x30, 7, 2, 1, 1, 2, 2, 0, 0x80])
        );
        // n - 1: as high as s gets.
        let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550";
        let high = hex::decode(order).unwrap();
        let der = raw_to_der(P256, &raw(&[1], &high)).unwrap();
        assert!(der.ends_with(&high));
        assert_eq!(der_to_raw(P256, &der).unwrap(), raw(&[1], &high));
    }

    #[test]
    fn what_no_key_can_have_made_is_refused() {
        let short = raw_to_der(P256, &[1; 63]);
        assert_eq!(
            short,
            Err(EncodingError::Length {
                scheme: P256,
                got: 63,
                want: 64
            })
        );
        for (r, s) in [
            (vec![], vec![1]),
            (vec![1], vec![]),
            (vec![0xff; 32], vec![1]),
        ] {
            assert_eq!(
                raw_to_der(P256, &raw(&r, &s)),
                Err(EncodingError::Value(P256))
            );
        }
        let long_form = [0x30, 0x81, 6, 2, 1, 1, 2, 1, 1];
        assert_eq!(
            der_to_raw(P256, &long_form),
            Err(EncodingError::Value(P256))
        );
        let one_form = raw_to_der(Scheme::Ed25519, &[0; 64]);
        assert_eq!(one_form, Err(EncodingError::OneForm(Scheme::Ed25519)));
        assert!(encode_raw(Scheme::Ed25519, vec![0; 63]).is_err());
        assert_eq!(
            encode_raw(Scheme::RsaPkcs1Sha256, vec![0; 256]),
            Ok(vec![0; 256])
        );
    }

    proptest! {
        #[test]
        fn both_forms_say_the_same(bytes in proptest::collection::vec(any::<u8>(), 96)) {
            for (scheme, len) in [(P256, 64), (Scheme::EcdsaP384Sha384, 96)] {
                if let Ok(der) = raw_to_der(scheme, &bytes[..len]) {
                    prop_assert_eq!(der_to_raw(scheme, &der).unwrap(), &bytes[..len]);
                }
            }
        }
    }
}
