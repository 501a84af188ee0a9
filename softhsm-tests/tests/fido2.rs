//! A FIDO2 security key signs for clients: what they get, how it is verified, and what waits for whom.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sealwright_core::dsse::{Envelope, Options, TrustedKey};
use sealwright_core::scheme::Scheme;
use sealwright_softhsm_tests::fault::Fault;
use sealwright_softhsm_tests::site::http::{Request, Response};
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{CI, Site, TokenSpec, statement};
use support::{text, trusted};

const TOUCHED: Scheme = Scheme::WebAuthnP256Sha256;
const VERIFIED: Scheme = Scheme::WebAuthnP256Sha256Uv;

/// One key that is touched, and one that is also shown its PIN.
fn site() -> Site {
    let token = TokenSpec::fido2("key")
        .key_of("release", TOUCHED.as_str())
        .key_of("careful", VERIFIED.as_str());
    Site::builder().token(token).start()
}

fn verifies(site: &Site, label: &str, scheme: Scheme, answer: &Response) -> bool {
    let trusted = [TrustedKey::new(trusted(site, label).spki().clone(), scheme).unwrap()];
    let envelope = Envelope::parse(&answer.body).unwrap();
    envelope.verify(&trusted, 1, Options::default()).is_ok()
}

/// The first signature after `what`.
fn signs_again(site: &Site, what: &str) -> Response {
    let what = format!("a signature after {what}");
    wait_for(&what, Duration::from_secs(20), || {
        let answer = site.client().sign("key=release", &statement("b"));
        let is_good = answer.status == 200;
        if !is_good {
            println!("no signature yet: {}", answer.text());
        }
        is_good.then_some(answer)
    })
}

#[test]
fn an_envelope_verifies_for_who_trusts_the_keys_scheme_and_for_nobody_else() {
    let site = site();
    let plain = Scheme::EcdsaP256Sha256;
    for (label, accepted, refused) in [
        ("release", vec![TOUCHED], vec![VERIFIED, plain]),
        ("careful", vec![TOUCHED, VERIFIED], vec![plain]),
    ] {
        let query = format!("key={label}");
        let answer = site.client().sign(&query, &statement("a")).ok();
        for scheme in accepted {
            assert!(verifies(&site, label, scheme, &answer), "{label}: {scheme}");
        }
        for scheme in refused {
            assert!(
                !verifies(&site, label, scheme, &answer),
                "{label}: {scheme}"
            );
        }
    }
}

#[test]
fn openssl_verifies_an_assertion_by_the_steps_of_the_documentation() {
    let site = site();
    let answer = site.client().sign("key=careful", &statement("a")).ok();
    let envelope = Envelope::parse(&answer.body).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pae = envelope.pae();
    let pae = [&pae.prefix(), pae.payload].concat();
    let sig = envelope.signatures()[0].sig.clone().unwrap();
    let pem = trusted(&site, "careful").spki().to_pem().into_bytes();
    for (name, bytes) in [("sig.bin", sig), ("pae.bin", pae), ("release.pub.pem", pem)] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let (_, steps) = include_str!("../../docs/fido2.md")
        .split_once("```sh\n")
        .unwrap();
    let (steps, _) = steps.split_once("```").unwrap();
    let mut by_hand = Command::new("bash");
    by_hand
        .args(["-euo", "pipefail", "-c", steps])
        .current_dir(folder.path());
    let output = by_hand.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "Verified OK\n05\n"
    );
}

#[test]
fn the_command_line_signs_and_verifies_with_the_scheme_named() {
    let site = site();
    let folder = site.callers_folder();
    std::fs::write(folder.join("statement"), statement("a")).unwrap();
    let key = trusted(&site, "release").spki().to_pem();
    std::fs::write(folder.join("key.pem"), key).unwrap();
    let raw = [
        "--raw",
        "statement",
        "--payload-type",
        "application/vnd.in-toto+json",
    ];
    let sign = [
        "sign", "--key", "release", "--format", "dsse", "-o", "out.json",
    ];
    let signed = site.sealwright(CI, &[&sign[..], &raw[..]].concat());
    assert_eq!(signed.code, Some(0), "{signed:?}");
    let verify = ["verify", "out.json", "--key", "key.pem"];
    let as_plain = site.sealwright(CI, &verify);
    assert_eq!(as_plain.code, Some(1), "{as_plain:?}");
    let named = [&verify[..], &["--scheme", TOUCHED.as_str()]].concat();
    let verified = site.sealwright(CI, &named);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn a_bundle_is_refused_with_the_reason_before_anybody_touches_the_key() {
    let mut site = site();
    site.token_mut("key").security_key().wait_for_touch();
    let refused = site
        .client()
        .sign("key=release&format=bundle", &statement("a"));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (422, "scheme_not_in_bundles")
    );
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("no Sigstore or cosign client"), "{detail}");
    let record = site.record(refused.record().unwrap());
    assert_eq!(text(&record, "code"), "scheme_not_in_bundles");
}

#[test]
fn who_prefers_it_is_answered_later_once_the_key_was_touched() {
    let mut site = site();
    site.token_mut("key").security_key().wait_for_touch();
    let request = Request::sign("key=release", &statement("a"));
    let accepted = site
        .client()
        .send(&request.header("prefer", "respond-async, wait=0"));
    assert_eq!(accepted.status, 202, "{}", accepted.text());
    assert_eq!(
        accepted.json()["touch"],
        serde_json::json!(["default/release"])
    );
    let location = accepted.header("location").unwrap().to_owned();
    assert_eq!(site.client().get(&location).status, 202);
    assert_eq!(
        site.operator().get(&location).status,
        400,
        "it is nobody else's"
    );
    site.token_mut("key").security_key().await_waiting();
    site.token_mut("key").security_key().touch();
    let answer = site.client().get(&format!("{location}?wait=true")).ok();
    assert!(verifies(&site, "release", TOUCHED, &answer));
    let record = site.record(answer.record().unwrap());
    assert_eq!(text(&record, "outcome"), "signed");
}

#[test]
fn the_command_line_says_that_a_key_waits_for_its_touch() {
    let mut site = site();
    std::fs::write(site.callers_folder().join("statement"), statement("a")).unwrap();
    site.token_mut("key").security_key().wait_for_touch();
    let args = [
        "sign",
        "--key",
        "release",
        "--format",
        "dsse",
        "-o",
        "out.json",
        "--raw",
        "statement",
        "--payload-type",
        "application/vnd.in-toto+json",
    ];
    let mut command = site.sealwright_command(CI, &args);
    let mut signing: Child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut errors = BufReader::new(signing.stderr.take().unwrap());
    errors.read_line(&mut said).unwrap();
    assert_eq!(
        said,
        "touch the security key: default/release waits for it\n"
    );
    site.token_mut("key").security_key().await_waiting();
    site.token_mut("key").security_key().touch();
    assert!(signing.wait().unwrap().success());
}

#[test]
fn a_touch_that_does_not_come_is_an_error_within_the_deadline_and_the_next_signature_succeeds() {
    let mut site = site();
    site.token_mut("key").security_key().wait_for_touch();
    let asked = Instant::now();
    let refused = site
        .client()
        .sign("key=release&timeout_ms=2000", &statement("a"));
    assert!(refused.status >= 500, "{}", refused.text());
    assert!(
        asked.elapsed() < Duration::from_secs(4),
        "{:?}",
        asked.elapsed()
    );
    site.token_mut("key").security_key().rest_finger();
    site.client().sign("key=release", &statement("b")).ok();
}

#[test]
fn a_key_that_is_pulled_out_while_it_signs_fails_in_time_and_signs_again_when_it_is_back() {
    let mut site = site();
    site.token_mut("key").security_key().wait_for_touch();
    let client = site.client();
    let asked = Instant::now();
    let signing =
        std::thread::spawn(move || client.sign("key=release&timeout_ms=8000", &statement("a")));
    site.token_mut("key").security_key().await_waiting();
    site.token_mut("key").security_key().unplug();
    let refused = signing.join().unwrap();
    assert!(refused.status >= 500, "{}", refused.text());
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    let key = site.token_mut("key").security_key();
    key.rest_finger();
    key.replug();
    let back = Instant::now();
    let answer = signs_again(&site, "a key that is back");
    println!("from replug to the first signature: {:?}", back.elapsed());
    assert!(verifies(&site, "release", TOUCHED, &answer));
}

#[test]
fn each_fault_on_the_wire_costs_one_signature_at_most_and_no_wrong_one_is_released() {
    let mut site = site();
    for fault in [
        Fault::Drop,
        Fault::Duplicate,
        Fault::Truncate,
        Fault::Delay(Duration::from_millis(300)),
        Fault::Foreign,
        Fault::Garble,
    ] {
        site.token_mut("key").security_key().faults().once(fault);
        let first = site
            .client()
            .sign("key=release&timeout_ms=3000", &statement("a"));
        let is_good = first.status == 200 && verifies(&site, "release", TOUCHED, &first);
        assert!(
            is_good || first.status >= 500,
            "{fault:?}: {}",
            first.text()
        );
        signs_again(&site, &format!("{fault:?}"));
    }
    let status = site.operator().get("/v1/status").ok().json();
    for token in status["tokens"].as_array().unwrap() {
        assert_eq!(token["suspect"], false, "{token}");
    }
}
