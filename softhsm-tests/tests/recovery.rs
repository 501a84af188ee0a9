//! What the daemon does with the state it finds: continue, repair what a crash leaves, refuse everything else.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use sealwright_core::journal::{self, Chain, End, Entry, HEADER_LEN, SegmentHeader};
use sealwright_core::record::SALT_LEN;
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{SOON, Site, TokenSpec, statement};
use support::{proved, text, verified};

fn site() -> Site {
    Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start()
}

fn segment(site: &Site) -> PathBuf {
    site.state_dir().join("journal/0000000000.swj")
}

/// The chain's end, and where each batch of the first segment begins; the last offset is that of the next one.
fn batches(site: &Site) -> (Chain, Vec<u64>) {
    let bytes = fs::read(segment(site)).unwrap();
    let header = SegmentHeader::decode(&bytes).unwrap();
    let mut offsets = Vec::new();
    let (mut chain, mut at) = (header.chain, HEADER_LEN);
    while let Ok((_, len, next)) = journal::decode_batch(&bytes[at..], 0, chain) {
        offsets.push(at as u64);
        (chain, at) = (next, at + len);
    }
    offsets.push(at as u64);
    let (end, how) = journal::scan(&bytes, &header, &mut |_, _| {});
    assert_eq!((end, how), (chain, End::Clean { offset: at }));
    (chain, offsets)
}

fn write_at(site: &Site, bytes: &[u8], offset: u64) {
    let file = fs::File::options().write(true).open(segment(site)).unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

fn flip(site: &Site, offset: u64) {
    let byte = fs::read(segment(site)).unwrap()[usize::try_from(offset).unwrap()];
    write_at(site, &[byte ^ 1], offset);
}

/// Waits until a checkpoint covers all records, then kills the daemon.
fn kill_after_checkpoint(site: &mut Site) {
    wait_for("a checkpoint over everything", SOON, || {
        let log = &site.status()["log"];
        (log["size"] == log["checkpoint_size"]).then_some(())
    });
    site.kill_daemon();
}

#[test]
fn what_was_signed_before_a_kill_is_proved_after_it_and_the_log_goes_on() {
    let mut site = site();
    let answer = site.client().sign("key=release", &statement("a")).ok();
    site.kill_daemon();
    site.start_daemon();
    verified(&site, &["release"], &answer);
    proved(&site.client(), answer.record().unwrap());
    let next = site.client().sign("key=release", &statement("b")).ok();
    assert!(next.record() > answer.record());
    assert_eq!(site.records("genesis").len(), 1);
    assert_eq!(site.records("daemon.started").len(), 2);
    assert_eq!(site.records("log.recovered").len(), 0);
}

#[test]
fn a_second_daemon_on_the_same_state_is_refused_and_the_first_goes_on() {
    let site = site();
    let said = site.refused_start();
    assert!(
        said.contains("another sealwrightd is running on this state directory"),
        "{said}"
    );
    site.client().sign("key=release", &statement("a")).ok();
}

#[test]
fn a_torn_last_batch_is_cut_off_and_recorded() {
    let mut site = site();
    let answer = site.client().sign("key=release", &statement("a")).ok();
    kill_after_checkpoint(&mut site);
    let (chain, offsets) = batches(&site);
    let end = *offsets.last().unwrap();
    let entry = Entry {
        leaf: b"{}".to_vec(),
        salt: [7; SALT_LEN],
        body: vec![b'x'; 900],
    };
    let (torn, _) = journal::encode_batch(0, chain, &[entry]);
    write_at(&site, &torn[..torn.len() / 2], end);
    site.start_daemon();
    let recovered = site.records("log.recovered");
    assert_eq!(recovered.len(), 1);
    assert_eq!(
        (&recovered[0]["segment"], &recovered[0]["offset"]),
        (&0.into(), &end.into())
    );
    proved(&site.client(), answer.record().unwrap());
    site.client().sign("key=release", &statement("b")).ok();
    // Nothing of it is left for the next start.
    site.kill_daemon();
    site.start_daemon();
    assert_eq!(site.records("log.recovered").len(), 1);
}

#[test]
fn damage_before_the_last_batch_refuses_the_start_and_names_file_and_offset() {
    let mut site = site();
    site.client().sign("key=release", &statement("a")).ok();
    kill_after_checkpoint(&mut site);
    let (_, offsets) = batches(&site);
    let good = fs::read(segment(&site)).unwrap();
    for batch in &offsets[..offsets.len() - 2] {
        for at in [*batch, batch + 50, batch + 120] {
            flip(&site, at);
            let said = site.refused_start();
            let place = format!("{} is damaged at byte {batch}", segment(&site).display());
            assert!(
                said.contains(&place.replace("/state", "/etc/../state")),
                "{place}: {said}"
            );
            fs::write(segment(&site), &good).unwrap();
        }
    }
    site.start_daemon();
    site.client().sign("key=release", &statement("b")).ok();
}

#[test]
fn a_damaged_segment_header_refuses_the_start() {
    let mut site = site();
    kill_after_checkpoint(&mut site);
    flip(&site, 20);
    let said = site.refused_start();
    assert!(
        said.contains("0000000000.swj") && said.contains("header is damaged"),
        "{said}"
    );
}

#[test]
fn a_log_that_lost_what_a_checkpoint_covers_is_not_continued() {
    let mut site = site();
    site.client().sign("key=release", &statement("a")).ok();
    kill_after_checkpoint(&mut site);
    let (_, offsets) = batches(&site);
    let [.., last, end] = offsets[..] else {
        panic!("too few batches")
    };
    let good = fs::read(segment(&site)).unwrap();
    // Damaged, and gone without a trace.
    flip(&site, last + 120);
    let torn = site.refused_start();
    write_at(&site, &vec![0; usize::try_from(end - last).unwrap()], last);
    let cut = site.refused_start();
    for said in [torn, cut] {
        assert!(
            said.contains("checkpoints/") && said.contains("the journal is shorter"),
            "{said}"
        );
    }
    fs::write(segment(&site), good).unwrap();
    site.start_daemon();
}

#[test]
fn a_stored_checkpoint_of_another_key_refuses_the_start() {
    let mut site = site();
    kill_after_checkpoint(&mut site);
    let newest = fs::read_dir(site.state_dir().join("checkpoints")).unwrap();
    let newest = newest.map(|entry| entry.unwrap().path()).max().unwrap();
    let note = fs::read_to_string(&newest).unwrap();
    fs::write(
        &newest,
        note.replacen("sealwright.test/log\n", "sealwright.test/other\n", 1),
    )
    .unwrap();
    let said = site.refused_start();
    assert!(
        said.contains("not a checkpoint of this log's key"),
        "{said}"
    );
}

#[test]
fn a_lost_or_damaged_index_is_rebuilt_while_signing_goes_on() {
    for damage in ["lost", "garbage"] {
        let mut site = site();
        let before = site.client().sign("key=release", &statement("a")).ok();
        site.kill_daemon();
        let index = site.state_dir().join("index");
        match damage {
            "lost" => fs::remove_dir_all(&index).unwrap(),
            _ => fs::read_dir(&index).unwrap().for_each(|entry| {
                let path = entry.unwrap().path();
                if path.is_file() {
                    fs::write(path, b"garbage").unwrap();
                }
            }),
        }
        site.start_daemon();
        let after = site.client().sign("key=release", &statement("b")).ok();
        wait_for("the index", SOON, || {
            (site.status()["log"]["index"] == "ready").then_some(())
        });
        for answer in [&before, &after] {
            let record = site.record(answer.record().unwrap());
            assert_eq!(text(&record, "outcome"), "signed", "{damage}");
        }
        assert_eq!(site.records("sign").len(), 2, "{damage}");
    }
}

#[test]
fn lost_or_damaged_tiles_are_made_anew_from_the_journal() {
    let mut site = site();
    let answer = site.client().sign("key=release", &statement("a")).ok();
    kill_after_checkpoint(&mut site);
    fs::remove_dir_all(site.state_dir().join("tiles")).unwrap();
    site.start_daemon();
    proved(&site.client(), answer.record().unwrap());
}

#[test]
fn without_a_genesis_or_with_a_broken_one_nothing_starts() {
    let site = Site::builder().lay_out();
    let path = site.state_dir().join("genesis.json");
    fs::write(&path, "{\"origin\":").unwrap();
    let said = site.refused_start();
    assert!(
        said.contains("genesis.json is not a genesis record"),
        "{said}"
    );
    fs::remove_file(&path).unwrap();
    let said = site.refused_start();
    assert!(
        said.contains("holds no log yet; run `sealwright init` first"),
        "{said}"
    );
}

#[test]
fn the_daemon_refuses_to_run_as_root_and_with_unknown_settings() {
    let site = Site::builder().lay_out();
    let said = site.refused_start_as(0);
    assert!(said.contains("does not run as root"), "{said}");
    site.edit_config(|text| format!("{text}[limits2]\nx = 1\n"));
    let said = site.refused_start();
    assert!(
        said.contains("sealwright.toml") && said.contains("limits2"),
        "{said}"
    );
}
