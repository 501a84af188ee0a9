//! Software keys and policies of them, for tests.

use ed25519_dalek::{Signer as _, SigningKey};

use super::cosignature;
use super::note::{Note, NoteSignature};
use super::policy::Policy;
use super::vkey::{KeyType, VerifierKey};

/// A key pair whose seed is its number in every byte.
pub(super) struct TestKey {
    pair: SigningKey,
    pub(super) public: VerifierKey,
}

impl TestKey {
    pub(super) fn log(name: &str, number: u8) -> Self {
        Self::new(name, KeyType::Ed25519, number)
    }

    pub(super) fn witness(name: &str, number: u8) -> Self {
        Self::new(name, KeyType::CosignatureV1, number)
    }

    fn new(name: &str, kind: KeyType, number: u8) -> Self {
        let pair = SigningKey::from_bytes(&[number; 32]);
        let public = VerifierKey::new(name, kind, pair.verifying_key().as_bytes());
        Self {
            pair,
            public: public.expect("a good name and key"),
        }
    }

    /// Signs `text`; a witness does so at `time`.
    pub(super) fn sign(&self, text: &str, time: u64) -> NoteSignature {
        let signature = match self.public.kind() {
            KeyType::CosignatureV1 => {
                let message = cosignature::message(time, text);
                let signature = self.pair.sign(message.as_bytes()).to_bytes();
                cosignature::encode(time, &signature)
            }
            _ => self.pair.sign(text.as_bytes()).to_bytes().to_vec(),
        };
        NoteSignature::new(self.public.name(), self.public.id(), signature).expect("a good name")
    }
}

/// `text` signed by each of `keys`, the first at second 1, the next at 2.
pub(super) fn signed<'a>(text: &str, keys: impl IntoIterator<Item = &'a TestKey>) -> Note {
    let lines = (1..).zip(keys).map(|(time, key)| key.sign(text, time));
    Note::new(text.to_owned(), lines.collect()).expect("a good text")
}

/// Lines that define the log and the witnesses `names`.
pub(super) fn define(names: &[&str]) -> String {
    let mut text = format!("log {}\n", TestKey::log("log", 200).public);
    for (number, name) in (1..).zip(names) {
        let key = TestKey::witness("witness.example", number).public;
        text += &format!("witness {name} {key}\n");
    }
    text
}

/// The policy of those lines and `rest`.
pub(super) fn policy(names: &[&str], rest: &str) -> Policy {
    (define(names) + rest).parse().expect("a good policy")
}

/// Whether cosignatures of just `cosigners` are enough.
pub(super) fn met(policy: &Policy, cosigners: &[&str]) -> bool {
    policy.quorum_met(|witness| cosigners.contains(&witness.name.as_str()))
}
