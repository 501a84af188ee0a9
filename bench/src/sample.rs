//! What one point gave in one round: rate, latencies, CPU.

use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::process::{Meter, Usage};

/// When a point is measured. Before it the same load runs uncounted.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Load begins.
    pub begin: Instant,
    /// Counting begins.
    pub from: Instant,
    /// Counting and load end.
    pub until: Instant,
}

impl Window {
    /// A window that begins now: a quarter of `time` to warm up, then `time`.
    pub fn of(time: Duration) -> Self {
        let begin = Instant::now();
        let from = begin + time / 4;
        Self {
            begin,
            from,
            until: from + time,
        }
    }

    fn seconds(&self) -> f64 {
        (self.until - self.from).as_secs_f64()
    }
}

/// What one thread of load saw inside the window.
#[derive(Debug)]
pub struct Tally {
    window: Window,
    latencies: Vec<Duration>,
    errors: u64,
}

impl Tally {
    /// Nothing yet.
    pub fn new(window: Window) -> Self {
        Self {
            window,
            latencies: Vec::new(),
            errors: 0,
        }
    }

    /// Counts an operation that was due at `begun` and is over now. `false`: the window is over.
    pub fn note(&mut self, begun: Instant, ok: bool) -> bool {
        let now = Instant::now();
        if !ok {
            self.errors += 1;
        } else if (self.window.from..self.window.until).contains(&now) {
            self.latencies.push(now - begun);
        }
        now < self.window.until
    }

    /// Joins what several threads saw.
    pub fn merged(window: Window, tallies: impl IntoIterator<Item = Self>) -> Self {
        tallies.into_iter().fold(Self::new(window), |mut all, one| {
            all.latencies.extend(one.latencies);
            all.errors += one.errors;
            all
        })
    }
}

/// One point in one round, or the median of several rounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Operations per second.
    pub rate: f64,
    /// Median latency in microseconds.
    pub p50_us: f64,
    /// 99 of 100 are not longer.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
    /// CPU of the watched processes per operation, in microseconds.
    pub cpu_us: f64,
    /// The same by thread name, the largest first.
    pub threads_us: Vec<(String, f64)>,
    /// Resident memory of the watched processes.
    pub rss_mib: f64,
    /// Operations that failed.
    pub errors: u64,
}

impl Sample {
    /// Runs `load` and watches `meter` inside the window.
    pub fn measure(window: Window, meter: &Meter, load: impl FnOnce() -> Tally + Send) -> Self {
        let (tally, usage) = thread::scope(|scope| {
            let load = scope.spawn(load);
            thread::sleep(window.from.saturating_duration_since(Instant::now()));
            let before = meter.read();
            thread::sleep(window.until.saturating_duration_since(Instant::now()));
            let usage = meter.read().since(&before);
            // A load that panicked has said why.
            (load.join().unwrap_or_else(|_| failed(window)), usage)
        });
        Self::of(tally, &usage)
    }

    fn of(mut tally: Tally, usage: &Usage) -> Self {
        tally.latencies.sort_unstable();
        let count = tally.latencies.len() as f64;
        let at = |share| micros(quantile(&tally.latencies, share));
        Self {
            rate: count / tally.window.seconds(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            max_us: at(1.0),
            cpu_us: micros(usage.cpu) / count,
            threads_us: usage
                .threads
                .iter()
                .map(|(name, time)| (name.clone(), micros(*time) / count))
                .collect(),
            rss_mib: usage.rss_mib,
            errors: tally.errors,
        }
    }

    /// Each figure's median; errors are added up.
    pub fn median(rounds: &[Self]) -> Self {
        let of = |get: fn(&Self) -> f64| median(rounds.iter().map(get));
        Self {
            rate: of(|s| s.rate),
            p50_us: of(|s| s.p50_us),
            p99_us: of(|s| s.p99_us),
            max_us: of(|s| s.max_us),
            cpu_us: of(|s| s.cpu_us),
            threads_us: rounds
                .last()
                .map(|s| s.threads_us.clone())
                .unwrap_or_default(),
            rss_mib: of(|s| s.rss_mib),
            errors: rounds.iter().map(|s| s.errors).sum(),
        }
    }
}

fn failed(window: Window) -> Tally {
    let mut tally = Tally::new(window);
    tally.errors = 1;
    tally
}

/// The value below which `share` of the sorted values are; zero where there are none.
pub fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (sorted.len() as f64 * share).ceil();
    // At most the length, which is a usize.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let index = (rank as usize).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}

/// The middle of the values, the upper one of two. NaN where there are none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// In microseconds.
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let ms: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(quantile(&ms, 0.5), Duration::from_millis(50));
        assert_eq!(quantile(&ms, 0.99), Duration::from_millis(99));
        assert_eq!(quantile(&ms, 1.0), Duration::from_millis(100));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn one_wild_round_does_not_move_the_median() {
        assert_eq!(median([3.0, 1.0, 1000.0, 2.0, 2.5]), 2.5);
        assert!(median([]).is_nan());
    }

    #[test]
    fn only_operations_that_end_inside_the_window_count_but_every_error_does() {
        let now = Instant::now();
        let window = Window {
            begin: now,
            from: now + Duration::from_secs(3600),
            until: now + Duration::from_secs(7200),
        };
        let mut early = Tally::new(window);
        assert!(early.note(now, true) && early.note(now, false));
        assert_eq!((early.latencies.len(), early.errors), (0, 1));
    }
}
