//! CPU and memory of processes, as `/proc` tells them (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Processes to watch.
#[derive(Debug, Clone, Default)]
pub struct Meter(Vec<u32>);

/// What they used so far.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Time on a CPU by thread name, numbers at the end of a name left out; the largest first.
    pub threads: Vec<(String, Duration)>,
    /// Resident memory.
    pub rss_mib: f64,
}

impl Meter {
    /// Watches `pids`.
    pub fn of(pids: impl IntoIterator<Item = u32>) -> Self {
        Self(pids.into_iter().collect())
    }

    /// Now.
    pub fn read(&self) -> Usage {
        let mut threads = BTreeMap::new();
        for pid in &self.0 {
            add_threads(*pid, &mut threads);
        }
        Usage {
            cpu: self.0.iter().map(|pid| cpu(*pid)).sum(),
            threads: threads.into_iter().collect(),
            rss_mib: self.0.iter().map(|pid| rss_mib(*pid)).sum(),
        }
    }
}

impl Usage {
    /// What was used after `before`. Memory is not a difference.
    pub fn since(&self, before: &Self) -> Self {
        let earlier: BTreeMap<_, _> = before.threads.iter().cloned().collect();
        let spent = |(name, time): &(String, Duration)| {
            let before = earlier.get(name).copied().unwrap_or_default();
            (name.clone(), time.saturating_sub(before))
        };
        let mut threads: Vec<_> = self.threads.iter().map(spent).collect();
        threads.sort_unstable_by_key(|(_, time)| std::cmp::Reverse(*time));
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            threads,
            rss_mib: self.rss_mib,
        }
    }
}

/// Fields 14 and 15 of `stat`. A process that is gone has used nothing.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Field 2 is a name in parentheses that may hold blanks.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn add_threads(pid: u32, threads: &mut BTreeMap<String, Duration>) {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    for task in tasks.into_iter().flatten().flatten() {
        let text = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let name = text("comm");
        let name = name
            .trim()
            .trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        let nanos = text("schedstat");
        let nanos = nanos.split_whitespace().next().and_then(|n| n.parse().ok());
        *threads.entry(name.to_owned()).or_default() += Duration::from_nanos(nanos.unwrap_or(0));
    }
}

fn rss_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_its_work_shows() {
        let meter = Meter::of([std::process::id()]);
        let before = meter.read();
        let mut sum = 0_u64;
        while meter.read().since(&before).cpu < Duration::from_millis(20) {
            sum = sum.wrapping_mul(31).wrapping_add(7);
        }
        assert!(before.rss_mib > 0.1, "{sum}");
    }

    #[test]
    fn a_process_that_is_gone_has_used_nothing() {
        let usage = Meter::of([u32::MAX]).read();
        assert_eq!((usage.cpu, usage.rss_mib), (Duration::ZERO, 0.0));
    }
}
