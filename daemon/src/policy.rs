//! The policy in force: a value that is swapped whole, and only after its digest is in the log.

use std::sync::{Arc, PoisonError, RwLock};

use sealwright_core::digest::Sha256Digest;
use sealwright_core::permit::PolicyEngine;

/// Holds the current policy.
pub struct PolicyHolder {
    current: RwLock<InForce>,
    waiting: RwLock<Option<Sha256Digest>>,
}

struct InForce {
    policy: Arc<dyn PolicyEngine>,
    /// The record that activated it; 0 for the one of the start, which precedes all that follow.
    record: u64,
}

impl PolicyHolder {
    /// Starts with `policy`.
    pub fn new(policy: Arc<dyn PolicyEngine>) -> Self {
        Self {
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
    pub fn replace(&self, policy: Arc<dyn PolicyEngine>, record: u64) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if record > current.record {
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
    use sealwright_policy::CedarPolicy;

    #[test]
    fn of_two_policies_that_come_at_once_the_one_with_the_later_record_decides() {
        let policy = || -> Arc<dyn PolicyEngine> { Arc::new(CedarPolicy::parse("", &[]).unwrap()) };
        let (earlier, later) = (policy(), policy());
        let holder = PolicyHolder::new(policy());
        holder.replace(Arc::clone(&later), 8);
        holder.replace(earlier, 7);
        assert!(Arc::ptr_eq(&holder.current(), &later));
    }
}
