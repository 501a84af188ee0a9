//! What operators see of a token.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use prometheus_client::metrics::histogram::Histogram;
use sealwright_driver_api::Descriptor;

use crate::metrics;

/// Whether a token serves.
#[derive(Debug, Clone)]
pub enum Service {
    /// The driver is being reached.
    Connecting,
    /// It serves.
    Ready(Box<Descriptor>),
    /// It does not, and why.
    OutOfService(String),
}

const CONNECTING: &str = "connecting";
const READY: &str = "ready";
const OUT_OF_SERVICE: &str = "out-of-service";

impl Service {
    /// All there are, as [`Service::as_str`] calls them.
    pub const STATES: [&'static str; 3] = [CONNECTING, READY, OUT_OF_SERVICE];

    /// As in status and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Connecting => CONNECTING,
            Self::Ready(_) => READY,
            Self::OutOfService(_) => OUT_OF_SERVICE,
        }
    }
}

/// Written by the token's actor, read by everybody.
#[derive(Debug)]
pub struct Status {
    kind: String,
    service: RwLock<Service>,
    queued: AtomicUsize,
    in_flight: AtomicUsize,
    call_seconds: Histogram,
    failures: AtomicU64,
}

impl Status {
    /// Of a token that was not reached yet; `kind` as its configuration spells it.
    pub fn new(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            service: RwLock::new(Service::Connecting),
            queued: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            call_seconds: metrics::seconds(),
            failures: AtomicU64::new(0),
        }
    }

    /// The kind of its driver.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// How long answered calls took.
    pub fn call_seconds(&self) -> &Histogram {
        &self.call_seconds
    }

    /// How often its driver was lost or not reached.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// A copy of the service state.
    pub fn service(&self) -> Service {
        self.service
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What its descriptor says, where it is known.
    pub fn says<T>(&self, what: impl FnOnce(&Descriptor) -> T) -> Option<T> {
        match &*self.service.read().unwrap_or_else(PoisonError::into_inner) {
            Service::Ready(descriptor) => Some(what(descriptor)),
            _ => None,
        }
    }

    /// Requests that wait for a session.
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Requests that the driver has.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, service: Service) {
        *self.service.write().unwrap_or_else(PoisonError::into_inner) = service;
    }

    pub(super) fn set_in_flight(&self, n: usize) {
        self.in_flight.store(n, Ordering::Relaxed);
    }

    /// Counts one more waiting request, unless `limit` wait already.
    pub(super) fn enter_queue(&self, limit: usize) -> bool {
        self.queued
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < limit).then_some(n + 1)
            })
            .is_ok()
    }

    pub(super) fn left_queue(&self) {
        self.queued.fetch_sub(1, Ordering::Relaxed);
    }
}
