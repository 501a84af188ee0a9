//! A PIN is tried once, whoever starts the driver how often. SoftHSM never locks a token, but it flags one
//! to which a wrong PIN was given, and the driver refuses such a token: that is how these tests see a try.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use sealwright_driver_api::{ErrorClass, Scheme};
use sealwright_softhsm_tests::softhsm::SoftHsm;
use support::{Config, token};

/// A second driver for the same token, with the right PIN and marks of its own.
fn second(hsm: &SoftHsm) -> Config<'_> {
    Config {
        name: "second",
        ..Config::of(hsm)
    }
}

/// Logs in with the right PIN by another program, which resets the token's flag.
fn log_in_elsewhere(hsm: &SoftHsm, id: &str) {
    let key = hsm.dir().join("key.pem");
    let made = std::process::Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
        ])
        .arg(&key)
        .output()
        .unwrap();
    assert!(made.status.success());
    hsm.import(&key, id, id);
}

#[test]
fn a_wrong_pin_is_tried_once_also_across_restarts() {
    let hsm = token();
    let wrong = Config {
        pin: "4321",
        ..Config::of(&hsm)
    };
    let driver = wrong.serve();
    let error = driver.token().unwrap_err();
    assert_eq!(
        (error.class, error.code.as_str()),
        (ErrorClass::Auth, "CKR_PIN_INCORRECT")
    );
    assert!(
        error.detail.contains("hsm") && error.detail.contains("not tried again"),
        "{error}"
    );
    assert!(!driver.wait().success());

    // That try was seen by the token. From here on it is told apart from further ones.
    assert!(second(&hsm).check().1.contains("CKF_USER_PIN_COUNT_LOW"));
    log_in_elsewhere(&hsm, "01");
    for _ in 0..3 {
        let driver = wrong.serve();
        let error = driver.token().unwrap_err();
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::Auth, ""));
        assert!(error.detail.contains("login-pending"), "{error}");
        driver.wait();
    }
    let sound = "would be taken, or is not counted";
    assert_eq!(second(&hsm).check(), (true, sound.to_owned()));
}

#[test]
fn a_corrected_credential_works_although_the_token_counted_our_wrong_try() {
    let hsm = token();
    let (well, text) = Config {
        pin: "4321",
        ..Config::of(&hsm)
    }
    .check();
    assert!(!well && text.contains("CKR_PIN_INCORRECT"), "{text}");
    let mut driver = Config::of(&hsm).serve();
    driver
        .generate("pkcs11:object=k", Scheme::Ed25519, 0)
        .unwrap();
    assert!(!Config::of(&hsm).state().join("login-pending").exists());
}

#[test]
fn a_wrong_pin_that_somebody_else_entered_stops_the_driver_until_an_operator_logs_in() {
    let hsm = token();
    let (well, _) = Config {
        name: "other",
        pin: "4321",
        ..Config::of(&hsm)
    }
    .check();
    assert!(!well);
    let driver = Config::of(&hsm).serve();
    let error = driver.token().unwrap_err();
    assert_eq!(
        (error.class, error.code.as_str()),
        (ErrorClass::Auth, "CKF_USER_PIN_COUNT_LOW")
    );
    assert!(error.detail.contains("vendor's tool"), "{error}");
    log_in_elsewhere(&hsm, "01");
    assert!(Config::of(&hsm).check().0);
}

#[test]
fn a_driver_killed_during_a_login_does_not_try_again() {
    let hsm = token();
    let config = Config::of(&hsm);
    // The mark of a login that never ended; its text is the host's.
    fs::create_dir(config.state()).unwrap();
    fs::write(config.state().join("login-pending"), "").unwrap();
    let (well, text) = config.check();
    assert!(!well && text.contains("login-pending"), "{text}");
    fs::remove_file(config.state().join("login-pending")).unwrap();
    assert!(config.check().0);
}

#[test]
fn the_pin_is_never_printed() {
    let hsm = token();
    let config = Config {
        pin: "s3cret-pin",
        ..Config::of(&hsm)
    }
    .write();
    let output = support::command(&hsm, &config)
        .args(["describe", "pkcs11:object=k"])
        .env("RUST_LOG", "trace")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    assert!(!output.status.success());
    assert!(!String::from_utf8_lossy(&text).contains("s3cret-pin"));
}
