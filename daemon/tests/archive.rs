//! Closed segments go into the archive whole, and only sound ones; what does not read back is refused.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;

use sealwright_core::journal::{Gone, Redacted};
use sealwright_core::record::{Record, Rest};
use sealwright_core::time::Timestamp;
use sealwrightd::audit::archive::{ArchiveError, Manifest, archive};
use sealwrightd::audit::disk::RealDisk;
use sealwrightd::audit::recovery::{Recovered, RecoveryError, recover};
use sealwrightd::audit::removal::{Covered, Removal, RemovalError, older_than};
use sealwrightd::audit::rewrite::{Layout, Rewriting};
use sealwrightd::audit::stubs::Stub;
use support::segments::write;
use support::{genesis, signed, started};
use tempfile::TempDir;

/// A journal of three segments, large records and signatures by turns.
fn journal() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let large = |n| started("x".repeat(100_000), n);
    let by_turns = (0..70).flat_map(|n| {
        let signatures = (n * 10..(n + 1) * 10).map(|n| signed("a", n));
        std::iter::once(large(n)).chain(signatures)
    });
    write(folder.path(), std::iter::once(genesis()).chain(by_turns));
    assert!(folder.path().join("0000000002.swj").exists());
    folder
}

fn run(journal: &Path, to: &Path) -> Result<Vec<Manifest>, ArchiveError> {
    archive(&RealDisk::new(journal), journal, to, &mut |_| {})
}

#[test]
fn closed_segments_are_archived_and_can_be_put_back_byte_for_byte() {
    let (journal, to) = (journal(), tempfile::tempdir().unwrap());
    let manifests = run(journal.path(), to.path()).unwrap();
    assert_eq!(manifests.len(), 2, "the open one stays");
    assert_eq!(manifests[0].to, manifests[1].from);
    for name in ["0000000000.swj", "0000000001.swj"] {
        let packed = fs::File::open(to.path().join(format!("{name}.zst"))).unwrap();
        let back = zstd::decode_all(packed).unwrap();
        assert!(back == fs::read(journal.path().join(name)).unwrap());
    }
    assert_eq!(run(journal.path(), to.path()).unwrap(), manifests, "again");
}

#[test]
fn a_damaged_segment_is_not_archived() {
    let (journal, to) = (journal(), tempfile::tempdir().unwrap());
    let path = journal.path().join("0000000001.swj");
    let mut bytes = fs::read(&path).unwrap();
    bytes[5000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = run(journal.path(), to.path()).unwrap_err();
    let is_named = matches!(&error, ArchiveError::Journal(RecoveryError::Corrupt { path: p, .. }) if *p == path);
    assert!(is_named, "{error}");
    assert!(!to.path().join("0000000001.swj.json").exists());
}

#[test]
fn an_archived_file_that_changed_is_found() {
    let (journal, to) = (journal(), tempfile::tempdir().unwrap());
    run(journal.path(), to.path()).unwrap();
    let path = to.path().join("0000000000.swj.zst");
    let other = fs::read(to.path().join("0000000001.swj.zst")).unwrap();
    let good = fs::read(&path).unwrap();
    fs::write(&path, other).unwrap();
    let error = run(journal.path(), to.path()).unwrap_err();
    assert!(matches!(error, ArchiveError::Unsound(_)), "{error}");
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    let error = run(journal.path(), to.path()).unwrap_err();
    assert!(matches!(error, ArchiveError::Io { .. }), "{error}");
}

#[test]
fn an_archive_of_another_log_is_not_mixed_with_this_one() {
    let (ours, theirs, to) = (journal(), journal(), tempfile::tempdir().unwrap());
    run(theirs.path(), to.path()).unwrap();
    let error = run(ours.path(), to.path()).unwrap_err();
    assert!(matches!(error, ArchiveError::Other(_)), "{error}");
}

fn recovered(journal: &Path) -> Result<Recovered, RecoveryError> {
    recover(&RealDisk::new(journal), journal, &mut |_, _| {})
}

/// Removes bodies of these segments under a checkpoint of `size` records.
fn remove(
    journal: &Path,
    to: &Path,
    segments: &[u64],
    size: u64,
) -> Result<Vec<Stub>, RemovalError> {
    let manifests = run(journal, to).unwrap();
    let what = "the newest checkpoint";
    let removal = Removal {
        journal,
        archive: to,
        manifests: &manifests,
        covered: Covered { what, size },
        low_water_bytes: 0,
    };
    removal.remove(&segments.iter().copied().collect())
}

fn has_bodies(path: &Path) -> bool {
    let (bytes, text) = (fs::read(path).unwrap(), b"spiffe://a/caller");
    bytes.windows(text.len()).any(|window| window == text)
}

#[test]
fn bodies_that_were_removed_are_in_the_archive_alone_and_can_be_put_back() {
    let (journal, to) = (journal(), tempfile::tempdir().unwrap());
    let segment = journal.path().join("0000000000.swj");
    let (state, whole) = (
        recovered(journal.path()).unwrap().state,
        fs::read(&segment).unwrap(),
    );
    let all = state.next_index();
    let stubs = remove(journal.path(), to.path(), &[0, 1], all).unwrap();
    assert_eq!(stubs[0].file, to.path().join("0000000000.swj.zst"));
    assert!(!has_bodies(&segment) && has_bodies(&journal.path().join("0000000002.swj")));
    assert!(fs::metadata(&segment).unwrap().len() < whole.len() as u64);
    assert_eq!(recovered(journal.path()).unwrap().state, state);
    // Once more, also what a crash behind the first step leaves.
    assert_eq!(
        remove(journal.path(), to.path(), &[0, 1], all).unwrap(),
        stubs
    );
    let manifests = run(journal.path(), to.path()).unwrap();
    assert_eq!(manifests[0], stubs[0].manifest);
    let packed = fs::File::open(&stubs[0].file).unwrap();
    fs::write(&segment, zstd::decode_all(packed).unwrap()).unwrap();
    assert!(fs::read(&segment).unwrap() == whole);
    fs::remove_file(journal.path().join("0000000000.archived")).unwrap();
    assert_eq!(recovered(journal.path()).unwrap().state, state);
}

#[test]
fn without_the_file_that_says_where_they_are_bodies_are_missed() {
    let (journal, to) = (journal(), tempfile::tempdir().unwrap());
    remove(journal.path(), to.path(), &[0, 1], u64::MAX).unwrap();
    let stub = |n: u8| journal.path().join(format!("000000000{n}.archived"));
    let good = fs::read(stub(0)).unwrap();
    fs::remove_file(stub(0)).unwrap();
    for other in [None, Some(stub(1))] {
        if let Some(other) = other {
            fs::copy(other, stub(0)).unwrap();
        }
        let Err(error) = recovered(journal.path()) else {
            panic!("nobody missed it")
        };
        let is_named = matches!(&error, RecoveryError::NoStub { path, .. } if *path == stub(0));
        assert!(is_named, "{error}");
    }
    fs::write(stub(0), good).unwrap();
    recovered(journal.path()).unwrap();
}

#[test]
fn what_no_checkpoint_covers_and_what_is_written_to_stays() {
    let (journal, to) = (journal(), tempfile::tempdir().unwrap());
    let end = run(journal.path(), to.path()).unwrap()[1].to.index;
    let error = remove(journal.path(), to.path(), &[0, 1], end - 1).unwrap_err();
    assert!(
        matches!(error, RemovalError::NotCovered { segment: 1, .. }),
        "{error}"
    );
    let error = remove(journal.path(), to.path(), &[0, 2], u64::MAX).unwrap_err();
    assert!(matches!(error, RemovalError::NotClosed(2)), "{error}");
    assert!(
        has_bodies(&journal.path().join("0000000000.swj")),
        "all or nothing"
    );
    remove(journal.path(), to.path(), &[0, 1], end).unwrap();
}

#[test]
fn segments_are_old_once_their_last_record_is_and_removed_once() {
    let (journal, to) = (journal(), tempfile::tempdir().unwrap());
    let manifests = run(journal.path(), to.path()).unwrap();
    let older = |millis| {
        let before = Timestamp::from_unix_millis(millis);
        older_than(journal.path(), &manifests, before).unwrap()
    };
    assert!(older(1).is_empty());
    assert_eq!(older(2).into_iter().collect::<Vec<_>>(), [0, 1]);
    remove(journal.path(), to.path(), &[0], u64::MAX).unwrap();
    assert_eq!(older(2).into_iter().collect::<Vec<_>>(), [1]);
}

#[test]
fn bodies_that_were_erased_go_from_the_archive_at_the_next_run() {
    let (journal, to) = (journal(), tempfile::tempdir().unwrap());
    let before = run(journal.path(), to.path()).unwrap();
    let rewriting = Rewriting {
        disk: &RealDisk::new(journal.path()),
        folder: journal.path(),
        segment: 0,
        layout: Layout::InPlace,
        low_water_bytes: 0,
    };
    let erased = rewriting.run(&mut |_, entry| {
        let record: Record = serde_json::from_slice(&entry.body).unwrap();
        let (leaf, gone) = (entry.leaf.clone(), Gone::Erased { by: 9999 });
        Rest::of_erased(&record.event).map(|rest| Some(Redacted { leaf, gone, rest }))
    });
    assert!(erased.unwrap() > 0);
    let after = run(journal.path(), to.path()).unwrap();
    assert_ne!(after[0].sha256, before[0].sha256);
    assert_eq!(
        (after[0].from, after[0].to, &after[1]),
        (before[0].from, before[0].to, &before[1])
    );
    let packed = fs::File::open(to.path().join("0000000000.swj.zst")).unwrap();
    let unpacked = to.path().join("unpacked");
    fs::write(&unpacked, zstd::decode_all(packed).unwrap()).unwrap();
    assert!(!has_bodies(&unpacked));
    assert_eq!(run(journal.path(), to.path()).unwrap(), after);
}
