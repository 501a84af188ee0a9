//! The log's own key: signing goes on without it for a while, and not a moment longer.
#![allow(clippy::unwrap_used)]

mod support;

use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{Kind, SOON, Site, TokenSpec, statement};
use support::{proved, without_using_a_key};

#[test]
fn a_log_key_on_a_hardware_token_signs_checkpoints_that_prove_records() {
    for kind in [Kind::SoftHsm, Kind::Scripted] {
        let token = TokenSpec::scripted("soft").key("release");
        let site = Site::builder().token(token).log_on(kind).start();
        let answer = site.client().sign("key=release", &statement("a")).ok();
        proved(&site.client(), answer.record().unwrap());
    }
}

#[test]
fn without_the_log_token_signing_goes_on_until_the_lag_is_too_long() {
    let mut site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start();
    site.stop_daemon();
    site.edit_config(|text| text.replace("[log]\n", "[log]\nmax_checkpoint_lag_s = 2\n"));
    site.start_daemon();
    site.token_mut("log").stop();
    let last = site.client().sign("key=release", &statement("a")).ok();
    wait_for("the lag to be too long", SOON, || {
        (site.status()["log"]["state"] == "checkpoint_lag").then_some(())
    });
    let answer = without_using_a_key(&site, "soft", || {
        site.client().sign("key=release", &statement("b"))
    });
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "checkpoint_lag")
    );
    site.token_mut("log").serve();
    wait_for("the lag to be over", SOON, || {
        (site.status()["log"]["state"] == "ok").then_some(())
    });
    site.client().sign("key=release", &statement("c")).ok();
    proved(&site.client(), last.record().unwrap());
}

#[test]
fn a_signature_is_not_held_back_for_a_proof_that_does_not_come() {
    let mut site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start();
    site.token_mut("log").stop();
    let answer = site
        .client()
        .sign("key=release&proof=wait&timeout_ms=500", &statement("a"))
        .ok();
    let body = answer.json();
    assert!(body["signed"]["payload"].is_string(), "{body}");
    assert!(body["proof"].is_null(), "{body}");
    let why = body["no_proof"].as_str().unwrap();
    assert!(why.contains("no checkpoint"), "{why}");
    site.token_mut("log").serve();
    proved(&site.client(), answer.record().unwrap());
}

#[test]
fn a_checkpoint_that_does_not_verify_is_never_shown() {
    let site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start();
    let client = site.client();
    site.token("log").fault("other-digest");
    let first = client.sign("key=release", &statement("a")).ok();
    wait_for("a refused checkpoint", SOON, || {
        site.daemon_log()
            .contains("no checkpoint this time")
            .then_some(())
    });
    let answer = client.get(&format!("/v1/log/proof/{}", first.record().unwrap()));
    assert_eq!(answer.code(), "unknown_record");
    site.token("log").fault("none");
    proved(&client, first.record().unwrap());
}
