//! Key life in the fold: which step is possible now, and what it changes. The writer of the journal asks with
//! the same functions, so nothing is decided twice in two ways.

use super::{State, StateError};
use crate::key::{
    Attestation, Compromise, Enrolment, IllegalTransition, KeyEvent, KeyState, KeyVersion, Purpose,
};
use crate::name::KeyVersionId;
use crate::record::{
    KeyAttested, KeyChanged, KeyCompromised, KeyDestroyIntent, KeyRotated, Record,
};
use crate::time::Timestamp;

impl State {
    /// Whether an enrolment could be recorded now.
    pub fn check_enrolment(&self, enrolment: &Enrolment) -> Result<(), StateError> {
        self.check_thawed(enrolment.key.key.tenant())?;
        let next = self.next_version(&enrolment.key.key);
        if enrolment.key.version != next {
            return Err(StateError::Version(enrolment.key.clone(), next));
        }
        let same = self
            .keys()
            .find(|(_, version)| version.enrolment.spki == enrolment.spki);
        if let Some((old, _)) = same {
            return Err(StateError::SameKey {
                new: enrolment.key.clone(),
                old,
            });
        }
        if (enrolment.purpose == Purpose::Dsse) == enrolment.payload_types.is_empty() {
            return Err(StateError::PayloadTypes(enrolment.key.clone()));
        }
        Ok(())
    }

    /// The state a version would enter, if the change is possible now.
    pub fn check_change(
        &self,
        key: &KeyVersionId,
        event: KeyEvent,
    ) -> Result<KeyState, StateError> {
        let version = self
            .version(key)
            .ok_or_else(|| StateError::UnknownVersion(key.clone()))?;
        let after = version
            .state
            .after(event)
            .map_err(|e| StateError::Illegal(key.clone(), e))?;
        if after == KeyState::Active {
            check_unharmed(key, version)?;
            self.check_thawed(key.key.tenant())?;
        }
        let other_active = self
            .signing_version(&key.key)
            .is_some_and(|(number, v)| number != key.version && v.state == KeyState::Active);
        if after == KeyState::Active && other_active {
            return Err(StateError::SecondActive(key.key.clone()));
        }
        Ok(after)
    }

    /// Whether `to` could take the place of `from` now.
    pub fn check_rotation(&self, from: &KeyVersionId, to: &KeyVersionId) -> Result<(), StateError> {
        self.check_thawed(from.key.tenant())?;
        self.check_succession(from, to)
    }

    /// The same, frozen or not.
    pub(super) fn check_succession(
        &self,
        from: &KeyVersionId,
        to: &KeyVersionId,
    ) -> Result<(), StateError> {
        let both = || (from.clone(), to.clone());
        if from.key != to.key || from == to {
            let (from, to) = both();
            return Err(StateError::NoSuccessor { from, to });
        }
        let (old, new) = (self.known(from)?, self.known(to)?);
        if old.state != KeyState::Active {
            let illegal = IllegalTransition {
                from: old.state,
                event: KeyEvent::Deactivate,
            };
            return Err(StateError::Illegal(from.clone(), illegal));
        }
        new.state
            .after(KeyEvent::Activate)
            .map_err(|e| StateError::Illegal(to.clone(), e))?;
        check_unharmed(to, new)?;
        let (old, new) = (&old.enrolment, &new.enrolment);
        if (old.purpose, &old.payload_types) != (new.purpose, &new.payload_types) {
            let (from, to) = both();
            return Err(StateError::OtherUse { from, to });
        }
        Ok(())
    }

    /// Whether the private part of `key` could begin to be destroyed now.
    pub fn check_destruction(&self, key: &KeyVersionId) -> Result<(), StateError> {
        let version = self.known(key)?;
        self.check_thawed(key.key.tenant())?;
        check_whole(key, version)?;
        let after = version.state.after(KeyEvent::Destroy);
        after.map_err(|e| StateError::Illegal(key.clone(), e))?;
        let stays = |(id, other): &(KeyVersionId, &KeyVersion)| {
            let is_whole = other.state != KeyState::Destroyed && other.destroy_intent.is_none();
            id != key && id.key.tenant() == key.key.tenant() && is_whole
        };
        if self.keys().any(|one| stays(&one)) {
            Ok(())
        } else {
            Err(StateError::LastKey(key.clone()))
        }
    }

    pub(super) fn begin_destruction(
        &mut self,
        record: &Record,
        intent: &KeyDestroyIntent,
    ) -> Result<(), StateError> {
        self.check_destruction(&intent.key)?;
        if let Some(version) = self.version_mut(&intent.key) {
            version.destroy_intent = Some(record.seq);
        }
        self.drop_void_schedule(&intent.key.key);
        Ok(())
    }

    /// Whether `key` could be called compromised from `effective_time` on, at `now`.
    pub fn check_compromise(
        &self,
        key: &KeyVersionId,
        effective_time: Timestamp,
        now: Timestamp,
    ) -> Result<(), StateError> {
        let version = self.known(key)?;
        let key = key.clone();
        if effective_time > now {
            return Err(StateError::FutureCompromise(key));
        }
        let enrolled_at = version.enrolled_at;
        if effective_time < enrolled_at {
            return Err(StateError::BeforeEnrolment { key, enrolled_at });
        }
        match &version.compromise {
            Some(known) if known.effective_time <= effective_time => {
                let effective_time = known.effective_time;
                Err(StateError::AlreadyCompromised {
                    key,
                    effective_time,
                })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn known(&self, key: &KeyVersionId) -> Result<&KeyVersion, StateError> {
        self.version(key)
            .ok_or_else(|| StateError::UnknownVersion(key.clone()))
    }

    pub(super) fn enrol(
        &mut self,
        record: &Record,
        enrolment: &Enrolment,
    ) -> Result<(), StateError> {
        self.check_enrolment(enrolment)?;
        let version = KeyVersion {
            enrolment: enrolment.clone(),
            state: KeyState::PreActive,
            state_index: record.seq,
            enrolled_at: record.time,
            active_from: None,
            active_until: None,
            compromise: None,
            succession: None,
            signatures: 0,
            attestation: enrolment.attestation,
            destroy_intent: None,
        };
        let key = &enrolment.key;
        self.keys
            .entry(key.key.clone())
            .or_default()
            .insert(key.version, version);
        Ok(())
    }

    pub(super) fn change(
        &mut self,
        record: &Record,
        changed: &KeyChanged,
    ) -> Result<(), StateError> {
        let after = self.check_change(&changed.key, changed.event)?;
        self.enter(record, &changed.key, after);
        self.drop_void_schedule(&changed.key.key);
        Ok(())
    }

    pub(super) fn rotate(
        &mut self,
        record: &Record,
        rotated: &KeyRotated,
    ) -> Result<(), StateError> {
        self.check_rotation(&rotated.from, &rotated.to)?;
        self.enter(record, &rotated.from, KeyState::Deactivated);
        self.enter(record, &rotated.to, KeyState::Active);
        if let Some(version) = self.version_mut(&rotated.to) {
            version.succession = Some(rotated.succession.clone());
        }
        self.drop_void_schedule(&rotated.from.key);
        Ok(())
    }

    pub(super) fn attest(&mut self, attested: &KeyAttested) -> Result<(), StateError> {
        self.known(&attested.key)?;
        if let Some(version) = self.version_mut(&attested.key) {
            version.attestation = Some(Attestation {
                evidence_sha256: attested.evidence_sha256,
                finding: attested.finding,
            });
        }
        Ok(())
    }

    pub(super) fn compromise(
        &mut self,
        record: &Record,
        compromised: &KeyCompromised,
    ) -> Result<(), StateError> {
        let KeyCompromised {
            key,
            effective_time,
            reason,
            ..
        } = compromised;
        self.check_compromise(key, *effective_time, record.time)?;
        let state = self.known(key)?.state;
        if matches!(state, KeyState::Active | KeyState::Suspended) {
            self.enter(record, key, KeyState::Deactivated);
        }
        if let Some(version) = self.version_mut(key) {
            version.compromise = Some(Compromise {
                effective_time: *effective_time,
                decided_index: record.seq,
                log: None,
                decided_at: Some(record.time),
                reason: reason.clone(),
            });
        }
        self.drop_void_schedule(&key.key);
        Ok(())
    }

    /// Counts what was released, for rules of rotation.
    pub(super) fn count_signatures(&mut self, signed: &[KeyVersionId]) {
        for id in signed {
            if let Some(version) = self.version_mut(id) {
                version.signatures = version.signatures.saturating_add(1);
            }
        }
    }

    fn enter(&mut self, record: &Record, key: &KeyVersionId, state: KeyState) {
        let Some(version) = self.version_mut(key) else {
            return;
        };
        version.state = state;
        version.state_index = record.seq;
        match state {
            KeyState::Active => {
                version.active_from.get_or_insert(record.time);
            }
            KeyState::Deactivated => version.active_until = Some(record.time),
            _ => {}
        }
    }

    fn version_mut(&mut self, key: &KeyVersionId) -> Option<&mut KeyVersion> {
        self.keys.get_mut(&key.key)?.get_mut(&key.version)
    }
}

/// Nothing is left to be done to a device before the version can be used.
fn check_whole(key: &KeyVersionId, version: &KeyVersion) -> Result<(), StateError> {
    match version.destroy_intent {
        None => Ok(()),
        Some(index) => Err(StateError::BeingDestroyed {
            key: key.clone(),
            index,
        }),
    }
}

fn check_unharmed(key: &KeyVersionId, version: &KeyVersion) -> Result<(), StateError> {
    check_whole(key, version)?;
    match &version.compromise {
        None => Ok(()),
        Some(compromise) => Err(StateError::Compromised {
            key: key.clone(),
            record: compromise.record(),
        }),
    }
}
