//! What the driver makes and signs, checked by software that is not ours.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::Command;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sealwright_core::scheme::Scheme;
use sealwright_core::verify::verify_message;
use sealwright_driver_api::{ErrorClass, EvidenceGrade};
use sealwright_softhsm_tests::swtpm::{Swtpm, unburdened};
use sha2::Sha256;
use support::{
    CREDENTIAL, Host, SCHEMES, describe, generate, run, sign, sign_and_verify, verify,
    verify_with_openssl,
};

#[test]
fn every_scheme_signs_and_core_and_openssl_verify() {
    let tpm = Swtpm::start();
    let host = Host::of(&tpm);
    let mut worker = host.worker();
    for (scheme, bits) in SCHEMES {
        let object = format!("{scheme}-{bits}");
        let key = generate(&mut *worker, &object, scheme, bits).unwrap();
        assert_eq!(key.schemes, [scheme]);
        for message in [b"one".as_slice(), b"two", b""] {
            let raw = sign(&mut *worker, &object, scheme, message).unwrap();
            verify(&key, scheme, message, raw.clone());
            verify_with_openssl(&key, scheme, message, raw);
        }
    }
}

#[test]
fn the_descriptor_lists_what_the_tpm_can_do() {
    let tpm = Swtpm::start();
    let host = Host::of(&tpm);
    let token = host.try_open().unwrap();
    let descriptor = token.descriptor();
    let schemes = [
        Scheme::EcdsaP256Sha256,
        Scheme::EcdsaP384Sha384,
        Scheme::RsaPkcs1Sha256,
        Scheme::RsaPssSha256,
    ];
    assert_eq!(descriptor.schemes, schemes);
    assert_eq!(descriptor.sessions, 1);
    assert_eq!(descriptor.manufacturer, "IBM");
    assert_eq!(descriptor.model, "SW   TPM");
    assert_eq!(
        (descriptor.label.as_str(), &descriptor.serial),
        ("host", &host.serial)
    );
}

#[test]
fn keys_the_tpm_does_not_make_are_unsupported() {
    let tpm = Swtpm::start();
    let host = Host::of(&tpm);
    let mut worker = host.worker();
    for (scheme, bits) in [
        (Scheme::Ed25519, 0),
        (Scheme::RsaPkcs1Sha256, 1024),
        (Scheme::RsaPssSha256, 4096),
    ] {
        let refused = generate(&mut *worker, "k", scheme, bits).unwrap_err();
        assert_eq!(refused.class, ErrorClass::Unsupported, "{refused}");
    }
}

#[test]
fn a_described_key_claims_what_its_public_area_says() {
    let tpm = Swtpm::start();
    let host = Host::of(&tpm);
    let mut worker = host.worker();
    let made = generate(&mut *worker, "release", Scheme::EcdsaP256Sha256, 0).unwrap();
    let described = describe(&mut *worker, "release").unwrap();
    assert_eq!(described, made);
    assert_eq!(described.evidence, EvidenceGrade::Claimed);
    assert_eq!(described.uri.text("serial"), Some(host.serial.as_str()));
    for claim in ["fixedTPM", "fixedParent", "sensitiveDataOrigin", "noDA"] {
        assert!(
            described
                .claims
                .contains(&(claim.to_owned(), "true".to_owned())),
            "{claim}"
        );
    }
}

#[test]
fn more_keys_than_the_tpm_has_slots_sign_in_turns() {
    let tpm = Swtpm::start();
    let host = Host::of(&tpm);
    let mut worker = host.worker();
    let keys: Vec<_> = (0..5)
        .map(|i| generate(&mut *worker, &format!("k{i}"), Scheme::EcdsaP256Sha256, 0).unwrap())
        .collect();
    for _ in 0..2 {
        for key in &keys {
            sign_and_verify(&mut *worker, key);
        }
    }
}

#[test]
fn a_key_whose_auth_value_ends_in_zero_signs() {
    // A TPM drops trailing zeros of an auth value; with this credential, this name has one.
    let tpm = Swtpm::start();
    let mut host = Host::of(&tpm);
    for session in ["hmac", "password"] {
        host.session = session;
        let mut worker = host.worker();
        let key = describe(&mut *worker, "k363")
            .or_else(|_| generate(&mut *worker, "k363", Scheme::EcdsaP256Sha256, 0));
        sign_and_verify(&mut *worker, &key.unwrap());
    }
}

#[test]
fn openssl_reads_a_key_file() {
    let tpm = Swtpm::start();
    let host = Host::of(&tpm);
    generate(&mut *host.worker(), "release", Scheme::EcdsaP256Sha256, 0).unwrap();
    let parsed = run(Command::new("openssl")
        .args(["asn1parse", "-in"])
        .arg(host.key_file("release")));
    let parsed = String::from_utf8(parsed).unwrap();
    let lines: Vec<_> = parsed
        .lines()
        .map(|line| line.rsplit("prim:").next().unwrap().trim())
        .collect();
    assert!(lines[1].ends_with(":2.23.133.10.1.3"), "{parsed}");
    assert!(lines[3].ends_with(":0"), "{parsed}");
    assert!(lines[4].ends_with(":40000001"), "{parsed}");
    assert!(
        lines[5].contains("OCTET STRING") && lines[6].contains("OCTET STRING"),
        "{parsed}"
    );
    assert_eq!(lines.len(), 7, "{parsed}");
}

#[test]
fn openssl_signs_with_a_key_file_and_the_auth_value_of_its_name() {
    let tpm = Swtpm::start();
    let host = Host::of(&tpm);
    // openssl takes the value from a line of text, so this name's has no NUL and no line feed in it.
    let object = (0..)
        .map(|number| format!("release{number}"))
        .find(|object| key_auth(object).iter().all(|byte| !b"\0\n".contains(byte)));
    let object = object.unwrap();
    let scheme = Scheme::EcdsaP256Sha256;
    let key = generate(&mut *host.worker(), &object, scheme, 0).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("auth"), key_auth(&object)).unwrap();
    std::fs::write(path("message"), b"a message").unwrap();
    // Without the default provider, which would sign by itself and has no private key.
    let signature = run(Command::new("openssl")
        .env("TPM2OPENSSL_TCTI", &host.tcti)
        .args(["pkeyutl", "-provider", "tpm2", "-provider", "base"])
        .args(["-sign", "-rawin", "-digest", "sha256", "-inkey"])
        .arg(host.key_file(&object))
        .arg("-passin")
        .arg(format!("file:{}", path("auth").display()))
        .arg("-in")
        .arg(path("message")));
    verify_message(&key.spki_der, scheme, &[b"a message"], &signature).unwrap();
}

/// What the driver derives, said again: whoever has the credential can use the keys without Sealwright.
fn key_auth(object: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(CREDENTIAL.as_bytes()).unwrap();
    let mac = mac
        .chain_update("sealwright tpm2 key auth v1")
        .chain_update(object);
    mac.finalize().into_bytes().to_vec()
}

#[test]
fn the_serial_is_the_name_that_other_tools_give_the_storage_root_key() {
    let tpm = Swtpm::start();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let attributes =
        "restricted|decrypt|fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda";
    run(unburdened("tpm2_createprimary")
        .args([
            "-T",
            &tpm.tcti(),
            "-C",
            "o",
            "-G",
            "ecc",
            "-a",
            attributes,
            "-c",
        ])
        .arg(path("srk")));
    run(unburdened("tpm2_flushcontext").args(["-T", &tpm.tcti(), "-t"]));
    run(unburdened("tpm2_readpublic")
        .args(["-T", &tpm.tcti(), "-c"])
        .arg(path("srk"))
        .arg("-n")
        .arg(path("name")));
    let name = std::fs::read(path("name")).unwrap();
    assert_eq!(hex::encode(name), format!("000b{}", Host::of(&tpm).serial));
}
