//! Rotations at a time: prepared and published before it, done by the daemon when it comes.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sealwright_core::spki::Spki;
use sealwright_core::time::Timestamp;
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{OPERATOR, Run, SOON, Site, TokenSpec, statement};
use serde_json::{Value, json};
use support::text;

/// Soon enough to wait for, late enough to do something before it on a busy machine.
const AHEAD_MILLIS: i64 = 5000;

fn site() -> Site {
    Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start()
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_unix_millis(since.as_millis().try_into().unwrap())
}

fn ahead(millis: i64) -> Timestamp {
    Timestamp::from_unix_millis(now().unix_millis() + millis)
}

/// `keys rotate --at` to a new key of that name on the token; the version that signs until then.
fn schedule(site: &Site, successor: &str, at: Timestamp) -> Value {
    ask(site, successor, at).ok().json()
}

fn ask(site: &Site, successor: &str, at: Timestamp) -> Run {
    let (uri, at) = (format!("scripted:object={successor}"), at.to_string());
    let args = [
        "keys", "rotate", "release", "--uri", &uri, "--yes", "--at", &at, "--reason", "yearly",
        "--json",
    ];
    site.sealwright(OPERATOR, &args)
}

fn versions(site: &Site) -> Vec<Value> {
    let keys = site.operator().get("/v1/keys/default/release").ok().json();
    keys["keys"].as_array().unwrap().clone()
}

fn states(site: &Site) -> Vec<String> {
    let versions = versions(site);
    versions
        .iter()
        .map(|v| text(v, "state").to_owned())
        .collect()
}

fn wait_until_rotated(site: &Site) {
    wait_for("the rotation", SOON, || {
        (states(site) == ["Deactivated", "Active"]).then_some(())
    });
}

/// Waits until a scheduled rotation is overdue, and returns why.
fn wait_for_problem(site: &Site) -> String {
    wait_for("a problem with the rotation", SOON, || {
        let problem = &versions(site)[0]["rotation_scheduled"]["problem"];
        problem.as_str().map(ToOwned::to_owned)
    })
}

#[test]
fn the_successor_is_published_at_once_and_takes_over_when_its_time_has_come() {
    let site = site();
    let at = ahead(AHEAD_MILLIS);
    let from = schedule(&site, "next", at);
    assert_eq!(from["rotation_scheduled"]["to"], "default/release#2");
    assert_eq!(states(&site), ["Active", "PreActive"]);
    for format in ["jwks", "document"] {
        let args = ["trust", "export", "--format", format, "-o", "-"];
        let exported = site.sealwright(OPERATOR, &args).ok().stdout;
        let successor = versions(&site)[1]["public_key_pem"].clone();
        let successor = successor.as_str().unwrap().to_owned();
        assert!(knows(&exported, &successor), "{format}: {exported}");
    }
    let said = site.sealwright(OPERATOR, &["status"]).ok().stdout;
    assert!(said.contains("#2 takes over at"), "{said}");
    wait_until_rotated(&site);
    let signed = site.client().sign("key=release", &statement("a")).ok();
    assert_eq!(site.record(signed.record().unwrap())["key_version"], 2);
    let record = &site.records("key.rotated")[0];
    assert_eq!(text(&record["by"], "principal"), OPERATOR);
    assert_eq!(text(record, "reason"), "yearly");
    assert!(text(record, "time").parse::<Timestamp>().unwrap() >= at);
    assert_eq!(site.status().get("rotations"), None);
}

/// Whether a trust document or a JWK set holds the P-256 key: as its SPKI, or as its x.
fn knows(exported: &str, pem: &str) -> bool {
    let spki = Spki::from_pem(pem).unwrap();
    let x = &spki.der()[27..59];
    exported.contains(&STANDARD.encode(spki.der())) || exported.contains(&URL_SAFE_NO_PAD.encode(x))
}

#[test]
fn one_rotation_is_ahead_of_a_key_and_can_be_cancelled() {
    let site = site();
    let operator = site.operator();
    let tomorrow = ahead(24 * 60 * 60 * 1000);
    schedule(&site, "next", tomorrow);
    let again = ask(&site, "next", tomorrow);
    assert!(
        again.stderr.contains("already; cancel that first"),
        "{again:?}"
    );
    let cancel = ["keys", "rotate", "release", "--cancel", "--reason", "moved"];
    let said = site.sealwright(OPERATOR, &cancel).ok().stdout;
    assert!(said.contains("release#1 goes on signing"), "{said}");
    assert_eq!(versions(&site)[0].get("rotation_scheduled"), None);
    let none = site.sealwright(OPERATOR, &cancel);
    assert!(
        none.stderr.contains("no rotation of default/release"),
        "{none:?}"
    );
    assert_eq!(site.records("key.rotation-cancelled")[0]["reason"], "moved");

    // The clock that counts is the daemon's; the command looks at its own before it makes a key.
    let past = json!({"to": 2, "at": ahead(-1).to_string()});
    let path = "/v1/keys/default/release/rotate/schedule";
    let late = operator.post(path, &past);
    assert_eq!(late.code(), "invalid_request");
    assert!(late.text().contains("give a later time"), "{}", late.text());
    let late = ask(&site, "third", ahead(-1));
    assert!(late.stderr.contains("is over"), "{late:?}");
    assert_eq!(site.records("key.generate-intent").len(), 1);
    let client = site.client();
    assert_eq!(
        client
            .post(path, &json!({"to": 2, "at": tomorrow.to_string()}))
            .code(),
        "denied"
    );
    // Scheduled again, and what is done by hand meanwhile ends it.
    schedule(&site, "next", tomorrow);
    operator
        .post("/v1/keys/default/release/rotate", &json!({"to": 2}))
        .ok();
    assert_eq!(versions(&site)[0].get("rotation_scheduled"), None);
}

#[test]
fn a_rotation_whose_time_came_while_the_daemon_was_down_is_done_at_its_start() {
    let mut site = site();
    let at = ahead(AHEAD_MILLIS);
    schedule(&site, "next", at);
    site.kill_daemon();
    wait_for("the time", SOON, || (now() > at).then_some(()));
    site.start_daemon();
    wait_until_rotated(&site);
}

#[test]
fn a_rotation_waits_for_a_token_that_is_away_and_says_so() {
    let mut site = site();
    schedule(&site, "next", ahead(AHEAD_MILLIS));
    site.token_mut("soft").stop();
    let problem = wait_for_problem(&site);
    assert!(problem.contains("soft"), "{problem}");
    assert_eq!(states(&site), ["Active", "PreActive"]);
    let found = site.sealwright(OPERATOR, &["doctor", "--json"]);
    assert!(found.stdout.contains("key.rotation-overdue"), "{found:?}");
    site.token_mut("soft").serve();
    wait_until_rotated(&site);
}

#[test]
fn a_rotation_waits_until_a_freeze_is_lifted() {
    let site = site();
    let operator = site.operator();
    schedule(&site, "next", ahead(AHEAD_MILLIS));
    let all = json!({"scope": "all", "reason": "test"});
    operator.post("/v1/freeze", &all).ok();
    let problem = wait_for_problem(&site);
    assert!(problem.contains("everything is frozen"), "{problem}");
    operator.post("/v1/freeze/lift", &all).ok();
    wait_until_rotated(&site);
}

#[test]
fn a_rotation_is_not_done_in_the_name_of_somebody_who_is_gone() {
    let mut site = site();
    let at = ahead(AHEAD_MILLIS);
    schedule(&site, "next", at);
    site.kill_daemon();
    let other = "spiffe://sealwright.test/second-operator";
    site.edit_config(|text| text.replace(OPERATOR, other));
    wait_for("the time", SOON, || (now() > at).then_some(()));
    site.start_daemon();
    let operator = site.caller_of(other);
    let problem = wait_for("a problem with the rotation", SOON, || {
        let keys = operator.get("/v1/keys/default/release").ok().json();
        let problem = &keys["keys"][0]["rotation_scheduled"]["problem"];
        problem.as_str().map(ToOwned::to_owned)
    });
    assert!(problem.contains("no principal any more"), "{problem}");
}
