//! Arrivals at fixed times, whether or not earlier requests are done: what a caller waits at a given load.

use std::io;
use std::num::NonZeroU64;
use std::thread;
use std::time::{Duration, Instant};

use crate::aims;
use crate::disk::Sync;
use crate::figures::Figures;
use crate::load::{self, Ask};
use crate::rig::Rig;
use crate::sample::{Sample, Tally, Window, median};
use crate::table;
use crate::tls::Caller;
use crate::token::{Plan, Subject};

/// Share of what the device allows that arrives.
const LOAD: f64 = 0.8;
/// More than the device has sessions for, so that arrivals find a free connection.
const CONNECTIONS: usize = 64;

/// Measures what daemon and driver add to the device's own time, the disk's sync apart.
pub fn measure(subject: &Subject, plan: &Plan, rig: &Rig, figures: &mut Figures) -> io::Result<()> {
    let rate = subject.capacity() * LOAD;
    let device_us = f64::from(subject.delay_ms) * 1e3;
    let (mut added_ms, mut samples) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let disk = Sync::measure(&rig.site.state_dir())?;
        let callers = load::connect(&rig.endpoint, CONNECTIONS)?;
        let window = Window::of(plan.time);
        let load = || run(callers, &rig.ask, rate, window);
        let sample = Sample::measure(window, &rig.daemon_and_driver(), load);
        added_ms.push((sample.p99_us - device_us - disk.p99_us) / 1e3);
        samples.push(sample);
    }
    println!("{}", table::open_loop(rate, &Sample::median(&samples)));
    figures.add(&aims::SCRIPTED_ADDED, median(added_ms));
    Ok(())
}

/// Sends `rate` requests per second, dealt out to the connections in turn. Latency counts from the time a
/// request was due, so that one that waits for its connection is not flattered.
fn run(callers: Vec<Caller>, ask: &Ask, rate: f64, window: Window) -> Tally {
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
