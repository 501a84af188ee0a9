//! Exactly one token and exactly one key: what is ambiguous, missing or unplugged signs nothing, and says so.
#![allow(clippy::unwrap_used)]

mod support;

use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{SOON, Site, TokenSpec, statement};
use serde_json::json;
use support::{assert_refused, text, verified};

#[test]
fn an_address_that_matches_several_keys_or_none_is_refused_and_says_so() {
    let site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release").key("other"))
        .token(TokenSpec::softhsm("hsm").key("third"))
        .start();
    let cases = [
        ("soft", "scripted:", "several keys"),
        ("soft", "scripted:object=missing", "missing"),
        ("hsm", "pkcs11:object=missing", "missing"),
        ("hsm", "pkcs11:object=third;token=other", "other"),
    ];
    for (token, uri, word) in cases {
        let answer = site
            .operator()
            .post("/v1/keys/describe", &json!({"token": token, "uri": uri}));
        assert_ne!(answer.status, 200, "{uri}");
        let problem = answer.json();
        assert!(text(&problem, "detail").contains(word), "{uri}: {problem}");
    }
}

#[test]
fn a_token_with_another_serial_than_configured_is_out_of_service() {
    let mut site = Site::builder()
        .token(TokenSpec::softhsm("hsm").key("release"))
        .start();
    let config = site.token("hsm").config();
    let good = std::fs::read_to_string(&config).unwrap();
    let serial = site.token("hsm").softhsm().serial.clone();
    site.token_mut("hsm").stop();
    std::fs::write(&config, good.replace(&serial, "0000000000000000")).unwrap();
    site.token_mut("hsm").serve();
    wait_for("the reason", SOON, || {
        let token = site.wait_for_token("hsm", "out-of-service");
        text(&token, "reason")
            .contains("0000000000000000")
            .then_some(())
    });
    site.token_mut("hsm").stop();
    std::fs::write(&config, good).unwrap();
    site.token_mut("hsm").serve();
    wait_for("the token to sign again", SOON, || {
        (site.client().sign("key=release", &statement("a")).status == 200).then_some(())
    });
}

#[test]
fn an_unplugged_token_signs_nothing_and_a_replugged_one_does() {
    let site = Site::builder()
        .token(TokenSpec::softhsm("hsm").key("release"))
        .token(TokenSpec::scripted("soft").key("other"))
        .start();
    let tokens = site.token("hsm").softhsm().tokens();
    let away = tokens.with_extension("away");
    std::fs::rename(&tokens, &away).unwrap();
    let answer = wait_for("the loss to show", SOON, || {
        let answer = site.client().sign("key=release", &statement("a"));
        (answer.status != 200).then_some(answer)
    });
    let record = site.record(answer.record().unwrap());
    assert_eq!(text(&record, "code"), answer.code());
    assert_eq!(record.get("signature_sha256"), None);
    site.client().sign("key=other", &statement("b")).ok();
    std::fs::rename(&away, &tokens).unwrap();
    let answer = wait_for("the token to sign again", SOON, || {
        let answer = site.client().sign("key=release", &statement("c"));
        (answer.status == 200).then_some(answer)
    });
    verified(&site, &["release"], &answer);
}

#[test]
fn a_key_that_vanished_from_its_token_fails_and_is_recorded() {
    let site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release").key("other"))
        .start();
    std::fs::remove_file(site.token("soft").dir().join("state/release.p8")).unwrap();
    site.token("soft").kill_driver();
    let answer = wait_for("the next driver", SOON, || {
        let answer = site.client().sign("key=release", &statement("a"));
        (answer.code() == "token_unavailable").then_some(answer)
    });
    assert_refused(&site, &answer, "token_unavailable", "failed");
    site.client().sign("key=other", &statement("b")).ok();
}
