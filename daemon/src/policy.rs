//! The policy in force: a value that is swapped whole, and only after its digest is in the log.

use std::sync::{Arc, PoisonError, RwLock};

use sealwright_core::permit::PolicyEngine;

/// Holds the current policy.
pub struct PolicyHolder(RwLock<Arc<dyn PolicyEngine>>);

impl PolicyHolder {
    /// Starts with `policy`.
    pub fn new(policy: Arc<dyn PolicyEngine>) -> Self {
        Self(RwLock::new(policy))
    }

    /// The policy that decides now. A request keeps the one it began with.
    pub fn current(&self) -> Arc<dyn PolicyEngine> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts `policy` into force. The caller has recorded its activation.
    pub fn replace(&self, policy: Arc<dyn PolicyEngine>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = policy;
    }
}
