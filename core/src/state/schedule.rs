//! Rotations that are put off to a time. One per key, and only as long as it could be done: whatever takes one of its
//! two versions out of the state it needs (another rotation, a suspension, a compromise) ends it as well.

use serde::{Deserialize, Serialize};

use super::{State, StateError};
use crate::name::{KeyName, KeyVersionId};
use crate::record::{Record, RotationCancelled, RotationScheduled};
use crate::time::Timestamp;

/// A rotation ahead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The record that asks for it.
    pub index: u64,
    /// What it says.
    pub rotation: RotationScheduled,
}

impl State {
    /// Every rotation ahead, by key.
    pub fn schedules(&self) -> impl Iterator<Item = &Schedule> {
        self.schedules.values()
    }

    /// The rotation of `key` that is ahead.
    pub fn schedule_of(&self, key: &KeyName) -> Option<&Schedule> {
        self.schedules.get(key)
    }

    /// Whether `to` could be told at `now` to succeed `from` at `at`.
    pub fn check_schedule(
        &self,
        from: &KeyVersionId,
        to: &KeyVersionId,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StateError> {
        self.check_rotation(from, to)?;
        if at <= now {
            return Err(StateError::PastRotation { at, now });
        }
        match self.schedule_of(&from.key) {
            Some(Schedule { rotation, .. }) => Err(StateError::AlreadyScheduled {
                to: rotation.to.clone(),
                at: rotation.at,
            }),
            None => Ok(()),
        }
    }

    pub(super) fn schedule(
        &mut self,
        record: &Record,
        rotation: &RotationScheduled,
    ) -> Result<(), StateError> {
        let RotationScheduled { from, to, at, .. } = rotation;
        self.check_schedule(from, to, *at, record.time)?;
        let schedule = Schedule {
            index: record.seq,
            rotation: rotation.clone(),
        };
        self.schedules.insert(from.key.clone(), schedule);
        Ok(())
    }

    pub(super) fn cancel(&mut self, cancelled: &RotationCancelled) -> Result<(), StateError> {
        let schedule = self.schedules.remove(&cancelled.key);
        let none = || StateError::NotScheduled(cancelled.key.clone());
        schedule.map(|_| ()).ok_or_else(none)
    }

    /// After a version of `key` has changed.
    pub(super) fn drop_void_schedule(&mut self, key: &KeyName) {
        let schedule = self.schedules.get(key).map(|schedule| &schedule.rotation);
        if schedule.is_some_and(|ahead| self.check_succession(&ahead.from, &ahead.to).is_err()) {
            self.schedules.remove(key);
        }
    }
}
