//! A log ends and another one takes its place: restore, another host, another log key. Nothing is lost that was
//! proved, and nothing goes on that was not looked at.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{
    CI, Kind, OPERATOR, ORIGIN, Run, SOON, Site, TokenSpec, statement,
};
use serde_json::Value;
use support::{all_records, text};

const NEW: &str = "sealwright.test/log2";

/// A log of two signatures with a rotation between them, on SoftHSM alone.
fn site() -> Site {
    let site = Site::builder()
        .token(TokenSpec::softhsm("hsm").key("release"))
        .log_on(Kind::SoftHsm)
        .start();
    sign(&site, "first");
    let uri = "pkcs11:object=release-2";
    let _ = operator(&site, &["keys", "rotate", "release", "--uri", uri, "--yes"]).ok();
    sign(&site, "second");
    site
}

fn operator(site: &Site, args: &[&str]) -> Run {
    site.sealwright(OPERATOR, args)
}

/// Signs into `NAME.json`, with the record's proof in `NAME.proof`.
fn sign(site: &Site, name: &str) {
    let answer = site.client().sign("key=release", &statement(name)).ok();
    let folder = site.callers_folder();
    fs::write(folder.join(format!("{name}.json")), &answer.body).unwrap();
    site.wait_for_index();
    let proof = format!("/v1/log/proof/{}?wait=true", answer.record().unwrap());
    let proof = site.client().get(&proof).ok();
    fs::write(folder.join(format!("{name}.proof")), proof.body).unwrap();
}

/// What a verifier keeps of a log: its key, its records and the trust document, in `LOG-…`.
fn keep(site: &Site, log: &str) {
    wait_for("a checkpoint over everything", SOON, || {
        let log = &site.status()["log"];
        (log["size"] == log["checkpoint_size"]).then_some(())
    });
    site.wait_for_index();
    let folder = site.callers_folder();
    let vkey = operator(site, &["audit", "key"]).ok().stdout;
    fs::write(folder.join(format!("{log}-vkey")), vkey).unwrap();
    let _ = operator(site, &["audit", "export", &format!("{log}-copy")]).ok();
    let document = operator(site, &["trust", "export", "--format", "document"]);
    fs::write(folder.join(format!("{log}-trust")), document.ok().stdout).unwrap();
}

/// Ends the log in good order; returns its folder and the file for the next one.
fn ended(site: &mut Site) -> (PathBuf, PathBuf) {
    site.stop_daemon();
    let (old, out) = (site.put_log_away(), site.path("shard.json"));
    let _ = site.shard(&old, &out, &[]).ok();
    (old, out)
}

/// Begins the next log and starts its daemon.
fn begun(site: &mut Site, file: &Path) {
    let _ = init(site, file);
    site.start_daemon();
}

/// Begins the next log with a log key of its own.
fn init(site: &Site, file: &Path) -> Run {
    let more = ["--continues", file.to_str().unwrap(), "--generate-log-key"];
    site.init(NEW, "pkcs11:object=log-2", &more).ok()
}

fn verdict(site: &Site, name: &str, trust: &str, more: &[&str]) -> String {
    let (file, trust) = (format!("{name}.json"), format!("{trust}-trust"));
    let verify = [
        "--json",
        "verify",
        &file,
        "--trust",
        &trust,
        "--trust-unsigned",
    ];
    let run = site.sealwright(CI, &[&verify, more].concat());
    text(&run.json(), "verdict").to_owned()
}

fn states(site: &Site) -> Vec<String> {
    let keys = operator(site, &["--json", "keys", "list"]).ok().json();
    let keys = keys["keys"].as_array().or_else(|| keys.as_array()).unwrap();
    let state = |key: &Value| text(key, "state").to_owned();
    keys.iter().map(state).collect()
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

#[test]
fn a_new_log_takes_the_old_ones_place_with_its_keys_and_another_log_key() {
    let mut site = site();
    keep(&site, "old");
    let (_, file) = ended(&mut site);
    let done = init(&site, &file);
    site.start_daemon();
    for words in [
        "2 key versions come from",
        ORIGIN,
        "keys resume default/release#2",
    ] {
        assert!(done.stdout.contains(words), "{words}: {done:?}");
    }
    let vkey = fs::read_to_string(site.path("etc/log.vkey")).unwrap();
    assert!(vkey.starts_with(&format!("{NEW}+")), "{vkey}");

    // Nothing signs before an operator has looked at it.
    assert_eq!(states(&site), ["Deactivated", "Suspended"]);
    let refused = site.client().sign("key=release", &statement("early"));
    assert_eq!(refused.code(), "key_not_active", "{}", refused.text());
    let _ = operator(
        &site,
        &["keys", "resume", "release#2", "--reason", "restored"],
    )
    .ok();
    sign(&site, "third");
    keep(&site, "new");

    // Old and new signatures are worth what they were, each with the evidence of its own log.
    for (name, log, expected) in [
        ("first", "old", "superseded"),
        ("second", "old", "good"),
        ("third", "new", "good"),
    ] {
        let (proof, vkey) = (format!("{name}.proof"), format!("{log}-vkey"));
        let proved = ["--proof", &proof, "--log-key", &vkey];
        assert_eq!(verdict(&site, name, log, &proved), expected, "{name}");
        assert_eq!(verdict(&site, name, "new", &[]), expected, "{name}");
        let folder = format!("{log}-copy");
        let in_copy = ["--log", &folder, "--log-key", &vkey];
        assert_eq!(verdict(&site, name, log, &in_copy), expected, "{name}");
        let _ = site
            .sealwright(CI, &[&["verify"], &in_copy[..]].concat())
            .ok();
    }
    let other = ["verify", "--log", "old-copy", "--log-key", "new-vkey"];
    assert_eq!(site.sealwright(CI, &other).code, Some(1));
}

#[test]
fn records_of_the_old_log_are_evidence_about_keys_that_came_over() {
    let mut site = site();
    let signed_at = text(&site.records("sign")[0], "time").to_owned();
    let (_, file) = ended(&mut site);
    begun(&mut site, &file);
    let proof = ["--proof", "first.proof"];
    keep(&site, "new");
    assert_eq!(verdict(&site, "first", "new", &proof), "superseded");
    // Found out only now: the key was in other hands when it signed.
    let revoke = ["keys", "revoke", "release#1", "--reason", "stolen"];
    let revoke = [&revoke[..], &["--effective-time", &signed_at]].concat();
    let _ = operator(&site, &revoke).ok();
    keep(&site, "new");
    assert_eq!(verdict(&site, "first", "new", &[]), "suspect");
    assert_eq!(verdict(&site, "first", "new", &proof), "after-revocation");
}

#[test]
fn status_says_whose_place_the_log_took() {
    let mut site = site();
    assert!(site.status().get("predecessor").is_none());
    let (_, file) = ended(&mut site);
    begun(&mut site, &file);
    let predecessor = &site.status()["predecessor"];
    assert_eq!(text(predecessor, "origin"), ORIGIN);
    let size = &predecessor["size"];
    let said = operator(&site, &["status"]).ok().stdout;
    assert!(
        said.contains(&format!("before   {ORIGIN}, {size} records\n")),
        "{said}"
    );
}

#[test]
fn a_third_log_names_the_first_and_no_origin_comes_back() {
    let mut site = site();
    let (_, file) = ended(&mut site);
    begun(&mut site, &file);
    keep(&site, "new");
    site.stop_daemon();
    let (second, out) = (site.path("second"), site.path("second.json"));
    fs::rename(site.state_dir(), &second).unwrap();
    let _ = site.shard(&second, &out, &[]).ok();
    let more = ["--continues", out.to_str().unwrap()];
    for old in [ORIGIN, NEW] {
        let refused = site.init(old, "pkcs11:object=log", &more);
        assert!(refused.stderr.contains("split view"), "{refused:?}");
    }
    let _ = site
        .init("sealwright.test/log3", "pkcs11:object=log", &more)
        .ok();
    site.start_daemon();
    let predecessor = &site.status()["predecessor"];
    assert_eq!(text(predecessor, "origin"), NEW);
    assert_eq!(text(&predecessor["earlier"][0], "origin"), ORIGIN);
    keep(&site, "third");
    // Evidence from the first log, after two others.
    let proof = ["--proof", "first.proof"];
    assert_eq!(verdict(&site, "first", "third", &proof), "superseded");
}

#[test]
fn the_first_records_say_where_the_log_comes_from() {
    let mut site = site();
    let before = site.status()["log"]["size"].as_u64().unwrap();
    let (_, file) = ended(&mut site);
    begun(&mut site, &file);
    let records = all_records(&site);
    let kinds: Vec<_> = records
        .iter()
        .map(|(_, record)| text(record, "kind"))
        .collect();
    let expected = [
        "genesis",
        "key.inherited",
        "key.inherited",
        "daemon.started",
    ];
    assert_eq!(kinds[..4], expected);
    let predecessor = &records[0].1["predecessor"];
    assert_eq!(text(predecessor, "origin"), ORIGIN);
    assert!(
        predecessor["size"].as_u64().unwrap() >= before,
        "{predecessor}"
    );
    assert!(
        text(predecessor, "checkpoint").starts_with(&format!("{ORIGIN}\n")),
        "{predecessor}"
    );
    let old = &records[1].1;
    assert_eq!(
        (text(old, "key"), text(old, "state")),
        ("default/release#1", "Deactivated")
    );
    assert_eq!(text(&records[2].1, "state"), "Active");
    // The query index knows them too.
    assert_eq!(site.records("key.inherited").len(), 2);
    // Another start reads it all back.
    site.kill_daemon();
    site.start_daemon();
    assert_eq!(states(&site), ["Deactivated", "Suspended"]);
}

#[test]
fn a_rotation_goes_on_after_the_shard_and_the_chain_leads_through_both_logs() {
    let mut site = site();
    let (_, file) = ended(&mut site);
    begun(&mut site, &file);
    let _ = operator(
        &site,
        &["keys", "resume", "release#2", "--reason", "restored"],
    )
    .ok();
    let uri = "pkcs11:object=release-3";
    let _ = operator(&site, &["keys", "rotate", "release", "--uri", uri, "--yes"]).ok();
    let document = operator(&site, &["trust", "export", "--format", "document"]).ok();
    let document: Value = serde_json::from_str(&document.stdout).unwrap();
    let versions = document["keys"][0]["versions"].as_array().unwrap();
    let trusted = |version: &Value| {
        let pem = serde_json::from_value(version["spki"].clone()).unwrap();
        sealwright_core::dsse::TrustedKey::with_default_scheme(pem).unwrap()
    };
    let links = versions[1..].iter().map(|version| {
        let envelope = serde_json::to_vec(&version["succession"]).unwrap();
        sealwright_core::dsse::Envelope::parse(&envelope).unwrap()
    });
    let chain = sealwright_core::succession::follow(&trusted(&versions[0]), links).unwrap();
    let logs: Vec<_> = chain
        .iter()
        .map(|link| link.predicate.log.as_str())
        .collect();
    assert_eq!(logs, [ORIGIN, NEW]);
    assert_eq!(chain.last().unwrap().key, trusted(&versions[2]));
}

#[test]
fn what_was_frozen_stays_frozen_until_an_operator_lifts_it() {
    let mut site = site();
    let freeze = ["freeze", "--all", "--reason", "incident 43"];
    let _ = operator(&site, &freeze).ok();
    let (_, file) = ended(&mut site);
    let done = init(&site, &file);
    assert!(done.stdout.contains("everything stays frozen"), "{done:?}");
    // It is not ready, for nothing is signed.
    site.spawn_daemon(&[]);
    wait_for("the daemon", SOON, || {
        let answer = site.monitor("/livez").ok()?;
        (answer.status == 200).then_some(())
    });
    assert_eq!(text(&site.status()["freezes"][0], "reason"), "incident 43");
    let resume = ["keys", "resume", "release#2", "--reason", "restored"];
    let refused = operator(&site, &resume);
    assert!(
        refused.stderr.contains("frozen since record 3"),
        "{refused:?}"
    );
    let _ = operator(&site, &["thaw", "--all", "--reason", "over"]).ok();
    let _ = operator(&site, &resume).ok();
    site.client().sign("key=release", &statement("after")).ok();
}

#[test]
fn a_tenant_on_hold_stays_on_hold_until_an_operator_lifts_it() {
    let mut site = site();
    let hold = |what: &'static str| {
        [
            "audit", "hold", what, "--tenant", "default", "--name", "case 7",
        ]
    };
    let place: Vec<_> = hold("place")
        .into_iter()
        .chain(["--reason", "court order"])
        .collect();
    let _ = operator(&site, &place).ok();
    let (_, file) = ended(&mut site);
    let done = init(&site, &file);
    assert!(done.stdout.contains("stays on hold \"case 7\""), "{done:?}");
    site.start_daemon();
    let listed = operator(&site, &["audit", "hold", "list"]).ok();
    assert!(listed.stdout.contains("court order"), "{listed:?}");
    let again = operator(&site, &place);
    assert!(again.stderr.contains("case 7"), "{again:?}");
    let lift: Vec<_> = hold("lift")
        .into_iter()
        .chain(["--reason", "closed"])
        .collect();
    let _ = operator(&site, &lift).ok();
    let listed = operator(&site, &["audit", "hold", "list"]).ok();
    assert!(!listed.stdout.contains("court order"), "{listed:?}");
}

#[test]
fn a_compromise_is_remembered_with_the_log_that_recorded_it() {
    let mut site = site();
    let _ = operator(
        &site,
        &["keys", "revoke", "release#1", "--reason", "stolen"],
    )
    .ok();
    let (_, file) = ended(&mut site);
    begun(&mut site, &file);
    let keys = site.operator().get("/v1/keys/default/release").ok().json();
    let compromise = &keys["keys"][0]["compromise"];
    assert_eq!(
        (text(compromise, "log"), text(compromise, "reason")),
        (ORIGIN, "stolen")
    );
}

#[test]
fn the_old_origin_is_refused_before_anything_is_written() {
    let mut site = site();
    let (_, file) = ended(&mut site);
    let file = file.to_str().unwrap();
    let refused = site.init(ORIGIN, "pkcs11:object=log", &["--continues", file]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("split view"), "{refused:?}");
    assert!(!site.state_dir().exists());
    // The old key may go on under another name.
    let _ = site
        .init(NEW, "pkcs11:object=log", &["--continues", file])
        .ok();
    site.start_daemon();
}

#[test]
fn a_folder_that_a_daemon_writes_to_is_left_alone() {
    let site = site();
    let out = site.path("shard.json");
    let refused = site.shard(&site.state_dir(), &out, &[]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("/lock") && refused.stderr.contains("stop it first"),
        "{refused:?}"
    );
    assert!(!out.exists());
    site.client().sign("key=release", &statement("on")).ok();
}

#[test]
fn a_folder_without_a_lock_file_gets_none_and_no_file_is_overwritten() {
    let mut site = site();
    let (old, out) = ended(&mut site);
    fs::remove_file(old.join("lock")).unwrap();
    let refused = site.shard(&old, &out, &[]);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("shard.json"),
        "{refused:?}"
    );
    let (again, json) = (site.path("again.json"), site.path("json"));
    let _ = site.shard(&old, &again, &[]).ok();
    assert!(!old.join("lock").exists());
    assert_eq!(fs::read(&again).unwrap(), fs::read(&out).unwrap());
    let done = site.shard(&old, &json, &["--json"]).ok().json();
    assert_eq!(
        (text(&done, "origin"), &done["versions"]),
        (ORIGIN, &2.into())
    );
}

/// Harms a copy of the old folder and tries to let a new log take its place.
fn refused_after(site: &Site, old: &Path, harm: impl FnOnce(&Path)) -> String {
    let (harmed, out) = (site.path("harmed"), site.path("none.json"));
    copy(old, &harmed);
    harm(&harmed);
    let refused = site.shard(&harmed, &out, &[]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(!out.exists());
    refused.stderr
}

fn segment(state_dir: &Path) -> PathBuf {
    state_dir.join("journal/0000000000.swj")
}

#[test]
fn damage_to_the_old_log_is_named_with_file_and_offset() {
    let mut site = site();
    let (old, _) = ended(&mut site);
    let said = refused_after(&site, &old, |harmed| {
        let mut bytes = fs::read(segment(harmed)).unwrap();
        bytes[4096 + 300] ^= 1;
        fs::write(segment(harmed), bytes).unwrap();
    });
    assert!(
        said.contains("0000000000.swj is damaged at byte 4096"),
        "{said}"
    );
    let said = refused_after(&site, &old, |harmed| {
        let file = fs::File::options()
            .write(true)
            .open(segment(harmed))
            .unwrap();
        file.set_len(4096 + 200).unwrap();
    });
    assert!(
        said.contains("at byte 4096: the file was cut short"),
        "{said}"
    );
    let said = refused_after(&site, &old, |harmed| {
        fs::rename(segment(harmed), harmed.join("journal/0000000001.swj")).unwrap();
    });
    assert!(said.contains("0000000000.swj is missing"), "{said}");
}

#[test]
fn an_older_copy_is_found_and_taken_only_with_a_reason_that_all_can_read() {
    let mut site = site();
    site.stop_daemon();
    let older = fs::read(segment(&site.state_dir())).unwrap();
    let records = site.daemon_command(&["fsck", "--json"]);
    let records: Value = serde_json::from_slice(&records.stdout).unwrap();
    site.start_daemon();
    sign(&site, "lost");
    let (old, _) = ended(&mut site);
    let restored = |path: &Path| fs::write(segment(path), &older).unwrap();
    let said = refused_after(&site, &old, restored);
    assert!(
        said.contains("records, and the journal has")
            && said.contains("--sound-to N --because TEXT"),
        "{said}"
    );
    let (harmed, out) = (site.path("harmed"), site.path("cut.json"));
    let size = records["records"].to_string();
    let why = [
        "--sound-to",
        &size,
        "--because",
        "the newest backup is older",
    ];
    let _ = site.shard(&harmed, &out, &why).ok();
    begun(&mut site, &out);
    let genesis = site.record(0);
    let predecessor = &genesis["predecessor"];
    assert_eq!(predecessor["size"], records["records"]);
    assert_eq!(text(predecessor, "because"), why[3]);
    // It says what the old log had signed, so that nobody takes the cut for its end.
    let signed: u64 = text(predecessor, "checkpoint")
        .lines()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        signed > predecessor["size"].as_u64().unwrap(),
        "{predecessor}"
    );
}

#[test]
fn a_shard_file_that_was_edited_by_hand_begins_nothing() {
    let mut site = site();
    let (_, file) = ended(&mut site);
    let good = fs::read_to_string(&file).unwrap();
    let edited = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&good).unwrap();
        change(&mut value);
        fs::write(&file, value.to_string()).unwrap();
        let refused = site.init(
            NEW,
            "pkcs11:object=log",
            &["--continues", file.to_str().unwrap()],
        );
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(
            refused.stderr.contains("shard.json") && !site.state_dir().exists(),
            "{refused:?}"
        );
        refused.stderr
    };
    let said = edited(&|v| v["predecessor"]["root"] = "00".repeat(32).into());
    assert!(said.contains("another root"), "{said}");
    let said = edited(&|v| v["predecessor"]["size"] = 1.into());
    assert!(said.contains("without a reason"), "{said}");
    let said = edited(&|v| drop(v["inheritance"]["keys"].as_array_mut().unwrap().pop()));
    assert!(said.contains("announces 2 records"), "{said}");
}

#[test]
fn a_state_folder_that_holds_a_log_is_not_begun_again() {
    let mut site = site();
    site.stop_daemon();
    let (kept, out) = (site.path("kept"), site.path("shard.json"));
    copy(&site.state_dir(), &kept);
    let _ = site.shard(&kept, &out, &[]).ok();
    let more = ["--continues", out.to_str().unwrap()];
    let refused = site.init(NEW, "pkcs11:object=log", &more);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("journal exists"), "{refused:?}");
    site.start_daemon();
}
