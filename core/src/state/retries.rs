//! Idempotency keys that the fold remembers, in blocks that its copies share.
//!
//! A snapshot is a copy of the whole state, made by the thread that everybody waits for: of so many keys it must not copy
//! more than the blocks that change.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::digest::Sha256Digest;
use crate::record::{Retry, Selection};

/// Records whose Idempotency-Keys are remembered, the newest ones; a retry of an older request is a new one.
///
/// Counted in records and not in keys, so that what is remembered is the same whether or not older records still have
/// their bodies.
pub const IDEMPOTENCY_RECORDS: u64 = 65_536;

/// What is remembered of an earlier request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earlier {
    /// Its record.
    pub index: u64,
    /// The PAE it signed.
    pub pae_sha256: Sha256Digest,
}

/// Records of one block.
const BLOCK: u64 = 2048;

/// Of released and unknown requests, by the number of their block. None is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Retries(BTreeMap<u64, Arc<Block>>);

/// Both maps have the same entries; a key has one for each of its requests, so that erasing one of them leaves the
/// others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Block {
    by_key: BTreeMap<(Sha256Digest, u64), Sha256Digest>,
    by_age: BTreeMap<u64, Sha256Digest>,
}

impl Retries {
    /// The newest request under this key.
    pub(super) fn get(&self, principal: &str, idempotency: &Sha256Digest) -> Option<Earlier> {
        let key = Retry::key(principal, idempotency);
        self.0.values().rev().find_map(|block| block.get(key))
    }

    pub(super) fn insert(&mut self, index: u64, retry: Retry) {
        let block = self.0.entry(index / BLOCK).or_default();
        Arc::make_mut(block).insert(index, retry);
    }

    /// Forgets what is too old once the log has `size` records.
    pub(super) fn age(&mut self, size: u64) {
        while let Some(mut oldest) = self.0.first_entry()
            && oldest.get().is_older_than(size)
        {
            let block = Arc::make_mut(oldest.get_mut());
            block.age(size);
            if block.by_age.is_empty() {
                oldest.remove();
            }
        }
    }

    pub(super) fn forget(&mut self, erased: &Selection) {
        self.0.retain(|_, block| {
            if block.by_age.keys().any(|index| erased.contains(*index)) {
                Arc::make_mut(block).forget(erased);
            }
            !block.by_age.is_empty()
        });
    }
}

impl Block {
    fn get(&self, key: Sha256Digest) -> Option<Earlier> {
        let newest = self.by_key.range((key, 0)..=(key, u64::MAX)).next_back();
        newest.map(|((_, index), pae_sha256)| Earlier {
            index: *index,
            pae_sha256: *pae_sha256,
        })
    }

    fn insert(&mut self, index: u64, retry: Retry) {
        self.by_age.insert(index, retry.key);
        self.by_key.insert((retry.key, index), retry.pae_sha256);
    }

    /// Whether something in it is too old once the log has `size` records.
    fn is_older_than(&self, size: u64) -> bool {
        let oldest = self.by_age.first_key_value();
        oldest.is_some_and(|(index, _)| index.saturating_add(IDEMPOTENCY_RECORDS) < size)
    }

    fn age(&mut self, size: u64) {
        while self.is_older_than(size)
            && let Some((index, key)) = self.by_age.pop_first()
        {
            self.by_key.remove(&(key, index));
        }
    }

    fn forget(&mut self, erased: &Selection) {
        let by_key = &mut self.by_key;
        self.by_age.retain(|index, key| {
            let stays = !erased.contains(*index);
            if !stays {
                by_key.remove(&(*key, *index));
            }
            stays
        });
    }
}

/// Bytes of a remembered key in a snapshot: index, key, PAE.
const RETRY_BYTES: usize = 8 + 32 + 32;

/// Base64 of all of them, oldest first: as a list of objects they would take half of a start.
impl Serialize for Retries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        let blocks = self.0.values();
        for (index, key, block) in blocks.flat_map(|b| b.by_age.iter().map(move |(i, k)| (i, k, b)))
        {
            if let Some(pae_sha256) = block.by_key.get(&(*key, *index)) {
                bytes.extend_from_slice(&index.to_le_bytes());
                bytes.extend_from_slice(&key.0);
                bytes.extend_from_slice(&pae_sha256.0);
            }
        }
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Retries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(de::Error::custom)?;
        let (entries, rest) = bytes.as_chunks::<RETRY_BYTES>();
        if !rest.is_empty() || entries.len() as u64 > IDEMPOTENCY_RECORDS {
            return Err(de::Error::custom("not a list of retries"));
        }
        let mut this = Self::default();
        for entry in entries {
            let (index, rest) = entry.split_at(8);
            let (key, pae) = rest.split_at(32);
            let digest = |bytes: &[u8]| bytes.try_into().map(Sha256Digest).unwrap_or_default();
            let index = u64::from_le_bytes(index.try_into().unwrap_or_default());
            let (key, pae_sha256) = (digest(key), digest(pae));
            this.insert(index, Retry { key, pae_sha256 });
        }
        Ok(this)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;
    use proptest::prelude::*;

    fn retry(key: u8, index: u64) -> Retry {
        Retry {
            key: Retry::key("someone", &Sha256Digest([key; 32])),
            pae_sha256: Sha256Digest::of(&[&index.to_le_bytes()]),
        }
    }

    fn of(keys: &[u8]) -> Retries {
        let mut this = Retries::default();
        for (index, key) in (0..).zip(keys) {
            this.insert(index, retry(*key, index));
        }
        this
    }

    #[test]
    fn the_newest_records_are_remembered_and_one_more_is_not() {
        let mut retries = of(&[1, 2]);
        let knows = |retries: &Retries, key| retries.get("someone", &Sha256Digest([key; 32]));
        retries.age(IDEMPOTENCY_RECORDS);
        assert_eq!(knows(&retries, 1).map(|earlier| earlier.index), Some(0));
        retries.age(IDEMPOTENCY_RECORDS + 1);
        assert_eq!(knows(&retries, 1), None);
        assert_eq!(knows(&retries, 2).map(|earlier| earlier.index), Some(1));
    }

    #[test]
    fn a_copy_shares_every_block_but_the_one_that_changes() {
        let mut retries = Retries::default();
        for block in 0..4 {
            retries.insert(block * BLOCK, retry(7, block));
        }
        let copy = retries.clone();
        retries.insert(3 * BLOCK + 1, retry(8, 0));
        let pairs = retries.0.values().zip(copy.0.values());
        let shared: Vec<bool> = pairs.map(|(a, b)| Arc::ptr_eq(a, b)).collect();
        assert_eq!(shared, [true, true, true, false]);
        let newest = |retries: &Retries, key| {
            let found = retries.get("someone", &Sha256Digest([key; 32]));
            found.map(|earlier| earlier.index)
        };
        assert_eq!(newest(&retries, 7), Some(3 * BLOCK));
        assert_eq!(
            (newest(&retries, 8), newest(&copy, 8)),
            (Some(3 * BLOCK + 1), None)
        );
        retries.age(2 * BLOCK + IDEMPOTENCY_RECORDS);
        assert_eq!(retries.0.len(), 2, "what is too old takes its block along");
    }

    proptest! {
        #[test]
        fn retries_are_the_same_after_a_snapshot(keys in proptest::collection::vec(0u8..20, 0..60)) {
            let state = State { retries: of(&keys), ..State::default() };
            let text = serde_json::to_string(&state).unwrap();
            prop_assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
        }

        #[test]
        fn what_is_erased_later_is_as_if_it_had_never_been_remembered(
            keys in proptest::collection::vec(0u8..5, 0..60), erased in proptest::collection::btree_set(0u64..60, 0..30),
        ) {
            let mut whole = of(&keys);
            whole.forget(&erased.iter().copied().collect());
            let mut rest = Retries::default();
            for (index, key) in (0..).zip(&keys).filter(|(index, _)| !erased.contains(index)) {
                rest.insert(index, retry(*key, index));
            }
            prop_assert_eq!(whole, rest);
        }

        #[test]
        fn no_text_that_stands_for_retries_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = serde_json::to_string(&STANDARD.encode(&bytes)).unwrap();
            let read = serde_json::from_str::<Retries>(&text);
            prop_assert_eq!(read.is_ok(), bytes.len().is_multiple_of(RETRY_BYTES));
        }
    }
}
