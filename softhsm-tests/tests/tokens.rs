//! Exactly one token and exactly one key: what is ambiguous, missing or unplugged signs nothing, and says so.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Instant;

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
fn a_card_that_is_put_in_again_signs_without_a_restart_of_its_driver() {
    let mut site = Site::builder()
        .token(TokenSpec::piv("card").key("release"))
        .start();
    let driver = site.token("card").driver_pid();
    site.client().sign("key=release", &statement("a")).ok();
    site.token_mut("card").card().take_out();
    let refused = wait_for("the loss to show", SOON, || {
        let answer = site.client().sign("key=release", &statement("b"));
        (answer.status != 200).then_some(answer)
    });
    assert_refused(&site, &refused, "token_unavailable", "failed");
    let record = site.record(refused.record().unwrap());
    assert!(text(&record, "reason").contains("12345678"), "{record}");
    site.token_mut("card").card().insert_again();
    let replugged = Instant::now();
    let answer = wait_for("the card to sign again", SOON, || {
        let answer = site.client().sign("key=release", &statement("c"));
        (answer.status == 200).then_some(answer)
    });
    println!(
        "first signature {:?} after the card was put in again",
        replugged.elapsed()
    );
    verified(&site, &["release"], &answer);
    assert_eq!(site.token("card").driver_pid(), driver);
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
