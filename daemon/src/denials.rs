//! A principal that is refused over and over must not fill the log: beyond a rate its refusals are counted.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sealwright_core::name::Tenant;
use sealwright_core::record::DenialsSummarised;
use sealwright_core::time::Timestamp;

/// Length of a window, and how often counts are written.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Principals watched at a time; the directory bounds their number, this bounds mistakes.
const PRINCIPALS_MAX: usize = 10_000;
/// Where the refusals of all further ones are counted; no identity has a space.
const OTHERS: &str = "all others";

/// Who was refused.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// The principal.
    pub principal: &'a str,
    /// Its tenant.
    pub tenant: &'a Tenant,
}

struct Window {
    tenant: Tenant,
    began: Instant,
    since: Timestamp,
    recorded: u32,
    counted: u64,
}

/// Refusals per principal.
pub struct Denials {
    per_window: u32,
    windows: Mutex<HashMap<String, Window>>,
}

impl Denials {
    /// `per_window` refusals of a principal get a record of their own.
    pub fn new(per_window: u32) -> Self {
        Self {
            per_window,
            windows: Mutex::new(HashMap::new()),
        }
    }

    /// Whether this refusal gets a record; otherwise it has been counted.
    pub fn is_recorded(&self, who: Who<'_>, has_room: bool, now: Instant, time: Timestamp) -> bool {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = windows.contains_key(who.principal) || windows.len() < PRINCIPALS_MAX;
        let principal = if is_known { who.principal } else { OTHERS };
        let window = windows
            .entry(principal.to_owned())
            .or_insert_with(|| Window {
                tenant: who.tenant.clone(),
                began: now,
                since: time,
                recorded: 0,
                counted: 0,
            });
        if has_room && window.recorded < self.per_window {
            window.recorded += 1;
            true
        } else {
            window.counted += 1;
            false
        }
    }

    /// Closes windows that are over; returns what was only counted in them.
    pub fn close_windows(&self, now: Instant) -> Vec<DenialsSummarised> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut over = Vec::new();
        windows.retain(|principal, window| {
            let is_open = now.duration_since(window.began) < WINDOW;
            if !is_open && window.counted > 0 {
                over.push(DenialsSummarised {
                    principal: principal.clone(),
                    tenant: window.tenant.clone(),
                    count: window.counted,
                    since: window.since,
                });
            }
            is_open
        });
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_beyond_the_rate_are_counted_and_summarised_once() {
        let denials = Denials::new(2);
        let (now, time) = (Instant::now(), Timestamp::from_unix_millis(5));
        let tenant = Tenant::default();
        let refuse = |principal: &str, now| {
            denials.is_recorded(
                Who {
                    principal,
                    tenant: &tenant,
                },
                true,
                now,
                time,
            )
        };
        let recorded: Vec<bool> = (0..5).map(|_| refuse("a", now)).collect();
        assert_eq!(recorded, [true, true, false, false, false]);
        assert!(refuse("b", now));
        assert!(denials.close_windows(now).is_empty());
        let later = now + WINDOW;
        let summary = DenialsSummarised {
            principal: "a".into(),
            tenant: tenant.clone(),
            count: 3,
            since: time,
        };
        assert_eq!(denials.close_windows(later), [summary]);
        assert!(denials.close_windows(later).is_empty());
        assert!(refuse("a", later));
    }

    #[test]
    fn a_log_without_room_counts_instead_of_recording() {
        let denials = Denials::new(2);
        let (now, tenant) = (Instant::now(), Tenant::default());
        let who = Who {
            principal: "a",
            tenant: &tenant,
        };
        assert!(!denials.is_recorded(who, false, now, Timestamp::default()));
        assert_eq!(denials.close_windows(now + WINDOW)[0].count, 1);
    }
}
