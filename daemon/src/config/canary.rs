//! `[canary]`: how often tokens show that they sign.

use std::time::Duration;

use serde::Deserialize;

/// Longest time between two canaries: a week.
pub const INTERVAL_MAX_S: u64 = 7 * 86_400;

/// How often each key of purpose `canary` signs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Canary {
    /// 1 s to a week. Default 3600 s.
    pub interval_s: u64,
}

impl Default for Canary {
    fn default() -> Self {
        Self { interval_s: 3600 }
    }
}

impl Canary {
    /// Between two signatures.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(self.interval_s)
    }

    /// One that is older is late.
    pub fn max_age(&self) -> Duration {
        self.interval() * 3
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if (1..=INTERVAL_MAX_S).contains(&self.interval_s) {
            Ok(())
        } else {
            Err(format!(
                "canary.interval_s must be between 1 and {INTERVAL_MAX_S}"
            ))
        }
    }
}
