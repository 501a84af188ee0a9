//! A full disk: refused before a key is used, nothing lost, and signing again once there is room.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs::File;
use std::io::Write as _;

use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{SOON, Site, TokenSpec, sha256_hex, statement};
use serde_json::json;
use support::{signature_hashes, without_using_a_key};

/// Fills the state folder's file system but for `left` bytes; returns the file to remove.
fn fill(site: &Site, left: u64) -> std::path::PathBuf {
    let path = site.path("state/filler");
    let stat = rustix::fs::statvfs(site.state_dir().as_path()).unwrap();
    let bytes = (stat.f_bavail * stat.f_frsize).saturating_sub(left);
    let mut file = File::create(&path).unwrap();
    file.write_all(&vec![0; usize::try_from(bytes).unwrap()])
        .unwrap();
    path
}

fn wait_for_log_state(site: &Site, state: &str) {
    wait_for(&format!("log state {state}"), SOON, || {
        (site.status()["log"]["state"] == state).then_some(())
    });
}

#[test]
fn below_the_low_water_mark_nothing_is_signed_until_there_is_room() {
    let site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .small_disk(48)
        .start();
    site.client().sign("key=release", &statement("a")).ok();
    let filler = fill(&site, 500_000);
    wait_for_log_state(&site, "log_full");
    let answer = without_using_a_key(&site, "soft", || {
        site.client().sign("key=release", &statement("b"))
    });
    assert_eq!((answer.status, answer.code().as_str()), (507, "log_full"));
    std::fs::remove_file(filler).unwrap();
    wait_for_log_state(&site, "ok");
    site.client().sign("key=release", &statement("b")).ok();
}

/// A statement whose record is large.
fn many_subjects(n: usize) -> Vec<u8> {
    let mut value: serde_json::Value = serde_json::from_slice(&statement("a")).unwrap();
    let subject = |i: usize| json!({"name": "x".repeat(200), "digest": {"sha256": sha256_hex(&i.to_le_bytes())}});
    value["subject"] = (n..n + 256).map(subject).collect();
    serde_json::to_vec(&value).unwrap()
}

#[test]
fn a_journal_without_room_for_its_next_segment_stops_in_time_and_loses_nothing() {
    let mut site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .sizes(4 << 20, 0)
        .small_disk(48)
        .start();
    let filler = fill(&site, 64 << 10);
    let mut released = Vec::new();
    // The segment and its spare hold 8 MiB, a record here about 80 KiB.
    let refused = (0..200).find_map(|n| {
        let answer = site.client().sign("key=release", &many_subjects(n * 256));
        if answer.status == 200 {
            released.extend(signature_hashes(&answer));
            return None;
        }
        Some(answer)
    });
    let refused = refused.expect("the journal must be full at some time");
    assert_eq!((refused.status, refused.code().as_str()), (507, "log_full"));
    let again = without_using_a_key(&site, "soft", || {
        site.client().sign("key=release", &statement("b"))
    });
    assert_eq!(again.code(), "log_full");
    assert!(released.len() > 20, "{}", released.len());

    std::fs::remove_file(filler).unwrap();
    wait_for_log_state(&site, "ok");
    site.client().sign("key=release", &statement("c")).ok();
    site.kill_daemon();
    site.start_daemon();
    wait_for("the index", SOON, || {
        (site.status()["log"]["index"] == "ready").then_some(())
    });
    let recorded: Vec<String> = site
        .records("sign")
        .iter()
        .filter(|record| record["outcome"] == "signed")
        .map(|record| record["signature_sha256"][0].as_str().unwrap().to_owned())
        .collect();
    assert!(released.iter().all(|hash| recorded.contains(hash)));
    assert_eq!(recorded.len(), released.len() + 1);
}
