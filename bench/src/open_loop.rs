//! Arrivals at fixed times, whether or not earlier requests are done: what a caller waits at a given load.

use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};

use crate::load::{self, Ask};
use crate::sample::{Tally, Window};
use crate::tls::Caller;

/// Sends `rate` requests per second, dealt out to the connections in turn. Latency counts from the time a
/// request was due, so that one that waits for its connection is not flattered.
pub fn run(callers: Vec<Caller>, ask: &Ask, rate: f64, window: Window) -> Tally {
    let places = callers.len();
    let seeds = callers.into_iter().enumerate().collect();
    load::each(seeds, window, |(place, mut caller), mut tally| {
        // The default slack of 50 us would be counted as the daemon's. Fails on no kernel we know.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        for (number, arrival) in (place..).step_by(places).enumerate() {
            let due = window.begin + Duration::from_secs_f64(arrival as f64 / rate);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let ok = ask.succeeds(&mut caller, number as u64);
            if !tally.note(due, ok) || !ok {
                break;
            }
        }
        tally
    })
}
