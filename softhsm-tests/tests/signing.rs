//! The main road: a caller has a statement signed, and everything it gets verifies without Sealwright.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write as _;
use std::process::Command;

use sealwright_core::bundle::Bundle;
use sealwright_core::dsse::{Envelope, Pae};
use sealwright_core::record::{Event, Outcome};
use sealwright_softhsm_tests::site::{
    CI, CLIENT_UID, Kind, Site, TokenSpec, sha256_hex, statement,
};
use support::{proved, signature_hashes, text, trusted, verified};

const STATEMENT: &str = "application/vnd.in-toto+json";

/// A site per kind of token, one after the other.
fn sites() -> impl Iterator<Item = Site> {
    [Kind::Scripted, Kind::SoftHsm, Kind::Swtpm, Kind::Piv]
        .into_iter()
        .map(|kind| {
            let token = TokenSpec::new("token", kind).key("release");
            Site::builder().token(token).start()
        })
}

#[test]
fn a_client_gets_an_envelope_that_verifies_and_its_record() {
    for site in sites() {
        let payload = statement("a");
        let answer = site.client().sign("key=release", &payload).ok();
        assert_eq!(
            answer.header("content-type"),
            Some("application/vnd.dsse.envelope.v1+json")
        );
        let digest = format!("sha256:{}", sha256_hex(&answer.body));
        assert_eq!(answer.header("sealwright-digest"), Some(digest.as_str()));
        let verified = verified(&site, &["release"], &answer);
        assert_eq!(
            (verified.payload_type.as_str(), &verified.payload),
            (STATEMENT, &payload)
        );

        let record = site.record(answer.record().unwrap());
        assert_eq!(text(&record, "outcome"), "signed");
        assert_eq!(text(&record, "principal"), CI);
        assert_eq!(record["peer"]["uid"], CLIENT_UID);
        assert_eq!(text(&record, "key"), "default/release");
        assert_eq!(text(&record, "payload_sha256"), sha256_hex(&payload));
        assert_eq!(text(&record, "envelope_sha256"), sha256_hex(&answer.body));
        assert_eq!(
            record["signature_sha256"],
            serde_json::json!(signature_hashes(&answer))
        );
        assert_eq!(
            record["request_id"].as_str(),
            answer.header("sealwright-request-id")
        );
    }
}

#[test]
fn the_proof_of_a_signature_verifies_offline_and_names_its_envelope() {
    for site in sites() {
        let client = site.client();
        let answer = client.sign("key=release", &statement("a")).ok();
        let record = proved(&client, answer.record().unwrap());
        let Event::Sign(sign) = record.event else {
            panic!("not a signature: {record:?}")
        };
        assert_eq!(sign.outcome, Outcome::Signed);
        assert_eq!(
            sign.envelope_sha256.unwrap().to_string(),
            sha256_hex(&answer.body)
        );
    }
}

#[test]
fn openssl_verifies_the_signature_over_the_pae() {
    for site in sites() {
        let payload = statement("a");
        let answer = site.client().sign("key=release", &payload).ok();
        let envelope = Envelope::parse(&answer.body).unwrap();
        let signature = envelope.signatures()[0].sig.clone().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::File::create(&path)
                .unwrap()
                .write_all(bytes)
                .unwrap();
            path
        };
        let pae = Pae {
            payload_type: STATEMENT,
            payload: &payload,
        }
        .to_vec();
        let pem = trusted(&site, "release").spki().to_pem();
        let output = Command::new("openssl")
            .args(["dgst", "-sha256", "-verify"])
            .arg(file("key.pem", pem.as_bytes()))
            .arg("-signature")
            .arg(file("sig", &signature))
            .arg(file("pae", &pae))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn a_bundle_holds_the_same_kind_of_envelope_with_the_keys_hint() {
    for site in sites() {
        let answer = site
            .client()
            .sign("key=release&format=bundle", &statement("a"))
            .ok();
        assert_eq!(
            answer.header("content-type"),
            Some("application/vnd.dev.sigstore.bundle.v0.3+json")
        );
        let key = trusted(&site, "release");
        let bundle = Bundle::parse(&answer.body).unwrap();
        let verified = bundle.verify_statement(&key).unwrap();
        assert_eq!(verified.payload, Some(statement("a")));
        let record = site.record(answer.record().unwrap());
        // The record names the envelope inside, so that it can be found again whatever is around it.
        let envelope = serde_json::to_vec(&answer.json()["dsseEnvelope"]).unwrap();
        assert_eq!(text(&record, "envelope_sha256"), sha256_hex(&envelope));
    }
}

#[test]
fn several_keys_sign_one_envelope_in_the_order_they_were_named() {
    let site = Site::builder()
        .token(
            TokenSpec::softhsm("hsm")
                .key("release")
                .key_of("release384", "ecdsa-p384-sha384"),
        )
        .token(TokenSpec::softhsm("second").key_of("edwards", "ed25519"))
        .start();
    let answer = site
        .client()
        .sign("key=edwards&key=release&key=release384", &statement("a"))
        .ok();
    verified(&site, &["release", "edwards", "release384"], &answer);
    let record = site.record(answer.record().unwrap());
    assert_eq!(text(&record, "key"), "default/edwards");
    assert_eq!(text(&record["further_keys"][0], "key"), "default/release");
    assert_eq!(
        text(&record["further_keys"][1], "key"),
        "default/release384"
    );
    assert_eq!(
        record["signature_sha256"],
        serde_json::json!(signature_hashes(&answer))
    );
}

#[test]
fn every_scheme_of_a_token_signs() {
    let schemes = [
        ("p256", "ecdsa-p256-sha256"),
        ("p384", "ecdsa-p384-sha384"),
        ("ed", "ed25519"),
        ("rsa", "rsa-pkcs1-sha256"),
    ];
    let token = schemes
        .iter()
        .fold(TokenSpec::softhsm("hsm"), |token, (label, scheme)| {
            token.key_of(label, scheme)
        });
    let site = Site::builder().token(token).start();
    for (label, _) in schemes {
        let answer = site
            .client()
            .sign(&format!("key={label}"), &statement(label))
            .ok();
        verified(&site, &[label], &answer);
    }
}

#[test]
fn curl_signs_with_the_documented_command_line() {
    let site = Site::builder()
        .token(TokenSpec::softhsm("hsm").key("release"))
        .start();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let identity = site
        .authority()
        .client(&sealwright_softhsm_tests::site::pki::Leaf::uri(CI));
    std::fs::write(path("cert"), identity.certificate_pem()).unwrap();
    std::fs::write(path("key"), identity.key_pem()).unwrap();
    std::fs::write(path("payload"), statement("a")).unwrap();
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail-with-body",
            "--unix-socket",
        ])
        .arg(site.socket())
        .args(["--cacert", &site.path("etc/tls/ca.pem").to_string_lossy()])
        .args(["--cert", &path("cert"), "--key", &path("key")])
        .args(["-H", "Content-Type: application/vnd.in-toto+json"])
        .args(["--data-binary", &format!("@{}", path("payload"))])
        .arg("https://sealwright.localhost/v1/sign?key=release")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    Envelope::parse(&output.stdout).unwrap();
}
