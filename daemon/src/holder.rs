//! Files in force until they are read anew: what was read is swapped whole, and only after its digest is in the log.

use std::sync::{Arc, PoisonError, RwLock};

/// Holds what is in force.
pub struct Holder<T>(RwLock<Arc<T>>);

impl<T> Holder<T> {
    /// Starts with `first`.
    pub fn new(first: T) -> Self {
        Self(RwLock::new(Arc::new(first)))
    }

    /// What counts now. A request keeps what it began with.
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts `next` into force. The caller has recorded it.
    pub fn replace(&self, next: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }
}
