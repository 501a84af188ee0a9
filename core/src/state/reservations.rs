//! Names that a key signs once: each stands for one set of digests, since it was signed or might have been.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::names::{NameHash, Names, digest_from};
use super::{State, StateError};
use crate::digest::Sha256Digest;
use crate::error::Code;
use crate::name::KeyName;
use crate::record::{
    NamesInherited, OnceName, Outcome, Record, Reserves, Settled, SignIntended, SignRecord,
};
use crate::statement::Subject;

/// Names that one key can reserve; each takes about 120 bytes of memory and 98 of a snapshot. Beyond it new names are
/// refused for good: releasing an old one would let it be signed again. Never lowered: journals up to it exist.
pub const RESERVATIONS_MAX: usize = 1_000_000;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// SHA-256 of the canonical JSON of the subject's digests.
    pub digests: Sha256Digest,
    /// The `sign` record that released it, or the `sign.intent` that reserved it.
    pub index: u64,
    /// Whether a signature was released.
    pub is_released: bool,
}

/// A name cannot be reserved. The client is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OnceConflict {
    /// The name stands for other digests.
    #[error(
        "key {key} signs each subject once, and {name:?} {} with other digests, see record {index}; give the new digests a new name", how(.is_released)
    )]
    AlreadyReleased {
        /// The key.
        key: KeyName,
        /// The subject's name.
        name: String,
        /// See [`Reserved::index`].
        index: u64,
        /// Whether that record released it.
        is_released: bool,
    },
    /// No further name.
    #[error(
        "key {0} signs each subject once and has reserved {RESERVATIONS_MAX} names, which is all it can; sign new names with another key"
    )]
    Full(KeyName),
}

fn how(is_released: &bool) -> &'static str {
    match is_released {
        true => "was released",
        false => "is being signed or may have been",
    }
}

impl OnceConflict {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            Self::AlreadyReleased { .. } => Code::AlreadyReleased,
            Self::Full(_) => Code::ReservationsFull,
        }
    }
}

/// Bytes of a name in `names.inherited`.
const INHERITED_BYTES: usize = 32 + 32 + 1;
/// Names in one such record: about 90 KB of it.
const INHERITED_MAX: usize = 1000;

/// Per key, so that one key's releases neither concern nor crowd out another's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reservations {
    by_key: BTreeMap<KeyName, Names>,
    /// Intents that no record has closed, with the names that each was the first to reserve.
    open: BTreeMap<u64, Vec<(KeyName, NameHash)>>,
}

impl State {
    /// What `name` stands for, if `key` has reserved it.
    pub fn reserved(&self, key: &KeyName, name: &str) -> Option<Reserved> {
        let names = self.reservations.by_key.get(key)?;
        names.get(&OnceName::hash(name)).copied()
    }

    /// How many names `key` has reserved.
    pub fn reserved_count(&self, key: &KeyName) -> usize {
        let names = self.reservations.by_key.get(key);
        names.map_or(0, |names| names.count)
    }

    /// Intents that no record has closed: requests in flight, or those of a daemon that is gone.
    pub fn open_intents(&self) -> impl Iterator<Item = u64> {
        self.reservations.open.keys().copied()
    }

    /// Whether `sign`, if it is one of those that sign once, may be released.
    pub fn check_once(&self, sign: &SignRecord) -> Result<(), OnceConflict> {
        if !sign.once {
            return Ok(());
        }
        self.reservations
            .check(keys_of(sign), &sign.subjects, sign.amends.is_some())
    }

    pub(super) fn intend(
        &mut self,
        record: &Record,
        intended: &SignIntended,
    ) -> Result<(), StateError> {
        let keys = || intended.keys.iter().map(|id| &id.key);
        let amends = intended.amends.is_some();
        self.reservations
            .check(keys(), &intended.subjects, amends)?;
        self.reserve(record.seq, &Reserves::of(intended));
        Ok(())
    }

    /// Takes in an intent that was checked, or whose body is gone.
    pub(super) fn reserve(&mut self, seq: u64, reserves: &Reserves) {
        let reservations = &mut self.reservations;
        let first = reservations.add(&reserves.keys, &reserves.names, seq, false);
        reservations.open.insert(seq, first);
    }

    /// Whether `sign` may be in the log: what was released has its names to itself, and a receipt its place.
    pub(super) fn check_settled(&self, sign: &SignRecord) -> Result<(), StateError> {
        match sign.outcome {
            Outcome::Signed => {
                self.check_once(sign)?;
                Ok(self.check_receipt(sign)?)
            }
            _ => Ok(()),
        }
    }

    /// Takes in how a request that signs once ended: a release keeps its names, and so does what may be a signature in a
    /// device's memory; where there is none, they are free again.
    pub(super) fn settle(&mut self, seq: u64, once: &Settled) {
        let is_released = once.outcome == Outcome::Signed;
        let reservations = &mut self.reservations;
        let intent = once.intent.unwrap_or(seq);
        let first = reservations.open.remove(&intent).unwrap_or_default();
        if !is_released && once.outcome != Outcome::OutcomeUnknown {
            return reservations.free(first, intent);
        }
        reservations.add(&once.keys, &once.names, seq, is_released);
    }

    /// What a log that takes this one's place begins with.
    pub(crate) fn names_to_inherit(&self) -> Vec<NamesInherited> {
        let mut all = Vec::new();
        for (key, names) in &self.reservations.by_key {
            let each: Vec<_> = names.iter().collect();
            all.extend(each.chunks(INHERITED_MAX).map(|chunk| {
                let bytes = chunk.iter().flat_map(|(hash, reserved)| {
                    let is_released = u8::from(reserved.is_released);
                    hash.0
                        .into_iter()
                        .chain(reserved.digests.0)
                        .chain([is_released])
                });
                NamesInherited {
                    key: key.clone(),
                    names: STANDARD.encode(bytes.collect::<Vec<u8>>()),
                }
            }));
        }
        all
    }

    /// In this log `index` is the record that stands for them.
    pub(super) fn take_over_names(
        &mut self,
        index: u64,
        inherited: &NamesInherited,
    ) -> Result<(), StateError> {
        let bad = || StateError::Names(inherited.key.clone());
        let bytes = STANDARD.decode(&inherited.names).map_err(|_| bad())?;
        let (entries, rest) = bytes.as_chunks::<INHERITED_BYTES>();
        if !rest.is_empty() {
            return Err(bad());
        }
        let known = self.reservations.by_key.get(&inherited.key);
        let mut names = known.cloned().unwrap_or_default();
        for entry in entries {
            let (hash, rest) = entry.split_at(32);
            let (digests, is_released) = rest.split_at(32);
            let hash = digest_from(hash);
            if names.get(&hash).is_some() || names.count >= RESERVATIONS_MAX {
                return Err(bad());
            }
            let reserved = Reserved {
                digests: digest_from(digests),
                index,
                is_released: is_released == [1],
            };
            names.insert(hash, reserved);
        }
        let by_key = &mut self.reservations.by_key;
        by_key.insert(inherited.key.clone(), names);
        Ok(())
    }

    /// A new run: requests of the one before are over. What they reserved stays.
    pub(super) fn forget_open_intents(&mut self) {
        self.reservations.open.clear();
    }
}

impl Reservations {
    fn check<'a>(
        &self,
        keys: impl Iterator<Item = &'a KeyName>,
        subjects: &[Subject],
        amends: bool,
    ) -> Result<(), OnceConflict> {
        for key in keys {
            let empty = Names::default();
            let names = self.by_key.get(key).unwrap_or(&empty);
            let mut new = 0;
            for subject in subjects {
                let OnceName { name, digests } = OnceName::of(subject);
                match names.get(&name) {
                    None => new += 1,
                    Some(old) if old.digests == digests || amends => {}
                    Some(old) => {
                        return Err(OnceConflict::AlreadyReleased {
                            key: key.clone(),
                            name: subject.name.clone().unwrap_or_default(),
                            index: old.index,
                            is_released: old.is_released,
                        });
                    }
                }
            }
            if names.count + new > RESERVATIONS_MAX {
                return Err(OnceConflict::Full(key.clone()));
            }
        }
        Ok(())
    }

    /// Reserves the names for record `index`. It takes those that are free; a release also takes one that was not
    /// released, and gives other digests to one that was. Returns what it took.
    fn add(
        &mut self,
        keys: &[KeyName],
        names: &[OnceName],
        index: u64,
        is_released: bool,
    ) -> Vec<(KeyName, NameHash)> {
        let mut taken = Vec::new();
        if names.is_empty() {
            return taken;
        }
        for key in keys {
            let held = self.by_key.entry(key.clone()).or_default();
            for OnceName { name, digests } in names.iter().copied() {
                let replaces =
                    |old: &Reserved| is_released && (!old.is_released || old.digests != digests);
                if held.get(&name).is_none_or(replaces) {
                    let new = Reserved {
                        digests,
                        index,
                        is_released,
                    };
                    held.insert(name, new);
                    taken.push((key.clone(), name));
                }
            }
        }
        taken
    }

    /// Frees what `intent` was the first to reserve, unless another request has released it since.
    fn free(&mut self, first: Vec<(KeyName, NameHash)>, intent: u64) {
        for (key, hash) in first {
            let Some(names) = self.by_key.get_mut(&key) else {
                continue;
            };
            let held = names.get(&hash);
            if held.is_some_and(|held| held.index == intent && !held.is_released) {
                names.remove(&hash);
            }
        }
    }
}

fn keys_of(sign: &SignRecord) -> impl Iterator<Item = &KeyName> {
    let further = sign.further_keys.iter().map(|used| &used.key);
    sign.key.iter().chain(further)
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use proptest::prelude::*;

    fn subject(name: &str) -> Subject {
        Subject {
            digests: BTreeMap::from([("sha256".to_owned(), "00".to_owned())]),
            name: Some(name.to_owned()),
        }
    }

    #[test]
    fn one_name_more_than_the_limit_is_refused_and_a_known_one_is_not() {
        let key: KeyName = "default/release".parse().unwrap();
        let mut reservations = Reservations::default();
        let known = subject("known");
        reservations.add(from_ref(&key), &[OnceName::of(&known)], 1, true);
        reservations.by_key.get_mut(&key).unwrap().count = RESERVATIONS_MAX - 1;
        let check = |subjects: &[Subject]| reservations.check([&key].into_iter(), subjects, false);
        assert_eq!(check(&[known.clone(), subject("a")]), Ok(()));
        let error = check(&[known, subject("a"), subject("b")]).unwrap_err();
        assert_eq!(error, OnceConflict::Full(key.clone()));
        assert_eq!(error.code(), Code::ReservationsFull);
    }

    #[test]
    fn a_log_that_takes_anothers_place_begins_with_all_of_its_names() {
        let key: KeyName = "default/release".parse().unwrap();
        let mut old = State::default();
        for n in 0..=INHERITED_MAX {
            let name = OnceName::of(&subject(&n.to_string()));
            let is_released = n % 2 == 0;
            old.reservations
                .add(from_ref(&key), &[name], 7, is_released);
        }
        let coming = old.names_to_inherit();
        assert_eq!(coming.len(), 2);
        let mut new = State::default();
        for (index, names) in (3..).zip(&coming) {
            new.take_over_names(index, names).unwrap();
        }
        assert_eq!(new.reserved_count(&key), INHERITED_MAX + 1);
        for n in 0..=INHERITED_MAX {
            let (was, is) = (
                old.reserved(&key, &n.to_string()),
                new.reserved(&key, &n.to_string()),
            );
            let (was, is) = (was.unwrap(), is.unwrap());
            assert_eq!((was.digests, was.is_released), (is.digests, is.is_released));
            assert!((3..5).contains(&is.index), "a record of the new log");
        }
        let before = new.clone();
        let again = new.take_over_names(9, &coming[1]);
        assert_eq!(again, Err(StateError::Names(key)));
        assert_eq!(new, before);
    }

    proptest! {
        #[test]
        fn reservations_are_the_same_after_a_snapshot(
            names in proptest::collection::vec((0u8..9, any::<[u8; 32]>(), any::<u64>(), any::<bool>()), 0..60),
        ) {
            let mut state = State::default();
            let key: KeyName = "default/release".parse().unwrap();
            for (first, digests, index, is_released) in names {
                let reserved = Reserved { digests: Sha256Digest(digests), index, is_released };
                let mut hash = digests;
                hash[0] = first;
                state.reservations.by_key.entry(key.clone()).or_default().insert(Sha256Digest(hash), reserved);
            }
            state.reservations.open.insert(7, vec![(key, Sha256Digest([1; 32]))]);
            let text = serde_json::to_string(&state).unwrap();
            prop_assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
        }
    }
}
