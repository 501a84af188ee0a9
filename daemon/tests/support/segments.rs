//! A journal of several segments on the real disk.

use std::path::Path;
use std::sync::Arc;

use sealwright_core::journal::SEGMENT_MIN;
use sealwright_core::record::Event;
use sealwrightd::audit::disk::{Disk, RealDisk};
use sealwrightd::audit::recovery::recover;
use sealwrightd::audit::segments::{Segments, Space};
use sealwrightd::audit::writer::Journal;
use sealwrightd::failpoints::Failpoints;

use super::{FixedClock, started};

/// Records in [`three_segments`].
pub const RECORDS: u64 = 71;

/// Writes a log of [`RECORDS`] that begins with `genesis`.
pub fn three_segments(folder: &Path, genesis: Event) {
    let large = (1..RECORDS).map(|n| started("x".repeat(100_000), n));
    let events = std::iter::once(genesis).chain(large);
    write(folder, events);
    assert!(folder.join("0000000002.swj").exists());
}

/// Writes a log of these records, each in a batch of its own.
pub fn write(folder: &Path, events: impl IntoIterator<Item = Event>) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder));
    let found = recover(disk.as_ref(), folder, &mut |_, _| {}).unwrap();
    let segments = Segments::open(disk, SEGMENT_MIN, Arc::new(Space::default()), &found).unwrap();
    let (clock, failpoints) = (Arc::new(FixedClock), Arc::new(Failpoints::default()));
    let (journal, thread) =
        Journal::start(segments, found.state, clock, failpoints, Vec::new()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        for event in events {
            let _ = journal.record(event).await.unwrap();
        }
    });
    drop(journal);
    thread.join().unwrap();
}
