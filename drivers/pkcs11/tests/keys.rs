//! Addresses find one key or say what is wrong; descriptions say what the token claims.

#![allow(clippy::unwrap_used)]

mod support;

use std::process::Command;

use cryptoki::object::{Attribute, CertificateType, ObjectClass};
use sealwright_core::verify::verify_message_p1363;
use sealwright_driver_api::{ErrorClass, EvidenceGrade, Scheme};
use support::{Config, other_process, token};

const K: &str = "pkcs11:object=k";

#[test]
fn a_missing_key_is_missing_and_the_driver_goes_on() {
    let hsm = token();
    let mut driver = Config::of(&hsm).serve();
    let error = driver.sign(K, Scheme::Ed25519, b"m").unwrap_err();
    assert_eq!(error.class, ErrorClass::KeyMissing);
    assert!(
        error.detail.contains(K) && error.detail.contains("token hsm"),
        "{error}"
    );
    driver.generate(K, Scheme::Ed25519, 0).unwrap();
    driver.sign(K, Scheme::Ed25519, b"m").unwrap();
}

#[test]
fn two_keys_with_one_label_are_ambiguous_until_the_id_tells_them_apart() {
    let hsm = token();
    import_p256(&hsm, "k", "01");
    import_p256(&hsm, "k", "02");
    let mut driver = Config::of(&hsm).serve();
    let error = driver.describe(K).unwrap_err();
    assert_eq!(error.class, ErrorClass::KeyAmbiguous);
    assert!(error.detail.contains("2 private keys"), "{error}");
    let first = driver.describe("pkcs11:object=k;id=%01").unwrap();
    let second = driver.describe("pkcs11:id=%02").unwrap();
    assert_ne!(first.spki_der, second.spki_der);
    let signature = driver
        .sign("pkcs11:id=%02", Scheme::EcdsaP256Sha256, b"m")
        .unwrap();
    verify_message_p1363(
        &second.spki_der,
        Scheme::EcdsaP256Sha256,
        &[b"m"],
        &signature,
    )
    .unwrap();
}

#[test]
fn a_key_made_here_is_claimed_to_have_never_left_the_token() {
    let hsm = token();
    let mut driver = Config::of(&hsm).serve();
    let made = driver
        .generate("pkcs11:object=k;id=%01%02", Scheme::EcdsaP256Sha256, 0)
        .unwrap();
    assert_eq!(made.evidence, EvidenceGrade::Claimed);
    let claims: Vec<_> = made
        .claims
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert_eq!(
        claims,
        [
            ("sensitive", "true"),
            ("extractable", "false"),
            ("always-sensitive", "true"),
            ("never-extractable", "true"),
            ("local", "true"),
            ("key-gen-mechanism", "CKM_EC_KEY_PAIR_GEN"),
        ]
    );
    let full = format!(
        "pkcs11:id=%01%02;object=k;serial={};token=hsm;type=private",
        hsm.serial
    );
    assert_eq!(made.uri.to_string(), full);
    assert_eq!(driver.describe(&full).unwrap(), made);
}

#[test]
fn an_imported_key_has_no_evidence() {
    let hsm = token();
    import_p256(&hsm, "k", "01");
    let described = Config::of(&hsm).serve().describe(K).unwrap();
    assert_eq!(described.evidence, EvidenceGrade::None);
    assert!(described.claims.contains(&("local".into(), "false".into())));
    assert!(
        described
            .claims
            .contains(&("key-gen-mechanism".into(), "unknown".into()))
    );
}

#[test]
fn a_label_or_id_that_is_taken_makes_no_second_key() {
    let hsm = token();
    let mut driver = Config::of(&hsm).serve();
    let first = driver
        .generate("pkcs11:object=k;id=%01", Scheme::Ed25519, 0)
        .unwrap();
    for taken in [
        "pkcs11:object=k",
        "pkcs11:object=k;id=%02",
        "pkcs11:object=other;id=%01",
    ] {
        let error = driver.generate(taken, Scheme::Ed25519, 0).unwrap_err();
        assert_eq!(error.class, ErrorClass::BadRequest, "{taken}");
        assert!(error.detail.contains("already"), "{error}");
    }
    assert_eq!(driver.describe(K).unwrap(), first);
}

#[test]
fn keys_made_without_an_id_get_one_of_their_own() {
    let hsm = token();
    let mut driver = Config::of(&hsm).serve();
    let a = driver
        .generate("pkcs11:object=a", Scheme::Ed25519, 0)
        .unwrap();
    let b = driver
        .generate("pkcs11:object=b", Scheme::Ed25519, 0)
        .unwrap();
    let id = |description: &sealwright_driver_api::KeyDescription| {
        description.uri.attribute("id").unwrap().to_vec()
    };
    assert_eq!(id(&a).len(), 20);
    assert_ne!(id(&a), id(&b));
}

#[test]
fn an_address_for_another_token_is_refused() {
    let hsm = token();
    let mut driver = Config::of(&hsm).serve();
    for uri in [
        "pkcs11:object=k;token=other",
        "pkcs11:object=k;slot-id=0",
        "tpm2:object=k",
    ] {
        assert_eq!(
            driver.describe(uri).unwrap_err().class,
            ErrorClass::BadRequest,
            "{uri}"
        );
    }
}

#[test]
fn a_key_deleted_by_another_process_is_missing_and_the_driver_goes_on() {
    const TEST: &str = "a_key_deleted_by_another_process_is_missing_and_the_driver_goes_on";
    if other_process::part().is_some() {
        let session = other_process::session();
        return other_process::delete(&session, ObjectClass::PRIVATE_KEY, "k");
    }
    let hsm = token();
    let mut driver = Config::of(&hsm).serve();
    driver.generate(K, Scheme::Ed25519, 0).unwrap();
    driver
        .generate("pkcs11:object=other", Scheme::Ed25519, 0)
        .unwrap();
    driver.sign(K, Scheme::Ed25519, b"m").unwrap();
    other_process::run(TEST, "delete", &hsm);
    let error = driver.sign(K, Scheme::Ed25519, b"m").unwrap_err();
    assert_eq!(error.class, ErrorClass::KeyMissing, "{error}");
    driver
        .sign("pkcs11:object=other", Scheme::Ed25519, b"m")
        .unwrap();
}

#[test]
fn a_key_without_its_public_object_is_described_from_its_certificate() {
    const TEST: &str = "a_key_without_its_public_object_is_described_from_its_certificate";
    if let Some(part) = other_process::part() {
        let session = other_process::session();
        return match part.as_str() {
            "delete" => other_process::delete(&session, ObjectClass::PUBLIC_KEY, "k"),
            _ => import_certificate(&session, &std::env::temp_dir().join(part)),
        };
    }
    let hsm = token();
    let spki = import_p256(&hsm, "k", "01");
    other_process::run(TEST, "delete", &hsm);
    let mut driver = Config::of(&hsm).serve();
    let error = driver.describe(K).unwrap_err();
    assert_eq!(error.class, ErrorClass::Unsupported);
    assert!(error.detail.contains("certificate"), "{error}");

    let certificate = hsm.dir().join("certificate.der");
    openssl(&[
        "req",
        "-x509",
        "-key",
        &key_file(&hsm, "01"),
        "-subj",
        "/CN=k",
        "-outform",
        "DER",
        "-out",
        certificate.to_str().unwrap(),
    ]);
    other_process::run(TEST, certificate.to_str().unwrap(), &hsm);
    assert_eq!(driver.describe(K).unwrap().spki_der, spki);
}

#[test]
fn an_rsa_key_without_its_public_object_is_described_from_itself() {
    const TEST: &str = "an_rsa_key_without_its_public_object_is_described_from_itself";
    if other_process::part().is_some() {
        let session = other_process::session();
        return other_process::delete(&session, ObjectClass::PUBLIC_KEY, "k");
    }
    let hsm = token();
    let mut driver = Config::of(&hsm).serve();
    let made = driver.generate(K, Scheme::RsaPkcs1Sha256, 2048).unwrap();
    other_process::run(TEST, "delete", &hsm);
    assert_eq!(driver.describe(K).unwrap().spki_der, made.spki_der);
}

#[test]
fn a_key_that_may_not_sign_or_is_of_another_curve_says_so() {
    const TEST: &str = "a_key_that_may_not_sign_or_is_of_another_curve_says_so";
    if other_process::part().is_some() {
        let session = other_process::session();
        let template = [
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::Label("k".into()),
        ];
        let key = session.find_objects(&template).unwrap()[0];
        return session
            .update_attributes(key, &[Attribute::Sign(false)])
            .unwrap();
    }
    let hsm = token();
    import_p256(&hsm, "k", "01");
    import(&hsm, "P-521", "p521", "02");
    import(&hsm, "secp256k1", "koblitz", "03");
    other_process::run(TEST, "forbid", &hsm);
    let mut driver = Config::of(&hsm).serve();
    for (uri, why) in [
        (K, "CKA_SIGN"),
        ("pkcs11:object=p521", "1.3.132.0.35"),
        ("pkcs11:object=koblitz", "1.3.132.0.10"),
    ] {
        let error = driver.describe(uri).unwrap_err();
        assert_eq!(error.class, ErrorClass::Unsupported);
        assert!(error.detail.contains(why), "{error}");
    }
}

fn import_p256(hsm: &sealwright_softhsm_tests::softhsm::SoftHsm, label: &str, id: &str) -> Vec<u8> {
    import(hsm, "P-256", label, id)
}

/// Makes a key outside the token and imports it; returns its SPKI.
fn import(
    hsm: &sealwright_softhsm_tests::softhsm::SoftHsm,
    curve: &str,
    label: &str,
    id: &str,
) -> Vec<u8> {
    let key = key_file(hsm, id);
    let curve = format!("ec_paramgen_curve:{curve}");
    openssl(&[
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        &curve,
        "-out",
        &key,
    ]);
    hsm.import(key.as_ref(), label, id);
    openssl(&["pkey", "-in", &key, "-pubout", "-outform", "DER"])
}

fn key_file(hsm: &sealwright_softhsm_tests::softhsm::SoftHsm, id: &str) -> String {
    hsm.dir()
        .join(format!("key-{id}.pem"))
        .to_str()
        .unwrap()
        .to_owned()
}

fn openssl(args: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(args).output().unwrap();
    assert!(
        output.status.success(),
        "openssl {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn import_certificate(session: &cryptoki::session::Session, der: &std::path::Path) {
    let template = [
        Attribute::Class(ObjectClass::CERTIFICATE),
        Attribute::CertificateType(CertificateType::X_509),
        Attribute::Token(true),
        Attribute::Id(vec![1]),
        Attribute::Subject(vec![0x30, 0]),
        Attribute::Value(std::fs::read(der).unwrap()),
    ];
    session.create_object(&template).unwrap();
}
