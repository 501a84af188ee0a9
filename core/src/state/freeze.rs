//! The emergency stop in the fold: while a scope is frozen its keys sign nothing, none is taken into use and none is
//! made. What takes a key out of use goes on: suspend, deactivate, compromise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{State, StateError};
use crate::name::Tenant;
use crate::record::{FreezeChanged, FreezeScope, Record};
use crate::time::Timestamp;

/// A freeze in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// The record that set it.
    pub index: u64,
    /// When.
    pub since: Timestamp,
    /// Why, in the operator's words.
    pub reason: String,
    /// The principal who set it.
    pub by: String,
}

/// What was ever frozen.
pub(super) type Freezes = BTreeMap<FreezeScope, Mark>;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    now: Option<Freeze>,
    /// The record that set the newest freeze, lifted or not.
    newest: u64,
}

impl State {
    /// Every scope that was ever frozen, with the freeze where it is in force.
    pub fn freezes(&self) -> impl Iterator<Item = (&FreezeScope, Option<&Freeze>)> {
        self.freezes
            .iter()
            .map(|(scope, mark)| (scope, mark.now.as_ref()))
    }

    /// The freeze of exactly `scope`, where it is in force.
    pub fn freeze_of(&self, scope: &FreezeScope) -> Option<&Freeze> {
        self.freezes.get(scope)?.now.as_ref()
    }

    /// Whether keys of `tenant` may be used, made and taken into use.
    pub fn check_thawed(&self, tenant: &Tenant) -> Result<(), StateError> {
        for scope in scopes_over(tenant) {
            if let Some(freeze) = self.freeze_of(&scope) {
                let index = freeze.index;
                return Err(StateError::Frozen { scope, index });
            }
        }
        Ok(())
    }

    /// The newest freeze that concerned `tenant`, lifted or not: permits from before it are void.
    pub(super) fn newest_freeze(&self, tenant: &Tenant) -> u64 {
        let marks = scopes_over(tenant).map(|scope| self.freezes.get(&scope));
        let newest = marks.into_iter().flatten().map(|mark| mark.newest);
        newest.max().unwrap_or(0)
    }

    pub(super) fn freeze(
        &mut self,
        record: &Record,
        set: &FreezeChanged,
    ) -> Result<(), StateError> {
        let freeze = Freeze {
            index: record.seq,
            since: record.time,
            reason: set.reason.clone(),
            by: set.by.principal.clone(),
        };
        self.set_freeze(&set.scope, freeze)
    }

    pub(super) fn set_freeze(
        &mut self,
        scope: &FreezeScope,
        freeze: Freeze,
    ) -> Result<(), StateError> {
        if let Some(freeze) = self.freeze_of(scope) {
            let (scope, index) = (scope.clone(), freeze.index);
            return Err(StateError::AlreadyFrozen { scope, index });
        }
        let mark = self.freezes.entry(scope.clone()).or_default();
        mark.newest = freeze.index;
        mark.now = Some(freeze);
        Ok(())
    }

    /// Whether a freeze of `scope` could end now.
    pub fn check_thaw(&self, scope: &FreezeScope) -> Result<(), StateError> {
        match self.freeze_of(scope) {
            Some(_) => Ok(()),
            None => Err(StateError::NotFrozen(scope.clone())),
        }
    }

    pub(super) fn thaw(&mut self, lifted: &FreezeChanged) -> Result<(), StateError> {
        self.check_thaw(&lifted.scope)?;
        if let Some(mark) = self.freezes.get_mut(&lifted.scope) {
            mark.now = None;
        }
        Ok(())
    }
}

/// The scopes that hold keys of `tenant`.
fn scopes_over(tenant: &Tenant) -> [FreezeScope; 2] {
    [FreezeScope::All, FreezeScope::Tenant(tenant.clone())]
}
