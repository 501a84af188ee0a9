//! A start from a snapshot knows what a start that reads everything knows, and never believes it against the journal.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealwright_core::journal::SEGMENT_MIN;
use sealwright_core::record::{Activated, Event};
use sealwright_core::state::State;
use sealwright_core::tlog::Hash;
use sealwrightd::audit::snapshot::{EVERY, SMALLEST_LOG};
use sealwrightd::audit::{Audit, OpenError, Settings, open};
use sealwrightd::failpoints::Failpoints;
use support::{FixedClock, genesis, started};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(60);

struct Log {
    folder: TempDir,
    runtime: Runtime,
}

impl Log {
    /// A log of `records`, closed in good order.
    fn of(records: u64) -> Self {
        let this = Self {
            folder: tempfile::tempdir().unwrap(),
            runtime: Runtime::new().unwrap(),
        };
        let Event::Genesis(genesis) = genesis() else {
            panic!("no genesis")
        };
        let json = serde_json::to_vec(&genesis).unwrap();
        fs::write(this.path("genesis.json"), json).unwrap();
        let mut audit = this.open();
        this.grow(&mut audit, records - 1);
        this.close(audit);
        this
    }

    fn path(&self, inside: &str) -> std::path::PathBuf {
        self.folder.path().join(inside)
    }

    fn open(&self) -> Audit {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<Audit, OpenError> {
        let settings = Settings {
            state_dir: self.folder.path().to_owned(),
            segment_bytes: SEGMENT_MIN,
            low_water_bytes: 0,
        };
        let opened = open(
            &settings,
            Arc::new(FixedClock),
            Arc::new(Failpoints::default()),
        );
        self.runtime.block_on(opened)
    }

    /// Adds `records`, and brings the tiles up to date in between.
    fn grow(&self, audit: &mut Audit, records: u64) {
        for first in (0..records).step_by(256) {
            let adding: Vec<_> = (first..records.min(first + 256))
                .map(|n| {
                    let journal = audit.journal.clone();
                    let event = if n % 1000 == 7 {
                        let digest = sealwright_core::digest::Sha256Digest::of(&[&n.to_le_bytes()]);
                        Event::ConfigActivated(Activated { digest })
                    } else {
                        started("run", n)
                    };
                    self.runtime
                        .spawn(async move { journal.record(event).await.map(drop) })
                })
                .collect();
            for added in adding {
                self.runtime.block_on(added).unwrap().unwrap();
            }
            if first % 1024 == 0 {
                audit.tree.advance(&audit.pending).unwrap();
            }
        }
    }

    fn close(&self, audit: Audit) {
        audit.journal.close();
        audit.writer.join().unwrap();
    }

    /// What the next start knows, and from where it read.
    fn knows(&self) -> (State, Hash, u64) {
        let audit = self.open();
        let state = audit.journal.with_state(Clone::clone);
        let (root, from) = (audit.tree.frontier().root(), audit.resumed_from);
        self.close(audit);
        (state, root, from)
    }

    /// The same without a snapshot.
    fn knows_from_everything(&self) -> (State, Hash) {
        fs::remove_file(self.path("snapshot")).unwrap();
        let (state, root, from) = self.knows();
        assert_eq!(from, 0);
        (state, root)
    }
}

fn flip(path: &Path, at: u64) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

fn wait_until(what: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !what() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}

#[test]
fn a_start_from_a_snapshot_knows_what_one_that_reads_everything_knows() {
    let log = Log::of(SMALLEST_LOG + 1000);
    let (state, root, from) = log.knows();
    assert_eq!(from, SMALLEST_LOG + 1000);
    assert_eq!(log.knows_from_everything(), (state, root));
}

#[test]
fn after_a_crash_what_follows_the_snapshot_is_read() {
    let log = Log::of(SMALLEST_LOG);
    let mut audit = log.open();
    let before = fs::read(log.path("snapshot")).unwrap();
    log.grow(&mut audit, EVERY / 2);
    log.close(audit);
    // As if it had not been closed.
    fs::write(log.path("snapshot"), before).unwrap();
    let (state, root, from) = log.knows();
    assert_eq!(
        (from, state.next_index()),
        (SMALLEST_LOG, SMALLEST_LOG + EVERY / 2)
    );
    assert_eq!(log.knows_from_everything(), (state, root));
}

#[test]
fn a_log_that_is_read_in_no_time_has_no_snapshot() {
    let log = Log::of(SMALLEST_LOG - 1);
    assert!(!log.path("snapshot").exists());
    assert_eq!(log.knows().2, 0);
}

#[test]
fn a_damaged_snapshot_or_one_of_another_journal_is_not_used() {
    let log = Log::of(SMALLEST_LOG);
    let (state, root, _) = log.knows();
    let good = fs::read(log.path("snapshot")).unwrap();
    for at in [0, 40, good.len() as u64 - 1] {
        flip(&log.path("snapshot"), at);
        assert_eq!(log.knows(), (state.clone(), root, 0), "byte {at}");
    }
    fs::write(log.path("snapshot"), &good[..good.len() / 2]).unwrap();
    assert_eq!(log.knows().2, 0);
    let other = Log::of(SMALLEST_LOG);
    fs::copy(other.path("snapshot"), log.path("snapshot")).unwrap();
    assert_eq!(log.knows(), (state, root, 0));
}

#[test]
fn tiles_whose_right_edge_is_not_the_snapshots_are_made_anew() {
    let log = Log::of(SMALLEST_LOG);
    let (state, root, _) = log.knows();
    fs::remove_dir_all(log.path("tiles")).unwrap();
    assert_eq!(log.knows(), (state.clone(), root, 0));
    let mut audit = log.open();
    log.grow(&mut audit, 1);
    log.close(audit);
    let (state, root, from) = log.knows();
    assert_eq!(from, SMALLEST_LOG + 1);
    flip(&log.path("tiles/tile/1/000.p/32"), 3);
    assert_eq!(log.knows(), (state, root, 0));
}

#[test]
fn damage_that_a_start_did_not_read_stops_signing_and_refuses_the_next_start() {
    let log = Log::of(SMALLEST_LOG);
    flip(&log.path("journal/0000000000.swj"), 5000);
    let audit = log.open();
    assert_eq!(audit.resumed_from, SMALLEST_LOG);
    wait_until(|| audit.journal.is_poisoned());
    log.close(audit);
    assert!(!log.path("snapshot").exists());
    let said = log.try_open().err().unwrap().to_string();
    assert!(
        said.contains("0000000000.swj is damaged at byte 4"),
        "{said}"
    );
}

#[test]
fn a_snapshot_with_altered_key_states_stops_signing() {
    let log = Log::of(SMALLEST_LOG);
    let bytes = fs::read(log.path("snapshot")).unwrap();
    let text = String::from_utf8(bytes[32..].to_vec()).unwrap();
    let forged = text.replace("\"suspect_tokens\":[]", "\"suspect_tokens\":[\"t\"]");
    assert_ne!(forged, text);
    let digest = sealwright_core::digest::Sha256Digest::of(&[forged.as_bytes()]);
    fs::write(
        log.path("snapshot"),
        [&digest.0, forged.as_bytes()].concat(),
    )
    .unwrap();
    let audit = log.open();
    assert_eq!(audit.resumed_from, SMALLEST_LOG);
    wait_until(|| audit.journal.is_poisoned());
    log.close(audit);
    assert_eq!(log.knows().2, 0);
}
