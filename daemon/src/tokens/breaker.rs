//! When to try a driver again: back-off after each failure, and a breaker that answers at once while it is down.

use std::time::{Duration, Instant};

/// First pause.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// Longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Failures in a row after which requests are refused at once instead of waiting.
const OPEN_AFTER: u32 = 3;

/// Failures in a row, and when the next try is due.
#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    retry_at: Option<Instant>,
}

impl Breaker {
    /// The driver answered.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The driver could not be reached, was lost with work in flight, or misbehaved.
    pub fn failed(&mut self, now: Instant) {
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + BACKOFF_MIN.saturating_mul(1 << doublings).min(BACKOFF_MAX));
    }

    /// When the next try is due; `None`: now.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Whether requests are refused at once.
    pub fn is_open(&self) -> bool {
        self.failures >= OPEN_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_one_success_ends_them() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        let mut pauses = Vec::new();
        for _ in 0..40 {
            breaker.failed(now);
            pauses.push(breaker.retry_at().unwrap() - now);
        }
        assert_eq!(pauses[0], BACKOFF_MIN);
        assert!(pauses.is_sorted() && pauses[39] == BACKOFF_MAX);
        breaker.succeeded();
        assert!(!breaker.is_open() && breaker.retry_at().is_none());
    }

    #[test]
    fn it_opens_after_three_failures_in_a_row() {
        let mut breaker = Breaker::default();
        for n in 1..=OPEN_AFTER {
            breaker.failed(Instant::now());
            assert_eq!(breaker.is_open(), n == OPEN_AFTER);
        }
    }
}
