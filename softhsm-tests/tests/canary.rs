//! A canary: each token shows by itself that it still signs, with a key that signs nothing else.
#![allow(clippy::unwrap_used)]

mod support;

use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{OPERATOR, SOON, Site, TokenSpec, statement};
use serde_json::json;
use support::{is_suspect, without_using_a_key};

const FAILED: &str = "sealwright_canary_failed{token=\"soft\"}";
const CALLS: &str = "sealwright_token_call_duration_seconds_count{token=\"soft\"}";

/// A site whose token signs a canary every second.
fn site() -> Site {
    let token = TokenSpec::scripted("soft").key("release");
    let builder = Site::builder().token(token);
    builder.config("[canary]\ninterval_s = 1\n").start()
}

/// Makes a key on the token and enrols it as its canary.
fn enrol(site: &Site) {
    let uri = site.token("soft").uri("watch");
    let wanted = json!({
        "key": "watch", "token": "soft", "uri": uri, "scheme": "ecdsa-p256-sha256",
    });
    let operator = site.operator();
    let found = operator.post("/v1/keys/generate", &wanted).ok().json();
    let enrolment = json!({
        "key": "watch", "token": "soft", "uri": uri, "purpose": "canary", "spki_sha256": found["spki_sha256"],
    });
    operator.post("/v1/keys", &enrolment).ok();
}

fn wait_for_canaries(site: &Site, more: f64) {
    let before = site.metric(CALLS);
    wait_for("canaries", SOON, || {
        (site.metric(CALLS) >= before + more).then_some(())
    });
}

#[test]
fn a_token_signs_its_canary_again_and_again_without_a_record() {
    let site = site();
    assert!(
        !site
            .monitor("/metrics")
            .unwrap()
            .text()
            .contains("sealwright_canary")
    );
    enrol(&site);
    let size = site.status()["log"]["size"].clone();
    wait_for_canaries(&site, 2.0);
    assert_eq!(site.metric(FAILED), 0.0);
    assert!(site.metric("sealwright_canary_age_seconds{token=\"soft\"}") < 30.0);
    assert_eq!(site.status()["log"]["size"], size);
    assert_eq!(site.monitor("/healthz").unwrap().text(), "ok\n");
    // It signs nothing for anybody.
    let asked = site.client().sign("key=watch", &statement("a"));
    assert!(asked.status >= 400, "{}", asked.text());
}

#[test]
fn a_token_that_does_not_sign_its_canary_makes_the_host_degraded() {
    let site = site();
    enrol(&site);
    wait_for_canaries(&site, 1.0);
    site.token("soft").fault("transient");
    wait_for("a failed canary", SOON, || {
        (site.metric(FAILED) == 1.0).then_some(())
    });
    let health = site.monitor("/healthz").unwrap();
    assert!(
        health.text().contains("canary of soft: "),
        "{}",
        health.text()
    );
    site.token("soft").fault("none");
    wait_for("a canary again", SOON, || {
        (site.metric(FAILED) == 0.0).then_some(())
    });
}

#[test]
fn a_canary_that_does_not_verify_marks_its_token() {
    let site = site();
    enrol(&site);
    wait_for_canaries(&site, 1.0);
    site.token("soft").fault("other-key");
    wait_for("the mark", SOON, || is_suspect(&site, "soft").then_some(()));
}

#[test]
fn while_everything_is_frozen_no_key_is_used_not_even_a_canary() {
    let site = site();
    enrol(&site);
    wait_for_canaries(&site, 1.0);
    let freeze = ["freeze", "--all", "--reason", "night"];
    let _ = site.sealwright(OPERATOR, &freeze).ok();
    // One that was under way when the freeze came has ended when the token is idle.
    wait_for("an idle token", SOON, || {
        (site.token_status("soft")["in_flight"] == 0).then_some(())
    });
    without_using_a_key(&site, "soft", || {
        let other = site.metric("sealwright_build_info{version=\"0.1.0\"}");
        assert_eq!(other, 1.0);
        // Two of its times pass.
        let log = "sealwright_checkpoint_age_seconds";
        let begun = site.metric(log);
        wait_for("two seconds", SOON, || {
            (site.metric(log) > begun + 2.0).then_some(())
        });
    });
}
