//! The journal's writer and recovery over a disk that stops, fails and forgets at any operation, also while a
//! recovery is under way. What was acknowledged is there afterwards; what was refused is not.
//!
//! `SEALWRIGHT_CRASH_POINTS` says how many (default 300), `SEALWRIGHT_CRASH_SEED` repeats a run's choices.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use sealwright_core::journal::{BATCH_MAX, Kept};
use sealwright_core::record::{Event, LogRecovered, Record};
use sealwrightd::audit::disk::Disk;
use sealwrightd::audit::record_torn;
use sealwrightd::audit::recovery::{Recovered, recover, replay};
use sealwrightd::audit::segments::{Segments, Space};
use sealwrightd::audit::writer::{Journal, RecordError};
use sealwrightd::failpoints::Failpoints;
use support::{Dice, Fault, FixedClock, MemoryDisk, genesis, started};

/// Room for one batch of any size and then a few small ones, so that segments change often.
const SEGMENT_BYTES: u64 = BATCH_MAX as u64 + (12 << 10);
/// Starts of one log; each ends in a crash but the last.
const LIVES: usize = 6;
/// Operations that may pass before one goes wrong.
const CALM: usize = 20;
/// Records per life, sent in groups.
const GROUPS: usize = 8;
const GROUP: usize = 4;

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Crash {
    PowerCut,
    Killed,
    IoError,
    NoSpace,
}

const CRASHES: [Crash; 4] = [
    Crash::PowerCut,
    Crash::Killed,
    Crash::IoError,
    Crash::NoSpace,
];

/// One log over its lives, and what its clients were told.
struct Story {
    disk: MemoryDisk,
    dice: Dice,
    sent: u64,
    /// Index by number of the record.
    acknowledged: BTreeMap<u64, u64>,
    /// Numbers of records that were certainly not written.
    refused: BTreeSet<u64>,
    /// A torn batch was found, and nothing acknowledged since says so.
    torn: Option<u64>,
    torn_found: usize,
}

impl Story {
    fn new(seed: u64) -> Self {
        Self {
            disk: MemoryDisk::default(),
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            sent: 0,
            acknowledged: BTreeMap::new(),
            refused: BTreeSet::new(),
            torn: None,
            torn_found: 0,
        }
    }

    /// One start and what follows it. Returns whether the crash came before the life was over.
    fn life(&mut self, runtime: &tokio::runtime::Runtime, crash: Option<Crash>) -> bool {
        self.disk.heal();
        let found = recover(&self.disk, Path::new("/journal"), &mut |_, _| {}).unwrap();
        self.arm(crash);
        // A start that fails is a crash of the recovery. What is torn may then be lost with the page cache.
        if let Ok((journal, thread)) = start(&self.disk, &found) {
            // Before the genesis there is no log that could say so.
            if let Some(torn) = &found.torn
                && found.chain.index > 0
                && !self.is_rest(torn)
            {
                self.torn_found += 1;
                self.torn.get_or_insert(found.chain.index);
            }
            runtime.block_on(self.run(&journal, found.torn));
            drop(journal);
            thread.join().unwrap();
        }
        if matches!(crash, Some(Crash::PowerCut | Crash::IoError)) && self.dice.roll(4) > 0 {
            let mut dice = self.dice.clone();
            self.disk.lose_power(|| dice.coin());
            self.dice = dice;
        }
        let has_crashed = self.disk.has_failed();
        self.disk.heal();
        self.check(crash);
        has_crashed
    }

    /// Whether it is what was left of a torn batch when its record, now the last one, became durable.
    fn is_rest(&self, torn: &LogRecovered) -> bool {
        let log = read(&self.disk);
        let Some(Event::LogRecovered(recorded)) = log.last().map(|record| &record.event) else {
            return false;
        };
        let end = torn.offset + torn.bytes;
        recorded.segment == torn.segment && end <= recorded.offset + recorded.bytes
    }

    fn arm(&mut self, crash: Option<Crash>) {
        let after = u32::try_from(self.dice.roll(CALM)).unwrap();
        let seed = Dice(1 + self.dice.roll(usize::MAX / 2) as u64);
        match crash {
            Some(Crash::PowerCut | Crash::Killed) => {
                self.disk.fail_after(after, Fault::Stop, seed);
            }
            Some(Crash::IoError) => self.disk.fail_after(after, Fault::Eio, seed),
            Some(Crash::NoSpace) => self.disk.fill_up(),
            None => {}
        }
    }

    async fn run(&mut self, journal: &Journal, torn: Option<LogRecovered>) {
        if journal.with_state(|state| state.genesis().is_none())
            && journal.record(genesis()).await.is_err()
        {
            return;
        }
        if let Some(torn) = torn
            && record_torn(journal, torn).await.is_err()
        {
            return;
        }
        for _ in 0..GROUPS {
            let first = self.sent;
            let group: Vec<_> = (first..first + GROUP as u64)
                .map(|n| tokio::spawn(send(journal.clone(), n, self.dice.roll(1500))))
                .collect();
            self.sent += GROUP as u64;
            for (n, answer) in (first..).zip(group) {
                self.note(n, answer.await.unwrap());
            }
        }
    }

    fn note(&mut self, n: u64, answer: Result<u64, RecordError>) {
        match answer {
            Ok(index) => {
                self.acknowledged.insert(n, index);
            }
            // What was in flight when the disk failed may be there or not.
            Err(RecordError::Poisoned) => {}
            Err(RecordError::Full) => {
                self.refused.insert(n);
            }
            Err(error) => panic!("record {n}: {error}"),
        }
    }

    /// Reads the log as a start does, and compares it with what was told.
    fn check(&mut self, crash: Option<Crash>) {
        let log = read(&self.disk);
        let mut at = BTreeMap::new();
        for (index, record) in (0..).zip(&log) {
            assert_eq!(record.seq, index);
            if let Event::DaemonStarted(started) = &record.event {
                let before = at.insert(started.boottime_ms, index);
                assert_eq!(before, None, "{} stands twice", started.boottime_ms);
            }
        }
        for (n, index) in &self.acknowledged {
            assert_eq!(at.get(n), Some(index), "acknowledged record {n}, {crash:?}");
        }
        for n in &self.refused {
            assert_eq!(at.get(n), None, "refused record {n} is in the log");
        }
        self.check_torn(&log);
    }

    /// Once anything is acknowledged behind a torn batch, the log says that there was one.
    fn check_torn(&mut self, log: &[Record]) {
        let Some(from) = self.torn else { return };
        let is_recorded = log
            .iter()
            .any(|record| record.seq >= from && matches!(record.event, Event::LogRecovered(_)));
        let goes_on = self.acknowledged.values().any(|index| *index >= from);
        assert!(is_recorded || !goes_on, "a torn batch went unrecorded");
        if is_recorded {
            self.torn = None;
        }
    }
}

/// All records, as a start reads them.
fn read(disk: &MemoryDisk) -> Vec<Record> {
    let mut log = Vec::new();
    replay(disk, Path::new("/journal"), 0, &mut |batch| {
        for kept in &batch.entries {
            let Kept::Whole(entry) = kept else {
                panic!("a body is gone")
            };
            log.push(serde_json::from_slice::<Record>(&entry.body).unwrap());
        }
    })
    .unwrap();
    log
}

async fn send(journal: Journal, n: u64, padding: usize) -> Result<u64, RecordError> {
    let event = started("x".repeat(padding), n);
    journal.record(event).await.map(|recorded| recorded.index())
}

type Started = (Journal, std::thread::JoinHandle<()>);

fn start(disk: &MemoryDisk, found: &Recovered) -> std::io::Result<Started> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let space = Arc::new(Space::default());
    let segments = Segments::open(shared, SEGMENT_BYTES, Arc::clone(&space), found)?;
    space.keep(disk, SEGMENT_BYTES, 0);
    let (clock, failpoints) = (Arc::new(FixedClock), Arc::new(Failpoints::default()));
    let state = found.state.clone();
    Journal::start(segments, state, clock, failpoints, Vec::new())
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_refused_appears_wherever_a_crash_hits() {
    let points = usize::try_from(from_env("SEALWRIGHT_CRASH_POINTS", 300)).unwrap();
    let seed = from_env("SEALWRIGHT_CRASH_SEED", 1);
    println!("{points} crash points, SEALWRIGHT_CRASH_SEED={seed}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let (mut counts, mut acknowledged, mut torn) = (BTreeMap::new(), 0, 0);
    let mut total = 0;
    for number in 0.. {
        if total >= points {
            break;
        }
        let mut story = Story::new(seed.wrapping_add(number));
        for _ in 1..LIVES {
            let crash = CRASHES[story.dice.roll(CRASHES.len())];
            if story.life(&runtime, Some(crash)) {
                total += 1;
                *counts.entry(crash).or_insert(0) += 1;
            }
        }
        assert!(!story.life(&runtime, None));
        assert!(story.torn.is_none(), "a torn batch went unrecorded");
        acknowledged += story.acknowledged.len();
        torn += story.torn_found;
    }
    println!("{total} crash points passed: {counts:?}");
    println!("{acknowledged} records acknowledged and found, {torn} torn batches");
    assert!(torn * 20 >= total, "too few torn batches");
}
