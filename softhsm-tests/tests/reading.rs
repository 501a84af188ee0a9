//! `sealwright audit` against a real daemon: finding, following, and taking the log away to check it elsewhere.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use sealwright_core::tlog::{EntryBundle, TilePath};
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{CI, OPERATOR, Run, SOON, Site, TokenSpec, statement};

/// More than one full tile.
const SIGNATURES: usize = 260;

fn site() -> Site {
    let token = TokenSpec::scripted("soft").key("release");
    Site::builder().token(token).start()
}

fn sign(site: &Site, name: &str) -> Vec<u8> {
    site.client()
        .sign("key=release", &statement(name))
        .ok()
        .body
}

/// Waits until a checkpoint covers everything that was recorded so far.
fn wait_for_checkpoint(site: &Site) {
    let size = site.status()["log"]["size"].as_u64().unwrap();
    let last = size - 1;
    wait_for("a checkpoint", SOON, || {
        let proof = site.operator().get(&format!("/v1/log/proof/{last}"));
        (proof.status == 200).then_some(())
    });
}

fn export(site: &Site, more: &[&str]) -> Run {
    wait_for_checkpoint(site);
    let args = [&["audit", "export", "copy", "--json"], more].concat();
    site.sealwright(OPERATOR, &args)
}

fn verify(site: &Site, more: &[&str]) -> Run {
    let args = [
        &[
            "verify",
            "--log",
            "copy",
            "--log-key",
            "copy/log.vkey",
            "--json",
        ],
        more,
    ]
    .concat();
    site.sealwright(CI, &args)
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_exported_log_is_checked_offline_and_says_what_was_signed() {
    let mut site = site();
    let envelope = sign(&site, "first");
    for n in 0..SIGNATURES {
        sign(&site, &n.to_string());
    }
    let exported = export(&site, &[]).ok().json();
    let size = exported["size"].as_u64().unwrap();
    assert!(size > SIGNATURES as u64, "{exported}");
    assert_eq!(exported["records"], size);

    let folder = site.callers_folder();
    fs::write(folder.join("first.json"), &envelope).unwrap();
    let never = String::from_utf8(envelope).unwrap();
    let pem = site.client().get("/v1/keys/default/release").ok().json();
    let pem = pem["keys"][0]["public_key_pem"].as_str().unwrap();
    fs::write(folder.join("release.pem"), pem).unwrap();
    // A later signature is not in the copy.
    let later = sign(&site, "later");
    assert_ne!(later, never.as_bytes());
    fs::write(folder.join("later.json"), later).unwrap();

    // Nothing of the daemon is needed for the rest.
    site.stop_daemon();
    let log = verify(&site, &[]).ok().json();
    assert_eq!(
        (&log["verified"], &log["log"]["size"]),
        (&true.into(), &size.into())
    );
    let file = verify(&site, &["first.json", "--key", "release.pem"])
        .ok()
        .json();
    assert_eq!(file["recorded"]["origin"], exported["origin"]);
    let unknown = verify(&site, &["later.json", "--key", "release.pem"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("no record in copy"), "{unknown:?}");
}

#[test]
fn a_flipped_byte_in_any_file_of_the_copy_is_found_and_the_file_named() {
    let site = site();
    for n in 0..SIGNATURES {
        sign(&site, &n.to_string());
    }
    let _ = export(&site, &[]).ok();
    let copy = site.callers_folder().join("copy");
    let bundle = EntryBundle {
        index: 0,
        width: 256,
    };
    assert_eq!("tile/entries/000".parse(), Ok(TilePath::Entries(bundle)));
    for name in [
        "checkpoint",
        "tile/0/000",
        "tile/1/000.p/1",
        "tile/entries/000",
        "records.jsonl",
    ] {
        let path = copy.join(name);
        let whole = fs::read(&path).unwrap();
        flip(&path);
        let damaged = verify(&site, &[]);
        assert_eq!(damaged.code, Some(1), "{name}: {damaged:?}");
        // What an entry says is told by the first tile that does not follow from it.
        let named = name.replace("entries", "0");
        assert!(damaged.stderr.contains(&named), "{name}: {damaged:?}");
        fs::write(&path, whole).unwrap();
        fs::rename(&path, copy.join("away")).unwrap();
        let missing = verify(&site, &[]);
        if name == "records.jsonl" {
            assert_eq!(missing.ok().json()["log"]["records"], 0);
        } else {
            assert_eq!(missing.code, Some(1), "{name}: {missing:?}");
            assert!(missing.stderr.contains(name), "{name}: {missing:?}");
        }
        fs::rename(copy.join("away"), &path).unwrap();
    }
    let _ = verify(&site, &[]).ok();
}

#[test]
fn a_copy_is_brought_up_to_date_and_never_mixed_with_another_log() {
    let site = site();
    sign(&site, "a");
    let first = export(&site, &["--leaves-only"]).ok().json();
    assert_eq!(first["records"], 0);
    sign(&site, "b");
    let second = export(&site, &[]).ok().json();
    assert!(second["size"].as_u64() > first["size"].as_u64());
    assert_eq!(second["records"], second["size"]);
    let key = site.callers_folder().join("copy/log.vkey");
    fs::write(&key, "another.log+00000000+AA==\n").unwrap();
    let refused = export(&site, &[]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("another log's export"),
        "{refused:?}"
    );
}

#[test]
fn records_of_another_tenant_are_not_exported_for_the_asking() {
    let site = site();
    sign(&site, "a");
    let refused = export(&site, &["--tenant", "partner"]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(!site.callers_folder().join("copy/checkpoint").exists());
}

#[test]
fn records_are_found_by_time_and_by_text() {
    let site = site();
    sign(&site, "early");
    let boundary = site.records("sign")[0]["time"].as_str().unwrap().to_owned();
    sign(&site, "late");
    site.wait_for_index();
    let count = |args: &[&str]| {
        let args = [&["audit"], args, &["--json"]].concat();
        site.sealwright(OPERATOR, &args).ok()
    };
    let since = count(&["log", "--kind", "sign", "--since", &boundary]).json();
    assert_eq!(since["records"].as_array().unwrap().len(), 2);
    let before = count(&["log", "--kind", "sign", "--before", &boundary]).json();
    assert_eq!(before["records"].as_array().unwrap().len(), 0);
    let far = count(&["log", "--since", "2999-01-01T00:00:00.000Z"]).json();
    assert_eq!(far["records"].as_array().unwrap().len(), 0);
    let found = count(&["grep", "\"name\":\"late\""]).json_lines();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["record"]["subjects"][0]["name"], "late");
    let bad = site.sealwright(OPERATOR, &["audit", "log", "--since", "yesterday"]);
    assert_eq!(bad.code, Some(5));
    assert!(bad.stderr.contains("since=yesterday"), "{bad:?}");
}

#[test]
fn new_records_are_followed_as_they_come() {
    let site = site();
    sign(&site, "before");
    site.wait_for_index();
    let args = ["audit", "tail", "--kind", "sign", "--json"];
    let mut command = site.sealwright_command(OPERATOR, &args);
    let mut tail = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().contains("\"before\""));
    for name in ["one", "two"] {
        sign(&site, name);
        assert!(next().contains(&format!("\"{name}\"")));
    }
    tail.kill().unwrap();
    tail.wait().unwrap();
    let last = site.sealwright(
        OPERATOR,
        &["audit", "tail", "-n", "1", "--no-follow", "--json"],
    );
    assert_eq!(last.ok().json_lines().len(), 1);
}
