//! What records say of bodies that are destroyed, and of holds that forbid it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Actor, Warrant};
use crate::name::Tenant;
use crate::time::Timestamp;

/// Records from the first to the last of one [`Selection`], at most: its text stays far below the largest body.
pub const SELECTION_SPAN: u64 = 1 << 19;

/// Bodies of a tenant are to be destroyed. Durable before the first of them is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditErased {
    /// Whose records.
    pub tenant: Tenant,
    /// They are older than this.
    pub before: Timestamp,
    /// The journal's segment that they lie in.
    pub segment: u64,
    /// Which records, exactly.
    pub selection: Selection,
    /// How many.
    pub count: u64,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who did it.
    pub by: Actor,
    /// By which approvals.
    #[serde(flatten)]
    pub warrant: Warrant,
}

/// The bodies that earlier [`AuditErased`] records name are destroyed in journal, index and snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureDone {
    /// Indices of those records.
    pub erased: Vec<u64>,
}

/// No body of the tenant may be destroyed from now on; also the end of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Whose records.
    pub tenant: Tenant,
    /// The hold's name among the tenant's.
    pub name: String,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who did it.
    pub by: Actor,
}

/// A hold that was in force at the predecessor's end, and stays so: for what this log records of the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldInherited {
    /// Whose records.
    pub tenant: Tenant,
    /// The hold's name among the tenant's.
    pub name: String,
    /// Since when.
    pub since: Timestamp,
    /// Why, in the operator's words.
    pub reason: String,
    /// The principal who placed it.
    pub by: String,
}

/// A set of records. In JSON `{"first", "bits"}`: bit `n` of the base64, the lowest of each byte first, stands for
/// record `first + n`; `first` is a multiple of 64.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection(BTreeMap<u64, u64>);

const WORD: u64 = u64::BITS as u64;

impl Selection {
    /// Adds a record.
    pub fn insert(&mut self, index: u64) {
        *self.0.entry(index / WORD).or_default() |= 1 << (index % WORD);
    }

    /// Whether a record is in it.
    pub fn contains(&self, index: u64) -> bool {
        let word = self.0.get(&(index / WORD)).copied().unwrap_or(0);
        word >> (index % WORD) & 1 == 1
    }

    /// How many records.
    pub fn count(&self) -> u64 {
        self.0
            .values()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }

    /// The records, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let bits = |word: u64| (0..WORD).filter(move |bit| word >> bit & 1 == 1);
        self.0
            .iter()
            .flat_map(move |(number, word)| bits(*word).map(move |bit| number * WORD + bit))
    }

    /// The first record of it that is not in `other`.
    pub fn first_beyond(&self, other: &Self) -> Option<u64> {
        let beyond = |(number, word): (&u64, &u64)| {
            let missing = word & !other.0.get(number).copied().unwrap_or(0);
            (missing != 0).then(|| number * WORD + u64::from(missing.trailing_zeros()))
        };
        self.0.iter().find_map(beyond)
    }

    /// Takes in all of `other`.
    pub fn extend(&mut self, other: &Self) {
        for (number, word) in &other.0 {
            *self.0.entry(*number).or_default() |= word;
        }
    }

    /// The last record.
    pub fn last(&self) -> Option<u64> {
        let (number, word) = self.0.last_key_value()?;
        Some(number * WORD + WORD - 1 - u64::from(word.leading_zeros()))
    }
}

#[derive(Serialize, Deserialize)]
struct Encoded {
    first: u64,
    bits: String,
}

impl Serialize for Selection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let first = self.0.first_key_value().map_or(0, |(number, _)| *number);
        let mut bytes = Vec::new();
        for (number, word) in &self.0 {
            let at = usize::try_from((number - first) * 8).map_err(serde::ser::Error::custom)?;
            bytes.resize(at, 0);
            bytes.extend(word.to_le_bytes());
        }
        let used = bytes.iter().rposition(|byte| *byte != 0);
        bytes.truncate(used.map_or(0, |last| last + 1));
        Encoded {
            first: first * WORD,
            bits: STANDARD.encode(bytes),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Selection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Encoded { first, bits } = Encoded::deserialize(deserializer)?;
        let bytes = STANDARD.decode(bits).map_err(de::Error::custom)?;
        let fits = bytes.len() as u64 <= SELECTION_SPAN / 8
            && first.is_multiple_of(WORD)
            && first.checked_add(SELECTION_SPAN).is_some();
        if !fits {
            return Err(de::Error::custom("not a selection of records"));
        }
        let mut words = BTreeMap::new();
        for (number, chunk) in (first / WORD..).zip(bytes.chunks(8)) {
            let mut word = [0; 8];
            word.iter_mut()
                .zip(chunk)
                .for_each(|(to, from)| *to = *from);
            let word = u64::from_le_bytes(word);
            if word != 0 {
                words.insert(number, word);
            }
        }
        Ok(Self(words))
    }
}

impl FromIterator<u64> for Selection {
    fn from_iter<I: IntoIterator<Item = u64>>(indices: I) -> Self {
        let mut this = Self::default();
        indices.into_iter().for_each(|index| this.insert(index));
        this
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_widest_selection_is_read_back_and_one_record_more_is_not() {
        let last = 6_400 + SELECTION_SPAN - 1;
        let widest = Selection::from_iter([6_400, last]);
        let text = serde_json::to_string(&widest).unwrap();
        assert!(
            text.len() < crate::journal::BODY_MAX - 4096,
            "{}",
            text.len()
        );
        assert_eq!(serde_json::from_str::<Selection>(&text).unwrap(), widest);
        let wider = Selection::from_iter([6_400, last + 1]);
        let text = serde_json::to_string(&wider).unwrap();
        assert!(serde_json::from_str::<Selection>(&text).is_err());
    }

    proptest! {
        #[test]
        fn a_selection_is_the_set_of_its_records(
            ours in proptest::collection::btree_set(0u64..2000, 0..60),
            theirs in proptest::collection::btree_set(0u64..2000, 0..60),
        ) {
            let selection = |set: &BTreeSet<u64>| set.iter().copied().collect::<Selection>();
            let (a, b) = (selection(&ours), selection(&theirs));
            prop_assert_eq!(a.iter().collect::<BTreeSet<_>>(), ours.clone());
            prop_assert_eq!(a.count(), ours.len() as u64);
            prop_assert_eq!(a.last(), ours.last().copied());
            prop_assert_eq!(a.first_beyond(&b), ours.difference(&theirs).next().copied());
            for index in 0..2000 {
                prop_assert_eq!(a.contains(index), ours.contains(&index));
            }
            let text = serde_json::to_string(&a).unwrap();
            prop_assert_eq!(serde_json::from_str::<Selection>(&text).unwrap(), a.clone());
            let mut both = a;
            both.extend(&b);
            prop_assert_eq!(both.iter().collect::<BTreeSet<_>>(), &ours | &theirs);
        }

        #[test]
        fn no_text_that_stands_for_a_selection_panics(first: u64, bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = serde_json::json!({ "first": first, "bits": STANDARD.encode(bytes) }).to_string();
            let _ = serde_json::from_str::<Selection>(&text);
        }
    }
}
