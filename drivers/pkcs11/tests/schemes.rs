//! Every scheme, verified by `sealwright-core` and by openssl.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use sealwright_core::spki::Spki;
use sealwright_core::verify::{encode_raw, verify_message_p1363};
use sealwright_driver_api::wire::{Call, WireInput};
use sealwright_driver_api::{ErrorClass, EvidenceGrade, HashAlg, Scheme};
use support::driver::key;
use support::{Config, token};

#[test]
fn every_scheme_signs_what_core_and_openssl_accept() {
    let hsm = token();
    let mut driver = Config::of(&hsm).serve();
    let rows = [
        (Scheme::EcdsaP256Sha256, 0),
        (Scheme::EcdsaP384Sha384, 0),
        (Scheme::Ed25519, 0),
        (Scheme::RsaPkcs1Sha256, 2048),
        (Scheme::RsaPkcs1Sha256, 3072),
        (Scheme::RsaPkcs1Sha256, 4096),
        (Scheme::RsaPssSha256, 2048),
        (Scheme::RsaPssSha256, 3072),
        (Scheme::RsaPssSha256, 4096),
    ];
    for (scheme, bits) in rows {
        let uri = format!("pkcs11:object={scheme}-{bits}");
        let made = driver.generate(&uri, scheme, bits).unwrap();
        assert!(made.schemes.contains(&scheme));
        let signature = driver.sign(&uri, scheme, b"message").unwrap();
        let width = scheme.raw_signature_len().unwrap_or(usize::from(bits) / 8);
        assert_eq!(signature.len(), width, "{scheme}");
        verify_message_p1363(&made.spki_der, scheme, &[b"message"], &signature).unwrap();
        assert!(verify_message_p1363(&made.spki_der, scheme, &[b"messagf"], &signature).is_err());
        assert!(openssl_accepts(
            hsm.dir(),
            &made.spki_der,
            scheme,
            b"message",
            signature.clone()
        ));
        assert!(!openssl_accepts(
            hsm.dir(),
            &made.spki_der,
            scheme,
            b"messagf",
            signature
        ));
    }
}

fn openssl_accepts(dir: &Path, spki: &[u8], scheme: Scheme, message: &[u8], raw: Vec<u8>) -> bool {
    fs::write(dir.join("pub.pem"), Spki::from_der(spki.to_vec()).to_pem()).unwrap();
    fs::write(dir.join("message"), message).unwrap();
    fs::write(dir.join("signature"), encode_raw(scheme, raw).unwrap()).unwrap();
    let digest = |hash| {
        vec![
            "dgst",
            hash,
            "-verify",
            "pub.pem",
            "-signature",
            "signature",
        ]
    };
    let arguments = match scheme {
        Scheme::EcdsaP384Sha384 => digest("-sha384"),
        Scheme::EcdsaP256Sha256 | Scheme::RsaPkcs1Sha256 => digest("-sha256"),
        Scheme::RsaPssSha256 => {
            let pss = [
                "-sigopt",
                "rsa_padding_mode:pss",
                "-sigopt",
                "rsa_pss_saltlen:32",
            ];
            [digest("-sha256"), pss.to_vec()].concat()
        }
        _ => {
            vec![
                "pkeyutl",
                "-verify",
                "-pubin",
                "-inkey",
                "pub.pem",
                "-rawin",
                "-sigfile",
                "signature",
                "-in",
            ]
        }
    };
    let output = Command::new("openssl")
        .args(arguments)
        .arg("message")
        .current_dir(dir)
        .output()
        .unwrap();
    output.status.success()
}

#[test]
fn the_descriptor_says_what_the_token_is_and_can_do() {
    let hsm = token();
    let driver = Config::of(&hsm).serve();
    let descriptor = driver.token().unwrap();
    assert_eq!(
        (descriptor.kind.as_str(), descriptor.label.as_str()),
        ("pkcs11", "hsm")
    );
    assert_eq!(descriptor.serial, hsm.serial);
    assert_eq!(descriptor.manufacturer, "SoftHSM project");
    assert_eq!(descriptor.schemes, Scheme::PLAIN);
    assert_eq!(descriptor.sessions, 2);
    assert_eq!(descriptor.evidence, EvidenceGrade::Claimed);
    assert!(descriptor.can_generate && !descriptor.needs_touch);
}

#[test]
fn an_rsa_key_signs_both_paddings_and_prefers_pkcs1() {
    let hsm = token();
    let mut driver = Config::of(&hsm).serve();
    let made = driver
        .generate("pkcs11:object=k", Scheme::RsaPssSha256, 2048)
        .unwrap();
    assert_eq!(made.schemes, [Scheme::RsaPkcs1Sha256, Scheme::RsaPssSha256]);
    for scheme in made.schemes {
        let signature = driver.sign("pkcs11:object=k", scheme, b"m").unwrap();
        verify_message_p1363(&made.spki_der, scheme, &[b"m"], &signature).unwrap();
    }
}

#[test]
fn a_scheme_of_another_key_type_is_refused() {
    let hsm = token();
    let mut driver = Config::of(&hsm).serve();
    driver
        .generate("pkcs11:object=k", Scheme::EcdsaP256Sha256, 0)
        .unwrap();
    for scheme in [
        Scheme::RsaPssSha256,
        Scheme::EcdsaP384Sha384,
        Scheme::Ed25519,
    ] {
        let error = driver.sign("pkcs11:object=k", scheme, b"m").unwrap_err();
        assert_eq!(error.class, ErrorClass::Unsupported);
        assert!(
            error.detail.contains("P256") && error.detail.contains(scheme.as_str()),
            "{error}"
        );
    }
}

/// SoftHSM itself signs a digest of any length.
#[test]
fn a_digest_of_another_length_never_reaches_the_token() {
    let hsm = token();
    let mut driver = Config::of(&hsm).serve();
    driver
        .generate("pkcs11:object=k", Scheme::EcdsaP256Sha256, 0)
        .unwrap();
    for len in [0, 12, 31, 33, 64] {
        let input = WireInput::Digest {
            hash: HashAlg::Sha256,
            bytes: vec![1; len],
        };
        let call = Call::Sign {
            key: key("pkcs11:object=k"),
            scheme: Scheme::EcdsaP256Sha256,
            input,
        };
        assert_eq!(
            driver.call(call).unwrap_err().class,
            ErrorClass::BadRequest,
            "{len}"
        );
    }
}

#[test]
fn a_message_of_a_mebibyte_is_signed_whole() {
    let hsm = token();
    let mut driver = Config::of(&hsm).serve();
    let made = driver
        .generate("pkcs11:object=k", Scheme::Ed25519, 0)
        .unwrap();
    let message: Vec<u8> = (0..1 << 20).map(|i: u32| i.to_le_bytes()[1]).collect();
    let signature = driver
        .sign("pkcs11:object=k", Scheme::Ed25519, &message)
        .unwrap();
    verify_message_p1363(&made.spki_der, Scheme::Ed25519, &[&message], &signature).unwrap();
}
