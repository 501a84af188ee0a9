//! SIGHUP: a new policy decides once its digest is in the log; a bad one changes nothing.
#![allow(clippy::unwrap_used)]

mod support;

use rustix::process::Signal;
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{
    CI, DEFAULT_POLICY, OTHER, SOON, Site, TokenSpec, sha256_hex, statement,
};
use support::{assert_refused, text, without_using_a_key};

const FORBID_CI: &str = "@id(\"not-ci\") forbid (principal == Sealwright::Principal::\"spiffe://sealwright.test/ci\", \
                         action == Sealwright::Action::\"sign\", resource) when { context has predicate_type };";

fn site() -> Site {
    Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start()
}

fn reload(site: &mut Site, text: &str) {
    std::fs::write(site.path("etc/policy.cedar"), text).unwrap();
    site.daemon().signal(Signal::HUP);
}

fn wait_for_policy(site: &Site, text: &str) {
    let digest = sha256_hex(text.as_bytes());
    wait_for("the new policy", SOON, || {
        (site.status()["policy_digest"] == digest).then_some(())
    });
}

#[test]
fn a_new_policy_decides_and_its_digest_is_recorded_first() {
    let mut site = site();
    let old = site.client().sign("key=release", &statement("a")).ok();
    let new = format!("{DEFAULT_POLICY}{FORBID_CI}");
    reload(&mut site, &new);
    wait_for_policy(&site, &new);
    let answer = without_using_a_key(&site, "soft", || {
        site.client().sign("key=release", &statement("b"))
    });
    assert_refused(&site, &answer, "denied", "denied");
    let denied = site.record(answer.record().unwrap());
    assert!(text(&denied, "reason").contains("not-ci"), "{denied}");
    assert_eq!(text(&denied, "policy_digest"), sha256_hex(new.as_bytes()));
    let before = site.record(old.record().unwrap());
    assert_eq!(
        text(&before, "policy_digest"),
        sha256_hex(DEFAULT_POLICY.as_bytes())
    );
    let activated = site.records("policy.activated");
    let activated = activated.last().unwrap();
    assert_eq!(text(activated, "digest"), sha256_hex(new.as_bytes()));
    assert!(activated["seq"].as_u64() < answer.record());
    site.caller_of(OTHER)
        .sign("key=release", &statement("c"))
        .ok();

    reload(&mut site, DEFAULT_POLICY);
    wait_for_policy(&site, DEFAULT_POLICY);
    site.caller_of(CI).sign("key=release", &statement("d")).ok();
}

#[test]
fn a_policy_that_cannot_be_used_changes_nothing() {
    let mut site = site();
    let activated = site.records("policy.activated").len();
    let bad = [
        "permit (principal, action, resource",
        "permit (principal, action, resource);",
        "@id(\"x\") permit (principal, action == Sealwright::Action::\"fly\", resource);",
    ];
    for (n, text) in bad.iter().enumerate() {
        reload(&mut site, text);
        let refused = || {
            site.daemon_log()
                .matches("the policy stays as it was")
                .count()
                > n
        };
        wait_for("the refusal in the log", SOON, || refused().then_some(()));
    }
    assert_eq!(
        site.status()["policy_digest"],
        sha256_hex(DEFAULT_POLICY.as_bytes())
    );
    assert_eq!(site.records("policy.activated").len(), activated);
    site.client().sign("key=release", &statement("a")).ok();
}

#[test]
fn without_a_permit_nothing_is_allowed_and_bodies_are_not_read() {
    let site = Site::builder()
        .token(TokenSpec::scripted("soft"))
        .policy("@id(\"none\") forbid (principal, action, resource);")
        .start();
    assert_eq!(
        site.client().sign("key=release", &statement("a")).code(),
        "unknown_key"
    );
    let describe = serde_json::json!({"token": "soft", "uri": "scripted:object=x"});
    assert_eq!(
        site.operator().post("/v1/keys/describe", &describe).code(),
        "denied"
    );
    assert_eq!(site.operator().get("/v1/audit/records").code(), "denied");
}
