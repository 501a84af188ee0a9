//! A map by digest that is cheap to copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Sha256Digest;

/// A map in 256 parts by the first byte of the digest. The state is copied for every snapshot: only parts that change
/// after it are copied with their entries. As text it is the same as one map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts<K, V> {
    parts: BTreeMap<u8, Arc<BTreeMap<K, V>>>,
    /// How many entries there are.
    pub(super) count: usize,
}

impl<K, V> Default for Parts<K, V> {
    fn default() -> Self {
        Self {
            parts: BTreeMap::new(),
            count: 0,
        }
    }
}

impl<K: Copy + Ord + Into<Sha256Digest>, V: Clone> Parts<K, V> {
    /// In the order of the digests.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.parts.values().flat_map(|part| part.iter())
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.parts.get(&part_of(*key))?.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let part = self.parts.get_mut(&part_of(*key))?;
        Arc::make_mut(part).get_mut(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        let part = Arc::make_mut(self.parts.entry(part_of(key)).or_default());
        self.count += usize::from(part.insert(key, value).is_none());
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some(part) = self.parts.get_mut(&part_of(*key)) {
            let was_there = Arc::make_mut(part).remove(key).is_some();
            self.count -= usize::from(was_there);
            if part.is_empty() {
                self.parts.remove(&part_of(*key));
            }
        }
    }
}

fn part_of(key: impl Into<Sha256Digest>) -> u8 {
    key.into().0[0]
}

impl<K, V> Serialize for Parts<K, V>
where
    K: Copy + Ord + Into<Sha256Digest> + Serialize,
    V: Clone + Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de, K, V> Deserialize<'de> for Parts<K, V>
where
    K: Copy + Ord + Into<Sha256Digest> + Deserialize<'de>,
    V: Clone + Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut all = Self::default();
        for (key, value) in BTreeMap::deserialize(deserializer)? {
            all.insert(key, value);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(first: u8, last: u8) -> Sha256Digest {
        let mut bytes = [0; 32];
        (bytes[0], bytes[31]) = (first, last);
        Sha256Digest(bytes)
    }

    #[test]
    fn a_copy_shares_what_did_not_change_after_it() {
        let mut parts = Parts::default();
        for first in 0..4 {
            parts.insert(digest(first, 0), first);
        }
        let copy = parts.clone();
        parts.insert(digest(0, 1), 9);
        *parts.get_mut(&digest(1, 0)).unwrap() = 9;
        parts.remove(&digest(2, 0));
        let is_shared = |first| {
            let [here, there] = [&parts, &copy].map(|parts| parts.parts.get(&first));
            here.is_some_and(|here| Arc::ptr_eq(here, there.unwrap()))
        };
        assert_eq!([0, 1, 2, 3].map(is_shared), [false, false, false, true]);
        let values =
            |parts: &Parts<_, u8>| parts.iter().map(|(_, value)| *value).collect::<Vec<_>>();
        assert_eq!((values(&parts), parts.count), (vec![0, 9, 9, 3], 4));
        assert_eq!((values(&copy), copy.count), (vec![0, 1, 2, 3], 4));
    }

    #[test]
    fn the_text_is_that_of_one_map() {
        let entries = [(2, 1), (0, 7), (2, 0), (255, 3)].map(|(a, b)| (digest(a, b), b));
        let mut parts = Parts::default();
        for (key, value) in entries {
            parts.insert(key, value);
        }
        let text = serde_json::to_string(&BTreeMap::from(entries)).unwrap();
        assert_eq!(serde_json::to_string(&parts).unwrap(), text);
        assert_eq!(serde_json::from_str::<Parts<_, _>>(&text).unwrap(), parts);
    }
}
