//! The policy in force: a value that is swapped whole, and only after its digest is in the log.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::permit::PolicyEngine;
use sealwright_core::record::Event;
use sealwright_policy::CedarPolicy;

use crate::audit::writer::RecordError;
use crate::binding::Tenants;
use crate::daemon::Daemon;
use crate::kept_policy;
use crate::refusal::Refusal;

/// Why a policy did not come into force. The one before it decides on.
#[derive(Debug, thiserror::Error)]
pub enum ActivationError {
    /// Its text could not be kept.
    #[error("the policy cannot be kept in {dir}: {source}")]
    Keep {
        /// The state directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its activation could not be recorded.
    #[error("a record could not be written: {0}")]
    Record(#[from] RecordError),
}

impl From<ActivationError> for Refusal {
    fn from(error: ActivationError) -> Self {
        match error {
            ActivationError::Record(error) => error.into(),
            ActivationError::Keep { .. } => Self::failed(Code::Internal, error.to_string()),
        }
    }
}

/// Brings `policy` into force and returns the index of `event`, the record of its activation. If we crash once that is
/// durable, the next start needs the text: it is kept first.
pub async fn activate(
    daemon: &Daemon,
    (text, policy): (String, CedarPolicy),
    event: Event,
) -> Result<u64, ActivationError> {
    let dir = &daemon.config.state.dir;
    kept_policy::keep(dir, &text).map_err(|source| ActivationError::Keep {
        dir: dir.clone(),
        source,
    })?;
    let record = daemon.journal.record(event).await?.index();
    daemon.policy.replace(Arc::new(policy), record);
    Ok(record)
}

/// Holds the current policy.
pub struct PolicyHolder {
    tenants: Tenants,
    current: RwLock<InForce>,
    waiting: RwLock<Option<Sha256Digest>>,
}

struct InForce {
    policy: Arc<dyn PolicyEngine>,
    /// The record that activated it; 0 for the one of the start, which precedes all that follow.
    record: u64,
}

impl PolicyHolder {
    /// Starts with `policy`; what the configuration demands of tenants goes on top of this and each later one.
    pub fn new(policy: Arc<dyn PolicyEngine>, tenants: Tenants) -> Self {
        let policy = tenants.on(policy);
        Self {
            tenants,
            current: RwLock::new(InForce { policy, record: 0 }),
            waiting: RwLock::default(),
        }
    }

    /// The policy that decides now. A request keeps the one it began with.
    pub fn current(&self) -> Arc<dyn PolicyEngine> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.policy)
    }

    /// Puts `policy` into force, whose activation is in the log as `record`. Where two come at once, the one with the
    /// later record stays, so that what decides here is what the log says.
    fn replace(&self, policy: Arc<dyn PolicyEngine>, record: u64) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if record > current.record {
            let policy = self.tenants.on(policy);
            *current = InForce { policy, record };
            drop(current);
            self.wait(None);
        }
    }

    /// Another policy's file is there and needs approvals.
    pub fn wait(&self, waiting: Option<Sha256Digest>) {
        *self.waiting.write().unwrap_or_else(PoisonError::into_inner) = waiting;
    }

    /// The digest of a policy file that needs approvals before it decides.
    pub fn waiting(&self) -> Option<Sha256Digest> {
        *self.waiting.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_policies_that_come_at_once_the_one_with_the_later_record_decides() {
        let policy = || -> Arc<dyn PolicyEngine> { Arc::new(CedarPolicy::parse("", &[]).unwrap()) };
        let (earlier, later) = (policy(), policy());
        let holder = PolicyHolder::new(policy(), Tenants::default());
        holder.replace(Arc::clone(&later), 8);
        holder.replace(earlier, 7);
        assert!(Arc::ptr_eq(&holder.current(), &later));
    }
}
