//! What the driver refuses, and what it says then.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use sealwright_core::scheme::Scheme;
use sealwright_driver_api::ErrorClass;
use sealwright_softhsm_tests::swtpm::{Swtpm, unburdened};
use support::{Host, describe, generate, run, serial_in, sign, sign_and_verify};

const P256: Scheme = Scheme::EcdsaP256Sha256;

#[test]
fn another_tpm_is_refused_and_both_serials_are_named() {
    let (ours, other) = (Swtpm::start(), Swtpm::start());
    let mut host = Host::of(&ours);
    host.tcti = other.tcti();
    let refused = host.try_open().map(|_| ()).unwrap_err();
    assert_eq!(refused.class, ErrorClass::Config);
    assert!(refused.detail.contains("another TPM") && refused.detail.contains(&host.serial));
    assert_eq!(serial_in(&refused), Host::of(&other).serial);
}

#[test]
fn a_tpm_that_was_exchanged_while_we_run_is_refused() {
    let mut ours = Swtpm::start();
    let host = Host::of(&ours);
    let mut worker = host.worker();
    generate(&mut *worker, "release", P256, 0).unwrap();
    ours.forget();
    let refused = sign(&mut *worker, "release", P256, b"m").unwrap_err();
    assert_eq!(refused.class, ErrorClass::Config, "{refused}");
}

#[test]
fn a_key_without_a_file_is_missing_and_the_token_works_on() {
    let tpm = Swtpm::start();
    let host = Host::of(&tpm);
    let mut worker = host.worker();
    let missing = describe(&mut *worker, "release").unwrap_err();
    assert_eq!(missing.class, ErrorClass::KeyMissing);
    assert!(
        missing
            .detail
            .contains(host.key_file("release").to_str().unwrap())
    );
    worker.health().unwrap();
    // Also one that was there, and lies loaded in the TPM.
    generate(&mut *worker, "release", P256, 0).unwrap();
    fs::remove_file(host.key_file("release")).unwrap();
    assert_eq!(
        sign(&mut *worker, "release", P256, b"m").unwrap_err().class,
        ErrorClass::KeyMissing
    );
}

#[test]
fn a_damaged_key_file_is_a_missing_key() {
    let tpm = Swtpm::start();
    let host = Host::of(&tpm);
    let mut worker = host.worker();
    generate(&mut *worker, "release", P256, 0).unwrap();
    let file = host.key_file("release");
    let good = fs::read_to_string(&file).unwrap();
    // In the private half, in the public half, and in the PEM frame.
    for (at, with) in [(300, "AAAA"), (120, "AAAA"), (0, "xxxxx")] {
        let mut text = good.clone();
        text.replace_range(at..at + with.len(), with);
        fs::write(&file, text).unwrap();
        for error in [
            describe(&mut *worker, "release").unwrap_err(),
            sign(&mut *worker, "release", P256, b"m").unwrap_err(),
        ] {
            assert_eq!(error.class, ErrorClass::KeyMissing, "at {at}: {error}");
        }
    }
    fs::write(&file, good).unwrap();
    assert!(sign(&mut *worker, "release", P256, b"m").is_ok());
}

#[test]
fn a_key_file_of_another_tpm_is_a_missing_key() {
    let (ours, other) = (Swtpm::start(), Swtpm::start());
    let (host, from) = (Host::of(&ours), Host::of(&other));
    generate(&mut *from.worker(), "release", P256, 0).unwrap();
    let mut worker = host.worker();
    fs::copy(from.key_file("release"), host.key_file("release")).unwrap();
    let error = describe(&mut *worker, "release").unwrap_err();
    assert_eq!(error.class, ErrorClass::KeyMissing);
    assert!(error.detail.contains("made by another TPM"), "{error}");
}

#[test]
fn a_wrong_credential_is_refused_by_class_auth_and_locks_nothing() {
    let tpm = Swtpm::start();
    let mut host = Host::of(&tpm);
    let key = generate(&mut *host.worker(), "release", P256, 0).unwrap();
    for session in ["hmac", "password"] {
        host.session = session;
        host.credential = "fedcba9876543210".repeat(2);
        let mut wrong = host.worker();
        // More often than swtpm's dictionary-attack limit of three.
        for _ in 0..5 {
            let error = sign(&mut *wrong, "release", P256, b"m").unwrap_err();
            assert_eq!(error.class, ErrorClass::Auth, "{error}");
            assert!(error.detail.contains("credential"), "{error}");
        }
        drop(wrong);
        host.credential = support::CREDENTIAL.to_owned();
        sign_and_verify(&mut *host.worker(), &key);
    }
}

#[test]
fn a_credential_that_could_be_guessed_opens_nothing() {
    let tpm = Swtpm::start();
    let mut host = Host::of(&tpm);
    host.credential = "1234".to_owned();
    let refused = host.try_open().map(|_| ()).unwrap_err();
    assert_eq!(refused.class, ErrorClass::Config);
    assert!(refused.detail.contains("openssl rand"), "{refused}");
}

#[test]
fn a_key_is_never_made_over_another() {
    let tpm = Swtpm::start();
    let host = Host::of(&tpm);
    let mut worker = host.worker();
    let key = generate(&mut *worker, "release", P256, 0).unwrap();
    let refused = generate(&mut *worker, "release", P256, 0).unwrap_err();
    assert_eq!(refused.class, ErrorClass::BadRequest);
    assert_eq!(
        describe(&mut *worker, "release").unwrap().spki_der,
        key.spki_der
    );
}

#[test]
fn an_owner_hierarchy_with_a_password_is_told_as_such() {
    let tpm = Swtpm::start();
    let host = Host::of(&tpm);
    run(unburdened("tpm2_changeauth").args(["-T", &tpm.tcti(), "-c", "owner", "secret"]));
    let refused = host.try_open().map(|_| ()).unwrap_err();
    assert_eq!(refused.class, ErrorClass::Config);
    assert!(refused.detail.contains("owner hierarchy"), "{refused}");
}

#[test]
fn an_address_without_a_tpm_is_named() {
    let mut tpm = Swtpm::start();
    let mut host = Host::of(&tpm);
    tpm.kill();
    let lost = host.try_open().map(|_| ()).unwrap_err();
    assert_eq!(lost.class, ErrorClass::Lost);
    assert!(lost.detail.contains(&host.tcti), "{lost}");

    host.tcti = "device:/dev/no-such-tpm".to_owned();
    let missing = host.try_open().map(|_| ()).unwrap_err();
    assert_eq!(missing.class, ErrorClass::Config);
    assert!(missing.detail.contains("/dev/no-such-tpm"), "{missing}");
}
