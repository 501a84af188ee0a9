//! Verifying envelopes: at least t of the trusted keys signed.

use std::cell::OnceCell;

use super::{Envelope, Pae};
use crate::scheme::{HashAlg, Scheme};
use crate::spki::Spki;
use crate::verify::{EcdsaForm, KeyError, PublicKey, VerifyError};

/// A key whose signature counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    spki: Spki,
    scheme: Scheme,
    key: PublicKey,
}

impl TrustedKey {
    /// A key and the scheme it signs with.
    pub fn new(spki: Spki, scheme: Scheme) -> Result<Self, VerifyError> {
        let key = PublicKey::from_spki_der(spki.der())?;
        if !key.schemes().contains(&scheme) {
            return Err(VerifyError::OtherScheme {
                scheme,
                fits: key.default_scheme(),
            });
        }
        Ok(Self { spki, scheme, key })
    }

    /// A key with the scheme that Sigstore's clients assume for it.
    pub fn with_default_scheme(spki: Spki) -> Result<Self, KeyError> {
        let key = PublicKey::from_spki_der(spki.der())?;
        Ok(Self {
            scheme: key.default_scheme(),
            spki,
            key,
        })
    }

    /// The key.
    pub fn spki(&self) -> &Spki {
        &self.spki
    }

    /// Its scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Verifies a signature over a message. ECDSA signatures are DER.
    pub fn verify(&self, message_parts: &[&[u8]], signature: &[u8]) -> Result<(), VerifyError> {
        self.key
            .verify(self.scheme, message_parts, signature, EcdsaForm::Der)
    }

    /// Verifies a signature over a message of which only the digest is at hand. ECDSA signatures are DER.
    pub fn verify_prehashed(&self, digest: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        self.key
            .verify_prehashed(self.scheme, digest, signature, EcdsaForm::Der)
    }
}

/// What a verifier accepts beyond the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Also take ECDSA signatures as `r‖s` (IEEE P1363), as some foreign signers write them.
    pub p1363: bool,
}

/// A payload that enough trusted keys signed. These bytes are what was verified: parse them, not the envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPayload {
    /// payloadType; whether it is one that is wanted is the caller's question.
    pub payload_type: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// Positions in the trusted list of the keys that signed, each key once.
    pub signers: Vec<usize>,
}

/// Not enough trusted keys signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// A threshold that everything meets.
    #[error("a threshold of 0 would accept an unsigned envelope; ask for at least 1")]
    Zero,
    /// Too few.
    #[error("{got} of {trusted} trusted keys signed this payload, {want} are needed")]
    NotMet {
        /// Keys that signed.
        got: usize,
        /// The threshold.
        want: usize,
        /// Keys that were given.
        trusted: usize,
    },
}

impl Envelope {
    /// Accepts the payload if at least `threshold` different keys of `trusted` signed it.
    ///
    /// Keys are compared, not key ids: a key counts once, however often it signed or is listed. A signature
    /// that does not verify is skipped.
    pub fn verify(
        self,
        trusted: &[TrustedKey],
        threshold: usize,
        options: Options,
    ) -> Result<VerifiedPayload, ThresholdError> {
        if threshold == 0 {
            return Err(ThresholdError::Zero);
        }
        let signers = self.signers(trusted, options);
        if signers.len() < threshold {
            let (got, trusted) = (signers.len(), trusted.len());
            return Err(ThresholdError::NotMet {
                got,
                want: threshold,
                trusted,
            });
        }
        Ok(VerifiedPayload {
            payload_type: self.payload_type,
            payload: self.payload,
            signers,
        })
    }

    /// Positions of the trusted keys that signed, each key once.
    fn signers(&self, trusted: &[TrustedKey], options: Options) -> Vec<usize> {
        let message = Message::new(self.pae());
        let mut signers: Vec<usize> = Vec::new();
        for (i, candidate) in trusted.iter().enumerate() {
            let counted = signers
                .iter()
                .filter_map(|&i| trusted.get(i))
                .any(|s| s.key == candidate.key);
            let sigs = || {
                self.signatures
                    .iter()
                    .filter_map(|signature| signature.sig.as_deref())
            };
            if !counted && sigs().any(|sig| message.is_signed_by(candidate, sig, options)) {
                signers.push(i);
            }
        }
        signers
    }
}

/// What was signed, hashed at most once per hash however many keys and signatures there are.
struct Message<'a> {
    pae: Pae<'a>,
    prefix: Vec<u8>,
    sha256: OnceCell<Vec<u8>>,
    sha384: OnceCell<Vec<u8>>,
}

impl<'a> Message<'a> {
    fn new(pae: Pae<'a>) -> Self {
        Self {
            pae,
            prefix: pae.prefix(),
            sha256: OnceCell::new(),
            sha384: OnceCell::new(),
        }
    }

    fn is_signed_by(&self, by: &TrustedKey, signature: &[u8], options: Options) -> bool {
        let forms: &[EcdsaForm] = if options.p1363 {
            &[EcdsaForm::Der, EcdsaForm::P1363]
        } else {
            &[EcdsaForm::Der]
        };
        forms.iter().any(|&form| match by.scheme.prehash() {
            Some(hash) => by
                .key
                .verify_prehashed(by.scheme, self.digest(hash), signature, form)
                .is_ok(),
            None => {
                let parts = [&self.prefix, self.pae.payload];
                by.key.verify(by.scheme, &parts, signature, form).is_ok()
            }
        })
    }

    fn digest(&self, hash: HashAlg) -> &[u8] {
        let cell = match hash {
            HashAlg::Sha256 => &self.sha256,
            HashAlg::Sha384 => &self.sha384,
        };
        cell.get_or_init(|| self.pae.digest(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsse::encode_envelope;
    use p256::ecdsa::signature::Signer as _;
    use p256::pkcs8::EncodePublicKey as _;

    /// A P-256 key made from one byte, and what it makes of a payload of type `t`.
    fn signer(seed: u8) -> (p256::ecdsa::SigningKey, TrustedKey) {
        let key = p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap();
        let der = key.verifying_key().to_public_key_der().unwrap().into_vec();
        let trusted = TrustedKey::with_default_scheme(Spki::from_der(der)).unwrap();
        (key, trusted)
    }

    fn sign(key: &p256::ecdsa::SigningKey, payload: &[u8]) -> Vec<u8> {
        let signature: p256::ecdsa::Signature = key.sign(
            &Pae {
                payload_type: "t",
                payload,
            }
            .to_vec(),
        );
        signature.to_der().as_bytes().to_vec()
    }

    fn envelope(payload: &[u8], signatures: &[Vec<u8>]) -> Envelope {
        let signatures: Vec<_> = signatures.iter().map(|sig| ("same", &**sig)).collect();
        Envelope::parse(&encode_envelope("t", payload, &signatures)).unwrap()
    }

    #[test]
    fn different_keys_count_however_they_are_named() {
        let ((a, trusted_a), (b, trusted_b)) = (signer(1), signer(2));
        let envelope = envelope(b"x", &[sign(&a, b"x"), sign(&b, b"x")]);
        let verified = envelope
            .verify(&[trusted_b, trusted_a], 2, Options::default())
            .unwrap();
        assert_eq!(verified.signers, [0, 1]);
        assert_eq!(verified.payload, b"x");
        assert_eq!(verified.payload_type, "t");
    }

    #[test]
    fn a_second_signature_by_the_same_key_counts_once() {
        let (a, trusted) = signer(1);
        let envelope = envelope(b"x", &[sign(&a, b"x"), sign(&a, b"x")]);
        let error = envelope
            .verify(&[trusted.clone(), trusted], 2, Options::default())
            .unwrap_err();
        assert_eq!(
            error,
            ThresholdError::NotMet {
                got: 1,
                want: 2,
                trusted: 2
            }
        );
    }

    #[test]
    fn a_signature_that_fails_is_skipped() {
        let (a, trusted) = signer(1);
        let envelope = envelope(b"x", &[b"junk".to_vec(), sign(&a, b"y"), sign(&a, b"x")]);
        assert!(
            envelope
                .clone()
                .verify(std::slice::from_ref(&trusted), 1, Options::default())
                .is_ok()
        );
        let unsigned = envelope.verify(&[trusted], 0, Options::default());
        assert_eq!(unsigned, Err(ThresholdError::Zero));
    }

    #[test]
    fn the_fixed_width_form_is_taken_only_on_request() {
        let (a, trusted) = signer(1);
        let raw = crate::verify::der_to_raw(trusted.scheme(), &sign(&a, b"x")).unwrap();
        let trusted = [trusted];
        let envelope = envelope(b"x", &[raw]);
        assert!(
            envelope
                .clone()
                .verify(&trusted, 1, Options::default())
                .is_err()
        );
        assert!(
            envelope
                .verify(&trusted, 1, Options { p1363: true })
                .is_ok()
        );
    }
}
