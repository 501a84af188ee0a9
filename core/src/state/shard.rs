//! How a log that takes another one's place begins: genesis, then all that comes over, then all else.

use super::{Freeze, State, StateError};
use crate::dsse::Envelope;
use crate::key::KeyState;
use crate::record::{Event, FreezeInherited, Genesis, KeyInherited, Record};

impl State {
    /// How many records of what comes from the log before this one there are.
    pub fn inherited(&self) -> u64 {
        self.inherited
    }

    /// How many of those that genesis announces are still to come; nothing else is recorded before.
    pub fn to_inherit(&self) -> u64 {
        let genesis = self.genesis.as_ref();
        let predecessor = genesis.and_then(|genesis| genesis.predecessor.as_ref());
        let announced = predecessor.map_or(0, |predecessor| predecessor.inherited);
        announced.saturating_sub(self.inherited)
    }

    /// Whether these records could come over, one after the other.
    ///
    /// # Errors
    /// [`StateError`]: the first that could not.
    pub fn check_inheritance(mut events: impl Iterator<Item = Event>) -> Result<(), StateError> {
        let mut state = Self::default();
        events.try_for_each(|event| state.take_over(0, &event))
    }

    pub(super) fn check_opening(&self, record: &Record) -> Result<(), StateError> {
        let (seq, missing) = (record.seq, self.to_inherit());
        match &record.event {
            Event::KeyInherited(_)
            | Event::NamesInherited(_)
            | Event::FreezeInherited(_)
            | Event::HoldInherited(_) => match missing {
                0 => Err(StateError::NotAnnounced { seq }),
                _ => Ok(()),
            },
            // A torn batch is recorded before anything else is written over it.
            Event::LogRecovered(_) => Ok(()),
            _ if missing > 0 => Err(StateError::NotAllInherited { seq, missing }),
            _ => Ok(()),
        }
    }

    pub(super) fn begin(&mut self, genesis: &Genesis) -> Result<(), StateError> {
        if let Some(predecessor) = &genesis.predecessor {
            predecessor.check(&genesis.origin)?;
            self.suspect_tokens
                .extend(predecessor.suspect_tokens.iter().cloned());
        }
        self.policy_digest = Some(genesis.policy_digest);
        self.genesis = Some(genesis.clone());
        Ok(())
    }

    pub(super) fn inherit(&mut self, record: &Record) -> Result<(), StateError> {
        self.take_over(record.seq, &record.event)?;
        self.inherited += 1;
        Ok(())
    }

    fn take_over(&mut self, index: u64, event: &Event) -> Result<(), StateError> {
        match event {
            Event::KeyInherited(key) => self.take_over_key(index, key),
            Event::NamesInherited(names) => self.take_over_names(index, names),
            Event::FreezeInherited(freeze) => self.take_over_freeze(index, freeze),
            Event::HoldInherited(hold) => Ok(self.take_over_hold(index, hold)?),
            _ => Ok(()),
        }
    }

    fn take_over_key(&mut self, index: u64, inherited: &KeyInherited) -> Result<(), StateError> {
        self.check_enrolment(&inherited.enrolment)?;
        let key = &inherited.enrolment.key;
        check_life(inherited).map_err(|why| StateError::Life {
            key: key.clone(),
            why,
        })?;
        let versions = self.keys.entry(key.key.clone()).or_default();
        versions.insert(key.version, inherited.version(index));
        Ok(())
    }

    fn take_over_freeze(
        &mut self,
        index: u64,
        inherited: &FreezeInherited,
    ) -> Result<(), StateError> {
        let freeze = Freeze {
            index,
            since: inherited.since,
            reason: inherited.reason.clone(),
            by: inherited.by.clone(),
        };
        self.set_freeze(&inherited.scope, freeze)
    }
}

/// A life that no log can have told.
fn check_life(key: &KeyInherited) -> Result<(), &'static str> {
    let (begun, ended) = (key.active_from.is_some(), key.active_until.is_some());
    if !key.state.fits(begun, ended) {
        return Err("its state does not go with active_from and active_until");
    }
    if let Some(compromise) = &key.compromise {
        if matches!(key.state, KeyState::Active | KeyState::Suspended) {
            return Err("it is compromised, so it cannot be in use");
        }
        if compromise.log.is_none() {
            return Err("its compromise does not say in which log it was recorded");
        }
        if compromise.effective_time < key.enrolled_at {
            return Err("it is compromised from before its enrolment");
        }
    }
    match &key.succession {
        Some(text) if Envelope::parse(text.as_bytes()).is_err() => {
            Err("its succession statement is no envelope")
        }
        _ => Ok(()),
    }
}
