//! The journal over a disk that fails and forgets: what was acknowledged is there afterwards, always.
#![allow(clippy::unwrap_used)]

mod support;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use proptest::prelude::*;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::journal::{BODY_MAX, SEGMENT_MIN};
use sealwright_core::record::{Activated, Event};
use sealwright_core::time::Timestamp;
use sealwrightd::audit::disk::{Disk, SegmentFile};
use sealwrightd::audit::recovery::{Recovered, RecoveryError, recover, segment_name};
use sealwrightd::audit::segments::{Segments, Space};
use sealwrightd::audit::writer::{Journal, RecordError};
use sealwrightd::clock::Clock;
use sealwrightd::failpoints::Failpoints;
use support::{Dice, Fault, FixedClock, MemoryDisk, genesis, started};

fn note(n: u64, padding: usize) -> Event {
    started("x".repeat(padding), n)
}

fn recovered(disk: &MemoryDisk) -> Result<Recovered, RecoveryError> {
    recover(disk, Path::new("/journal"), &mut |_, _| {})
}

fn start(disk: &MemoryDisk) -> (Journal, Arc<Space>, std::thread::JoinHandle<()>) {
    start_at(disk, Arc::new(FixedClock))
}

fn start_at(
    disk: &MemoryDisk,
    clock: Arc<dyn Clock>,
) -> (Journal, Arc<Space>, std::thread::JoinHandle<()>) {
    let found = recovered(disk).unwrap();
    let space = Arc::new(Space::default());
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let segments = Segments::open(shared, SEGMENT_MIN, Arc::clone(&space), &found).unwrap();
    let failpoints = Arc::new(Failpoints::default());
    let (journal, thread) =
        Journal::start(segments, found.state, clock, failpoints, Vec::new()).unwrap();
    (journal, space, thread)
}

/// A journal with genesis and `notes` records of `padding` bytes, closed.
fn written(notes: u64, padding: usize) -> MemoryDisk {
    let disk = MemoryDisk::default();
    let (journal, _, thread) = start(&disk);
    block_on(async {
        let _ = journal.record(genesis()).await.unwrap();
        for n in 1..=notes {
            assert_eq!(journal.record(note(n, padding)).await.unwrap().index(), n);
        }
    });
    drop(journal);
    thread.join().unwrap();
    disk
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn records_are_there_after_a_restart() {
    assert_eq!(recovered(&written(1, 1)).unwrap().state.next_index(), 2);
}

/// A disk whose first look at what lies beyond `from` comes before it was written.
struct Growing {
    disk: MemoryDisk,
    from: u64,
    has_grown: AtomicBool,
}

impl Disk for Growing {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn read(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = self.disk.read(name, offset, len)?;
        let beyond = usize::try_from(self.from.saturating_sub(offset)).unwrap();
        if bytes.len() > beyond && !self.has_grown.swap(true, Ordering::Relaxed) {
            bytes[beyond..].fill(0);
        }
        Ok(bytes)
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        self.disk.len(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        self.disk.open(name)
    }

    fn create(&self, name: &str, len: u64) -> io::Result<()> {
        self.disk.create(name, len)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }
}

#[test]
fn a_journal_that_grows_between_two_looks_is_not_damaged() {
    let disk = Growing {
        from: recovered(&written(3, 1)).unwrap().offset,
        disk: written(5, 1),
        has_grown: AtomicBool::new(false),
    };
    let found = recover(&disk, Path::new("/journal"), &mut |_, _| {}).unwrap();
    assert!(disk.has_grown.into_inner());
    assert_eq!(found.state.next_index(), 6);
}

#[test]
fn a_failed_sync_poisons_the_journal_until_a_restart_has_read_the_disk() {
    let disk = written(0, 0);
    let (journal, _, thread) = start(&disk);
    block_on(async {
        disk.fail_syncs();
        assert_eq!(
            journal.record(note(1, 1)).await.unwrap_err(),
            RecordError::Poisoned
        );
        disk.heal();
        assert_eq!(
            journal.record(note(2, 1)).await.unwrap_err(),
            RecordError::Poisoned
        );
        assert!(journal.is_poisoned());
    });
    drop(journal);
    thread.join().unwrap();
    disk.lose_power(|| false);
    let (journal, _, _thread) = start(&disk);
    assert_eq!(block_on(journal.record(note(3, 1))).unwrap().index(), 1);
}

#[test]
fn a_full_disk_is_known_before_the_last_segment_is_full() {
    let disk = written(0, 0);
    let (journal, space, _thread) = start(&disk);
    space.keep(&disk, SEGMENT_MIN, 0);
    disk.fill_up();
    block_on(async {
        let mut n = 1;
        while space.is_enough() {
            let _ = journal.record(note(n, 100_000)).await.unwrap();
            space.keep(&disk, SEGMENT_MIN, 0);
            n += 1;
        }
        // Denials still find room: the reserve is for them.
        let _ = journal.record(note(n, 100_000)).await.unwrap();
    });
    disk.heal();
    space.keep(&disk, SEGMENT_MIN, 0);
    assert!(space.is_enough());
}

#[test]
fn damage_above_the_last_batch_is_refused_with_file_and_offset() {
    let disk = written(4, 10);
    disk.flip(&segment_name(0), 4096 + 300);
    let text = recovered(&disk).err().unwrap().to_string();
    assert!(
        text.contains("0000000000.swj") && text.contains("4096"),
        "{text}"
    );
}

#[test]
fn a_missing_or_exchanged_segment_is_refused() {
    let disk = written(99, 120_000);
    assert!(disk.list().unwrap().contains(&segment_name(2)));
    assert_eq!(recovered(&disk).unwrap().state.next_index(), 100);
    disk.remove(&segment_name(1));
    assert!(matches!(
        recovered(&disk),
        Err(RecoveryError::Missing { .. })
    ));
}

#[test]
fn a_record_that_is_too_large_is_refused_and_the_next_one_is_not() {
    let disk = written(0, 0);
    let (journal, _, thread) = start(&disk);
    block_on(async {
        let refused = journal.record(note(1, BODY_MAX)).await.unwrap_err();
        assert!(
            matches!(refused, RecordError::TooLarge(n) if n > BODY_MAX),
            "{refused}"
        );
        assert_eq!(journal.record(note(2, 1)).await.unwrap().index(), 1);
    });
    drop(journal);
    thread.join().unwrap();
    assert_eq!(recovered(&disk).unwrap().state.next_index(), 2);
}

/// Says what it was set to last.
#[derive(Default)]
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.0.load(Ordering::Relaxed))
    }
}

#[test]
fn a_clock_that_jumps_a_year_back_or_forward_never_sets_a_record_before_another() {
    const YEAR: i64 = 365 * 24 * 3600 * 1000;
    let disk = MemoryDisk::default();
    let clock = Arc::new(SetClock::default());
    let mut times = Vec::new();
    for now in [20 * YEAR, 19 * YEAR, 21 * YEAR, 20 * YEAR, 22 * YEAR] {
        clock.0.store(now, Ordering::Relaxed);
        // A restart in between changes nothing.
        let (journal, _, thread) = start_at(&disk, Arc::clone(&clock) as Arc<dyn Clock>);
        let event = if times.is_empty() {
            genesis()
        } else {
            note(1, 1)
        };
        let _ = block_on(journal.record(event)).unwrap();
        drop(journal);
        thread.join().unwrap();
        times.push(recovered(&disk).unwrap().state.last_time());
    }
    let years = [20, 20, 21, 21, 22].map(|year| Timestamp::from_unix_millis(year * YEAR));
    assert_eq!(times, years);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Power fails at a sync; sectors of the batch in flight survive or not. What was acknowledged is there,
    /// and the log goes on.
    #[test]
    fn what_was_acknowledged_survives_a_power_cut(
        cut_after in 0u32..12,
        padding in 1usize..4000,
        dice in proptest::collection::vec(any::<bool>(), 64),
    ) {
        let disk = written(0, 0);
        let (journal, _, thread) = start(&disk);
        let acknowledged = block_on(async {
            disk.fail_after(cut_after, Fault::Stop, Dice(1 + u64::from(cut_after)));
            let mut acknowledged = 1;
            while journal.record(note(acknowledged, padding)).await.is_ok() {
                acknowledged += 1;
            }
            acknowledged
        });
        drop(journal);
        thread.join().unwrap();
        let mut dice = dice.into_iter().cycle();
        disk.lose_power(|| dice.next().unwrap());
        disk.heal();
        let found = recovered(&disk).unwrap().state.next_index();
        // The batch in flight may have reached the platter whole.
        prop_assert!((acknowledged..=acknowledged + 1).contains(&found), "{found} of {acknowledged}");
        let (journal, _, thread) = start(&disk);
        let activated = Event::ConfigActivated(Activated { digest: Sha256Digest::default() });
        prop_assert_eq!(block_on(journal.record(activated)).unwrap().index(), found);
        drop(journal);
        thread.join().unwrap();
        prop_assert_eq!(recovered(&disk).unwrap().state.next_index(), found + 1);
    }
}
