//! `Idempotency-Key`: however often and whenever a caller retries, one key means one request.
#![allow(clippy::unwrap_used)]

mod support;

use std::thread;

use sealwright_softhsm_tests::site::http::Request;
use sealwright_softhsm_tests::site::{OTHER, Site, TokenSpec, sha256_hex, statement};
use support::{assert_refused, text, verified, wait_in_flight, without_using_a_key};

fn site() -> Site {
    Site::builder()
        .token(TokenSpec::scripted("soft").key("release").key("second"))
        .start()
}

fn keyed(query: &str, payload: &[u8], key: &str) -> Request {
    Request::new("POST", &format!("/v1/sign?{query}"))
        .header("Content-Type", "application/vnd.in-toto+json")
        .header("Idempotency-Key", key)
        .body(payload.to_vec())
}

#[test]
fn a_retry_gets_the_same_bytes_without_a_second_signature_and_a_record_of_its_own() {
    let site = site();
    let client = site.client();
    let request = keyed("key=release", &statement("a"), "build-7");
    let first = client.send(&request).ok();
    assert_eq!(first.header("idempotent-replay"), None);
    let again = without_using_a_key(&site, "soft", || client.send(&request)).ok();
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("idempotent-replay"), Some("true"));
    let record = site.record(again.record().unwrap());
    assert_eq!(record["retry_of"].as_u64(), first.record());
    assert_eq!(text(&record, "idempotency_sha256"), sha256_hex(b"build-7"));
    let original = site.record(first.record().unwrap());
    for name in [
        "outcome",
        "envelope_sha256",
        "signature_sha256",
        "pae_sha256",
    ] {
        assert_eq!(record[name], original[name], "{name}");
    }
}

#[test]
fn a_key_of_another_request_is_refused() {
    let site = site();
    let client = site.client();
    client
        .send(&keyed("key=release", &statement("a"), "k"))
        .ok();
    without_using_a_key(&site, "soft", || {
        for other in [
            keyed("key=release", &statement("b"), "k"),
            keyed("key=second", &statement("a"), "k"),
            keyed("key=release&format=bundle", &statement("a"), "k"),
        ] {
            let answer = client.send(&other);
            assert_eq!(answer.status, 409);
            assert_refused(&site, &answer, "idempotency_conflict", "denied");
        }
    });
}

#[test]
fn another_principals_key_is_another_key() {
    let site = site();
    let request = keyed("key=release", &statement("a"), "k");
    let mine = site.client().send(&request).ok();
    let theirs = site.caller_of(OTHER).send(&request).ok();
    assert_ne!(mine.body, theirs.body);
    assert_eq!(theirs.header("idempotent-replay"), None);
}

#[test]
fn a_retry_of_a_request_in_flight_is_told_to_wait_and_then_gets_its_answer() {
    let site = site();
    let soft = site.token("soft");
    soft.fault("touch");
    let request = keyed("key=release", &statement("a"), "k");
    thread::scope(|scope| {
        let first = scope.spawn(|| site.client().send(&request));
        wait_in_flight(&site, "soft", 1);
        let early = site.client().send(&request);
        assert_eq!(early.status, 409);
        assert_refused(&site, &early, "idempotency_in_flight", "denied");
        soft.fault("none");
        soft.touch();
        let first = first.join().unwrap().ok();
        assert_eq!(site.client().send(&request).ok().body, first.body);
    });
}

#[test]
fn after_an_unknown_outcome_the_retry_signs_and_names_the_lost_attempt() {
    let site = site();
    let soft = site.token("soft");
    let request = keyed("key=release", &statement("a"), "k");
    soft.fault("crash-after-sign");
    let lost = site.client().send(&request);
    assert_refused(&site, &lost, "outcome_unknown", "outcome_unknown");
    soft.fault("none");
    let answer = site.client().send(&request).ok();
    verified(&site, &["release"], &answer);
    let record = site.record(answer.record().unwrap());
    assert_eq!(record["retry_of"].as_u64(), lost.record());
    assert_eq!(answer.header("idempotent-replay"), None);
}

#[test]
fn a_request_that_failed_leaves_the_key_free() {
    let site = site();
    let soft = site.token("soft");
    soft.fault("transient");
    let failed = site
        .client()
        .send(&keyed("key=release", &statement("a"), "k"));
    assert_refused(&site, &failed, "token_unavailable", "failed");
    soft.fault("none");
    site.client()
        .send(&keyed("key=release", &statement("b"), "k"))
        .ok();
}

#[test]
fn after_a_restart_the_retry_signs_anew_and_a_conflict_is_still_known() {
    let mut site = site();
    let request = keyed("key=release", &statement("a"), "k");
    let first = site.client().send(&request).ok();
    site.kill_daemon();
    site.start_daemon();
    let conflict = without_using_a_key(&site, "soft", || {
        site.client()
            .send(&keyed("key=release", &statement("b"), "k"))
    });
    assert_refused(&site, &conflict, "idempotency_conflict", "denied");
    let again = site.client().send(&request).ok();
    let record = site.record(again.record().unwrap());
    assert_eq!(record["retry_of"].as_u64(), first.record());
}

#[test]
fn a_replay_is_refused_once_the_key_is_suspended() {
    let site = site();
    let request = keyed("key=release", &statement("a"), "k");
    site.client().send(&request).ok();
    let suspend = serde_json::json!({"event": "suspend", "reason": "test"});
    site.operator()
        .post("/v1/keys/default/release/1/events", &suspend)
        .ok();
    let answer = without_using_a_key(&site, "soft", || site.client().send(&request));
    assert_refused(&site, &answer, "key_not_active", "denied");
}
