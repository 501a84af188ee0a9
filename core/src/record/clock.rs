//! What records say of the host's clock.

use serde::{Deserialize, Serialize};

use super::{Actor, Warrant};
use crate::clock::Doubt;
use crate::time::Timestamp;

/// The daemon stopped believing the host's clock: what depends on the time waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockDoubted {
    /// Why.
    #[serde(flatten)]
    pub doubt: Doubt,
}

/// The clock came back to where it should be, by itself; or it has been set by small steps, which are believed, and the
/// next start is to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockBelieved {
    /// What it said then.
    pub wall: Timestamp,
    /// The other clock.
    #[serde(flatten)]
    pub boot: Option<SinceBoot>,
}

/// CLOCK_BOOTTIME, which nobody sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinceBoot {
    /// The kernel's name for the boot.
    pub boot_id: String,
    /// Milliseconds since then.
    pub boottime_ms: u64,
}

/// An operator says that the host's clock is right although it cannot have come there by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockAccepted {
    /// What it said then. Where that is before the record's own time, records keep theirs until the clock has caught up.
    pub wall: Timestamp,
    /// The other clock.
    #[serde(flatten)]
    pub boot: Option<SinceBoot>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Who did it.
    pub by: Actor,
    /// By which approvals.
    #[serde(flatten)]
    pub warrant: Warrant,
}
