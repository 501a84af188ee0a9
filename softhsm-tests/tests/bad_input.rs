//! Payloads that are wrong: the caller is told what, nothing is signed, and the next request works.
#![allow(clippy::unwrap_used)]

mod support;

use sealwright_softhsm_tests::site::http::Request;
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{DEFAULT_POLICY, SOON, Site, TokenSpec, statement};
use serde_json::{Value, json};
use support::{assert_denied, refusals, text, without_using_a_key};

const STATEMENT: &str = "application/vnd.in-toto+json";

fn site() -> Site {
    limited(&[])
}

fn limited(limits: &[&str]) -> Site {
    let builder = limits
        .iter()
        .fold(Site::builder(), |builder, line| builder.limit(line));
    builder
        .token(TokenSpec::scripted("soft").key("release"))
        .start()
}

/// A statement with one member changed.
fn changed(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value = serde_json::from_slice(&statement("a")).unwrap();
    change(&mut value);
    serde_json::to_vec(&value).unwrap()
}

#[test]
fn a_body_over_the_limit_is_refused_by_its_announced_length_and_by_its_real_one() {
    let site = limited(&["max_body = 10000"]);
    let announced = Request::sign("key=release", &vec![b'x'; 10_001]);
    let chunked = Request::new("POST", "/v1/sign?key=release")
        .header("Content-Type", STATEMENT)
        .header("Transfer-Encoding", "chunked");
    let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", 10_001, "x".repeat(10_001));
    without_using_a_key(&site, "soft", || {
        // Only the head: the answer must not wait for a body that is refused anyway.
        let mut connection = site.client().connect();
        connection.write(&announced.head_bytes()).unwrap();
        let answer = connection.read().unwrap();
        assert_eq!(answer.status, 413);
        assert_denied(&site, &answer, "payload_too_large");

        let mut connection = site.client().connect();
        connection.write(&chunked.head_bytes()).unwrap();
        connection.write(chunk.as_bytes()).unwrap();
        let answer = connection.read().unwrap();
        assert_denied(&site, &answer, "payload_too_large");
        assert!(text(&answer.json(), "detail").contains("10000"));
    });
    site.client().sign("key=release", &statement("after")).ok();
}

#[test]
fn a_body_of_exactly_the_limit_is_signed() {
    let payload = statement("a");
    let site = limited(&[&format!("max_body = {}", payload.len())]);
    site.client().sign("key=release", &payload).ok();
}

#[test]
fn a_body_that_trickles_in_is_given_up_in_time() {
    let site = limited(&["body_ms = 300"]);
    let request = Request::sign("key=release", &statement("a"));
    without_using_a_key(&site, "soft", || {
        let mut connection = site.client().connect();
        let bytes = request.bytes();
        connection.write(&bytes[..bytes.len() - 1]).unwrap();
        let answer = connection.read().unwrap();
        assert_eq!(answer.status, 408);
        assert_denied(&site, &answer, "body_timeout");
        connection.read_to_close();
    });
}

#[test]
fn a_body_that_breaks_off_is_recorded_and_signs_nothing() {
    let site = site();
    let request = Request::sign("key=release", &statement("a"));
    without_using_a_key(&site, "soft", || {
        let mut connection = site.client().connect();
        let bytes = request.bytes();
        connection.write(&bytes[..bytes.len() - 1]).unwrap();
        drop(connection);
        let broken = || {
            let records = site.records("sign");
            records
                .into_iter()
                .find(|record| text(record, "reason").contains("broke off"))
        };
        let record = wait_for("the record", SOON, broken);
        assert_eq!(
            (text(&record, "outcome"), text(&record, "code")),
            ("denied", "invalid_request")
        );
    });
}

#[test]
fn a_payload_type_the_key_does_not_sign_is_refused() {
    let site = site();
    let types = [
        "text/plain",
        "application/vnd.in-toto+JSON",
        "application/vnd.in-toto+json; charset=utf-8",
    ];
    let requests = types.map(|kind| Request::sign_as("key=release", kind, &statement("a")));
    for answer in refusals(&site, &requests) {
        assert_eq!(answer.status, 415);
        assert_denied(&site, &answer, "unsupported_payload_type");
    }
}

#[test]
fn a_statement_that_breaks_a_rule_is_refused_and_told_which() {
    // A policy that names a predicate type does not make a broken one good.
    let named = "@id(\"named\") permit (principal, action == Sealwright::Action::\"sign\", resource) when \
                 { context has predicate_type && context.predicate_type == \"https://slsa.dev/provenance/v1\" };";
    let token = TokenSpec::scripted("soft").key("release");
    let site = Site::builder()
        .token(token)
        .policy(&format!("{DEFAULT_POLICY}{named}"))
        .start();
    let cases = [
        (changed(|s| s["subject"][0]["digest"] = json!({})), "digest"),
        (
            changed(|s| drop(s["subject"][0].as_object_mut().unwrap().remove("digest"))),
            "digest",
        ),
        (changed(|s| s["subject"] = json!([])), "subject"),
        (
            changed(|s| s["subject"][0]["digest"]["sha256"] = json!("ABCD")),
            "sha256",
        ),
        (
            changed(|s| s["_type"] = json!("https://in-toto.io/Statement/v0.1")),
            "v0.1",
        ),
        (
            changed(|s| drop(s["predicate"].as_object_mut().unwrap().remove("runDetails"))),
            "runDetails",
        ),
    ];
    let requests: Vec<_> = cases
        .iter()
        .map(|(payload, _)| Request::sign("key=release", payload))
        .collect();
    for (answer, (payload, word)) in refusals(&site, &requests).iter().zip(&cases) {
        let payload = String::from_utf8_lossy(payload);
        assert_eq!(
            answer.code(),
            "invalid_statement",
            "{payload}: {}",
            answer.text()
        );
        assert_denied(&site, answer, "invalid_statement");
        let detail = answer.json();
        assert!(
            text(&detail, "detail").contains(word),
            "{payload}: {detail}"
        );
    }
}

#[test]
fn bytes_that_are_not_strict_json_are_refused() {
    let site = site();
    let good = String::from_utf8(statement("a")).unwrap();
    let twice = good.replacen('{', "{\"_type\":\"https://in-toto.io/Statement/v1\",", 1);
    let deep = changed(|s| s["predicate"]["x"] = json!(1));
    let deep = String::from_utf8(deep).unwrap().replace(
        "\"x\":1",
        &format!("\"x\":{}{}", "[".repeat(200), "]".repeat(200)),
    );
    let mut latin1 = good.clone().into_bytes();
    let at = latin1.iter().rposition(|b| *b == b'a').unwrap();
    latin1[at] = 0xe4;
    let cases = [
        twice.into_bytes(),
        good.replace("\"buildType\"", "\"buildType\":\"b\",\"buildType\"")
            .into_bytes(),
        deep.into_bytes(),
        latin1,
        good.as_bytes()[..good.len() - 1].to_vec(),
        format!("{good}x").into_bytes(),
        format!("\u{feff}{good}").into_bytes(),
        Vec::new(),
    ];
    let requests: Vec<_> = cases
        .iter()
        .map(|payload| Request::sign("key=release", payload))
        .collect();
    for (answer, payload) in refusals(&site, &requests).iter().zip(&cases) {
        assert_eq!(
            answer.code(),
            "invalid_json",
            "{}",
            String::from_utf8_lossy(payload)
        );
        assert_denied(&site, answer, "invalid_json");
    }
}

#[test]
fn a_predicate_type_that_nobody_named_is_refused() {
    let site = site();
    let payload = changed(|s| s["predicateType"] = json!("https://example.test/unknown/v1"));
    for answer in refusals(&site, &[Request::sign("key=release", &payload)]) {
        assert_eq!(answer.status, 422);
        assert_denied(&site, &answer, "unsupported_predicate_type");
    }
}
