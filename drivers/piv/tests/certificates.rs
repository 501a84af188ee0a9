//! Certificates beside keys, evidence, and who may write to a card.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rcgen::{CertificateParams, Issuer, KeyPair, SubjectPublicKeyInfo};
use sealwright_core::spki::Spki;
use sealwright_driver_api::wire::{Answer, Call};
use sealwright_driver_api::{Nonce, Statement};
use serde_json::Value;
use support::calls::{answer, ask, greet, sign};
use support::tool::{self, piv_tool};
use support::{Host, SERIAL, other};
use yubikey::mgm::{MgmAlgorithmId, MgmKey};
use yubikey::{Serial, YubiKey};

const KEY: &str = "piv:slot=9c";
/// The management key that a test gives to its card.
const OWN_KEY: [u8; 32] = [7; 32];

/// A host with a key in slot 9c, and that key.
fn with_key() -> (Host, Spki) {
    let host = Host::new();
    let made: Value = serde_json::from_str(&host.generate("9c", "ecdsa-p256-sha256")).unwrap();
    let pem = made["public_key_pem"].as_str().unwrap();
    (host, Spki::from_pem(pem).unwrap())
}

/// A certificate for a key, PEM. `name` makes it as long as a test wants.
fn certificate(key: &Spki, name: &str) -> String {
    let ca = KeyPair::generate().unwrap();
    let public = SubjectPublicKeyInfo::from_der(key.der()).unwrap();
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let authority = CertificateParams::default();
    let issuer = Issuer::from_params(&authority, &ca);
    params.signed_by(&public, &issuer).unwrap().pem()
}

fn refused(output: &std::process::Output) -> &str {
    assert!(!output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn a_certificate_is_kept_beside_its_key_also_for_other_programs() {
    let (host, key) = with_key();
    let none = host.run(&["certificate", KEY]);
    assert!(refused(&none).contains("nothing in the slot"), "{none:?}");
    let pem = certificate(&key, "key");
    let installed = host.run_with(&["install-certificate", KEY], pem.as_bytes());
    assert!(installed.status.success(), "{installed:?}");
    let shown = host.run(&["certificate", KEY]);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        lines(std::str::from_utf8(&shown.stdout).unwrap()),
        lines(&pem)
    );
    let read = piv_tool(&host, &["-s", "9c", "-a", "read-certificate"]);
    assert_eq!(lines(&read), lines(&pem));
}

#[test]
fn a_certificate_for_another_key_and_other_input_are_refused() {
    let (host, key) = with_key();
    let other = Spki::from_der(rcgen::PublicKeyData::subject_public_key_info(
        &KeyPair::generate().unwrap(),
    ));
    let install = |text: &str| host.run_with(&["install-certificate", KEY], text.as_bytes());
    let output = install(&certificate(&other, "key"));
    assert!(refused(&output).contains("for another key"), "{output:?}");
    for text in ["", "nonsense", &certificate(&key, "key").repeat(2)] {
        let output = install(text);
        assert!(refused(&output).contains("one CERTIFICATE"), "{output:?}");
    }
}

#[test]
fn a_certificate_that_the_card_has_no_room_for_is_refused_and_the_key_still_signs() {
    let (mut host, key) = with_key();
    let long = certificate(&key, &"n".repeat(4096));
    let output = host.run_with(&["install-certificate", KEY], long.as_bytes());
    assert!(refused(&output).contains("no room"), "{output:?}");
    sign(&mut host).unwrap();
}

#[test]
fn what_is_no_certificate_is_told_from_one() {
    let (mut host, _) = with_key();
    for (id, bytes) in [("0x5fc10a", "7004aabb"), ("0x5fc107", "f0")] {
        let written = tool::run(
            &host,
            &["-a", "write-object", "--id", id, "-i", &file(&host, bytes)],
        );
        assert!(written.status.success(), "{written:?}");
    }
    let output = host.run(&["certificate", KEY]);
    assert!(refused(&output).contains("cut off"), "{output:?}");
    // Nor does the card's capability container matter to anybody here.
    sign(&mut host).unwrap();
}

fn file(host: &Host, text: &str) -> String {
    let path = host.state().join("object");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn evidence_is_the_cards_certificate_for_the_key_with_its_own() {
    let (mut host, key) = with_key();
    let nonce = Nonce::of(&[b"nonce"]);
    let mut stream = host.connect().unwrap();
    greet(&mut stream).unwrap().unwrap();
    let uri = KEY.parse().unwrap();
    ask(&mut stream, Call::Attest { key: uri, nonce });
    let Answer::Evidence(evidence) = answer(&mut stream).unwrap() else {
        panic!("no evidence");
    };
    assert_eq!((evidence.nonce, &evidence.spki_der[..]), (nonce, key.der()));
    let Statement::PivAttestation(statement) = evidence.statement else {
        panic!("another kind");
    };
    let facts = statement.facts().unwrap();
    assert_eq!(facts.serial, Some(u64::from(SERIAL)));
    assert_eq!(
        (facts.pin_policy(), facts.touch_policy()),
        ("always", "never")
    );
    assert_eq!(statement.device_chain.len(), 1);
}

#[test]
fn a_management_key_of_another_kind_is_taken_from_its_file() {
    const NAME: &str = "a_management_key_of_another_kind_is_taken_from_its_file";
    if other::is_here() {
        let mut card = YubiKey::open_by_serial(Serial(SERIAL)).unwrap();
        let factorys = MgmKey::get_default(&card).unwrap();
        card.authenticate(&factorys).unwrap();
        let own = MgmKey::from_bytes(OWN_KEY, Some(MgmAlgorithmId::Aes256)).unwrap();
        own.set_manual(&mut card, false).unwrap();
        return other::hold();
    }
    let mut host = Host::new();
    drop(other::start(&host, NAME));
    let path = host.state().join("management");
    host.driver = format!("management_key = {path:?}");
    let generate = ["generate", "--scheme", "ecdsa-p256-sha256", KEY];
    for (key, why) in [
        (vec![8; 32], "management key"),
        (vec![7; 24], "Aes256"),
        (vec![7; 31], "Aes256"),
    ] {
        secret(&path, &hex::encode(key));
        let output = host.run(&generate);
        assert!(refused(&output).contains(why), "{output:?}");
    }
    secret(&path, "not hex");
    assert!(refused(&host.run(&generate)).contains("hex digits"));
    secret(&path, &hex::encode(OWN_KEY));
    let made = host.run(&generate);
    assert!(made.status.success(), "{made:?}");
}

fn secret(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
