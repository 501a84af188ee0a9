//! An erasure reaches journal, index and snapshot, and every later start knows the same, however it begins.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealwright_core::journal::{Kept, SEGMENT_MIN};
use sealwright_core::record::{Actor, AuditErased, Event, Selection, Warrant};
use sealwright_core::state::State;
use sealwright_core::time::Timestamp;
use sealwright_core::tlog::Hash;
use sealwrightd::audit::erasure::select;
use sealwrightd::audit::fsck::{Scope, check};
use sealwrightd::audit::shard::{OldLog, read};
use sealwrightd::audit::snapshot::SMALLEST_LOG;
use sealwrightd::audit::{Audit, Settings, open};
use sealwrightd::failpoints::Failpoints;
use support::{FixedClock, genesis, signed};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(60);

struct Log {
    folder: TempDir,
    runtime: Runtime,
}

impl Log {
    /// A log of signatures for two tenants, closed in good order, with a snapshot.
    fn new() -> Self {
        let this = Self {
            folder: tempfile::tempdir().unwrap(),
            runtime: Runtime::new().unwrap(),
        };
        let Event::Genesis(genesis) = genesis() else {
            panic!("no genesis")
        };
        let json = serde_json::to_vec(&genesis).unwrap();
        fs::write(this.folder.path().join("genesis.json"), json).unwrap();
        let mut audit = this.open();
        this.grow(&mut audit, SMALLEST_LOG);
        this.close(audit);
        this
    }

    fn open(&self) -> Audit {
        let settings = Settings {
            state_dir: self.folder.path().to_owned(),
            segment_bytes: SEGMENT_MIN,
            low_water_bytes: 0,
        };
        let failpoints = Arc::new(Failpoints::default());
        let opened = open(&settings, Arc::new(FixedClock), failpoints);
        self.runtime.block_on(opened).unwrap()
    }

    fn grow(&self, audit: &mut Audit, records: u64) {
        for first in (0..records).step_by(512) {
            let adding: Vec<_> = (first..records.min(first + 512))
                .map(|n| {
                    let event = signed(if n % 2 == 0 { "a" } else { "b" }, n);
                    let journal = audit.journal.clone();
                    self.runtime
                        .spawn(async move { journal.record(event).await.map(drop) })
                })
                .collect();
            for added in adding {
                self.runtime.block_on(added).unwrap().unwrap();
            }
            audit.tree.advance(&audit.pending).unwrap();
        }
    }

    fn close(&self, audit: Audit) {
        audit.journal.close();
        audit.writer.join().unwrap();
        audit.indexer.join().unwrap();
    }

    /// Erases everything of tenant `a`, and waits for its end.
    fn erase(&self, audit: &Audit) {
        let folder = self.folder.path().join("journal");
        let before = Timestamp::from_unix_millis(2);
        let none = Selection::default();
        let due = select(
            audit.disk.as_ref(),
            &folder,
            &"a".parse().unwrap(),
            before,
            &none,
        );
        let peer = serde_json::from_str(r#"{"uid":0,"gid":0,"pid":0}"#).unwrap();
        let by = Actor {
            principal: "operator".to_owned(),
            peer,
        };
        self.runtime.block_on(async {
            audit.journal.rotate().await.unwrap();
            for part in due.unwrap().parts {
                let event = Event::AuditErased(AuditErased {
                    tenant: "a".parse().unwrap(),
                    before,
                    segment: part.segment,
                    count: part.selection.count(),
                    selection: part.selection,
                    reason: "asked for".to_owned(),
                    by: by.clone(),
                    warrant: Warrant::default(),
                });
                let _ = audit.journal.record(event).await.unwrap();
            }
        });
        audit.eraser.wake();
        let is_done = || {
            audit
                .journal
                .with_state(|s| s.outstanding_erasures().is_empty())
        };
        wait_until(|| is_done() || audit.eraser.trouble().is_some());
        assert_eq!(audit.eraser.trouble(), None);
    }

    /// What the next start knows, and from where it read.
    fn knows(&self) -> (State, Hash, u64) {
        let audit = self.open();
        let state = audit.journal.with_state(Clone::clone);
        let (root, from) = (audit.tree.frontier().root(), audit.resumed_from);
        self.close(audit);
        (state, root, from)
    }

    /// Everything is sound, the index too.
    fn assert_sound(&self) {
        let scope = Scope {
            state_dir: self.folder.path().to_owned(),
            ..Scope::default()
        };
        let report = check(&scope, &mut |_| {}).unwrap();
        assert!(report.findings.is_empty(), "{report:?}");
        assert!(report.indexed.is_some(), "{report:?}");
    }
}

fn wait_until(what: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !what() {
        assert!(Instant::now() < deadline, "too slow");
        std::thread::yield_now();
    }
}

fn is_kept(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_kept(&path, text);
        }
        let bytes = fs::read(&path).unwrap();
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    })
}

#[test]
fn an_erasure_reaches_everything_and_every_start_knows_the_same() {
    let log = Log::new();
    let snapshot = log.folder.path().join("snapshot");
    let old = fs::read(&snapshot).unwrap();
    let mut audit = log.open();
    assert_eq!(audit.resumed_from, SMALLEST_LOG + 1);
    assert!(is_kept(log.folder.path(), "spiffe://a/"));
    log.erase(&audit);
    assert!(!is_kept(log.folder.path(), "spiffe://a/"));
    assert!(is_kept(log.folder.path(), "spiffe://b/"));
    let stored = |index| audit.index.get(index).unwrap().unwrap().kept;
    let gone = (0..=SMALLEST_LOG).filter(|index| matches!(stored(*index), Kept::Redacted(_)));
    assert_eq!(gone.count() as u64, SMALLEST_LOG / 2);
    // The background check read the journal before, during or after it: it finds nothing.
    log.grow(&mut audit, 600);
    assert!(!audit.journal.is_poisoned());
    log.close(audit);
    log.assert_sound();

    let new = fs::read(&snapshot).unwrap();
    assert_ne!(new, old);
    let (state, root, from) = log.knows();
    assert!(from > SMALLEST_LOG);
    fs::remove_file(&snapshot).unwrap();
    assert_eq!(log.knows(), (state.clone(), root, 0));
    // A snapshot from before, as if it had been put back: it remembers more, and is no damage.
    fs::write(&snapshot, old).unwrap();
    log.assert_sound();
    assert_eq!(log.knows(), (state, root, SMALLEST_LOG + 1));
}

#[test]
fn a_log_whose_bodies_were_erased_is_taken_over_as_if_they_were_there() {
    let log = Log::new();
    let taken = |records: u64| {
        let old = OldLog {
            state_dir: log.folder.path().to_owned(),
            cut: Some((records, "it never signed a checkpoint".to_owned())),
            ..OldLog::default()
        };
        read(&old, &mut |_| {}).unwrap().shard
    };
    let before = taken(SMALLEST_LOG + 1);
    let audit = log.open();
    log.erase(&audit);
    let records = audit.journal.with_state(State::next_index);
    log.close(audit);
    assert!(!is_kept(&log.folder.path().join("journal"), "spiffe://a/"));
    assert_eq!(taken(SMALLEST_LOG + 1), before);
    // With the records of the erasure.
    assert_eq!(taken(records).predecessor.size, records);
}
