//! A child that starts an audit log as the daemon does, and says how long that took and what memory it needs.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealwrightd::audit::{self, Settings};
use sealwrightd::clock::SystemClock;
use sealwrightd::failpoints::Failpoints;
use serde::{Deserialize, Serialize};

/// Time for the index.
const LIMIT: Duration = Duration::from_secs(600);

/// Which one.
#[derive(Debug, clap::Args)]
pub struct Args {
    state_dir: PathBuf,
}

/// What a start took.
#[derive(Debug, Serialize, Deserialize)]
pub struct Started {
    /// Until records can be written.
    pub ready_ms: f64,
    /// Index of the first record that was read.
    pub from: u64,
    /// Most resident memory until the index had everything.
    pub peak_mib: f64,
}

/// Starts, waits for the index, and prints one line of JSON.
pub fn run(args: &Args) -> io::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let settings = Settings {
        state_dir: args.state_dir.clone(),
        segment_bytes: 64 << 20,
        low_water_bytes: 0,
    };
    let begun = Instant::now();
    let opened = audit::open(
        &settings,
        Arc::new(SystemClock),
        Arc::new(Failpoints::default()),
    );
    let audit = runtime.block_on(opened).map_err(io::Error::other)?;
    let ready_ms = begun.elapsed().as_secs_f64() * 1e3;
    let next = audit.journal.with_state(|state| state.next_index());
    runtime.block_on(audit.index.wait_for(next, LIMIT));
    let started = Started {
        ready_ms,
        from: audit.resumed_from,
        peak_mib: peak_mib(),
    };
    println!("{}", serde_json::to_string(&started)?);
    audit.journal.close();
    audit
        .writer
        .join()
        .map_err(|_| io::Error::other("the journal's writer panicked"))
}

/// `VmHWM` of this process, see proc(5).
fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}
