//! Closed segments go into the archive whole, and only sound ones; what does not read back is refused.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;

use sealwrightd::audit::archive::{ArchiveError, Manifest, archive};
use sealwrightd::audit::disk::RealDisk;
use sealwrightd::audit::recovery::RecoveryError;
use support::genesis;
use support::segments::three_segments;
use tempfile::TempDir;

fn journal() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    three_segments(folder.path(), genesis());
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
