//! What was said of keys in the fold: numbers that only grow, and that nothing is published that is not so any more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{State, StateError};
use crate::key::{Compromise, Enrolment, KeyState, KeyVersion};
use crate::name::{KeyName, KeyVersionId, Tenant};
use crate::record::{CrlIssued, KeyRevocation, TrustPublished};
use crate::time::Timestamp;

/// The newest numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Publications {
    trust: BTreeMap<Tenant, u64>,
    crls: BTreeMap<KeyName, u64>,
}

impl State {
    /// The number that the tenant's next trust document gets.
    pub fn next_trust_serial(&self, tenant: &Tenant) -> u64 {
        let newest = self.publications.trust.get(tenant);
        newest.map_or(1, |serial| serial.saturating_add(1))
    }

    pub(super) fn publish_trust(&mut self, published: &TrustPublished) -> Result<(), StateError> {
        let signed_by = &published.signed_by;
        let tenant = signed_by.key.tenant();
        self.check_signs(signed_by)?;
        if published.serial != self.next_trust_serial(tenant)
            || !self.is_so(published.as_of, tenant)
        {
            return Err(StateError::TrustOutdated(tenant.clone()));
        }
        self.publications
            .trust
            .insert(tenant.clone(), published.serial);
        Ok(())
    }

    /// The number that the next certificate revocation list of an authority's key gets: one more than the last, and no
    /// lower than the seconds since 1970, because a log that took another's place does not know that one's numbers.
    pub fn next_crl_number(&self, ca: &KeyName, now: Timestamp) -> u64 {
        let newest = self.publications.crls.get(ca).copied().unwrap_or(0);
        newest.saturating_add(1).max(now.seconds())
    }

    pub(super) fn issue_crl(&mut self, issued: &CrlIssued) -> Result<(), StateError> {
        let ca = &issued.issuer.key;
        self.check_signs(&issued.issuer)?;
        let newest = self.publications.crls.get(ca).copied().unwrap_or(0);
        if issued.number <= newest || !self.is_so(issued.as_of, ca.tenant()) {
            return Err(StateError::CrlOutdated(ca.clone()));
        }
        self.publications.crls.insert(ca.clone(), issued.number);
        Ok(())
    }

    /// A version that was called compromised.
    pub fn compromised(&self, key: &KeyVersionId) -> Result<(&Enrolment, &Compromise), StateError> {
        let version = self.known(key)?;
        let compromise = version.compromise.as_ref();
        let compromise = compromise.ok_or_else(|| StateError::NotCompromised(key.clone()))?;
        Ok((&version.enrolment, compromise))
    }

    pub(super) fn check_revocation(&self, revocation: &KeyRevocation) -> Result<(), StateError> {
        let (_, compromise) = self.compromised(&revocation.key)?;
        if compromise.decided_index != revocation.decided_index {
            return Err(StateError::RevocationOutdated(revocation.key.clone()));
        }
        self.check_signs(&revocation.signed_by)
    }

    /// That a version still signs: what it said may be released.
    fn check_signs(&self, key: &KeyVersionId) -> Result<(), StateError> {
        self.check_thawed(key.key.tenant())?;
        match self.known(key)?.state {
            KeyState::Active => Ok(()),
            state => Err(StateError::NotSigning {
                key: key.clone(),
                state,
            }),
        }
    }

    /// Whether what the first `as_of` records say of the tenant's keys is still so.
    fn is_so(&self, as_of: u64, tenant: &Tenant) -> bool {
        as_of <= self.next_index && self.last_key_change(tenant) < as_of
    }

    /// The newest record that changed a key of the tenant; 0 where none did.
    fn last_key_change(&self, tenant: &Tenant) -> u64 {
        let mine = self.keys().filter(|(id, _)| id.key.tenant() == tenant);
        let change = |version: &KeyVersion| {
            // One that was decided in a former log is as old as this one.
            let here = version.compromise.as_ref().filter(|c| c.log.is_none());
            let compromised = here.map(|c| c.decided_index);
            version.state_index.max(compromised.unwrap_or_default())
        };
        mine.map(|(_, version)| change(version)).max().unwrap_or(0)
    }
}
