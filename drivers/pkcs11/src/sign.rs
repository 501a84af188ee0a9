//! From a scheme and its input to a mechanism and the bytes the token gets.

use std::borrow::Cow;

use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use sealwright_driver_api::{DriverError, Scheme, SignInput, SignRequest, Signature};

use crate::address::Address;
use crate::fault::Fault;
use crate::find::resolve;
use crate::pool::Lease;

/// DER of `DigestInfo` up to the digest, for SHA-256 (RFC 8017 section 9.2, note 1).
const SHA256_DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];
/// Salt of RSASSA-PSS in bytes: as long as the hash, as every verifier expects.
const PSS_SALT_LEN: u64 = 32;

/// Signs with the lease's session. The request's input fits its scheme already.
pub(crate) fn sign(
    lease: &mut Lease<'_>,
    request: &SignRequest,
    address: &Address,
) -> Result<Signature, Fault> {
    let key = resolve(lease, &request.key, address)?;
    let fits = key.kind.schemes().contains(&request.scheme);
    let Some(mechanism) = mechanism(request.scheme).filter(|_| fits) else {
        let detail = format!(
            "key {} is {:?} and does not sign {}",
            request.key, key.kind, request.scheme
        );
        return Err(Fault::hopeless(DriverError::unsupported(detail)));
    };
    let data = token_input(request.scheme, &request.input);
    let signature = lease
        .seat
        .session
        .sign(&mechanism, key.handle, &data)
        .map_err(|error| Fault::of(&format!("signing with {}", request.key), &error))?;
    check_length(request, signature).map_err(Fault::hopeless)
}

/// The mechanism of a scheme; `None` where there is none. All but Ed25519 sign a finished digest: SoftHSM has no CKM_ECDSA_SHA256.
fn mechanism(scheme: Scheme) -> Option<Mechanism<'static>> {
    Some(match scheme {
        Scheme::EcdsaP256Sha256 | Scheme::EcdsaP384Sha384 => Mechanism::Ecdsa,
        Scheme::RsaPkcs1Sha256 => Mechanism::RsaPkcs,
        Scheme::RsaPssSha256 => Mechanism::RsaPkcsPss(PkcsPssParams {
            hash_alg: MechanismType::SHA256,
            mgf: PkcsMgfType::MGF1_SHA256,
            s_len: PSS_SALT_LEN.into(),
        }),
        // Pure only: SoftHSM ignores the parameters of ctx and ph and signs something else than asked.
        Scheme::Ed25519 => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)),
        Scheme::WebAuthnP256Sha256 | Scheme::WebAuthnP256Sha256Uv => return None,
    })
}

/// What the token gets to see.
fn token_input(scheme: Scheme, input: &SignInput) -> Cow<'_, [u8]> {
    match input {
        SignInput::Digest { bytes, .. } if scheme == Scheme::RsaPkcs1Sha256 => {
            Cow::Owned([&SHA256_DIGEST_INFO, bytes.as_slice()].concat())
        }
        SignInput::Digest { bytes, .. } => Cow::Borrowed(bytes),
        SignInput::Message(message) => Cow::Borrowed(message),
    }
}

fn check_length(request: &SignRequest, signature: Vec<u8>) -> Result<Signature, DriverError> {
    match request.scheme.raw_signature_len() {
        Some(want) if want != signature.len() => Err(DriverError::unsupported(format!(
            "the module returned {} bytes for {} with {}; PKCS#11 says {want}",
            signature.len(),
            request.scheme,
            request.key
        ))),
        _ => Ok(Signature::Raw(signature)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealwright_driver_api::HashAlg;

    fn digest() -> SignInput {
        SignInput::Digest {
            hash: HashAlg::Sha256,
            bytes: vec![7; 32],
        }
    }

    #[test]
    fn only_pkcs1_gets_a_digest_info_around_the_digest() {
        let wrapped = token_input(Scheme::RsaPkcs1Sha256, &digest()).into_owned();
        assert_eq!(wrapped, [&SHA256_DIGEST_INFO[..], &[7; 32]].concat());
        // The outer SEQUENCE spans the rest.
        assert_eq!(usize::from(wrapped[1]), wrapped.len() - 2);
        for scheme in [Scheme::EcdsaP256Sha256, Scheme::RsaPssSha256] {
            assert_eq!(token_input(scheme, &digest()), Cow::Borrowed(&[7; 32][..]));
        }
    }

    #[test]
    fn a_signature_that_is_not_of_fixed_width_is_refused() {
        let request = SignRequest {
            key: "pkcs11:object=a".parse().unwrap(),
            scheme: Scheme::EcdsaP256Sha256,
            input: digest(),
        };
        assert_eq!(
            check_length(&request, vec![1; 64]),
            Ok(Signature::Raw(vec![1; 64]))
        );
        for len in [0, 63, 65, 70] {
            let error = check_length(&request, vec![1; len]).unwrap_err();
            assert!(error.detail.contains(&format!("{len} bytes")), "{error}");
        }
    }
}
