//! The policy in force: a value that is swapped whole, and only after its digest is in the log.

use std::sync::{Arc, PoisonError, RwLock};

use sealwright_core::digest::Sha256Digest;
use sealwright_core::permit::PolicyEngine;

/// Holds the current policy.
pub struct PolicyHolder {
    current: RwLock<Arc<dyn PolicyEngine>>,
    waiting: RwLock<Option<Sha256Digest>>,
}

impl PolicyHolder {
    /// Starts with `policy`.
    pub fn new(policy: Arc<dyn PolicyEngine>) -> Self {
        Self {
            current: RwLock::new(policy),
            waiting: RwLock::default(),
        }
    }

    /// The policy that decides now. A request keeps the one it began with.
    pub fn current(&self) -> Arc<dyn PolicyEngine> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts `policy` into force. The caller has recorded its activation.
    pub fn replace(&self, policy: Arc<dyn PolicyEngine>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = policy;
        self.wait(None);
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
