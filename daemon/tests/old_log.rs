//! An old log is read as far as it is sound, from journal and archive, and nothing about it is believed unproved.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use sealwright_core::record::{Event, Genesis};
use sealwright_core::spki::Spki;
use sealwright_core::tlog::note::NoteSignature;
use sealwright_core::tlog::vkey::KeyType;
use sealwright_core::tlog::{Checkpoint, Note, VerifierKey};
use sealwrightd::audit::archive::archive;
use sealwrightd::audit::disk::RealDisk;
use sealwrightd::audit::shard::{OldLog, Read, ReadError, read};
use support::genesis;
use support::segments::{RECORDS, three_segments};
use tempfile::TempDir;

const ORIGIN: &str = "example.test/log";
const WITNESS: &str = "0123456789abcdef";

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[5; 32]).unwrap()
}

/// A state directory at rest, without a checkpoint.
fn old_log() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("journal")).unwrap();
    fs::create_dir(folder.path().join("checkpoints")).unwrap();
    let Event::Genesis(genesis) = genesis() else {
        panic!("no genesis")
    };
    // The fixed head of an Ed25519 SubjectPublicKeyInfo, RFC 8410 section 4.
    let head = genesis.log_key.spki.der()[..12].to_vec();
    let spki = Spki::from_der([&head, key().public_key().as_ref()].concat());
    let log_key = sealwright_core::record::LogKey {
        spki,
        ..genesis.log_key
    };
    let genesis = Genesis { log_key, ..genesis };
    three_segments(&folder.path().join("journal"), Event::Genesis(genesis));
    folder
}

fn vkey(name: &str) -> VerifierKey {
    VerifierKey::new(name, KeyType::Ed25519, key().public_key().as_ref()).unwrap()
}

/// Signs a checkpoint into the folder, as `name`.
fn sign(old: &TempDir, name: &str, size: u64, root: [u8; 32]) -> PathBuf {
    let text = Checkpoint::new(ORIGIN, size, root).unwrap().to_string();
    let note = Note::new(text.clone(), vec![line(name, &text)]).unwrap();
    let path = old.path().join(format!("checkpoints/{size:020}"));
    fs::write(&path, note.to_string()).unwrap();
    path
}

fn line(name: &str, text: &str) -> NoteSignature {
    let signature = key().sign(text.as_bytes()).as_ref().to_vec();
    NoteSignature::new(name, vkey(name).id(), signature).unwrap()
}

/// Puts another line beside a checkpoint, as a witness's is.
fn cosign(path: &Path) {
    let path = path.with_extension(WITNESS);
    fs::write(path, line("witness.test", "any text\n").to_string()).unwrap();
}

fn from(old: &TempDir) -> OldLog {
    OldLog {
        state_dir: old.path().to_owned(),
        ..OldLog::default()
    }
}

fn cut(old: &TempDir, records: u64) -> OldLog {
    OldLog {
        cut: Some((records, "for a test".to_owned())),
        ..from(old)
    }
}

fn taken(old: &OldLog) -> Result<Read, ReadError> {
    read(old, &mut |_| {})
}

/// The root of the log's first records.
fn root(old: &TempDir, records: u64) -> [u8; 32] {
    taken(&cut(old, records)).unwrap().shard.predecessor.root.0
}

fn segment(old: &TempDir, number: u64) -> PathBuf {
    old.path().join(format!("journal/{number:010}.swj"))
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_whole_log_is_cited_with_its_newest_checkpoint_and_read_without_a_trace() {
    let old = old_log();
    sign(&old, ORIGIN, 30, root(&old, 30));
    sign(&old, ORIGIN, RECORDS, root(&old, RECORDS));
    let seen = || {
        let mut seen = Vec::new();
        for folder in ["", "journal", "checkpoints"] {
            for entry in fs::read_dir(old.path().join(folder)).unwrap() {
                let entry = entry.unwrap();
                let metadata = entry.metadata().unwrap();
                seen.push((entry.path(), metadata.len(), metadata.modified().unwrap()));
            }
        }
        seen.sort();
        seen
    };
    let before = seen();
    let first = taken(&from(&old)).unwrap();
    assert_eq!(seen(), before);
    let cited = &first.shard.predecessor;
    assert_eq!((cited.size, cited.origin.as_str()), (RECORDS, ORIGIN));
    assert_eq!(cited.vkey, vkey(ORIGIN).to_string());
    let note = cited.checkpoint.as_deref().unwrap();
    assert!(note.contains(&format!("\n{RECORDS}\n")), "{note}");
    assert!(first.notes.is_empty(), "{:?}", first.notes);
    let again = taken(&from(&old)).unwrap();
    assert_eq!(
        again.shard.to_json().unwrap(),
        first.shard.to_json().unwrap()
    );
}

#[test]
fn cosignatures_stand_with_their_checkpoint_and_an_older_cosigned_one_beside_the_newest() {
    let old = old_log();
    let early = sign(&old, ORIGIN, 30, root(&old, 30));
    let newest = sign(&old, ORIGIN, RECORDS, root(&old, RECORDS));
    cosign(&early);
    let cited = taken(&from(&old)).unwrap().shard.predecessor;
    let witnessed = cited.witnessed.unwrap();
    assert!(
        witnessed.contains("\n30\n") && witnessed.contains("witness.test"),
        "{witnessed}"
    );
    cosign(&newest);
    let cited = taken(&from(&old)).unwrap().shard.predecessor;
    assert_eq!(cited.witnessed, None);
    assert!(cited.checkpoint.unwrap().contains("witness.test"));
    // One that was being written does not count, and one that is damaged is named and takes away itself only.
    fs::write(newest.with_extension(format!("{WITNESS}.new")), "half").unwrap();
    assert!(taken(&from(&old)).unwrap().notes.is_empty());
    let path = newest.with_extension(WITNESS);
    fs::write(&path, "half").unwrap();
    let read = taken(&from(&old)).unwrap();
    assert!(
        read.notes[0].contains(path.to_str().unwrap()),
        "{:?}",
        read.notes
    );
    assert!(read.shard.predecessor.witnessed.is_some());
}

#[test]
fn segments_that_are_gone_come_from_the_archive_if_it_has_the_right_ones() {
    let (old, to) = (old_log(), tempfile::tempdir().unwrap());
    sign(&old, ORIGIN, RECORDS, root(&old, RECORDS));
    let whole = taken(&from(&old)).unwrap().shard;
    let journal = old.path().join("journal");
    archive(&RealDisk::new(&journal), &journal, to.path(), &mut |_| {}).unwrap();
    fs::remove_file(segment(&old, 0)).unwrap();
    fs::remove_file(segment(&old, 1)).unwrap();
    let error = taken(&from(&old)).unwrap_err();
    assert!(
        error.is_damage() && error.to_string().contains("0000000000.swj is missing"),
        "{error}"
    );
    let archived = OldLog {
        archive: Some(to.path().to_owned()),
        ..from(&old)
    };
    assert_eq!(taken(&archived).unwrap().shard, whole);
    // Another segment under the same manifest.
    let other = to.path().join("0000000001.swj.zst");
    fs::copy(&other, to.path().join("0000000000.swj.zst")).unwrap();
    let error = taken(&archived).unwrap_err().to_string();
    assert!(
        error.contains("0000000000.swj.zst does not unpack"),
        "{error}"
    );
    fs::remove_file(to.path().join("0000000000.swj.json")).unwrap();
    let error = taken(&archived).unwrap_err().to_string();
    assert!(error.contains("0000000000.swj.json"), "{error}");
}

#[test]
fn damage_is_named_with_the_records_in_front_of_it_and_these_can_be_taken() {
    let old = old_log();
    sign(&old, ORIGIN, RECORDS, root(&old, RECORDS));
    flip(&segment(&old, 1), 5000);
    let error = taken(&from(&old)).unwrap_err();
    assert!(error.is_damage(), "{error}");
    let ReadError::Journal { sound, .. } = error else {
        panic!("{error}")
    };
    assert!(
        error
            .to_string()
            .contains("0000000001.swj is damaged at byte 4096"),
        "{error}"
    );
    assert!(
        error.to_string().contains(&format!("with N up to {sound}")),
        "{error}"
    );
    let read = taken(&cut(&old, sound)).unwrap();
    let cited = &read.shard.predecessor;
    assert_eq!(
        (cited.size, cited.because.as_deref()),
        (sound, Some("for a test"))
    );
    // What the old log had signed is quoted, so that nobody takes the cut for its end.
    assert!(
        cited
            .checkpoint
            .as_ref()
            .unwrap()
            .contains(&format!("\n{RECORDS}\n"))
    );
    assert!(read.notes[0].contains("left behind"), "{:?}", read.notes);
    let more = taken(&cut(&old, sound + 1)).unwrap_err();
    assert!(matches!(more, ReadError::Journal { .. }), "{more}");
}

#[test]
fn what_lies_in_front_of_a_missing_or_truncated_segment_can_be_taken() {
    let old = old_log();
    fs::remove_file(segment(&old, 1)).unwrap();
    assert!(
        taken(&from(&old))
            .unwrap_err()
            .to_string()
            .contains("0000000001.swj is missing")
    );
    assert_eq!(taken(&cut(&old, 1)).unwrap().shard.predecessor.size, 1);
    let short = taken(&cut(&old, RECORDS)).unwrap_err();
    assert!(
        matches!(
            short,
            ReadError::Short {
                wanted: RECORDS,
                ..
            }
        ),
        "{short}"
    );
    let file = fs::File::options()
        .write(true)
        .open(segment(&old, 0))
        .unwrap();
    file.set_len(2 << 20).unwrap();
    fs::remove_file(segment(&old, 2)).unwrap();
    let error = taken(&from(&old)).unwrap_err();
    assert!(
        error.to_string().contains("the file was cut short"),
        "{error}"
    );
}

#[test]
fn a_checkpoint_that_the_log_contradicts_refuses_all_that_it_covers() {
    let old = old_log();
    let good = root(&old, RECORDS);
    let path = sign(&old, ORIGIN, 40, [1; 32]);
    sign(&old, ORIGIN, RECORDS, good);
    let error = taken(&from(&old)).unwrap_err();
    assert!(error.is_damage(), "{error}");
    assert!(
        error.to_string().contains(path.to_str().unwrap())
            && error.to_string().contains("other ones"),
        "{error}"
    );
    assert!(taken(&cut(&old, 40)).is_err());
    assert_eq!(taken(&cut(&old, 39)).unwrap().shard.predecessor.size, 39);
}

#[test]
fn an_older_copy_is_found_by_a_checkpoint_that_covers_more() {
    let old = old_log();
    sign(&old, ORIGIN, RECORDS + 1, [1; 32]);
    let error = taken(&from(&old)).unwrap_err().to_string();
    assert!(
        error.contains("covers 72 records, and the journal has 71"),
        "{error}"
    );
    let read = taken(&cut(&old, RECORDS)).unwrap();
    assert!(
        read.shard
            .predecessor
            .checkpoint
            .unwrap()
            .contains("\n72\n")
    );
}

#[test]
fn an_older_copy_of_everything_is_found_by_a_checkpoint_that_was_kept_elsewhere() {
    let old = old_log();
    let kept = old.path().join("kept");
    fs::rename(sign(&old, ORIGIN, RECORDS + 1, [1; 32]), &kept).unwrap();
    sign(&old, ORIGIN, RECORDS, root(&old, RECORDS));
    taken(&from(&old)).unwrap();
    let beside = |old: OldLog| OldLog {
        outside: vec![kept.clone()],
        ..old
    };
    let error = taken(&beside(from(&old))).unwrap_err().to_string();
    assert!(
        error.contains("kept covers 72 records, and the journal has 71"),
        "{error}"
    );
    let cited = taken(&beside(cut(&old, RECORDS)))
        .unwrap()
        .shard
        .predecessor;
    assert!(cited.checkpoint.unwrap().contains("\n72\n"));
}

#[test]
fn a_checkpoint_of_another_key_counts_for_nothing() {
    let old = old_log();
    let path = sign(&old, "example.test/other", RECORDS, root(&old, RECORDS));
    let error = taken(&from(&old)).unwrap_err().to_string();
    assert!(error.contains("is not signed by this log's key"), "{error}");
    // Behind the cut it is left there, and not quoted.
    let read = taken(&cut(&old, RECORDS - 1)).unwrap();
    assert_eq!(read.shard.predecessor.checkpoint, None);
    fs::write(&path, "no note").unwrap();
    assert!(
        taken(&from(&old))
            .unwrap_err()
            .to_string()
            .contains("is no signed note")
    );
    let read = taken(&cut(&old, RECORDS - 1)).unwrap();
    assert!(
        read.notes
            .iter()
            .any(|note| note.contains("is no signed note")),
        "{:?}",
        read.notes
    );
}

#[test]
fn a_log_without_a_checkpoint_is_not_taken_for_whole() {
    let old = old_log();
    let error = taken(&from(&old)).unwrap_err().to_string();
    assert!(
        error.contains("no checkpoint") && error.contains("--because"),
        "{error}"
    );
    taken(&cut(&old, RECORDS)).unwrap();
}

#[test]
fn a_folder_that_holds_no_log_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = taken(&from(&folder)).unwrap_err();
    assert!(matches!(error, ReadError::Nothing(_)), "{error}");
    fs::create_dir(folder.path().join("journal")).unwrap();
    let error = taken(&from(&folder)).unwrap_err();
    assert!(matches!(error, ReadError::Nothing(_)), "{error}");
}
