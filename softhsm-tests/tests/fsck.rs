//! `sealwrightd fsck` and `reindex`: every kind of damage is found, named, and told from every other.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{SOON, Site, TokenSpec, statement};
use serde_json::Value;

/// A log of a few signatures, at rest.
fn site() -> Site {
    let mut site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start();
    for name in ["a", "b", "c"] {
        site.client().sign("key=release", &statement(name)).ok();
    }
    rest(&mut site);
    site
}

/// Stops the daemon once a checkpoint and the index cover everything.
fn rest(site: &mut Site) {
    wait_for("checkpoint and index", SOON, || {
        let log = &site.status()["log"];
        (log["size"] == log["checkpoint_size"]).then_some(())
    });
    site.wait_for_index();
    site.stop_daemon();
}

struct Answer {
    code: Option<i32>,
    report: Value,
}

fn fsck(site: &Site, more: &[&str]) -> Answer {
    let output = site.daemon_command(&[&["fsck", "--json"], more].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Answer {
        code: output.status.code(),
        report: serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}")),
    }
}

fn sound(site: &Site) -> Value {
    let Answer { code, report } = fsck(site, &[]);
    assert_eq!(code, Some(0), "{report}");
    report
}

/// The only thing that is wrong: which part, and its message.
fn damage(answer: &Answer) -> (String, String) {
    assert_eq!(answer.code, Some(3), "{}", answer.report);
    let findings = answer.report["findings"].as_array().unwrap();
    let text = |name: &str| findings[0][name].as_str().unwrap().to_owned();
    (text("part"), text("message"))
}

fn segment(site: &Site) -> PathBuf {
    site.state_dir().join("journal/0000000000.swj")
}

fn newest_checkpoint(site: &Site) -> PathBuf {
    let files = fs::read_dir(site.state_dir().join("checkpoints")).unwrap();
    files.map(|file| file.unwrap().path()).max().unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Damages `path`, asks, and puts it back.
fn after(site: &Site, path: &Path, harm: impl FnOnce(&Path)) -> (String, String) {
    let good = fs::read(path).unwrap();
    harm(path);
    let found = damage(&fsck(site, &[]));
    fs::write(path, good).unwrap();
    found
}

#[test]
fn a_sound_log_is_sound_at_rest_and_while_the_daemon_runs() {
    let mut site = site();
    let report = sound(&site);
    assert!(report["records"].as_u64().unwrap() > 5, "{report}");
    // It may end behind the journal: the next start adds what it lacks.
    assert!(
        report["indexed"].as_u64() <= report["records"].as_u64(),
        "{report}"
    );
    assert!(report["indexed"].is_u64(), "{report}");
    assert!(report["checkpoints"].as_u64().unwrap() > 0, "{report}");
    assert!(report["tiles"].as_u64().unwrap() > 0, "{report}");
    site.start_daemon();
    let report = sound(&site);
    assert!(report.get("indexed").is_none(), "{report}");
    site.client().sign("key=release", &statement("d")).ok();
}

#[test]
fn a_flipped_byte_in_the_journal_is_named_with_file_and_offset() {
    let site = site();
    let path = segment(&site);
    for (at, words) in [
        (20, "header is damaged"),
        (4096 + 50, "at byte 4096"),
        (4096 + 300, "at byte 4096"),
    ] {
        let (part, said) = after(&site, &path, |path| flip(path, at));
        assert_eq!(part, "journal");
        assert!(
            said.contains("0000000000.swj") && said.contains(words),
            "{said}"
        );
    }
    sound(&site);
}

#[test]
fn a_truncated_a_missing_and_an_older_journal_are_told_apart() {
    let site = site();
    let path = segment(&site);
    let cut = |len: u64| {
        move |path: &Path| {
            fs::File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_len(len)
                .unwrap()
        }
    };
    let (_, said) = after(&site, &path, cut(100));
    assert!(said.contains("ends inside the segment's header"), "{said}");
    let (_, said) = after(&site, &path, cut(4096 + 200));
    assert!(
        said.contains("at byte 4096: the file was cut short"),
        "{said}"
    );
    // Gone, but for a later one.
    let later = site.state_dir().join("journal/0000000001.swj");
    fs::rename(&path, &later).unwrap();
    let (_, said) = damage(&fsck(&site, &[]));
    assert!(said.contains("0000000000.swj is missing"), "{said}");
    fs::rename(&later, &path).unwrap();
    sound(&site);
}

#[test]
fn a_flipped_byte_in_a_tile_or_a_missing_tile_is_named() {
    let site = site();
    let tiles = fs::read_dir(site.state_dir().join("tiles/tile/0/000.p")).unwrap();
    let path = tiles
        .map(|tile| tile.unwrap().path())
        .max_by_key(|path| fs::metadata(path).unwrap().len());
    let path = path.unwrap();
    let (part, said) = after(&site, &path, |path| flip(path, 40));
    assert_eq!(part, "tile");
    assert!(said.contains("at byte 32 has another hash"), "{said}");
    let (_, said) = after(&site, &path, |path| fs::write(path, [0; 31]).unwrap());
    assert!(
        said.contains("another hash") || said.contains("31 bytes"),
        "{said}"
    );
    let (part, said) = after(&site, &path, |path| fs::remove_file(path).unwrap());
    assert_eq!(part, "tile");
    assert!(said.contains("is missing"), "{said}");
    sound(&site);
}

#[test]
fn a_flipped_byte_in_a_checkpoint_is_named_whatever_it_hits() {
    let site = site();
    let path = newest_checkpoint(&site);
    let len = fs::read(&path).unwrap().len();
    for at in (0..len).step_by(7) {
        let (part, said) = after(&site, &path, |path| flip(path, at));
        assert_eq!(part, "checkpoint");
        assert!(
            said.contains(path.to_str().unwrap().rsplit('/').next().unwrap()),
            "{said}"
        );
    }
    sound(&site);
}

#[test]
fn an_older_copy_of_the_journal_contradicts_the_stored_checkpoint() {
    let mut site = site();
    let old = fs::read(segment(&site)).unwrap();
    site.start_daemon();
    site.client().sign("key=release", &statement("d")).ok();
    rest(&mut site);
    let (part, said) = after(&site, &segment(&site), |path| {
        fs::write(path, &old).unwrap()
    });
    assert_eq!(part, "checkpoint");
    assert!(
        said.contains("records, and the journal has") && said.contains("older copy"),
        "{said}"
    );
    sound(&site);
}

#[test]
fn an_older_copy_of_everything_contradicts_a_checkpoint_that_was_kept_elsewhere() {
    let mut site = site();
    let old = site.path("old-state");
    let copy = |from: &Path, to: &Path| {
        let status = std::process::Command::new("cp")
            .arg("-a")
            .arg(from)
            .arg(to)
            .status();
        assert!(status.unwrap().success());
    };
    copy(&site.state_dir(), &old);
    site.start_daemon();
    site.client().sign("key=release", &statement("d")).ok();
    rest(&mut site);
    let kept = site.path("kept");
    fs::copy(newest_checkpoint(&site), &kept).unwrap();
    let kept = kept.to_str().unwrap();
    assert_eq!(fsck(&site, &["--checkpoint", kept]).code, Some(0));
    fs::remove_dir_all(site.state_dir()).unwrap();
    copy(&old, &site.state_dir());
    sound(&site);
    let (part, said) = damage(&fsck(&site, &["--checkpoint", kept]));
    assert_eq!(part, "checkpoint");
    assert!(
        said.contains(kept) && said.contains("and the journal has"),
        "{said}"
    );
}

#[test]
fn a_damaged_index_is_named_and_reindex_mends_it() {
    let site = site();
    let index = site.state_dir().join("index");
    for entry in fs::read_dir(&index).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::write(path, b"garbage").unwrap();
        }
    }
    let (part, said) = damage(&fsck(&site, &[]));
    assert_eq!(part, "index");
    assert!(said.contains("sealwrightd reindex"), "{said}");
    let output = site.daemon_command(&["reindex"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report = sound(&site);
    assert_eq!(report["records"], report["indexed"], "{report}");
}

#[test]
fn reindex_refuses_while_the_daemon_runs() {
    let mut site = site();
    site.start_daemon();
    let output = site.daemon_command(&["reindex"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("is running on this state directory: stop it first"),
        "{said}"
    );
}
