//! A key signs only while it is active, up to the moment its signature is recorded.
#![allow(clippy::unwrap_used)]

mod support;

use std::thread;

use sealwright_softhsm_tests::site::http::Response;
use sealwright_softhsm_tests::site::{CI, OPERATOR, Site, TokenSpec, statement};
use serde_json::{Value, json};
use support::{assert_refused, text, verified, wait_in_flight, without_using_a_key};

fn site() -> Site {
    Site::builder()
        .token(TokenSpec::scripted("soft").key("release").key("other"))
        .start()
}

fn change(site: &Site, event: &str) -> Response {
    let body = json!({"event": event, "reason": format!("test of {event}")});
    site.operator()
        .post("/v1/keys/default/release/1/events", &body)
}

fn state(site: &Site) -> Value {
    site.client().get("/v1/keys/default/release").ok().json()["keys"][0]["state"].clone()
}

#[test]
fn a_suspended_key_is_refused_and_signs_again_when_resumed() {
    let site = site();
    change(&site, "suspend").ok();
    assert_eq!(state(&site), "Suspended");
    let answer = without_using_a_key(&site, "soft", || {
        site.client().sign("key=release", &statement("a"))
    });
    assert_eq!(answer.status, 409);
    assert_refused(&site, &answer, "key_not_active", "denied");
    site.client().sign("key=other", &statement("b")).ok();
    change(&site, "resume").ok();
    verified(
        &site,
        &["release"],
        &site.client().sign("key=release", &statement("a")).ok(),
    );
    let records = site.records("key.state");
    let suspended = records
        .iter()
        .find(|record| record["event"] == "suspend")
        .unwrap();
    assert_eq!(text(&suspended["by"], "principal"), OPERATOR);
    assert_eq!(text(suspended, "reason"), "test of suspend");
}

#[test]
fn a_signature_under_way_when_its_key_is_suspended_is_thrown_away() {
    for events in [&["suspend"][..], &["suspend", "resume"], &["deactivate"]] {
        let site = site();
        let soft = site.token("soft");
        soft.fault("touch");
        thread::scope(|scope| {
            let client = site.client();
            let request = scope.spawn(move || client.sign("key=release", &statement("a")));
            wait_in_flight(&site, "soft", 1);
            for event in events {
                change(&site, event).ok();
            }
            soft.fault("none");
            soft.touch();
            let answer = request.join().unwrap();
            assert_eq!(answer.status, 409, "{events:?}");
            assert_refused(&site, &answer, "discarded", "discarded");
        });
    }
}

#[test]
fn a_deactivated_key_never_signs_again_and_a_new_version_takes_its_name() {
    let site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start();
    change(&site, "deactivate").ok();
    assert_eq!(change(&site, "resume").code(), "invalid_request");
    assert_eq!(change(&site, "activate").code(), "invalid_request");
    let answer = without_using_a_key(&site, "soft", || {
        site.client().sign("key=release", &statement("a"))
    });
    assert_refused(&site, &answer, "key_not_active", "denied");

    let operator = site.operator();
    let new = json!({"key": "release", "token": "soft", "uri": "scripted:object=new", "scheme": "ecdsa-p256-sha256"});
    let made = operator.post("/v1/keys/generate", &new).ok().json();
    let enrol = json!({
        "key": "release", "token": "soft", "uri": made["uri"], "purpose": "dsse", "spki_sha256": made["spki_sha256"],
    });
    let enrolled = operator.post("/v1/keys", &enrol).ok();
    assert_eq!(enrolled.status, 201);
    assert_eq!(enrolled.json()["key"], "default/release#2");
    let signed = site.client().sign("key=release", &statement("b")).ok();
    assert_eq!(site.record(signed.record().unwrap())["key_version"], 2);
    assert_eq!(site.records("key.generate-intent").len(), 1);
}

#[test]
fn enrolment_needs_the_right_fingerprint_a_new_key_and_an_operator() {
    let site = site();
    let operator = site.operator();
    let uri = site.token("soft").uri("release");
    let found = operator
        .post("/v1/keys/describe", &json!({"token": "soft", "uri": uri}))
        .ok()
        .json();
    let enrol = |spki: &Value| json!({"key": "copy", "token": "soft", "uri": uri, "purpose": "dsse", "spki_sha256": spki});
    let wrong = operator.post("/v1/keys", &enrol(&json!("00".repeat(32))));
    assert_eq!(wrong.code(), "invalid_request");
    assert!(text(&wrong.json(), "detail").contains("fingerprint"));
    let twice = operator.post("/v1/keys", &enrol(&found["spki_sha256"]));
    assert_eq!(twice.code(), "invalid_request");
    assert!(text(&twice.json(), "detail").contains("default/release#1"));
    let client = site.caller_of(CI);
    assert_eq!(
        client
            .post("/v1/keys", &enrol(&found["spki_sha256"]))
            .code(),
        "denied"
    );
    let event = json!({"event": "suspend", "reason": "mischief"});
    assert_eq!(
        client
            .post("/v1/keys/default/release/1/events", &event)
            .code(),
        "denied"
    );
    assert_eq!(
        operator
            .post("/v1/keys/default/release/9/events", &event)
            .code(),
        "unknown_key"
    );
    assert_eq!(state(&site), "Active");
}

#[test]
fn key_states_survive_a_killed_daemon() {
    let mut site = site();
    change(&site, "suspend").ok();
    site.kill_daemon();
    site.start_daemon();
    assert_eq!(state(&site), "Suspended");
    let answer = without_using_a_key(&site, "soft", || {
        site.client().sign("key=release", &statement("a"))
    });
    assert_refused(&site, &answer, "key_not_active", "denied");
}
