//! Archived segments whose bodies were removed: the daemon goes on, and says where they are.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use sealwright_core::time::Timestamp;
use sealwright_core::tlog::merkle::leaf_hash;
use sealwright_core::tlog::vkey::KeyType;
use sealwright_core::tlog::{Policy, TlogProof, VerifierKey};
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{
    CI, DAEMON_UID, DEFAULT_POLICY, OPERATOR, SOON, Site, TokenSpec, statement,
};
use serde_json::{Value, json};
use support::{log_key, proved, text};

const ERASE: &str = "@id(\"operators-erase\") permit (principal in Sealwright::Role::\"operator\", \
                     action == Sealwright::Action::\"eraseAudit\", resource);";

/// A site whose first segment is closed, and the record of a signature in it.
fn site() -> (Site, u64) {
    let site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .policy(&format!("{DEFAULT_POLICY}{ERASE}"))
        .start();
    // A refusal is erased, so that the segment ends here.
    let denied = site
        .client()
        .sign("key=nobody", &statement("a"))
        .record()
        .unwrap();
    let time = text(&site.record(denied), "time").to_owned();
    let kept = site
        .client()
        .sign("key=release", &statement("a"))
        .ok()
        .record()
        .unwrap();
    let before = next_millisecond(&time);
    let body = json!({ "tenant": "default", "before": before, "reason": "asked for" });
    let erased = site
        .operator()
        .post("/v1/audit/erasures", &body)
        .ok()
        .json();
    assert_eq!(erased["count"], 1);
    wait_for("the body to go", SOON, || {
        (site.status()["log"]["erasing"] == json!([])).then_some(())
    });
    wait_for("a checkpoint", SOON, || {
        let log = &site.status()["log"];
        (log["size"] == log["checkpoint_size"]).then_some(())
    });
    (site, kept)
}

fn next_millisecond(time: &str) -> String {
    let time: Timestamp = time.parse().unwrap();
    Timestamp::from_unix_millis(time.unix_millis() + 1).to_string()
}

fn archive(site: &Site, more: &[&str]) -> Output {
    let to = folder(site);
    site.daemon_command(&[&["archive", "--to", to.to_str().unwrap()], more].concat())
}

fn folder(site: &Site) -> PathBuf {
    let to = site.path("archive");
    if !to.exists() {
        fs::create_dir(&to).unwrap();
        std::os::unix::fs::chown(&to, Some(DAEMON_UID), Some(DAEMON_UID)).unwrap();
    }
    to
}

fn said(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(both).unwrap()
}

fn fsck(site: &Site) -> Value {
    let output = site.daemon_command(&["fsck", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}");
    report
}

#[test]
fn removed_bodies_are_named_with_their_file_and_everything_else_goes_on() {
    let (mut site, kept) = site();
    let running = archive(&site, &["--remove", "0"]);
    assert_eq!(running.status.code(), Some(1));
    assert!(
        said(&running).contains("while sealwrightd does not run"),
        "{}",
        said(&running)
    );
    site.stop_daemon();
    let segment = site.path("state/journal/0000000000.swj");
    let whole = fs::read(&segment).unwrap();
    let removed = archive(&site, &["--remove", "0", "--json"]);
    assert!(removed.status.success(), "{}", said(&removed));
    let stubs: Value = serde_json::from_slice(&removed.stdout).unwrap();
    let file = text(&stubs[0], "file").to_owned();
    assert!(fs::metadata(&segment).unwrap().len() < whole.len() as u64 / 2);
    let report = fsck(&site);
    let notes = report["notes"].to_string();
    assert!(notes.contains("bodies of segment 0 are in"), "{notes}");
    assert!(report["indexed"].is_number(), "{report}");

    site.start_daemon();
    site.wait_for_index();
    let operator = site.operator();
    let shown = operator.get(&format!("/v1/audit/records/{kept}"));
    assert_eq!(shown.code(), "record_archived");
    assert!(shown.text().contains(&file), "{}", shown.text());
    let listed = operator
        .get(&format!("/v1/audit/records?from={kept}&limit=1"))
        .ok()
        .json();
    assert_eq!(listed["records"][0]["archived"]["file"], file);
    let proof = operator
        .get(&format!("/v1/log/proof/{kept}?wait=true"))
        .ok()
        .text();
    let proof: TlogProof = proof.parse().unwrap();
    let leaf = leaf_hash(text(&listed["records"][0], "leaf").as_bytes());
    let policy = Policy::of_log(log_key(&site.client()));
    assert_eq!(proof.verify(&leaf, &policy).unwrap().index, kept);
    // Keys and their lives are still known, and what is signed now is as before.
    let signed = site.client().sign("key=release", &statement("b")).ok();
    proved(&site.client(), signed.record().unwrap());
    let listing = site
        .sealwright(OPERATOR, &["audit", "log", "--kind", "sign"])
        .ok();
    assert!(listing.stdout.contains("(archived)"), "{}", listing.stdout);

    // Put back, everything is as it was.
    site.stop_daemon();
    let unpacked = Command::new("zstd").args(["-dcq", &file]).output().unwrap();
    assert!(unpacked.stdout == whole);
    fs::write(&segment, unpacked.stdout).unwrap();
    fs::remove_file(site.path("state/journal/0000000000.archived")).unwrap();
    assert!(site.daemon_command(&["reindex"]).status.success());
    fsck(&site);
    site.start_daemon();
    assert_eq!(site.record(kept)["principal"], CI);
}

/// A witness that has seen nothing.
fn witness() -> VerifierKey {
    let base_point: [u8; 32] = std::array::from_fn(|n| if n == 0 { 0x58 } else { 0x66 });
    VerifierKey::new("witness.test", KeyType::CosignatureV1, &base_point).unwrap()
}

#[test]
fn nothing_is_removed_that_witnesses_did_not_see_or_that_is_damaged() {
    let (mut site, _) = site();
    site.stop_daemon();
    let segment = site.path("state/journal/0000000000.swj");
    let whole = fs::read(&segment).unwrap();
    let refused = archive(&site, &["--remove", "1"]);
    assert!(
        said(&refused).contains("the newest one always stays"),
        "{}",
        said(&refused)
    );
    let none = archive(&site, &["--older-than", "30"]);
    assert!(none.status.success(), "{}", said(&none));

    let plain = fs::read_to_string(site.path("etc/sealwright.toml")).unwrap();
    let anchored = format!(
        "[log]\nwitnesses = ['{}']\nquorum = 1\nanchor = 'warn'\n",
        witness()
    );
    site.edit_config(|text| text.replace("[log]\n", &anchored));
    let refused = archive(&site, &["--remove", "0"]);
    assert!(
        said(&refused).contains("the witnesses' quorum covers 0"),
        "{}",
        said(&refused)
    );
    site.edit_config(|_| plain);

    let checkpoints = site.path("state/checkpoints");
    let away = site.path("away");
    fs::rename(&checkpoints, &away).unwrap();
    fs::create_dir(&checkpoints).unwrap();
    let refused = archive(&site, &["--remove", "0"]);
    assert!(
        said(&refused).contains("the newest checkpoint covers 0"),
        "{}",
        said(&refused)
    );
    fs::remove_dir(&checkpoints).unwrap();
    fs::rename(&away, &checkpoints).unwrap();

    let tile = site.path("state/tiles");
    fs::rename(&tile, &away).unwrap();
    let refused = archive(&site, &["--remove", "0"]);
    assert!(
        said(&refused).contains("nothing was removed"),
        "{}",
        said(&refused)
    );
    fs::rename(&away, &tile).unwrap();
    assert!(fs::read(&segment).unwrap() == whole);
}
