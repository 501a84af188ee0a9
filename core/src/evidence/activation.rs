//! Proving that an attestation key is in the TPM of an endorsement key: TPM2_MakeCredential in software (TPM 2.0
//! Library, part 1, section 24), for TPM2_ActivateCredential. Who makes the challenge keeps the answer to himself until
//! the TPM has given it; so this convinces the challenger and nobody else.

use std::convert::Infallible;

use aes::Aes128;
use cfb_mode::Encryptor;
use cfb_mode::cipher::KeyIvInit as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rsa::rand_core::{TryCryptoRng, TryRng};
use rsa::{Oaep, RsaPublicKey};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::EvidenceError;
use crate::verify::PublicKey;

/// Random bytes that nobody knows and that are used once: 32 for the answer, 32 for the seed, 32 for its padding.
pub type Entropy = [u8; 96];

/// What a TPM is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// TPMS_ID_OBJECT, `credentialBlob` without its length: at most 134 bytes.
    pub credential: Vec<u8>,
    /// TPM2B_ENCRYPTED_SECRET without its length: as long as the endorsement key's modulus.
    pub secret: Vec<u8>,
}

/// A challenge and its answer.
pub struct Activation {
    /// For the TPM.
    pub challenge: Challenge,
    answer: [u8; 32],
}

impl Activation {
    pub(super) fn new(
        ek_spki: &[u8],
        name: &[u8],
        entropy: Entropy,
    ) -> Result<Self, EvidenceError> {
        let Ok(PublicKey::Rsa(ek)) = PublicKey::from_spki_der(ek_spki) else {
            return Err(EvidenceError::EndorsementKey);
        };
        let [answer, seed, padding] = split(&entropy);
        let credential = credential(&seed, name, &answer);
        let secret = encrypt(&ek, &seed, padding).ok_or(EvidenceError::EndorsementKey)?;
        Ok(Self {
            challenge: Challenge { credential, secret },
            answer,
        })
    }

    /// Whether the TPM found the answer.
    ///
    /// # Errors
    /// [`EvidenceError::OtherTpm`].
    pub fn check(&self, answer: &[u8]) -> Result<(), EvidenceError> {
        // It serves once and is known to both by now, so there is nothing to time.
        if answer == self.answer {
            Ok(())
        } else {
            Err(EvidenceError::OtherTpm)
        }
    }
}

fn split(entropy: &Entropy) -> [[u8; 32]; 3] {
    let mut parts = [[0; 32]; 3];
    for (part, bytes) in parts.iter_mut().zip(entropy.chunks(32)) {
        part.copy_from_slice(bytes);
    }
    parts
}

/// Integrity and encrypted identity: the answer under keys that follow from the seed and the attestation key's name.
fn credential(seed: &[u8; 32], name: &[u8], answer: &[u8; 32]) -> Vec<u8> {
    let key: [u8; 32] = kdfa(seed, b"STORAGE\0", name, 128);
    let mut identity = [&[0, 32][..], answer].concat();
    let (key, iv) = (first_16(&key), [0; 16]);
    Encryptor::<Aes128>::new(&key.into(), &iv.into()).encrypt(&mut identity);
    let key: [u8; 32] = kdfa(seed, b"INTEGRITY\0", b"", 256);
    let integrity = mac(&key, &[&identity, name]);
    [&[0, 32][..], &integrity, &identity].concat()
}

fn first_16(bytes: &[u8; 32]) -> [u8; 16] {
    let mut first = [0; 16];
    first.copy_from_slice(&bytes[..16]);
    first
}

/// KDFa with SHA-256 (part 1, section 11.4.10.2): one round gives all the bits that are asked for here.
fn kdfa(key: &[u8], label: &[u8], context: &[u8], bits: u32) -> [u8; 32] {
    mac(
        key,
        &[&1u32.to_be_bytes(), label, context, &bits.to_be_bytes()],
    )
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The seed for the TPM alone: OAEP with the endorsement key's name hash and the label that the standard gives.
fn encrypt(ek: &RsaPublicKey, seed: &[u8], padding: [u8; 32]) -> Option<Vec<u8>> {
    let oaep = Oaep::<sha2::Sha256>::new_with_label(*b"IDENTITY\0");
    ek.encrypt(&mut Given(padding), oaep, seed).ok()
}

/// Randomness that was handed in: as many bytes as OAEP with SHA-256 asks for, once (RFC 8017 section 7.1.1).
struct Given([u8; 32]);

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("OAEP asks for bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("OAEP asks for bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.0);
        Ok(())
    }
}

impl TryCryptoRng for Given {}
