//! `[dual_control]`: how long approvals may take, and whether an operator may act before them.

use std::time::Duration;

use serde::Deserialize;

/// Longest time that a request for approvals may stay open: 30 days.
pub const EXPIRES_MAX_S: u64 = 30 * 86_400;

/// How approvals are asked for; how many are needed is fixed in the genesis record.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DualControl {
    /// How long a request stays open, 1 s to 30 days. Default 3 days.
    pub expires_s: u64,
    /// Whether operators may act at once and have it approved afterwards. Default no.
    pub break_glass: bool,
}

impl Default for DualControl {
    fn default() -> Self {
        Self {
            expires_s: 3 * 86_400,
            break_glass: false,
        }
    }
}

impl DualControl {
    /// How long a request stays open.
    pub fn expires(&self) -> Duration {
        Duration::from_secs(self.expires_s)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if (1..=EXPIRES_MAX_S).contains(&self.expires_s) {
            Ok(())
        } else {
            Err(format!(
                "dual_control.expires_s must be between 1 and {EXPIRES_MAX_S}"
            ))
        }
    }
}
