//! What the disk under the state folder takes for a sync: no daemon that records first can be quicker.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Instant;

use crate::sample::{micros, quantile};

/// Bytes per append: about a record's.
const APPEND: usize = 512;
/// Appends per measurement.
const TIMES: usize = 2000;

/// Latency of append and `fdatasync`, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Sync {
    /// The median in microseconds.
    pub p50_us: f64,
    /// 99 of 100 are not longer.
    pub p99_us: f64,
}

impl Sync {
    /// Measures in a file of its own in `folder`: filled with zeros first, as the journal's segments are.
    pub fn measure(folder: &Path) -> io::Result<Self> {
        let path = folder.join("bench.sync");
        let result = measure(&path);
        std::fs::remove_file(&path)?;
        result
    }
}

fn measure(path: &Path) -> io::Result<Sync> {
    let mut file = File::create(path)?;
    file.write_all(&vec![0; APPEND * TIMES])?;
    file.sync_all()?;
    let mut latencies = Vec::with_capacity(TIMES);
    for number in 0..TIMES {
        let begun = Instant::now();
        file.write_all_at(&[0x5a; APPEND], (number * APPEND) as u64)?;
        file.sync_data()?;
        latencies.push(begun.elapsed());
    }
    latencies.sort_unstable();
    let at = |share| micros(quantile(&latencies, share));
    Ok(Sync {
        p50_us: at(0.5),
        p99_us: at(0.99),
    })
}
