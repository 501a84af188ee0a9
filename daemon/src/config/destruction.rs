//! `[destruction]`: how long a key is kept that signs no more.

use sealwright_core::key::{KeyState, KeyVersion};
use sealwright_core::time::Timestamp;
use serde::Deserialize;

/// `[destruction]`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Destruction {
    /// Days that a key is kept after it stopped for good. Default 90. Nothing is destroyed by clock alone: it may be then.
    pub after_days: u32,
}

impl Default for Destruction {
    fn default() -> Self {
        Self { after_days: 90 }
    }
}

impl Destruction {
    /// From when on a version may be destroyed; `None` for one that is in use, or is being destroyed.
    pub fn possible_from(&self, version: &KeyVersion) -> Option<Timestamp> {
        match (version.state, version.destroy_intent) {
            // It has signed nothing that anybody could want to do again.
            (KeyState::PreActive, None) => Some(version.enrolled_at),
            (KeyState::Deactivated, None) => {
                let kept = i64::from(self.after_days) * 86_400_000;
                let ended = version.active_until?.unix_millis();
                Some(Timestamp::from_unix_millis(ended.saturating_add(kept)))
            }
            _ => None,
        }
    }
}
