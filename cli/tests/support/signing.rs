//! Envelopes, bundles and a log, made with software keys.

use ed25519_dalek::Signer as _;
use p256::pkcs8::EncodePublicKey as _;
use sealwright_core::bundle::encode_bundle;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::dsse::{Pae, encode_envelope};
use sealwright_core::record::{Leaf, SALT_LEN};
use sealwright_core::spki::Spki;
use sealwright_core::statement::{self, PAYLOAD_TYPE, Subject};
use sealwright_core::tlog::merkle::{Hash, leaf_hash, node_hash};
use sealwright_core::tlog::note::NoteSignature;
use sealwright_core::tlog::vkey::KeyType;
use sealwright_core::tlog::{Checkpoint, Note, TlogProof, VerifierKey};

/// A P-256 key as a token would hold it.
pub(crate) struct Key(p256::ecdsa::SigningKey);

impl Key {
    pub(crate) fn new(seed: u8) -> Self {
        Self(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap())
    }

    pub(crate) fn spki(&self) -> Spki {
        let der = self.0.verifying_key().to_public_key_der().unwrap();
        Spki::from_der(der.as_bytes().to_vec())
    }

    fn sign(&self, payload_type: &str, payload: &[u8]) -> Vec<u8> {
        let message = Pae {
            payload_type,
            payload,
        }
        .to_vec();
        let signature: p256::ecdsa::Signature = self.0.sign(&message);
        signature.to_der().as_bytes().to_vec()
    }

    pub(crate) fn bundle(&self, payload: &[u8]) -> Vec<u8> {
        let signature = self.sign(PAYLOAD_TYPE, payload);
        encode_bundle(
            PAYLOAD_TYPE,
            payload,
            &self.spki().keyid(),
            &signature,
            None,
        )
        .into_bytes()
    }
}

/// An envelope with a signature of each key.
pub(crate) fn envelope(keys: &[&Key], payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let signed = keys
        .iter()
        .map(|key| (key.spki().keyid(), key.sign(payload_type, payload)));
    let signed: Vec<_> = signed.collect();
    let signatures: Vec<_> = signed
        .iter()
        .map(|(keyid, sig)| (&**keyid, &**sig))
        .collect();
    encode_envelope(payload_type, payload, &signatures)
}

/// A statement about `artifact`.
pub(crate) fn statement(artifact: &[u8]) -> Vec<u8> {
    let digest = Sha256Digest::of(&[artifact]).to_string();
    let subject = Subject {
        digests: [("sha256".to_owned(), digest)].into(),
        name: Some("app".to_owned()),
    };
    statement::build(&[subject], "https://example.com/test/v1", b"{}").unwrap()
}

/// A log of three records; the one in the middle is of interest.
pub(crate) struct Log {
    key: ed25519_dalek::SigningKey,
    pub(crate) vkey: VerifierKey,
}

pub(crate) const ORIGIN: &str = "example.com/log";

impl Log {
    pub(crate) fn new(seed: u8) -> Self {
        let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
        let public = key.verifying_key();
        let vkey = VerifierKey::new(ORIGIN, KeyType::Ed25519, public.as_bytes()).unwrap();
        Self { key, vkey }
    }

    pub(crate) fn spki(&self) -> Spki {
        // RFC 8410 section 4: a fixed prefix and the 32 bytes of the key.
        let prefix = [48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0];
        Spki::from_der([&prefix, self.key.verifying_key().as_bytes().as_slice()].concat())
    }

    /// The proof of a record with this body at index 1, its leaf made from the values given.
    pub(crate) fn proof(&self, body: &[u8], kind: &str, time: &str) -> String {
        let salt = [9; SALT_LEN];
        let leaf = Leaf::new(1, time.parse().unwrap(), kind, &salt, body);
        let leaves = [
            leaf_hash(b"first"),
            leaf_hash(&leaf.to_bytes()),
            leaf_hash(b"third"),
        ];
        let root = node_hash(&node_hash(&leaves[0], &leaves[1]), &leaves[2]);
        TlogProof {
            extra: Some([&salt, body].concat()),
            index: 1,
            hashes: vec![leaves[0], leaves[2]],
            checkpoint: self.checkpoint(3, root),
        }
        .to_string()
    }

    fn checkpoint(&self, size: u64, root: Hash) -> String {
        let text = Checkpoint::new(ORIGIN, size, root).unwrap().to_string();
        let signature = self.key.sign(text.as_bytes()).to_bytes().to_vec();
        let signature = NoteSignature::new(ORIGIN, self.vkey.id(), signature).unwrap();
        Note::new(text, vec![signature]).unwrap().to_string()
    }
}

/// The body of a record of a signature, as `docs/audit-record.md` has it.
pub(crate) fn record(seq: u64, outcome: &str, envelope: &[u8]) -> String {
    let zero = Sha256Digest::default();
    let envelope = Sha256Digest::of(&[envelope]);
    format!(
        "{{\"config_digest\":\"{zero}\",\"envelope_sha256\":\"{envelope}\",\"kind\":\"sign\",\
         \"outcome\":\"{outcome}\",\"peer\":{{\"gid\":1,\"pid\":1,\"uid\":1}},\"policy_digest\":\"{zero}\",\
         \"principal\":\"spiffe://site/ci\",\"request_id\":\"r\",\"seq\":{seq},\"tenant\":\"default\",\
         \"time\":\"{TIME}\",\"v\":1}}"
    )
}

pub(crate) const TIME: &str = "2026-11-25T08:00:00.123Z";
