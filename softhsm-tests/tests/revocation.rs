//! What is published of keys, and how far somebody who does not trust the host can rely on it.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_core::dsse::{Envelope, TrustedKey};
use sealwright_core::revocation;
use sealwright_core::spki::Spki;
use sealwright_softhsm_tests::site::http::Request;
use sealwright_softhsm_tests::site::{CI, OPERATOR, Site, TokenSpec, statement};
use serde_json::{Value, json};
use support::text;

const TRUST: &str = "application/vnd.sealwright.trust+json";

fn site() -> Site {
    Site::builder()
        .token(TokenSpec::scripted("soft").key("release").key("other"))
        .start()
}

fn operator(site: &Site, args: &[&str]) {
    let _ = site.sealwright(OPERATOR, args).ok();
}

/// Publishes a document into the callers' folder.
fn publish(site: &Site, signed_by: &str, file: &str) {
    let args = [
        "trust",
        "export",
        "--format",
        "document",
        "--signed-by",
        signed_by,
        "-o",
        file,
    ];
    operator(site, &args);
}

/// The public key of the active version into `release.pem`.
fn pin(site: &Site) {
    let run = site
        .sealwright(OPERATOR, &["keys", "show", "release", "--pem"])
        .ok();
    fs::write(site.callers_folder().join("release.pem"), run.stdout).unwrap();
}

/// Signs into `a.json`.
fn sign(site: &Site) {
    let answer = site.client().sign("key=release", &statement("a")).ok();
    fs::write(site.callers_folder().join("a.json"), &answer.body).unwrap();
}

/// `verify a.json --trust FILE --trust-key release.pem …`: exit code, and what was said.
fn verify(site: &Site, file: &str, more: &[&str]) -> (Option<i32>, String) {
    let args = [
        "--json",
        "verify",
        "a.json",
        "--trust",
        file,
        "--trust-key",
        "release.pem",
    ];
    let run = site.sealwright(CI, &[&args[..], more].concat());
    (run.code, run.stdout + &run.stderr)
}

#[track_caller]
fn refused(answer: (Option<i32>, String), code: i32, why: &str) {
    assert_eq!(answer.0, Some(code), "{}", answer.1);
    assert!(answer.1.contains(why), "{why}: {}", answer.1);
}

fn rotate(site: &Site, to: &str) {
    let uri = format!("scripted:object={to}");
    operator(site, &["keys", "rotate", "release", "--uri", &uri, "--yes"]);
}

#[test]
fn a_signed_document_is_checked_against_one_pinned_key_and_its_successors() {
    let site = site();
    pin(&site);
    sign(&site);
    publish(&site, "release", "one.json");
    let (code, said) = verify(&site, "one.json", &[]);
    assert_eq!(code, Some(0), "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["verdict"], "good");
    assert_eq!(
        said["trust"],
        json!({"serial": 1, "signed_by": "default/release#1"})
    );

    // The successor's word counts for who trusts the first key, another key's does not.
    rotate(&site, "release-2");
    publish(&site, "release", "two.json");
    let (code, said) = verify(&site, "two.json", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("default/release#2") && said.contains("superseded"),
        "{said}"
    );
    publish(&site, "other", "three.json");
    refused(
        verify(&site, "three.json", &[]),
        1,
        "neither the pinned key nor a successor",
    );

    let records = site.records("trust.published");
    let serials: Vec<_> = records
        .iter()
        .map(|r| r["serial"].as_u64().unwrap())
        .collect();
    assert_eq!(serials, [1, 2, 3]);
    assert_eq!(text(&records[1], "signed_by"), "default/release#2");
}

#[test]
fn an_older_document_after_a_newer_one_is_refused_by_name() {
    let mut site = site();
    pin(&site);
    sign(&site);
    publish(&site, "release", "one.json");
    publish(&site, "release", "two.json");
    let state = ["--trust-state", "seen.json"];
    for file in ["one.json", "two.json", "two.json"] {
        let (code, said) = verify(&site, file, &state);
        assert_eq!(code, Some(0), "{said}");
    }
    refused(
        verify(&site, "one.json", &state),
        1,
        "has serial 1, and 2 or a later one",
    );
    refused(
        verify(&site, "one.json", &["--min-serial", "2"]),
        1,
        "has serial 1, and 2",
    );
    // Without a memory it cannot be known.
    assert_eq!(verify(&site, "one.json", &[]).0, Some(0));

    // Numbers go on after a restart.
    site.kill_daemon();
    site.start_daemon();
    publish(&site, "release", "three.json");
    assert_eq!(
        verify(&site, "three.json", &["--min-serial", "3"]).0,
        Some(0)
    );

    // The memory is of one log and tenant.
    let seen = site.callers_folder().join("seen.json");
    let other = fs::read_to_string(&seen)
        .unwrap()
        .replace("sealwright.test", "elsewhere.test");
    fs::write(&seen, other).unwrap();
    refused(
        verify(&site, "three.json", &state),
        1,
        "until now documents were of tenant default and the log elsewhere",
    );
    fs::write(&seen, "{}").unwrap();
    refused(
        verify(&site, "three.json", &state),
        2,
        "seen.json: is no state of",
    );
}

#[test]
fn a_document_is_relied_on_until_its_end() {
    let site = site();
    pin(&site);
    sign(&site);
    let operator = site.operator();
    let past = json!({"signed_by": "release", "valid_until": "2020-01-01T00:00:00.000Z"});
    let answer = operator.post("/v1/trust", &past);
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "invalid_request")
    );
    let soon = json!({"signed_by": "release", "valid_until": "2999-01-01T00:00:00.000Z"});
    let answer = operator.post("/v1/trust", &soon).ok().json();
    let path = site.callers_folder().join("one.json");
    fs::write(path, answer["envelope"].to_string()).unwrap();
    assert_eq!(verify(&site, "one.json", &[]).0, Some(0));
}

#[test]
fn a_document_that_was_changed_or_is_of_somebody_else_is_refused() {
    let (site, elsewhere) = (site(), site());
    pin(&site);
    sign(&site);
    publish(&site, "release", "one.json");
    let path = site.callers_folder().join("one.json");
    let mut envelope: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let payload = STANDARD.decode(text(&envelope, "payload")).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    let changed = payload.replace("\"serial\": 1", "\"serial\": 9");
    assert_ne!(changed, payload);
    envelope["payload"] = STANDARD.encode(changed).into();
    fs::write(
        site.callers_folder().join("changed.json"),
        envelope.to_string(),
    )
    .unwrap();
    let (code, said) = verify(&site, "changed.json", &[]);
    refused((code, said), 1, "neither the pinned key nor a successor");

    publish(&elsewhere, "release", "foreign.json");
    let foreign = fs::read(elsewhere.callers_folder().join("foreign.json")).unwrap();
    fs::write(site.callers_folder().join("foreign.json"), foreign).unwrap();
    refused(verify(&site, "foreign.json", &[]), 1, "the pinned key");
    refused(verify(&site, "a.json", &[]), 1, "no trust document");
    let run = site.sealwright(CI, &["verify", "a.json", "--trust", "one.json"]);
    refused((run.code, run.stderr), 2, "one.json: is signed");
}

#[test]
fn nobody_but_the_daemon_has_a_trust_document_signed() {
    let site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start();
    let refused = site
        .client()
        .send(&Request::sign_as("key=release", TRUST, &statement("a")));
    assert_eq!(refused.code(), "unsupported_payload_type");
    let detail = refused.json();
    assert!(
        text(&detail, "detail").contains("by the daemon alone"),
        "{detail}"
    );
    // Nor publishes one who does not manage the key.
    let body = json!({"signed_by": "release"});
    assert_eq!(site.client().post("/v1/trust", &body).code(), "denied");
    let unknown = site
        .operator()
        .post("/v1/trust", &json!({"signed_by": "nobody"}));
    assert_eq!(unknown.code(), "unknown_key");
    operator(&site, &["keys", "suspend", "release", "--reason", "x"]);
    assert_eq!(
        site.operator().post("/v1/trust", &body).code(),
        "key_not_active"
    );
    assert!(site.records("trust.published").is_empty());
}

/// A statement in a file of the callers' folder, as the active version of `label` signed it.
fn revocation_in(site: &Site, file: &str, label: &str) -> revocation::Predicate {
    let bytes = fs::read(site.callers_folder().join(file)).unwrap();
    let pem = site
        .sealwright(OPERATOR, &["keys", "show", label, "--pem"])
        .ok();
    let key = TrustedKey::with_default_scheme(Spki::from_pem(&pem.stdout).unwrap()).unwrap();
    revocation::verify(Envelope::parse(&bytes).unwrap(), &key).unwrap()
}

#[test]
fn a_revocation_is_told_by_the_successor_in_a_statement_and_a_trust_document() {
    let site = site();
    pin(&site);
    sign(&site);
    rotate(&site, "release-2");
    let args = [
        "--json",
        "keys",
        "revoke",
        "release#1",
        "--reason",
        "found on a pastebin",
        "-o",
        "told",
    ];
    let answer = site.sealwright(OPERATOR, &args).ok().json();
    assert_eq!(text(&answer, "state"), "Deactivated");
    let told = &answer["told"];
    assert_eq!(text(&told["revocation"], "signed_by"), "default/release#2");
    assert_eq!(told["trust"]["serial"], 1);
    assert_eq!(told["left"], json!([]));
    assert_eq!(
        told["files"],
        json!(["told/revocation.dsse.json", "told/trust.dsse.json"])
    );

    let predicate = revocation_in(&site, "told/revocation.dsse.json", "release");
    assert_eq!(predicate.key.key.to_string(), "default/release#1");
    assert_eq!(
        predicate.effective_time.to_string(),
        text(&answer["compromise"], "effective_time")
    );
    assert_eq!(
        json!(predicate.decided_index),
        answer["compromise"]["decided_index"]
    );
    let record = &site.records("key.revocation")[0];
    let recorded: Value = serde_json::from_str(text(record, "statement")).unwrap();
    assert_eq!(recorded, told["revocation"]["statement"]);
    assert!(!recorded.to_string().contains("pastebin"));

    // Whoever pinned the revoked key is told so; who pins the successor gets the verdict.
    refused(
        verify(&site, "told/trust.dsse.json", &[]),
        1,
        "default/release#1 is compromised by the document",
    );
    pin(&site);
    refused(verify(&site, "told/trust.dsse.json", &[]), 1, "suspect");
}

#[test]
fn a_revocation_without_a_successor_is_told_later_by_another_key() {
    let site = site();
    let revoke = [
        "--json",
        "keys",
        "revoke",
        "release#1",
        "--reason",
        "stolen",
        "-o",
        "told",
    ];
    let answer = site.sealwright(OPERATOR, &revoke).ok().json();
    let left = answer["told"]["left"][0].as_str().unwrap();
    assert!(
        left.contains("sealwright keys revocation default/release#1 --signed-by KEY"),
        "{left}"
    );
    assert_eq!(
        site.client().sign("key=release", &statement("b")).code(),
        "key_not_active"
    );

    let tell = ["keys", "revocation", "release#1", "-o", "told"];
    let none = site.sealwright(OPERATOR, &tell).ok();
    assert!(none.stdout.contains("nothing was signed"), "{none:?}");
    operator(&site, &[&tell[..], &["--signed-by", "other"]].concat());
    let predicate = revocation_in(&site, "told/revocation.dsse.json", "other");
    assert_eq!(predicate.signed_by.key.to_string(), "default/other#1");
}

#[test]
fn a_revocation_that_cannot_be_told_is_refused_by_name() {
    let site = site();
    let operator = site.operator();
    let path = "/v1/keys/default/release/1/revocation";
    let by_other = json!({"signed_by": "other"});
    let cases = [
        (path, &by_other, "invalid_request", "is not compromised"),
        (
            "/v1/keys/default/release/7/revocation",
            &by_other,
            "invalid_request",
            "no key version",
        ),
        (
            path,
            &json!({"by": "other"}),
            "invalid_json",
            "unknown field",
        ),
    ];
    for (path, body, code, why) in cases {
        let answer = operator.post(path, body);
        assert_eq!(answer.code(), code, "{}", answer.text());
        assert!(answer.text().contains(why), "{}", answer.text());
    }
    assert_eq!(site.client().post(path, &by_other).code(), "denied");
    let compromise = json!({"reason": "stolen"});
    operator
        .post("/v1/keys/default/release/1/compromise", &compromise)
        .ok();
    for (by, code) in [("nobody", "unknown_key"), ("release", "key_not_active")] {
        let answer = operator.post(path, &json!({ "signed_by": by }));
        assert_eq!(answer.code(), code, "{}", answer.text());
    }
    let forged = statement("a");
    let forged = String::from_utf8(forged).unwrap().replace(
        "https://slsa.dev/provenance/v1",
        "https://sealwright.dev/revocation/v1",
    );
    let refused = site.client().sign("key=other", forged.as_bytes());
    assert_eq!(refused.code(), "unsupported_predicate_type");
    assert!(site.records("key.revocation").is_empty());
}
