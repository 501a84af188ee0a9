//! `@once("subject")`: a name is signed with one set of digests, whoever asks, how often and after whatever crash.
#![allow(clippy::unwrap_used)]

mod support;

use std::thread;

use sealwright_softhsm_tests::site::http::{Request, Response};
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{
    CI, DEFAULT_POLICY, OTHER, SOON, Site, TokenSpec, sha256_hex, statement,
};
use serde_json::{Value, json};
use support::{assert_denied, assert_refused, text, verified, wait_in_flight, without_using_a_key};

const ONCE: &str = "@id(\"releases-once\") @once(\"subject\")\n\
    permit (principal, action == Sealwright::Action::\"sign\", resource == Sealwright::Key::\"default/release\");\n";

fn site_of(token: TokenSpec) -> Site {
    Site::builder()
        .token(token.key("release").key("nightly"))
        .policy(&format!("{DEFAULT_POLICY}{ONCE}"))
        .start()
}

fn site() -> Site {
    site_of(TokenSpec::scripted("soft"))
}

/// A statement about `(name, content)`s.
fn about(subjects: &[(&str, &str)]) -> Vec<u8> {
    let mut whole: Value = serde_json::from_slice(&statement("x")).unwrap();
    let subject = |(name, content): &(&str, &str)| json!({"name": name, "digest": {"sha256": sha256_hex(content.as_bytes())}});
    whole["subject"] = subjects.iter().map(subject).collect();
    serde_json::to_vec(&whole).unwrap()
}

fn release(site: &Site, name: &str, content: &str) -> Response {
    site.client()
        .sign("key=release", &about(&[(name, content)]))
}

fn assert_taken(site: &Site, answer: &Response, by: u64) {
    assert_eq!(answer.status, 409);
    assert_denied(site, answer, "already_released");
    let detail = text(&answer.json(), "detail").to_owned();
    assert!(detail.contains(&format!("see record {by};")), "{detail}");
}

#[test]
fn a_name_is_signed_again_with_the_same_digests_and_never_with_others() {
    let mut site = site();
    let first = release(&site, "app-1.0.tar.gz", "good").ok();
    verified(&site, &["release"], &first);
    let by = first.record().unwrap();
    let record = site.record(by);
    assert_eq!(record["once"], true);
    let intent = site.record(record["intent"].as_u64().unwrap());
    assert_eq!(text(&intent, "kind"), "sign.intent");
    assert_eq!(intent["request_id"], record["request_id"]);
    release(&site, "app-1.0.tar.gz", "good").ok();
    without_using_a_key(&site, "soft", || {
        assert_taken(&site, &release(&site, "app-1.0.tar.gz", "evil"), by);
        let hidden = about(&[("new.tar.gz", "x"), ("app-1.0.tar.gz", "evil")]);
        let answer = site.caller_of(OTHER).sign("key=release", &hidden);
        assert_taken(&site, &answer, by);
    });
    release(&site, "app-1.1.tar.gz", "evil").ok();
    site.kill_daemon();
    site.start_daemon();
    assert_taken(&site, &release(&site, "app-1.0.tar.gz", "evil"), by);
}

#[test]
fn a_key_without_the_demand_signs_any_digests_and_writes_no_intent() {
    let site = site();
    for content in ["one", "two"] {
        let answer = site
            .client()
            .sign("key=nightly", &about(&[("app", content)]))
            .ok();
        let record = site.record(answer.record().unwrap());
        assert_eq!((record.get("once"), record.get("intent")), (None, None));
    }
    assert!(site.records("sign.intent").is_empty());
}

#[test]
fn what_has_no_names_to_reserve_is_refused_before_a_key_is_used() {
    let site = site();
    let many: Vec<String> = (0..257).map(|n| n.to_string()).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), "x")).collect();
    let mut nameless: Value = serde_json::from_slice(&statement("a")).unwrap();
    nameless["subject"][0]
        .as_object_mut()
        .unwrap()
        .remove("name");
    let nameless = serde_json::to_vec(&nameless).unwrap();
    let cases = [
        (about(&many), "257"),
        (nameless, "has none"),
        (about(&[("a", "x"), ("a", "y")]), "stands twice"),
    ];
    without_using_a_key(&site, "soft", || {
        for (payload, part) in cases {
            let answer = site.client().sign("key=release", &payload);
            assert_denied(&site, &answer, "invalid_statement");
            let detail = text(&answer.json(), "detail").to_owned();
            assert!(detail.contains(part), "{detail}");
        }
    });
}

#[test]
fn of_many_requests_for_one_name_with_different_digests_one_is_released() {
    let site = site_of(TokenSpec::scripted("soft").sessions(8));
    for round in 0..5 {
        let name = format!("app-{round}");
        let answers: Vec<Response> = thread::scope(|scope| {
            let ask = |n: usize| {
                let (site, name) = (&site, &name);
                scope.spawn(move || release(site, name, &format!("content {n}")))
            };
            let all: Vec<_> = (0..24).map(ask).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let released = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(released, 1, "round {round}");
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(answer.code(), "already_released");
        }
    }
}

#[test]
fn of_many_requests_for_one_name_with_the_same_digests_all_are_released() {
    let site = site();
    thread::scope(|scope| {
        let all: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| release(&site, "app", "good")))
            .collect();
        for one in all {
            one.join().unwrap().ok();
        }
    });
}

#[test]
fn a_request_that_failed_leaves_the_name_free_and_one_of_unknown_outcome_does_not() {
    let site = site();
    let soft = site.token("soft");
    soft.fault("transient");
    let failed = release(&site, "app", "first build");
    assert_refused(&site, &failed, "token_unavailable", "failed");
    soft.fault("none");
    release(&site, "app", "second build").ok();

    soft.fault("crash-after-sign");
    let lost = release(&site, "lib", "first build");
    assert_refused(&site, &lost, "outcome_unknown", "outcome_unknown");
    soft.fault("none");
    let intent = site.record(lost.record().unwrap())["intent"]
        .as_u64()
        .unwrap();
    assert_taken(&site, &release(&site, "lib", "second build"), intent);
    release(&site, "lib", "first build").ok();
}

#[test]
fn while_a_name_is_being_signed_other_digests_are_refused_before_a_key_is_used() {
    let site = site();
    let soft = site.token("soft");
    soft.fault("touch");
    thread::scope(|scope| {
        let first = scope.spawn(|| release(&site, "app", "good"));
        wait_in_flight(&site, "soft", 1);
        let other = release(&site, "app", "evil");
        assert_denied(&site, &other, "already_released");
        soft.touch();
        first.join().unwrap().ok();
    });
}

#[test]
fn a_daemon_that_dies_while_it_signs_says_so_at_the_next_start_and_keeps_the_name() {
    let mut site = site();
    site.stop_daemon();
    site.start_daemon_with(&[("SEALWRIGHT_FAILPOINT", "sign:1")]);
    let request = Request::sign("key=release", &about(&[("app", "good")]));
    let answer = site
        .caller_of(CI)
        .try_connect()
        .and_then(|mut connection| connection.send(&request));
    assert!(answer.is_err(), "{answer:?}");
    wait_for("the daemon to die", SOON, || site.daemon().ended());
    site.start_daemon();
    let intents = site.records("sign.intent");
    let [intent] = intents.as_slice() else {
        panic!("{intents:?}")
    };
    let index = intent["seq"].as_u64().unwrap();
    let started = site.records("daemon.started");
    assert_eq!(started.last().unwrap()["open_intents"], json!([index]));
    assert!(site.daemon_log().contains("its names stay reserved"));
    assert_taken(&site, &release(&site, "app", "evil"), index);
    release(&site, "app", "good").ok();
    site.stop_daemon();
    site.start_daemon();
    let started = site.records("daemon.started");
    assert_eq!(started.last().unwrap().get("open_intents"), None);
}

#[test]
fn a_retry_of_a_released_request_gets_its_answer_without_another_intent() {
    let site = site();
    let request = Request::sign("key=release", &about(&[("app", "good")]))
        .header("Idempotency-Key", "build-7");
    let first = site.client().send(&request).ok();
    let again = site.client().send(&request).ok();
    assert_eq!(again.body, first.body);
    assert_eq!(site.record(again.record().unwrap())["once"], true);
    assert_eq!(site.records("sign.intent").len(), 1);
}
