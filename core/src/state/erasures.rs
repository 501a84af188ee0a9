//! Erasure in the fold: what forbids it, what it means for the state, and what of it is still to be done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{State, StateError};
use crate::journal::Gone;
use crate::name::Tenant;
use crate::record::{
    AuditErased, ErasureDone, Hold, HoldInherited, Rest, SELECTION_SPAN, Selection,
};
use crate::time::Timestamp;

/// Longest name of a hold in bytes.
pub const HOLD_NAME_MAX: usize = 64;
/// Holds of one tenant at a time.
pub const HOLDS_MAX: usize = 64;

/// An erasure whose bodies are being destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outstanding {
    /// The segment that the records lie in.
    pub segment: u64,
    /// The records.
    pub selection: Selection,
}

/// A hold in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The record that says so.
    pub record: u64,
    /// Its time.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
    /// Who placed it.
    pub principal: String,
}

/// Why bodies cannot be destroyed, or holds not be placed or lifted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ErasureError {
    /// A hold forbids it.
    #[error(
        "tenant {tenant} is on hold {name:?} (record {record}): nothing of it is erased before the hold is lifted"
    )]
    Held {
        /// The tenant.
        tenant: Tenant,
        /// The hold.
        name: String,
        /// The record that placed it.
        record: u64,
    },
    /// A hold of that name is in force.
    #[error("tenant {tenant} is on hold {name:?} already (record {record}); choose another name")]
    HeldAlready {
        /// The tenant.
        tenant: Tenant,
        /// The hold.
        name: String,
        /// The record that placed it.
        record: u64,
    },
    /// No hold of that name is in force.
    #[error("tenant {tenant} is on no hold {name:?}; `sealwright audit hold list` shows its holds")]
    NoHold {
        /// The tenant.
        tenant: Tenant,
        /// The name that was given.
        name: String,
    },
    /// The name is empty or too long.
    #[error("a hold's name has 1 to {HOLD_NAME_MAX} bytes and no control characters")]
    HoldName,
    /// Too many.
    #[error("tenant {0} is on {HOLDS_MAX} holds already; lift one that has served its purpose")]
    TooManyHolds(Tenant),
    /// A selection that is empty, miscounted, too wide, or reaches beyond its own record.
    #[error("record {0} does not select what it says it erases")]
    Selection(u64),
    /// The end of an erasure that was never begun, or has ended.
    #[error("no erasure of record {0} is under way")]
    NotOutstanding(u64),
}

/// What the fold knows of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Erasures {
    outstanding: BTreeMap<u64, Outstanding>,
    holds: BTreeMap<Tenant, BTreeMap<String, Held>>,
}

impl State {
    /// Erasures whose bodies are not all destroyed yet, by their record.
    pub fn outstanding_erasures(&self) -> &BTreeMap<u64, Outstanding> {
        &self.erasures.outstanding
    }

    /// The holds on a tenant, by name.
    pub fn holds(&self, tenant: &Tenant) -> impl Iterator<Item = (&str, &Held)> + use<'_> {
        let holds = self.erasures.holds.get(tenant).into_iter().flatten();
        holds.map(|(name, held)| (name.as_str(), held))
    }

    /// The holds on all tenants.
    pub fn all_holds(&self) -> impl Iterator<Item = (&Tenant, &str, &Held)> {
        self.erasures.holds.iter().flat_map(|(tenant, holds)| {
            let of_tenant = holds.iter();
            of_tenant.map(move |(name, held)| (tenant, name.as_str(), held))
        })
    }

    /// Whether bodies of `tenant` may be destroyed now.
    pub fn check_erasable(&self, tenant: &Tenant) -> Result<(), ErasureError> {
        match self.holds(tenant).next() {
            None => Ok(()),
            Some((name, held)) => Err(ErasureError::Held {
                tenant: tenant.clone(),
                name: name.to_owned(),
                record: held.record,
            }),
        }
    }

    /// Takes in a record whose body is gone: its place, and what lasts of it.
    pub fn apply_redacted(
        &mut self,
        index: u64,
        time: Timestamp,
        gone: Gone,
        rest: &Rest,
    ) -> Result<(), StateError> {
        self.check_order(index, time)?;
        if index == 0 {
            return Err(StateError::Genesis { seq: 0 });
        }
        let lasting = match gone {
            Gone::Erased { .. } => rest.clone().erased().lasting,
            Gone::Archived => rest.lasting.clone(),
        };
        self.take(index, &lasting);
        self.advance(index, time);
        Ok(())
    }

    /// What the state would be if these records had been erased already.
    pub fn without(mut self, erased: &Selection) -> Self {
        self.retries.forget(erased);
        self
    }

    pub(super) fn erase(&mut self, seq: u64, erased: &AuditErased) -> Result<(), ErasureError> {
        self.check_erasable(&erased.tenant)?;
        let selection = &erased.selection;
        let (first, last) = (selection.iter().next(), selection.last());
        let is_good = match (first, last) {
            (Some(first), Some(last)) => last < seq && last - first < SELECTION_SPAN,
            _ => false,
        };
        if !is_good || selection.count() != erased.count {
            return Err(ErasureError::Selection(seq));
        }
        self.retries.forget(selection);
        let outstanding = Outstanding {
            segment: erased.segment,
            selection: selection.clone(),
        };
        self.erasures.outstanding.insert(seq, outstanding);
        Ok(())
    }

    pub(super) fn finish_erasure(&mut self, done: &ErasureDone) -> Result<(), ErasureError> {
        let outstanding = &mut self.erasures.outstanding;
        let unknown = done.erased.iter().find(|by| !outstanding.contains_key(by));
        if let Some(by) = unknown {
            return Err(ErasureError::NotOutstanding(*by));
        }
        outstanding.retain(|by, _| !done.erased.contains(by));
        Ok(())
    }

    pub(super) fn place_hold(
        &mut self,
        record: u64,
        since: Timestamp,
        hold: &Hold,
    ) -> Result<(), ErasureError> {
        let held = Held {
            record,
            since,
            reason: hold.reason.clone(),
            principal: hold.by.principal.clone(),
        };
        self.hold(&hold.tenant, &hold.name, held)
    }

    /// In this log `record` is the one that placed it.
    pub(super) fn take_over_hold(
        &mut self,
        record: u64,
        inherited: &HoldInherited,
    ) -> Result<(), ErasureError> {
        let held = Held {
            record,
            since: inherited.since,
            reason: inherited.reason.clone(),
            principal: inherited.by.clone(),
        };
        self.hold(&inherited.tenant, &inherited.name, held)
    }

    fn hold(&mut self, tenant: &Tenant, name: &str, held: Held) -> Result<(), ErasureError> {
        let is_name =
            (1..=HOLD_NAME_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
        if !is_name {
            return Err(ErasureError::HoldName);
        }
        let tenant = tenant.clone();
        let holds = self.erasures.holds.get(&tenant);
        if let Some(held) = holds.and_then(|holds| holds.get(name)) {
            return Err(ErasureError::HeldAlready {
                name: name.to_owned(),
                record: held.record,
                tenant,
            });
        }
        if holds.is_some_and(|holds| holds.len() >= HOLDS_MAX) {
            return Err(ErasureError::TooManyHolds(tenant));
        }
        let holds = self.erasures.holds.entry(tenant).or_default();
        holds.insert(name.to_owned(), held);
        Ok(())
    }

    pub(super) fn lift_hold(&mut self, hold: &Hold) -> Result<(), ErasureError> {
        let holds = self.erasures.holds.get_mut(&hold.tenant);
        match holds.and_then(|holds| holds.remove(&hold.name)) {
            Some(_) => Ok(()),
            None => Err(ErasureError::NoHold {
                tenant: hold.tenant.clone(),
                name: hold.name.clone(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Actor, Event, Record, Warrant};
    use proptest::prelude::*;
    use serde_json::json;

    /// Some Ed25519 key.
    const SPKI: &str = "MCowBQYDK2VwAyEAWGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY=";

    fn actor() -> Actor {
        serde_json::from_value(
            json!({ "principal": "operator", "peer": { "uid": 0, "gid": 0, "pid": 0 } }),
        )
        .unwrap()
    }

    fn tenant(name: &str) -> Tenant {
        name.parse().unwrap()
    }

    fn record(seq: u64, event: Event) -> Record {
        Record {
            v: 1,
            seq,
            time: Timestamp::default(),
            event,
        }
    }

    fn genesis() -> Record {
        let zeros = "00".repeat(32);
        serde_json::from_value(json!({
            "v": 1, "seq": 0, "time": "1970-01-01T00:00:00.000Z", "kind": "genesis", "origin": "example.test/log",
            "log_key": { "token": "t", "uri": "pkcs11:object=log", "spki": SPKI, "scheme": "ed25519" },
            "operators": [], "policy_digest": zeros,
        }))
        .unwrap()
    }

    fn enrolled() -> Record {
        serde_json::from_value(json!({
            "v": 1, "seq": 1, "time": "1970-01-01T00:00:00.000Z", "kind": "key.enrolled", "key": "partner/seal#1",
            "token": "t", "uri": "pkcs11:object=seal", "spki": SPKI, "scheme": "ed25519", "purpose": "dsse",
            "payload_types": ["application/vnd.in-toto+json"], "evidence": "none", "by": actor(),
        }))
        .unwrap()
    }

    /// A released signature with an Idempotency-Key.
    fn sign(seq: u64, key: u8) -> Record {
        let digest = |n: u8| format!("{n:02x}").repeat(32);
        serde_json::from_value(json!({
            "v": 1, "seq": seq, "time": "1970-01-01T00:00:00.000Z", "kind": "sign", "outcome": "signed",
            "request_id": "r", "tenant": "partner", "principal": format!("p{}", key % 2),
            "peer": { "uid": 1, "gid": 1, "pid": 1 }, "key": "partner/seal", "key_version": 1,
            "pae_sha256": digest(key), "idempotency_sha256": digest(key / 2),
            "policy_digest": digest(0), "config_digest": digest(0),
        }))
        .unwrap()
    }

    fn erased(selection: Selection) -> AuditErased {
        AuditErased {
            tenant: tenant("partner"),
            before: Timestamp::default(),
            segment: 0,
            count: selection.count(),
            selection,
            reason: "asked for".to_owned(),
            by: actor(),
            warrant: Warrant::default(),
        }
    }

    fn hold(name: &str) -> Hold {
        Hold {
            tenant: tenant("partner"),
            name: name.to_owned(),
            reason: "case 7".to_owned(),
            by: actor(),
        }
    }

    /// Index of the first signature in a [`log`].
    const FIRST: u64 = 2;

    fn log(keys: &[u8]) -> State {
        let mut state = State::default();
        state.apply(&genesis()).unwrap();
        state.apply(&enrolled()).unwrap();
        for (seq, key) in (FIRST..).zip(keys) {
            state.apply(&sign(seq, *key)).unwrap();
        }
        state
    }

    /// Adds a record; returns its index.
    fn add(state: &mut State, event: Event) -> u64 {
        let index = state.next_index();
        state.apply(&record(index, event)).unwrap();
        index
    }

    fn refused(state: &mut State, event: Event) -> ErasureError {
        let before = state.clone();
        let error = state.apply(&record(state.next_index(), event)).unwrap_err();
        assert_eq!(*state, before, "a refused record changes nothing");
        match error {
            StateError::Erasure(error) => error,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_hold_forbids_erasure_until_it_is_lifted() {
        let mut state = log(&[1]);
        let placed = add(&mut state, Event::HoldPlaced(hold("a")));
        let erasure = erased(Selection::from_iter([FIRST]));
        let error = refused(&mut state, Event::AuditErased(erasure.clone()));
        assert!(
            matches!(error, ErasureError::Held { record, .. } if record == placed),
            "{error}"
        );
        let other = AuditErased {
            tenant: tenant("other"),
            ..erasure.clone()
        };
        let others = add(&mut state, Event::AuditErased(other));
        add(&mut state, Event::HoldLifted(hold("a")));
        let ours = add(&mut state, Event::AuditErased(erasure));
        assert_eq!(state.outstanding_erasures().len(), 2);
        let done = |erased| Event::ErasureDone(ErasureDone { erased });
        add(&mut state, done(vec![others, ours]));
        assert!(state.outstanding_erasures().is_empty());
        assert_eq!(
            refused(&mut state, done(vec![ours])),
            ErasureError::NotOutstanding(ours)
        );
    }

    #[test]
    fn holds_are_told_apart_by_name_bounded_and_lifted_once() {
        let mut state = log(&[]);
        let place = |name: &str| Event::HoldPlaced(hold(name));
        for n in 0..HOLDS_MAX {
            add(&mut state, place(&n.to_string()));
        }
        let again = refused(&mut state, place("7"));
        let is_named =
            matches!(&again, ErasureError::HeldAlready { record: 9, name, .. } if name == "7");
        assert!(is_named, "{again}");
        let more = ErasureError::TooManyHolds(tenant("partner"));
        assert_eq!(refused(&mut state, place("more")), more);
        let none = refused(&mut state, Event::HoldLifted(hold("more")));
        assert!(matches!(none, ErasureError::NoHold { .. }), "{none}");
        let long = "x".repeat(HOLD_NAME_MAX + 1);
        for name in ["", "a\nb", &long] {
            assert_eq!(refused(&mut state, place(name)), ErasureError::HoldName);
        }
    }

    #[test]
    fn a_selection_must_be_what_the_record_says_and_lie_before_it() {
        let mut state = log(&[1, 2]);
        let next = state.next_index();
        let good = erased(Selection::from_iter([2, 3]));
        let wide = Selection::from_iter([0, SELECTION_SPAN]);
        for (selection, count) in [
            (Selection::default(), 0),
            (Selection::from_iter([2]), 2),
            (Selection::from_iter([next]), 1),
            (wide, 2),
        ] {
            let event = AuditErased {
                selection,
                count,
                ..good.clone()
            };
            let error = refused(&mut state, Event::AuditErased(event));
            assert_eq!(error, ErasureError::Selection(next));
        }
        add(&mut state, Event::AuditErased(good));
    }

    proptest! {
        #[test]
        fn the_state_is_the_same_whether_bodies_are_still_there_erased_or_archived(
            keys in proptest::collection::vec(0u8..8, 1..40),
            picked in proptest::collection::vec(any::<proptest::sample::Index>(), 1..20),
            later in proptest::collection::vec(0u8..8, 0..10),
        ) {
            let gone: Selection = picked.iter().map(|i| FIRST + i.index(keys.len()) as u64).collect();
            let (mut whole, mut without, mut archived) = (log(&keys), log(&[]), log(&[]));
            for (seq, key) in (FIRST..).zip(&keys) {
                let signed = sign(seq, *key);
                if gone.contains(seq) {
                    let rest = Rest::of_erased(&signed.event).unwrap();
                    without.apply_redacted(seq, signed.time, Gone::Erased { by: 999 }, &rest).unwrap();
                } else {
                    without.apply(&signed).unwrap();
                }
                let rest = Rest::of_archived(&signed.event).unwrap();
                archived.apply_redacted(seq, signed.time, Gone::Archived, &rest).unwrap();
            }
            let (_, version) = whole.keys().next().unwrap();
            prop_assert_eq!(version.signatures, keys.len() as u64);
            prop_assert_eq!(&whole, &archived);
            prop_assert_eq!(&whole.clone().without(&gone), &without);
            let authority = Event::AuditErased(erased(gone));
            add(&mut whole, authority.clone());
            add(&mut without, authority);
            for (seq, key) in (whole.next_index()..).zip(&later) {
                whole.apply(&sign(seq, *key)).unwrap();
                without.apply(&sign(seq, *key)).unwrap();
            }
            prop_assert_eq!(whole, without);
        }
    }
}
