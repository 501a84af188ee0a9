//! What is published of keys, and how far somebody who does not trust the host can rely on it.
#![allow(clippy::unwrap_used)]

#[path = "revocation/authority.rs"]
mod authority;
mod support;

use std::fs;

use authority::{enrol, issue, make_authority, make_key, openssl, openssl_ok};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_core::dsse::{Envelope, TrustedKey};
use sealwright_core::revocation;
use sealwright_core::spki::Spki;
use sealwright_softhsm_tests::site::http::Request;
use sealwright_softhsm_tests::site::{CI, OPERATOR, Site, TokenSpec, statement};
use serde_json::{Value, json};
use support::text;

const P256: &str = "ecdsa-p256-sha256";
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

/// An authority `ca`, and the keys `signer` and `kept` with its certificates, all enrolled.
fn certified(scheme: &str, usage: &str) -> Site {
    let site = site();
    make_authority(&site, "ca", scheme, usage);
    enrol(&site, "ca", "x509");
    for name in ["signer", "kept"] {
        make_key(&site, name);
        issue(&site, name, "ca");
        enrol(&site, name, "dsse");
    }
    site
}

fn revoke_signer(site: &Site, more: &[&str]) -> Value {
    let args = [
        "--json",
        "keys",
        "revoke",
        "signer#1",
        "--reason",
        "stolen",
        "--signed-by",
        "other",
        "-o",
        "told",
    ];
    site.sealwright(OPERATOR, &[&args[..], more].concat())
        .json()
}

#[test]
fn an_enrolled_authority_signs_a_revocation_list_that_openssl_takes() {
    let site = certified(P256, "keyCertSign,cRLSign");
    let answer = revoke_signer(&site, &[]);
    let crl = &answer["told"]["crl"];
    assert_eq!(text(crl, "issuer"), "default/ca#1", "{answer}");
    let number = crl["number"].as_u64().unwrap();
    assert_eq!(crl["entries"], 1);

    let list = ["crl", "-in", "told/crl.pem", "-CAfile", "ca.crt", "-noout"];
    assert!(openssl_ok(&site, &[&list[..], &["-verify"]].concat()).contains("verify OK"));
    let said = openssl_ok(&site, &[&list[..], &["-text"]].concat());
    for part in [
        "Key Compromise",
        "Invalidity Date",
        "X509v3 CRL Number",
        "Authority Key Identifier",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let check = |leaf: &str| {
        let args = [
            "verify",
            "-crl_check",
            "-CAfile",
            "ca.crt",
            "-CRLfile",
            "told/crl.pem",
        ];
        openssl(&site, &[&args[..], &[leaf]].concat())
    };
    let (is_ok, said) = check("signer.crt");
    assert!(!is_ok && said.contains("certificate revoked"), "{said}");
    let (is_ok, said) = check("kept.crt");
    assert!(is_ok, "{said}");

    // The next list has a later number, and everything in it.
    let again = [
        "--json",
        "keys",
        "revoke",
        "kept#1",
        "--reason",
        "stolen",
        "--signed-by",
        "other",
    ];
    let again = site.sealwright(OPERATOR, &again).ok().json();
    let crl = &again["told"]["crl"];
    assert!(crl["number"].as_u64().unwrap() > number, "{crl}");
    assert_eq!(crl["entries"], 2);
    let records = site.records("crl.issued");
    assert_eq!(records.len(), 2);
    assert_eq!(text(&records[0], "issuer"), "default/ca#1");
}

#[test]
fn authorities_of_every_scheme_that_certificates_have_sign_lists() {
    for scheme in ["ecdsa-p384-sha384", "rsa-pkcs1-sha256", "ed25519"] {
        let site = certified(scheme, "keyCertSign,cRLSign");
        let answer = revoke_signer(&site, &[]);
        assert_eq!(answer["told"]["crl"]["entries"], 1, "{scheme}: {answer}");
        let verify = [
            "crl",
            "-in",
            "told/crl.pem",
            "-CAfile",
            "ca.crt",
            "-noout",
            "-verify",
        ];
        assert!(openssl_ok(&site, &verify).contains("verify OK"), "{scheme}");
    }
}

#[test]
fn an_authority_that_is_not_enrolled_gets_a_request() {
    let site = site();
    make_authority(&site, "ca", P256, "keyCertSign,cRLSign");
    make_key(&site, "signer");
    issue(&site, "signer", "ca");
    enrol(&site, "signer", "dsse");
    let told = &revoke_signer(&site, &[])["told"];
    assert_eq!(told["crl"], Value::Null);
    let request = fs::read(site.callers_folder().join("told/revocation-request.json")).unwrap();
    let request: Value = serde_json::from_slice(&request).unwrap();
    assert_eq!(request, told["request"]);
    let serial = openssl_ok(&site, &["x509", "-in", "signer.crt", "-noout", "-serial"]);
    let serial = serial.trim().trim_start_matches("serial=");
    assert_eq!(text(&request, "serial").replace(':', ""), serial);
    assert_eq!(text(&request, "reason"), "keyCompromise");
    assert!(text(&request, "issuer").contains("CN=ca"), "{request}");
}

#[test]
fn a_list_that_no_verifier_would_take_is_refused_by_name() {
    let site = certified(P256, "keyCertSign");
    make_authority(&site, "stranger", P256, "keyCertSign,cRLSign");
    enrol(&site, "stranger", "x509");
    let operator = site.operator();
    let path = |key: &str| format!("/v1/keys/default/{key}/1/crl");
    let not_yet = operator.post(&path("signer"), &json!({}));
    assert!(
        not_yet.text().contains("is not compromised"),
        "{}",
        not_yet.text()
    );
    let _ = revoke_signer(&site, &[]);
    let compromise = json!({"reason": "stolen"});
    operator
        .post("/v1/keys/default/release/1/compromise", &compromise)
        .ok();
    let past = json!({"next_update": "2020-01-01T00:00:00.000Z"});
    let cases = [
        (
            "signer",
            json!({"ca": "stranger"}),
            "default/stranger did not issue the certificate of default/signer#1",
        ),
        ("signer", json!({}), "without cRLSign"),
        ("signer", past, "next_update is not after now"),
        ("release", json!({}), "enrolled without a certificate"),
    ];
    for (key, body, why) in cases {
        let answer = operator.post(&path(key), &body);
        assert_eq!(answer.code(), "invalid_request", "{}", answer.text());
        assert!(answer.text().contains(why), "{why}: {}", answer.text());
    }
    assert!(site.records("crl.issued").is_empty());
    // Nothing else has an x509 key sign anything.
    let refused = site.client().sign("key=ca", &statement("a"));
    assert_eq!(refused.code(), "denied");
    assert_eq!(
        operator
            .post("/v1/trust", &json!({"signed_by": "ca"}))
            .code(),
        "denied"
    );
}

#[test]
fn a_chain_that_a_key_was_enrolled_with_stands_in_the_trusted_root_until_it_is_revoked() {
    let site = site();
    make_authority(&site, "ca", P256, "keyCertSign,cRLSign");
    make_key(&site, "signer");
    issue(&site, "signer", "ca");
    let read = |name: &str| fs::read_to_string(site.callers_folder().join(name)).unwrap();
    let (own, authority) = (read("signer.crt"), read("ca.crt"));
    let write = |text: String| fs::write(site.callers_folder().join("signer.crt"), text).unwrap();
    let refused = |why: &str| {
        let args = ["keys", "enrol", "signer", "--token", "soft", "--yes"];
        let more = [
            "--uri",
            "scripted:object=signer",
            "--certificate",
            "signer.crt",
        ];
        let run = site.sealwright(OPERATOR, &[&args[..], &more].concat());
        assert!(run.stderr.contains(why), "{why}: {run:?}");
    };
    write(format!("{authority}{own}"));
    refused("the first certificate is for another public key");
    write(format!("{own}{own}"));
    refused("certificate 1 was not issued by the one after it");
    write("noise".to_owned());
    refused("0 certificates");
    write(format!("{own}{authority}"));
    enrol(&site, "signer", "dsse");

    let export = |file: &str| {
        let args = ["trust", "export", "--format", "trusted-root", "-o", file];
        let run = site.sealwright(OPERATOR, &args).ok();
        (
            serde_json::from_str::<Value>(&read(file)).unwrap(),
            run.stderr,
        )
    };
    let (root, said) = export("root.json");
    let authorities = root["certificateAuthorities"].as_array().unwrap();
    assert_eq!((authorities.len(), said.as_str()), (1, ""));
    assert_eq!(authorities[0]["subject"]["commonName"], "ca");
    let der = text(&authorities[0]["certChain"]["certificates"][0], "rawBytes");
    let pem: String = authority
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    assert_eq!(der, pem);
    assert_eq!(root["tlogs"][0]["baseUrl"], "https://sealwright.test/log");
    // Bundles carry the key's own certificate alone.
    let bundle = site
        .client()
        .sign("key=signer&format=bundle", &statement("a"));
    let bundle = bundle.ok().json();
    let own: String = own.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(
        text(&bundle["verificationMaterial"]["certificate"], "rawBytes"),
        own
    );

    let _ = revoke_signer(&site, &[]);
    let (root, said) = export("root.json");
    assert_eq!(root["certificateAuthorities"], json!([]));
    assert!(
        said.contains("left out: the authority of default/signer#1"),
        "{said}"
    );
}
