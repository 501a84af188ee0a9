//! The daemon's verifier on aws-lc-rs: every signature passes it before anything is sealed.

use aws_lc_rs::digest::{Digest, SHA256, SHA384};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, VerificationAlgorithm,
};
use sealwright_core::scheme::{HashAlg, Scheme};
use sealwright_core::sign::{SignInput, Verifier};

/// Fast verification of raw signatures.
pub struct AwsLcVerifier;

impl Verifier for AwsLcVerifier {
    fn verifies(
        &self,
        spki_der: &[u8],
        scheme: Scheme,
        input: &SignInput,
        signature: &[u8],
    ) -> bool {
        let Some(algorithm) = algorithm(scheme) else {
            return false;
        };
        let Ok(key) = ParsedPublicKey::new(algorithm, spki_der) else {
            return false;
        };
        match input {
            SignInput::Message(message) => key.verify_sig(message, signature).is_ok(),
            SignInput::Digest { hash, bytes } => {
                let algorithm = match hash {
                    HashAlg::Sha256 => &SHA256,
                    HashAlg::Sha384 => &SHA384,
                };
                // `import_less_safe` warns of digests somebody else made: this one is ours, over the PAE.
                Digest::import_less_safe(bytes, algorithm)
                    .is_ok_and(|digest| key.verify_digest_sig(&digest, signature).is_ok())
            }
        }
    }
}

/// `None` for assertions: `core` takes them apart, and asks for the plain signature in them.
fn algorithm(scheme: Scheme) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match scheme {
        Scheme::EcdsaP256Sha256 => &ECDSA_P256_SHA256_FIXED,
        Scheme::EcdsaP384Sha384 => &ECDSA_P384_SHA384_FIXED,
        Scheme::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        Scheme::RsaPssSha256 => &RSA_PSS_2048_8192_SHA256,
        Scheme::Ed25519 => &ED25519,
        Scheme::WebAuthnP256Sha256 | Scheme::WebAuthnP256Sha256Uv => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
    };

    /// SPKI and raw signature of a fresh key over `message`.
    fn signed(scheme: Scheme, message: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let rng = SystemRandom::new();
        let ecdsa = |algorithm| {
            let pair = EcdsaKeyPair::generate(algorithm).unwrap();
            let spki = pair.public_key().as_der().unwrap().as_ref().to_vec();
            (spki, pair.sign(&rng, message).unwrap().as_ref().to_vec())
        };
        let rsa = |padding| {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
            let mut signature = vec![0; 256];
            pair.sign(padding, &rng, message, &mut signature).unwrap();
            (
                pair.public_key().as_der().unwrap().as_ref().to_vec(),
                signature,
            )
        };
        match scheme {
            Scheme::EcdsaP256Sha256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Scheme::EcdsaP384Sha384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Scheme::RsaPkcs1Sha256 => rsa(&RSA_PKCS1_SHA256),
            Scheme::RsaPssSha256 => rsa(&RSA_PSS_SHA256),
            _ => {
                let pair = Ed25519KeyPair::generate().unwrap();
                let spki = pair.public_key().as_der().unwrap().as_ref().to_vec();
                (spki, pair.sign(message).as_ref().to_vec())
            }
        }
    }

    #[test]
    fn it_accepts_what_the_key_signed_and_nothing_else_as_does_the_second_verifier() {
        for scheme in Scheme::PLAIN {
            let (spki, signature) = signed(scheme, b"message");
            let input = SignInput::of(scheme, &[b"mess", b"age"]);
            assert!(
                AwsLcVerifier.verifies(&spki, scheme, &input, &signature),
                "{scheme}"
            );
            let encoded = sealwright_core::verify::encode_raw(scheme, signature.clone()).unwrap();
            sealwright_core::verify::verify_message(&spki, scheme, &[b"message"], &encoded)
                .unwrap();

            let other = SignInput::of(scheme, &[b"massage"]);
            assert!(
                !AwsLcVerifier.verifies(&spki, scheme, &other, &signature),
                "{scheme}"
            );
            let (other_spki, _) = signed(scheme, b"message");
            assert!(
                !AwsLcVerifier.verifies(&other_spki, scheme, &input, &signature),
                "{scheme}"
            );
            let short = &signature[..signature.len() - 1];
            assert!(
                !AwsLcVerifier.verifies(&spki, scheme, &input, short),
                "{scheme}"
            );
        }
    }
}
