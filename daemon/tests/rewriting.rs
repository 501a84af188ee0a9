//! Bodies are destroyed in the journal on the authority of a record, whatever goes wrong in between; nothing else is.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::sync::Arc;

use sealwright_core::journal::{BATCH_MAX, Chain, Gone, HEADER_LEN, Kept, Redacted};
use sealwright_core::record::{Actor, AuditErased, Event, Rest, Selection, Warrant};
use sealwright_core::state::State;
use sealwright_core::time::Timestamp;
use sealwrightd::audit::disk::Disk;
use sealwrightd::audit::erasure::{Due, destroy, select};
use sealwrightd::audit::recovery::{Recovered, RecoveryError, recover, replay};
use sealwrightd::audit::rewrite::{Layout, RewriteError, Rewriting};
use sealwrightd::audit::segments::{Segments, Space};
use sealwrightd::audit::writer::Journal;
use sealwrightd::failpoints::Failpoints;
use support::{Dice, Fault, FixedClock, MemoryDisk, genesis, signed};

/// Room for one batch of any size and then a few small ones, so that there are several segments.
const SEGMENT_BYTES: u64 = BATCH_MAX as u64 + (12 << 10);
const FOLDER: &str = "/journal";

/// A journal on a disk in memory.
struct Log(MemoryDisk);

impl Log {
    /// In several segments.
    fn new() -> Self {
        Self::of(36)
    }

    /// One record of tenant `a`, one of `b`, and so on.
    fn of(signatures: u64) -> Self {
        let this = Self(MemoryDisk::default());
        let signatures = (0..signatures).map(|n| signed(if n % 2 == 0 { "a" } else { "b" }, n));
        this.add(std::iter::once(genesis()).chain(signatures));
        this
    }

    /// Adds records, each in a batch of its own, and closes the last segment.
    fn add(&self, events: impl IntoIterator<Item = Event>) {
        let found = self.recovered().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(self.0.clone());
        let space = Arc::new(Space::default());
        let segments = Segments::open(disk, SEGMENT_BYTES, space, &found).unwrap();
        let (clock, failpoints) = (Arc::new(FixedClock), Arc::new(Failpoints::default()));
        let started = Journal::start(segments, found.state, clock, failpoints, Vec::new());
        let (journal, thread) = started.unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            for event in events {
                let _ = journal.record(event).await.unwrap();
            }
            journal.rotate().await.unwrap();
        });
        drop(journal);
        thread.join().unwrap();
    }

    fn recovered(&self) -> Result<Recovered, RecoveryError> {
        recover(&self.0, Path::new(FOLDER), &mut |_, _| {})
    }

    fn state(&self) -> State {
        self.recovered().unwrap().state
    }

    fn due(&self, tenant: &str) -> Due {
        let before = Timestamp::from_unix_millis(2);
        let tenant = tenant.parse().unwrap();
        select(
            &self.0,
            Path::new(FOLDER),
            &tenant,
            before,
            &Selection::default(),
        )
        .unwrap()
    }

    /// Records that everything of `tenant` is to be erased.
    fn authorise(&self, tenant: &str) {
        let due = self.due(tenant);
        self.add(
            due.parts
                .into_iter()
                .map(|part| erased(tenant, part.segment, part.selection)),
        );
    }

    fn destroy(&self) -> Result<u64, RewriteError> {
        let outstanding = self.state().outstanding_erasures().clone();
        destroy(&self.0, Path::new(FOLDER), 0, &outstanding, &mut |_| {})
    }

    /// Every record, and the chain at the end of each batch.
    fn read(&self) -> (Vec<Kept>, Vec<Chain>) {
        let (mut records, mut chains) = (Vec::new(), Vec::new());
        let end = replay(&self.0, Path::new(FOLDER), 0, &mut |batch| {
            records.extend(batch.entries.iter().cloned());
            chains.push(batch.chain);
        });
        end.unwrap();
        (records, chains)
    }

    /// Takes the body of one record out, with nobody's leave.
    fn rob(&self, segment: u64, victim: u64, gone: Gone) {
        let rewriting = Rewriting {
            disk: &self.0,
            folder: Path::new(FOLDER),
            segment,
            layout: Layout::InPlace,
            low_water_bytes: 0,
        };
        let tenant = "a".parse().unwrap();
        let rest = Rest {
            tenant,
            lasting: Default::default(),
        };
        let redacted = rewriting.run(&mut |index, entry| {
            let (leaf, rest) = (entry.leaf.clone(), rest.clone());
            (index == victim).then_some(Some(Redacted { leaf, gone, rest }))
        });
        assert_eq!(redacted.unwrap(), 1);
    }

    /// The bytes of all files.
    fn bytes(&self) -> Vec<u8> {
        let names = self.0.list().unwrap().into_iter();
        names
            .flat_map(|name| self.0.read(&name, 0, usize::MAX).unwrap())
            .collect()
    }
}

fn erased(tenant: &str, segment: u64, selection: Selection) -> Event {
    let peer = serde_json::from_str(r#"{"uid":0,"gid":0,"pid":0}"#).unwrap();
    Event::AuditErased(AuditErased {
        tenant: tenant.parse().unwrap(),
        before: Timestamp::from_unix_millis(2),
        segment,
        count: selection.count(),
        selection,
        reason: "asked for".to_owned(),
        by: Actor {
            principal: "operator".to_owned(),
            peer,
        },
        warrant: Warrant::default(),
    })
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// The log of some signatures with those of `a` destroyed: nothing but their bodies differs.
fn assert_erased(log: &Log, signatures: u64, before: &(Vec<Kept>, Vec<Chain>)) {
    let (records, chains) = log.read();
    assert_eq!(chains, before.1);
    for (index, (now, then)) in (0..).zip(records.iter().zip(&before.0)) {
        assert_eq!(now.leaf(), then.leaf());
        let is_a = (1..=signatures).contains(&index) && index % 2 == 1;
        match now {
            Kept::Redacted(redacted) => {
                assert!(is_a, "record {index}");
                assert!(matches!(redacted.gone, Gone::Erased { by } if by > signatures));
                assert_eq!(redacted.rest.tenant.as_str(), "a");
            }
            Kept::Whole(_) => assert!(!is_a && now == then, "record {index}"),
        }
    }
    let bytes = log.bytes();
    assert!(!holds(&bytes, "spiffe://a/caller") && holds(&bytes, "spiffe://b/caller"));
    let forgotten = Selection::from_iter((1..=signatures).filter(|index| index % 2 == 1));
    assert_eq!(log.state(), log.state().without(&forgotten));
}

#[test]
fn the_bodies_of_one_tenant_go_and_everything_else_stays() {
    let log = Log::new();
    let due = log.due("a");
    assert_eq!((due.count(), due.parts.len() > 1), (18, true));
    assert_eq!(log.due("nobody").count(), 0);
    log.authorise("a");
    let (before, state) = (log.read(), log.state());
    assert!(holds(&log.bytes(), "spiffe://a/caller"));
    assert_eq!(log.destroy().unwrap(), 18);
    assert_erased(&log, 36, &before);
    assert_eq!(log.state(), state, "the fold does not tell the difference");
    assert_eq!(log.destroy().unwrap(), 0, "nothing is left to do");
    assert_eq!(log.due("a").count(), 0);
    // The other tenant's bodies in the same batches and segments, later.
    log.authorise("b");
    assert_eq!(log.destroy().unwrap(), 18);
    assert!(!holds(&log.bytes(), "spiffe://b/caller"));
    log.recovered().unwrap();
}

#[test]
fn a_crash_at_any_step_leaves_a_sound_journal_and_the_next_start_goes_on() {
    let log = Log::of(12);
    log.authorise("a");
    let before = log.read();
    let mut crashes = 0;
    for fault in [Fault::Stop, Fault::Eio] {
        for after in 0.. {
            let crashed = Log(log.0.copy());
            let mut dice = Dice(1 + after);
            let seed = Dice(77 + after);
            crashed
                .0
                .fail_after(u32::try_from(after).unwrap(), fault, seed);
            let destroyed = crashed.destroy();
            if !crashed.0.has_failed() {
                break;
            }
            crashes += 1;
            assert!(destroyed.is_err());
            crashed.0.heal();
            crashed.0.lose_power(|| dice.coin());
            assert_eq!(crashed.read().1, before.1, "{fault:?} after {after}");
            crashed.recovered().unwrap();
            crashed.destroy().unwrap();
            assert_erased(&crashed, 12, &before);
        }
    }
    println!("{crashes} crash points");
    assert!(crashes > 30, "{crashes}");
}

/// The error of a start, with the record that it names.
fn unauthorised(log: &Log) -> u64 {
    let Err(error) = log.recovered() else {
        panic!("nobody noticed")
    };
    let said = error.to_string();
    let RecoveryError::Unauthorised {
        path,
        index,
        offset,
    } = error
    else {
        panic!("{said}")
    };
    assert_eq!(path, Path::new(FOLDER).join("0000000000.swj"));
    assert!(
        offset >= HEADER_LEN as u64 && said.contains(&offset.to_string()),
        "{said}"
    );
    index
}

#[test]
fn a_body_that_no_record_says_was_erased_is_damage() {
    let log = Log::new();
    let sound = Log(log.0.copy());
    log.rob(0, 3, Gone::Erased { by: 38 });
    assert_eq!(unauthorised(&log), 3);
    // A later record that names others, or that is about something else.
    for event in [
        erased("a", 0, Selection::from_iter([1, 5])),
        signed("a", 99),
    ] {
        let log = Log(sound.0.copy());
        log.add([event]);
        log.rob(0, 3, Gone::Erased { by: 37 });
        log.rob(0, 5, Gone::Erased { by: 37 });
        let named = unauthorised(&log);
        assert_eq!(named, 3);
    }
    // An earlier one.
    for by in [3, 0] {
        let log = Log(sound.0.copy());
        log.rob(0, 3, Gone::Erased { by });
        assert_eq!(unauthorised(&log), 3);
    }
    // An archive that no file names.
    let log = Log(sound.0.copy());
    log.rob(0, 3, Gone::Archived);
    let found = log.recovered();
    assert!(matches!(found, Err(RecoveryError::NoStub { index: 3, .. })));
    sound.recovered().unwrap();
}

#[test]
fn a_record_that_keys_or_policy_follow_from_never_loses_its_body() {
    let log = Log::new();
    log.add([erased("a", 0, Selection::from_iter([0, 1]))]);
    let error = log.destroy().unwrap_err();
    assert!(
        matches!(error, RewriteError::MustStay { index: 0, .. }),
        "{error}"
    );
    // And if somebody took it out nevertheless:
    log.rob(0, 0, Gone::Erased { by: 37 });
    assert!(matches!(
        log.recovered(),
        Err(RecoveryError::Leaf { index: 0, .. })
    ));
}

#[test]
fn a_damaged_segment_is_not_written_again() {
    let log = Log::new();
    log.authorise("a");
    let outstanding = log.state().outstanding_erasures().clone();
    log.0.flip("0000000000.swj", HEADER_LEN + 200);
    let bytes = log.bytes();
    let error = destroy(&log.0, Path::new(FOLDER), 0, &outstanding, &mut |_| {}).unwrap_err();
    let is_named = matches!(&error, RewriteError::Journal(RecoveryError::Corrupt { .. }));
    assert!(is_named, "{error}");
    assert!(log.bytes() == bytes, "nothing was written");
}

#[test]
fn without_room_for_a_second_copy_nothing_is_written() {
    let log = Log::new();
    log.authorise("a");
    let outstanding = log.state().outstanding_erasures().clone();
    let bytes = log.bytes();
    let error = destroy(
        &log.0,
        Path::new(FOLDER),
        u64::MAX,
        &outstanding,
        &mut |_| {},
    )
    .unwrap_err();
    assert!(matches!(error, RewriteError::NoRoom { .. }), "{error}");
    assert!(log.bytes() == bytes, "nothing was written");
}
