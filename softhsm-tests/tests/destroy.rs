//! The end of a key's life: asked for, begun, done on the device, and gone on with wherever it was cut off.
#![allow(clippy::unwrap_used)]

mod support;

use sealwright_softhsm_tests::site::http::Response;
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{Builder, OPERATOR, Run, SOON, Site, TokenSpec, statement};
use serde_json::{Value, json};
use support::{is_suspect, text, verified};

const AT_ONCE: &str = "[destruction]\nafter_days = 0\n";

fn builder(token: TokenSpec) -> Builder {
    Site::builder().token(token.key("release").key("other"))
}

fn site(token: TokenSpec) -> Site {
    builder(token).config(AT_ONCE).start()
}

fn deactivate(site: &Site) {
    let body = json!({"event": "deactivate", "reason": "end of life"});
    site.operator()
        .post("/v1/keys/default/release/1/events", &body)
        .ok();
}

fn destroy(site: &Site) -> Response {
    let path = "/v1/keys/default/release/1/destroy";
    site.operator()
        .post(path, &json!({"reason": "end of life"}))
}

fn destroy_by_command(site: &Site) -> Run {
    let args = [
        "--json",
        "keys",
        "destroy",
        "release#1",
        "--reason",
        "end of life",
        "--yes",
    ];
    site.sealwright(OPERATOR, &args)
}

fn shown(site: &Site) -> Value {
    site.operator().get("/v1/keys/default/release").ok().json()["keys"][0].clone()
}

/// Asks the token itself.
fn describe(site: &Site, token: &str, label: &str) -> Response {
    let uri = site.token(token).uri(label);
    let body = json!({"token": token, "uri": uri});
    site.operator().post("/v1/keys/describe", &body)
}

fn assert_gone(site: &Site, token: &str) {
    assert_eq!(shown(site)["state"], "Destroyed");
    assert_eq!(
        describe(site, token, "release").json()["code"],
        "unknown_key"
    );
    describe(site, token, "other").ok();
    assert_eq!(site.records("key.destroy-intent").len(), 1);
    let states = site.records("key.state");
    let destroyed = states.iter().filter(|record| record["event"] == "destroy");
    assert_eq!(destroyed.count(), 1);
}

#[test]
fn a_destroyed_key_is_gone_from_its_token_and_its_signatures_still_verify() {
    for token in [
        TokenSpec::softhsm("t"),
        TokenSpec::swtpm("t"),
        TokenSpec::scripted("t"),
    ] {
        let site = site(token);
        let signed = site.client().sign("key=release", &statement("a")).ok();
        deactivate(&site);
        let done = destroy_by_command(&site).ok().json();
        assert_eq!(done["state"], "Destroyed");
        assert_gone(&site, "t");
        verified(&site, &["release"], &signed);
        let intent = site.records("key.destroy-intent").remove(0);
        assert_eq!(intent["spki_sha256"], shown(&site)["spki_sha256"]);
        let refused = site.client().sign("key=release", &statement("b"));
        assert_eq!(refused.json()["code"], "key_not_active");
        assert_eq!(destroy(&site).json()["code"], "invalid_request");
    }
}

#[test]
fn a_key_in_use_is_not_destroyed() {
    let site = site(TokenSpec::scripted("t"));
    let refused = destroy(&site);
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["code"], "invalid_request");
    assert!(site.records("key.destroy-intent").is_empty());
}

#[test]
fn a_key_is_kept_for_ninety_days_where_nothing_else_is_said() {
    let site = builder(TokenSpec::scripted("t")).start();
    deactivate(&site);
    let until = text(&shown(&site), "destroy_from").to_owned();
    let refused = destroy(&site);
    assert_eq!(refused.status, 409);
    assert_eq!(refused.json()["code"], "key_retention_not_over");
    assert!(
        text(&refused.json(), "detail").contains(&until),
        "{refused:?}"
    );
    let days = |time: &str| {
        time.parse::<sealwright_core::time::Timestamp>()
            .unwrap()
            .unix_millis()
            / 86_400_000
    };
    let ended = text(&shown(&site), "active_until").to_owned();
    assert_eq!(days(&until) - days(&ended), 90);
    assert!(site.records("key.destroy-intent").is_empty());
    describe(&site, "t", "release").ok();
}

#[test]
fn the_last_key_of_a_tenant_is_not_destroyed() {
    let site = Site::builder()
        .token(TokenSpec::scripted("t").key("release"))
        .config(AT_ONCE)
        .start();
    deactivate(&site);
    let refused = destroy(&site);
    assert_eq!(refused.status, 409);
    assert_eq!(refused.json()["code"], "last_key");
    describe(&site, "t", "release").ok();
}

#[test]
fn a_destruction_goes_on_after_the_daemon_died_at_any_of_its_steps() {
    // The start's own batch is the first.
    let steps = [
        "journal-write:2", // the intent
        "journal-reply:2",
        "destroy:1",
        "destroyed:1",
        "journal-write:3", // the outcome
        "journal-reply:3",
    ];
    for step in steps {
        let mut site = site(TokenSpec::softhsm("t"));
        deactivate(&site);
        site.kill_daemon();
        site.start_daemon_with(&[("SEALWRIGHT_FAILPOINT", step)]);
        let cut_off = destroy_by_command(&site);
        assert_ne!(cut_off.code, Some(0), "{step}: {cut_off:?}");
        wait_for("the daemon to die", SOON, || site.daemon().ended());
        site.start_daemon();
        if shown(&site)["state"] != "Destroyed" {
            let _ = destroy_by_command(&site).ok();
        }
        assert_gone(&site, "t");
    }
}

#[test]
fn a_version_whose_destruction_has_begun_is_not_taken_into_use() {
    let mut site = site(TokenSpec::scripted("t"));
    let make = [
        "keys",
        "generate",
        "release",
        "--token",
        "t",
        "--uri",
        "scripted:object=next",
    ];
    let _ = site.sealwright(OPERATOR, &make).ok();
    let enrol = [
        "keys",
        "enrol",
        "release",
        "--token",
        "t",
        "--uri",
        "scripted:object=next",
        "--inactive",
        "--yes",
    ];
    let _ = site.sealwright(OPERATOR, &enrol).ok();
    site.kill_daemon();
    site.start_daemon_with(&[("SEALWRIGHT_FAILPOINT", "destroy:1")]);
    let destroy = [
        "keys",
        "destroy",
        "release#2",
        "--reason",
        "never needed",
        "--yes",
    ];
    assert_ne!(site.sealwright(OPERATOR, &destroy).code, Some(0));
    wait_for("the daemon to die", SOON, || site.daemon().ended());
    site.start_daemon();
    let rotate = json!({"to": 2, "reason": "rotation"});
    let refused = site
        .operator()
        .post("/v1/keys/default/release/rotate", &rotate);
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(
        text(&refused.json(), "detail").contains("is being destroyed"),
        "{refused:?}"
    );
    // It is still there, and the call goes on with it.
    describe(&site, "t", "next").ok();
    let _ = site.sealwright(OPERATOR, &destroy).ok();
    assert_eq!(describe(&site, "t", "next").json()["code"], "unknown_key");
}

#[test]
fn a_token_that_vanishes_before_or_during_a_destruction_leaves_it_to_be_asked_for_again() {
    let site = site(TokenSpec::scripted("t"));
    deactivate(&site);
    site.token("t").fault("lost");
    let away = destroy(&site);
    assert_eq!(away.code(), "outcome_unknown", "{away:?}");
    assert!(site.records("key.destroy-intent").is_empty());
    // Gone after it destroyed the key, before it said so.
    site.token("t").fault("crash-after-destroy");
    wait_for("the token", SOON, || {
        assert_ne!(destroy(&site).status, 200);
        shown(&site)["destroy_intent"].is_u64().then_some(())
    });
    assert_eq!(shown(&site)["state"], "Deactivated");
    site.token("t").fault("none");
    wait_for("the token", SOON, || {
        (destroy(&site).status == 200).then_some(())
    });
    assert_gone(&site, "t");
    assert!(!is_suspect(&site, "t"));
}
