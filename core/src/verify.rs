//! Verifying signatures with RustCrypto: what offline verification uses, and the second opinion beside the
//! daemon's own verifier.
//!
//! ECDSA signatures are ASN.1 DER, strictly; high S is accepted, because Sigstore and the tokens make it.
//! The fixed-width form (IEEE P1363, `r‖s`) is understood only by functions that say so in their name.

mod encoding;
mod key;
mod roca;

use der::oid::AssociatedOid;
use rsa::pkcs1v15;
use rsa::pss;
use sha2::Sha256;
use signature::MultipartVerifier as _;
use signature::hazmat::PrehashVerifier as _;

use crate::scheme::{HashAlg, Scheme};
use crate::sign::{SignInput, Verifier};
use crate::webauthn::{Assertion, AssertionError, Demand, RP_ID};

pub use encoding::{EncodingError, der_to_raw, encode_raw, raw_to_der};
pub use key::{KeyError, PublicKey, RSA_BITS_MAX, RSA_BITS_MIN, default_scheme, schemes_of};
pub(crate) use key::{spki_of_ec, spki_of_rsa};
pub(crate) use roca::is_roca;

/// Why a signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The public key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key cannot make signatures of this scheme.
    #[error("{scheme} does not fit the public key, which signs with {fits}")]
    OtherScheme {
        /// What was asked for.
        scheme: Scheme,
        /// The default scheme of the key.
        fits: Scheme,
    },
    /// The bytes are no signature in the required encoding.
    #[error("the signature is not {0}")]
    Encoding(&'static str),
    /// The digest has not the length of the scheme's hash.
    #[error("the digest has {got} bytes, the scheme's hash has {want}")]
    DigestLength {
        /// Bytes given.
        got: usize,
        /// Bytes of the hash.
        want: usize,
    },
    /// Ed25519 and FIDO2 keys need the message.
    #[error("keys of this scheme sign the message itself; a digest is not enough to verify it")]
    NeedsMessage,
    /// What a FIDO2 key says with its signature is not what the scheme demands.
    #[error(transparent)]
    Assertion(#[from] AssertionError),
    /// Well-formed, but not by this key over this message.
    #[error("the signature does not verify under the public key")]
    Mismatch,
}

/// How an ECDSA signature's two numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EcdsaForm {
    /// `ECDSA-Sig-Value` of RFC 3279 section 2.2.3 in DER: what envelopes and bundles carry.
    Der,
    /// `r‖s` at fixed width (IEEE P1363): what devices return, and an import option for foreign envelopes.
    P1363,
}

/// Verifies `signature` over `message_parts`, read as one message. ECDSA signatures are DER.
pub fn verify_message(
    spki_der: &[u8],
    scheme: Scheme,
    message_parts: &[&[u8]],
    signature: &[u8],
) -> Result<(), VerifyError> {
    let key = PublicKey::from_spki_der(spki_der)?;
    key.verify(scheme, message_parts, signature, EcdsaForm::Der)
}

/// Like [`verify_message`], with an ECDSA signature as `r‖s`.
pub fn verify_message_p1363(
    spki_der: &[u8],
    scheme: Scheme,
    message_parts: &[&[u8]],
    signature: &[u8],
) -> Result<(), VerifyError> {
    let key = PublicKey::from_spki_der(spki_der)?;
    key.verify(scheme, message_parts, signature, EcdsaForm::P1363)
}

/// Verifies `signature` over a message of which only the scheme's digest is at hand. ECDSA signatures are DER.
pub fn verify_prehashed(
    spki_der: &[u8],
    scheme: Scheme,
    digest: &[u8],
    signature: &[u8],
) -> Result<(), VerifyError> {
    let key = PublicKey::from_spki_der(spki_der)?;
    key.verify_prehashed(scheme, digest, signature, EcdsaForm::Der)
}

/// Verifies an ECDSA signature under a pair of curve and hash that is no [`Scheme`], such as P-384 with SHA-256.
///
/// Other people's certificates and time stamps need it; our own keys never do.
pub fn verify_ecdsa_with_hash(
    spki_der: &[u8],
    hash: HashAlg,
    message_parts: &[&[u8]],
    signature: &[u8],
) -> Result<(), VerifyError> {
    let key = PublicKey::from_spki_der(spki_der)?;
    key.verify_ecdsa(&hash.digest(message_parts), signature, EcdsaForm::Der)
}

/// Verifies an RSA signature (PKCS#1 v1.5) with a hash that is no [`Scheme`]'s, such as SHA-512.
///
/// Other people's certificates need it; our own keys never do.
pub fn verify_pkcs1_with_hash<H>(
    spki_der: &[u8],
    message_parts: &[&[u8]],
    signature: &[u8],
) -> Result<(), VerifyError>
where
    H: sha2::Digest + AssociatedOid,
{
    let PublicKey::Rsa(key) = PublicKey::from_spki_der(spki_der)? else {
        return Err(VerifyError::Mismatch);
    };
    let mut hasher = H::new();
    message_parts.iter().for_each(|part| hasher.update(part));
    verify_pkcs1::<H>(&key, &hasher.finalize(), signature)
}

impl PublicKey {
    /// Verifies `signature` over `message_parts`, read as one message.
    pub fn verify(
        &self,
        scheme: Scheme,
        message_parts: &[&[u8]],
        signature: &[u8],
        form: EcdsaForm,
    ) -> Result<(), VerifyError> {
        if let Some(demand) = scheme.assertion() {
            return self.verify_assertion(scheme, demand, message_parts, signature);
        }
        match (self, scheme.prehash()) {
            (_, Some(hash)) => {
                self.verify_prehashed(scheme, &hash.digest(message_parts), signature, form)
            }
            (Self::Ed25519(key), None) => {
                let signature = ed25519_dalek::Signature::from_slice(signature)
                    .map_err(|_| VerifyError::Encoding("64 bytes of Ed25519"))?;
                key.multipart_verify(message_parts, &signature)
                    .map_err(|_| VerifyError::Mismatch)
            }
            (_, None) => Err(self.other_scheme(scheme)),
        }
    }

    /// Verifies `signature` over a message with this digest under the scheme's hash.
    pub fn verify_prehashed(
        &self,
        scheme: Scheme,
        digest: &[u8],
        signature: &[u8],
        form: EcdsaForm,
    ) -> Result<(), VerifyError> {
        let hash = scheme.prehash().ok_or(VerifyError::NeedsMessage)?;
        if digest.len() != hash.len() {
            return Err(VerifyError::DigestLength {
                got: digest.len(),
                want: hash.len(),
            });
        }
        match (self, scheme) {
            (Self::P256(_), Scheme::EcdsaP256Sha256) | (Self::P384(_), Scheme::EcdsaP384Sha384) => {
                self.verify_ecdsa(digest, signature, form)
            }
            (Self::Rsa(key), Scheme::RsaPkcs1Sha256) => {
                verify_pkcs1::<Sha256>(key, digest, signature)
            }
            (Self::Rsa(key), Scheme::RsaPssSha256) => verify_pss(key, digest, signature),
            _ => Err(self.other_scheme(scheme)),
        }
    }

    /// The six steps of [`crate::webauthn`].
    fn verify_assertion(
        &self,
        scheme: Scheme,
        demand: Demand,
        message_parts: &[&[u8]],
        signature: &[u8],
    ) -> Result<(), VerifyError> {
        let Self::P256(_) = self else {
            return Err(self.other_scheme(scheme));
        };
        let assertion = Assertion::from_bytes(signature)?;
        assertion.check(RP_ID, demand)?;
        let digest = assertion.signed_sha256(message_parts);
        self.verify_ecdsa(&digest.0, &assertion.signature, EcdsaForm::Der)
    }

    fn verify_ecdsa(
        &self,
        digest: &[u8],
        signature: &[u8],
        form: EcdsaForm,
    ) -> Result<(), VerifyError> {
        let malformed = |_| {
            VerifyError::Encoding(match form {
                EcdsaForm::Der => "an ECDSA-Sig-Value in DER",
                EcdsaForm::P1363 => "r and s at the curve's width",
            })
        };
        let verified = match self {
            Self::P256(key) => {
                let signature = encoding::read_p256(signature, form).map_err(malformed)?;
                key.verify_prehash(digest, &signature)
            }
            Self::P384(key) => {
                let signature = encoding::read_p384(signature, form).map_err(malformed)?;
                key.verify_prehash(digest, &signature)
            }
            Self::Rsa(_) | Self::Ed25519(_) => {
                return Err(self.other_scheme(Scheme::EcdsaP256Sha256));
            }
        };
        verified.map_err(|_| VerifyError::Mismatch)
    }

    fn other_scheme(&self, scheme: Scheme) -> VerifyError {
        VerifyError::OtherScheme {
            scheme,
            fits: self.default_scheme(),
        }
    }
}

/// This module as a [`Verifier`] of raw signatures.
#[derive(Debug, Clone, Copy)]
pub struct RustCrypto;

impl Verifier for RustCrypto {
    fn verifies(
        &self,
        spki_der: &[u8],
        scheme: Scheme,
        input: &SignInput,
        signature: &[u8],
    ) -> bool {
        let Ok(key) = PublicKey::from_spki_der(spki_der) else {
            return false;
        };
        let verified = match input {
            SignInput::Digest { bytes, .. } => {
                key.verify_prehashed(scheme, bytes, signature, EcdsaForm::P1363)
            }
            SignInput::Message(message) => {
                key.verify(scheme, &[message], signature, EcdsaForm::P1363)
            }
        };
        verified.is_ok()
    }
}

fn verify_pkcs1<H: sha2::Digest + AssociatedOid>(
    key: &rsa::RsaPublicKey,
    digest: &[u8],
    signature: &[u8],
) -> Result<(), VerifyError> {
    let signature = pkcs1v15::Signature::try_from(rsa_bytes(key, signature)?)
        .map_err(|_| VerifyError::Mismatch)?;
    pkcs1v15::VerifyingKey::<H>::new(key.clone())
        .verify_prehash(digest, &signature)
        .map_err(|_| VerifyError::Mismatch)
}

fn verify_pss(key: &rsa::RsaPublicKey, digest: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
    let signature =
        pss::Signature::try_from(rsa_bytes(key, signature)?).map_err(|_| VerifyError::Mismatch)?;
    // The salt is as long as the digest; a verifier that accepts any salt would accept other schemes.
    pss::VerifyingKey::<Sha256>::new(key.clone())
        .verify_prehash(digest, &signature)
        .map_err(|_| VerifyError::Mismatch)
}

/// RFC 8017 section 8.1.2 step 1: exactly the modulus' length; the `rsa` crate takes integers.
fn rsa_bytes<'a>(key: &rsa::RsaPublicKey, signature: &'a [u8]) -> Result<&'a [u8], VerifyError> {
    use rsa::traits::PublicKeyParts as _;
    if signature.len() == key.size() {
        Ok(signature)
    } else {
        Err(VerifyError::Encoding("as long as the RSA modulus"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::ecdsa::signature::Signer as _;
    use p256::pkcs8::EncodePublicKey as _;

    fn p256_key() -> (p256::ecdsa::SigningKey, Vec<u8>) {
        let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        let spki = key.verifying_key().to_public_key_der().unwrap().into_vec();
        (key, spki)
    }

    #[test]
    fn a_message_verifies_in_parts_and_as_a_digest() {
        let (key, spki) = p256_key();
        let signature: p256::ecdsa::Signature = key.sign(b"abc");
        let der = signature.to_der();
        let scheme = Scheme::EcdsaP256Sha256;
        verify_message(&spki, scheme, &[b"a", b"", b"bc"], der.as_bytes()).unwrap();
        let digest = HashAlg::Sha256.digest(&[b"abc"]);
        verify_prehashed(&spki, scheme, &digest, der.as_bytes()).unwrap();
        let other = verify_message(&spki, scheme, &[b"abd"], der.as_bytes());
        assert_eq!(other, Err(VerifyError::Mismatch));
        let short = verify_prehashed(&spki, scheme, &digest[1..], der.as_bytes());
        assert_eq!(short, Err(VerifyError::DigestLength { got: 31, want: 32 }));
    }

    #[test]
    fn the_fixed_width_form_needs_its_own_function() {
        let (key, spki) = p256_key();
        let signature: p256::ecdsa::Signature = key.sign(b"abc");
        let scheme = Scheme::EcdsaP256Sha256;
        let raw = signature.to_bytes();
        verify_message_p1363(&spki, scheme, &[b"abc"], &raw).unwrap();
        let as_der = verify_message(&spki, scheme, &[b"abc"], &raw);
        assert!(
            matches!(as_der, Err(VerifyError::Encoding(_))),
            "{as_der:?}"
        );
        let der = signature.to_der();
        let as_raw = verify_message_p1363(&spki, scheme, &[b"abc"], der.as_bytes());
        assert!(
            matches!(as_raw, Err(VerifyError::Encoding(_))),
            "{as_raw:?}"
        );
    }

    #[test]
    fn a_scheme_that_does_not_fit_the_key_is_named() {
        let (_, spki) = p256_key();
        for scheme in [
            Scheme::EcdsaP384Sha384,
            Scheme::RsaPkcs1Sha256,
            Scheme::Ed25519,
        ] {
            let fits = Scheme::EcdsaP256Sha256;
            let error = verify_message(&spki, scheme, &[b""], &[0; 64]).unwrap_err();
            assert_eq!(error, VerifyError::OtherScheme { scheme, fits });
        }
        let ed25519 = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let prefix = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".as_slice();
        let spki = [prefix, ed25519.verifying_key().as_bytes()].concat();
        let error = verify_prehashed(&spki, Scheme::Ed25519, &[0; 32], &[0; 64]).unwrap_err();
        assert_eq!(error, VerifyError::NeedsMessage);
    }
}
