//! A rotation that is cut off at any of its steps goes on where it was, and never makes a second key.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use sealwright_core::dsse::{Envelope, TrustedKey};
use sealwright_core::spki::Spki;
use sealwright_core::succession;
use sealwright_core::time::Timestamp;
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{Kind, OPERATOR, Run, SOON, Site, TokenSpec, statement};
use serde_json::{Value, json};
use support::text;

/// Where the daemon dies, in the order of a rotation: `journal-write` and `-reply` right before and after a batch is
/// durable, counted from the start's own batch; the others around devices and answers.
const STEPS: [&str; 12] = [
    "journal-write:2", // the intent to generate
    "journal-reply:2",
    "generate:1",
    "generate-respond:1",
    "journal-write:3", // the enrolment
    "journal-reply:3",
    "enrol-respond:1",
    "rotate-sign:1",
    "rotate-record:1",
    "journal-write:4", // the rotation
    "journal-reply:4",
    "rotate-respond:1",
];

fn rotate(site: &Site, uri: &str) -> Run {
    let args = ["keys", "rotate", "release", "--uri", uri, "--yes", "--json"];
    site.sealwright(OPERATOR, &args)
}

fn versions(site: &Site) -> Vec<Value> {
    let keys = site.operator().get("/v1/keys/default/release").ok().json();
    keys["keys"].as_array().unwrap().clone()
}

/// The one version that signs.
fn active(site: &Site) -> Value {
    let mut active = versions(site);
    active.retain(|version| version["state"] == "Active");
    assert_eq!(active.len(), 1, "{active:?}");
    active.remove(0)
}

fn trusted(version: &Value) -> TrustedKey {
    let spki = Spki::from_pem(text(version, "public_key_pem")).unwrap();
    TrustedKey::with_default_scheme(spki).unwrap()
}

fn wait_for_death(site: &mut Site, step: &str) {
    let dead = format!("the daemon to die at {step} (only builds with debug assertions do)");
    wait_for(&dead, SOON, || site.daemon().ended());
}

#[test]
fn a_rotation_goes_on_after_the_daemon_died_at_any_of_its_steps() {
    let mut site = Site::builder()
        .token(TokenSpec::softhsm("hsm").key("release"))
        .start();
    for (number, step) in STEPS.iter().enumerate() {
        let before = active(&site);
        let uri = format!("pkcs11:object=next-{number}");
        site.kill_daemon();
        site.start_daemon_with(&[("SEALWRIGHT_FAILPOINT", step)]);
        let cut_off = rotate(&site, &uri);
        assert_ne!(cut_off.code, Some(0), "{step}: {cut_off:?}");
        wait_for_death(&mut site, step);
        site.start_daemon();
        // Whichever of the two it is, one signs.
        site.client().sign("key=release", &statement(step)).ok();
        active(&site);

        let rotated = rotate(&site, &uri).ok().json();
        let after = active(&site);
        assert_eq!(rotated["from"], before["key"], "{step}");
        assert_eq!(rotated["to"]["key"], after["key"], "{step}");
        let statement = serde_json::to_vec(&rotated["succession"]).unwrap();
        let link = Envelope::parse(&statement).unwrap();
        let chain = succession::follow(&trusted(&before), [link]).unwrap();
        assert_eq!(chain[0].key, trusted(&after), "{step}");
    }
    // One key per rotation: of two with a label the driver would say so, and none was enrolled twice.
    assert_eq!(versions(&site).len(), 1 + STEPS.len());
    assert_eq!(site.records("key.rotated").len(), STEPS.len());
}

#[test]
fn a_scheduled_rotation_is_done_once_wherever_the_daemon_died_over_it() {
    let mut site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start();
    // The start's own batch is the first.
    let steps = [
        "rotate-sign:1",
        "rotate-record:1",
        "journal-write:2",
        "journal-reply:2",
        "rotate-respond:1",
    ];
    for (number, step) in steps.iter().enumerate() {
        let uri = format!("scripted:object=next-{number}");
        let at = soon();
        let args = [
            "keys", "rotate", "release", "--uri", &uri, "--yes", "--at", &at,
        ];
        let _ = site.sealwright(OPERATOR, &args).ok();
        let to = active(&site)["rotation_scheduled"]["to"].clone();
        site.kill_daemon();
        // It may die before it ever says that it is ready.
        site.spawn_daemon(&[("SEALWRIGHT_FAILPOINT", step)]);
        wait_for_death(&mut site, step);
        site.start_daemon();
        wait_for("the rotation", SOON, || {
            (active(&site)["key"] == to).then_some(())
        });
        site.client().sign("key=release", &statement(step)).ok();
    }
    assert_eq!(site.records("key.rotated").len(), steps.len());
    assert_eq!(versions(&site).len(), 1 + steps.len());
}

/// A time that comes after a daemon was started anew.
fn soon() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let millis = i64::try_from(since.as_millis()).unwrap();
    Timestamp::from_unix_millis(millis + 4000).to_string()
}

#[test]
fn a_key_whose_making_was_not_answered_is_found_and_taken_and_no_second_one_made() {
    let site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start();
    let uri = "scripted:object=next";
    site.token("soft").fault("crash-after-generate");
    let cut_off = rotate(&site, uri);
    assert_ne!(cut_off.code, Some(0), "{cut_off:?}");
    assert_eq!(versions(&site).len(), 1);
    site.token("soft").fault("none");
    let rotated = rotate(&site, uri).ok().json();
    assert_eq!(rotated["to"]["key"], "default/release#2");
    assert_eq!(site.records("key.generate-intent").len(), 1);
    // And nobody makes one over it.
    let again = json!({
        "key": "release", "token": "soft", "uri": uri, "scheme": "ecdsa-p256-sha256",
    });
    let refused = site.operator().post("/v1/keys/generate", &again);
    assert_eq!(refused.code(), "invalid_request");
    assert!(
        refused.text().contains("a key already"),
        "{}",
        refused.text()
    );
}

#[test]
fn a_token_that_vanishes_during_a_rotation_leaves_the_old_key_signing() {
    let site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start();
    let uri = "scripted:object=next";
    for (fault, code) in [
        ("crash-before-sign", "outcome_unknown"),
        ("crash-after-sign", "outcome_unknown"),
        ("transient", "token_unavailable"),
    ] {
        site.token("soft").fault(fault);
        let failed = rotate(&site, uri);
        assert!(failed.stderr.contains(code), "{fault}: {failed:?}");
        site.token("soft").fault("none");
        assert_eq!(active(&site)["key"], "default/release#1");
        site.wait_for_token("soft", "ready");
        site.client().sign("key=release", &statement(fault)).ok();
    }
    assert!(site.records("key.rotated").is_empty());
    let _ = rotate(&site, uri).ok();
    assert_eq!(active(&site)["key"], "default/release#2");
    assert_eq!(versions(&site).len(), 2);
}

#[test]
fn a_rotation_to_a_token_without_the_algorithm_makes_and_changes_nothing() {
    let site = Site::builder()
        .token(TokenSpec::softhsm("hsm").key("release"))
        .token(TokenSpec::new("tpm", Kind::Swtpm))
        .start();
    let args = [
        "keys",
        "rotate",
        "release",
        "--token",
        "tpm",
        "--uri",
        "tpm2:object=next",
        "--scheme",
        "ed25519",
        "--yes",
    ];
    let refused = site.sealwright(OPERATOR, &args);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(
        refused.stderr.contains("tpm") && refused.stderr.contains("ed25519"),
        "{refused:?}"
    );
    assert_eq!(active(&site)["key"], "default/release#1");
    assert_eq!(versions(&site).len(), 1);
    site.client().sign("key=release", &statement("a")).ok();
    // With one that it has it works, across tokens.
    let args = [
        "keys",
        "rotate",
        "release",
        "--token",
        "tpm",
        "--uri",
        "tpm2:object=next",
        "--yes",
    ];
    let _ = site.sealwright(OPERATOR, &args).ok();
    assert_eq!(active(&site)["token"], "tpm");
}
