//! The virtual PIV card does what a YubiKey does, by the word of Yubico's own tool and of OpenSC.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use sealwright_softhsm_tests::piv::{PIN, VirtualReader};

#[test]
fn a_key_made_on_the_card_signs_and_its_attestation_leads_to_the_maker() {
    let (reader, folder) = (VirtualReader::start(), tempfile::tempdir().unwrap());
    let _card = reader.insert(12_345_678);
    generate(&reader, folder.path(), "never");
    sign(&reader, folder.path());
    let path = |name: &str| folder.path().join(name);
    for (slot, file) in [("9c", "key.pem"), ("f9", "device.pem")] {
        let action = if slot == "f9" {
            "read-certificate"
        } else {
            "attest"
        };
        let output = piv_tool(&reader, &["-s", slot, "-a", action]);
        fs::write(path(file), output.stdout).unwrap();
    }
    fs::write(path("maker.pem"), reader.maker_pem()).unwrap();
    let mut verify = Command::new("openssl");
    verify.args(["verify", "-CAfile"]).arg(path("maker.pem"));
    verify
        .arg("-untrusted")
        .arg(path("device.pem"))
        .arg(path("key.pem"));
    succeed(&mut verify);
}

#[test]
fn a_card_that_is_put_in_again_has_its_keys_and_wants_its_pin() {
    let (reader, folder) = (VirtualReader::start(), tempfile::tempdir().unwrap());
    let mut card = reader.insert(1);
    generate(&reader, folder.path(), "never");
    sign(&reader, folder.path());
    card.insert_again();
    piv_tool(&reader, &["-a", "status"]);
    let certificate = folder.path().join("certificate.pem");
    let certificate = certificate.display().to_string();
    let without_pin = tool(
        &reader,
        &["-s", "9c", "-a", "test-signature", "-i", &certificate],
    );
    let errors = String::from_utf8(without_pin.stderr).unwrap();
    assert!(errors.contains("Failed signing"), "{errors}");
    sign(&reader, folder.path());
}

#[test]
fn a_wrong_pin_costs_a_try() {
    let reader = VirtualReader::start();
    let _card = reader.insert(1);
    piv_tool(&reader, &["-a", "status"]);
    let wrong = tool(&reader, &["-a", "verify-pin", "-P", "999999"]);
    assert!(!wrong.status.success());
    let status = piv_tool(&reader, &["-a", "status"]);
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("PIN tries left:\t2"), "{status}");
}

#[test]
fn a_key_with_a_touch_policy_waits_for_the_touch() {
    let (reader, folder) = (VirtualReader::start(), tempfile::tempdir().unwrap());
    let card = reader.insert(1);
    generate(&reader, folder.path(), "always");
    card.wait_for_touch();
    std::thread::scope(|scope| {
        let signing = scope.spawn(|| sign(&reader, folder.path()));
        card.await_waiting();
        assert!(!signing.is_finished());
        card.touch();
    });
}

/// A P-256 key in the signature slot, with a certificate for it: the tool tests signatures only with one.
fn generate(reader: &VirtualReader, folder: &Path, touch: &str) {
    let path = |name: &str| folder.join(name).display().to_string();
    let policy = format!("--touch-policy={touch}");
    piv_tool(
        reader,
        &[
            "-s",
            "9c",
            "-a",
            "generate",
            "-A",
            "ECCP256",
            &policy,
            "-o",
            &path("public.pem"),
        ],
    );
    let mut other = Command::new("openssl");
    other.args([
        "ecparam",
        "-name",
        "prime256v1",
        "-genkey",
        "-noout",
        "-out",
        &path("ca.key"),
    ]);
    succeed(&mut other);
    let mut certify = Command::new("openssl");
    certify.args([
        "x509",
        "-new",
        "-subj",
        "/CN=key",
        "-force_pubkey",
        &path("public.pem"),
    ]);
    certify.args([
        "-signkey",
        &path("ca.key"),
        "-out",
        &path("certificate.pem"),
    ]);
    succeed(&mut certify);
    piv_tool(
        reader,
        &[
            "-s",
            "9c",
            "-a",
            "import-certificate",
            "-i",
            &path("certificate.pem"),
        ],
    );
}

fn sign(reader: &VirtualReader, folder: &Path) {
    let certificate = folder.join("certificate.pem").display().to_string();
    piv_tool(
        reader,
        &[
            "-s",
            "9c",
            "-P",
            PIN,
            "-a",
            "verify-pin",
            "-a",
            "test-signature",
            "-i",
            &certificate,
        ],
    );
}

/// Until the reader has seen the card: pcscd looks every few hundred milliseconds.
fn piv_tool(reader: &VirtualReader, arguments: &[&str]) -> Output {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let output = tool(reader, arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() && !errors.contains("Failed") {
            return output;
        }
        let is_early = errors.contains("Failed to connect");
        assert!(is_early && Instant::now() < end, "{arguments:?}: {errors}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn tool(reader: &VirtualReader, arguments: &[&str]) -> Output {
    let mut command = Command::new("yubico-piv-tool");
    command.envs(reader.environment()).args(["-r", "Virtual"]);
    command.args(arguments).output().unwrap()
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}
