//! What accompanies a request into the driver: how long it may take, whether anybody still waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Why a request takes its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Progress {
    /// Somebody has to touch the key.
    Touch,
    /// Somebody has to enter a PIN at the device.
    Pin,
    /// The device works on something else.
    Busy,
}

/// Where progress goes.
pub trait ProgressSink {
    /// Tells the caller; must not block.
    fn progress(&self, progress: Progress);
}

/// A sink for callers that do not care.
impl ProgressSink for () {
    fn progress(&self, _: Progress) {}
}

/// Deadline, cancellation and progress of one signing request.
pub struct SignContext<'a> {
    deadline: Instant,
    cancelled: &'a AtomicBool,
    sink: &'a dyn ProgressSink,
}

impl<'a> SignContext<'a> {
    /// A context until `deadline`, cancelled once `cancelled` is set.
    pub fn new(deadline: Instant, cancelled: &'a AtomicBool, sink: &'a dyn ProgressSink) -> Self {
        Self {
            deadline,
            cancelled,
            sink,
        }
    }

    /// When the caller stops waiting.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the caller has stopped waiting. A driver that polls a device asks in every round.
    pub fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Tells the caller why it takes time.
    pub fn progress(&self, progress: Progress) {
        self.sink.progress(progress);
    }
}
