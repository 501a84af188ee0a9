//! What is wrong with a token's configuration is named before anything is signed.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use sealwright_driver_api::{DriverError, ErrorClass, Scheme};
use support::{Config, PIN, token};

fn refused(config: &Config<'_>) -> DriverError {
    let driver = config.serve();
    let error = driver.token().unwrap_err().clone();
    assert!(!driver.wait().success());
    error
}

fn assert_names(error: &DriverError, parts: &[&str]) {
    assert_eq!(error.class, ErrorClass::Config, "{error}");
    for part in parts {
        assert!(
            error.to_string().contains(part),
            "{part:?} is not in: {error}"
        );
    }
}

#[test]
fn a_missing_module_is_named() {
    let hsm = token();
    let error = refused(&Config {
        module: "/usr/lib/no-such-module.so",
        ..Config::of(&hsm)
    });
    assert_names(&error, &["/usr/lib/no-such-module.so", "install"]);
}

#[test]
fn a_file_that_is_no_library_is_named() {
    let hsm = token();
    let error = refused(&Config {
        module: "/etc/passwd",
        ..Config::of(&hsm)
    });
    assert_names(&error, &["/etc/passwd"]);
}

#[test]
fn a_library_that_is_no_pkcs11_module_is_named() {
    let hsm = token();
    let libm = "/lib/x86_64-linux-gnu/libm.so.6";
    assert!(
        fs::exists(libm).unwrap(),
        "the test needs some other library"
    );
    let error = refused(&Config {
        module: libm,
        ..Config::of(&hsm)
    });
    assert_names(&error, &[libm, "not a PKCS#11 module"]);
}

#[test]
fn a_module_without_its_own_configuration_is_named() {
    let hsm = token();
    fs::remove_file(hsm.conf()).unwrap();
    let error = refused(&Config::of(&hsm));
    assert_names(
        &error,
        &["libsofthsm2.so", "SOFTHSM2_CONF", "CKR_GENERAL_ERROR"],
    );
}

#[test]
fn a_wrong_label_or_serial_is_named_with_what_was_found() {
    let hsm = token();
    let found = [hsm.label.as_str(), hsm.serial.as_str(), "no token has"];
    assert_names(
        &refused(&Config {
            label: "hsm2",
            ..Config::of(&hsm)
        }),
        &found,
    );
    assert_names(
        &refused(&Config {
            serial: "0000000000000000",
            ..Config::of(&hsm)
        }),
        &found,
    );
    let padded = format!("{} ", hsm.label);
    assert_names(
        &refused(&Config {
            label: &padded,
            ..Config::of(&hsm)
        }),
        &found,
    );
}

#[test]
fn of_two_tokens_with_one_label_the_serial_selects() {
    let hsm = token();
    let twin = hsm.add_token(&hsm.label, PIN);
    let mut first = Config::of(&hsm).serve();
    first
        .generate("pkcs11:object=k", Scheme::Ed25519, 0)
        .unwrap();
    let mut second = Config {
        name: "twin",
        serial: &twin,
        ..Config::of(&hsm)
    }
    .serve();
    assert_eq!(second.token().unwrap().serial, twin);
    let error = second.describe("pkcs11:object=k").unwrap_err();
    assert_eq!(error.class, ErrorClass::KeyMissing);
}

#[test]
fn an_unknown_key_of_the_drivers_section_is_named() {
    let hsm = token();
    let config = Config {
        driver: "slot = 0".into(),
        ..Config::of(&hsm)
    }
    .write();
    let output = support::command(&hsm, &config)
        .arg("check")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("slot"), "{text}");
}

#[test]
fn a_driver_without_landlock_says_so_and_works() {
    let hsm = token();
    let config = Config {
        driver: String::new(),
        ..Config::of(&hsm)
    };
    let output = support::command(&hsm, &config.write())
        .arg("check")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("landlock does not confine"));
}
