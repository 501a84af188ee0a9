//! A principal that is denied over and over must not fill the log: beyond a rate its denials are counted.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sealwright_core::record::DenialsSummarised;
use sealwright_core::time::Timestamp;

/// Length of a window, and how often counts are written.
pub const WINDOW: Duration = Duration::from_secs(60);
/// Principals watched at a time; the directory bounds their number, this bounds mistakes.
const PRINCIPALS_MAX: usize = 10_000;

struct Window {
    began: Instant,
    since: Timestamp,
    recorded: u32,
    counted: u64,
}

/// Denials per principal.
pub struct Denials {
    per_window: u32,
    windows: Mutex<HashMap<String, Window>>,
}

impl Denials {
    /// `per_window` denials of a principal get a record of their own.
    pub fn new(per_window: u32) -> Self {
        Self {
            per_window,
            windows: Mutex::new(HashMap::new()),
        }
    }

    /// Whether this denial gets a record; otherwise it has been counted.
    pub fn is_recorded(&self, principal: &str, now: Instant, time: Timestamp) -> bool {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if !windows.contains_key(principal) && windows.len() >= PRINCIPALS_MAX {
            return false;
        }
        let fresh = || Window {
            began: now,
            since: time,
            recorded: 0,
            counted: 0,
        };
        let window = windows.entry(principal.to_owned()).or_insert_with(fresh);
        if window.recorded < self.per_window {
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
    fn denials_beyond_the_rate_are_counted_and_summarised_once() {
        let denials = Denials::new(2);
        let (now, time) = (Instant::now(), Timestamp::from_unix_millis(5));
        let recorded: Vec<bool> = (0..5)
            .map(|_| denials.is_recorded("a", now, time))
            .collect();
        assert_eq!(recorded, [true, true, false, false, false]);
        assert!(denials.is_recorded("b", now, time));
        assert!(denials.close_windows(now).is_empty());
        let later = now + WINDOW;
        let summary = DenialsSummarised {
            principal: "a".into(),
            count: 3,
            since: time,
        };
        assert_eq!(denials.close_windows(later), [summary]);
        assert!(denials.close_windows(later).is_empty());
        assert!(denials.is_recorded("a", later, time));
    }
}
