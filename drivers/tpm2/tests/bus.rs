//! What somebody on the bus between host and TPM gets to hear.
#![allow(clippy::unwrap_used)]

mod support;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sealwright_core::scheme::Scheme;
use sealwright_driver_api::ErrorClass;
use sealwright_softhsm_tests::swtpm::Swtpm;
use support::tap::Tap;
use support::{CREDENTIAL, Host, generate, sign, verify};

/// The auth value of key `release`.
fn key_auth() -> Vec<u8> {
    let mac = Hmac::<sha2::Sha256>::new_from_slice(CREDENTIAL.as_bytes()).unwrap();
    mac.chain_update(b"sealwright tpm2 key auth v1release")
        .finalize()
        .into_bytes()
        .to_vec()
}

/// Makes a key and signs through a tap; the tap, and the signature it must have heard.
fn tapped(session: &'static str) -> (Tap, Vec<u8>) {
    let tpm = Swtpm::start();
    let tap = Tap::on(&tpm);
    let mut host = Host::of(&tpm);
    host.tcti = tap.tcti();
    host.session = session;
    let mut worker = host.worker();
    let scheme = Scheme::EcdsaP256Sha256;
    let key = generate(&mut *worker, "release", scheme, 0).unwrap();
    let raw = sign(&mut *worker, "release", scheme, b"a message").unwrap();
    verify(&key, scheme, b"a message", raw.clone());
    (tap, raw)
}

#[test]
fn an_hmac_session_tells_the_bus_no_secret() {
    let (tap, signature) = tapped("hmac");
    // The last bytes of s: a short s would be padded in front.
    assert!(tap.heard(&signature[48..]), "the tap heard nothing");
    assert!(!tap.heard(&key_auth()));
    assert!(!tap.heard(CREDENTIAL.as_bytes()));
}

#[test]
fn a_password_session_tells_the_bus_the_keys_auth_value_but_never_the_credential() {
    let (tap, _) = tapped("password");
    assert!(tap.heard(&key_auth()));
    assert!(!tap.heard(CREDENTIAL.as_bytes()));
}

#[test]
fn a_refused_auth_value_is_sent_once() {
    let tpm = Swtpm::start();
    let tap = Tap::on(&tpm);
    let mut host = Host::of(&tpm);
    host.tcti = tap.tcti();
    generate(&mut *host.worker(), "release", Scheme::EcdsaP256Sha256, 0).unwrap();
    host.credential = "fedcba9876543210".repeat(2);
    let refused = sign(
        &mut *host.worker(),
        "release",
        Scheme::EcdsaP256Sha256,
        b"m",
    );
    assert_eq!(refused.unwrap_err().class, ErrorClass::Auth);
    // TPM_CC_Sign.
    assert_eq!(tap.count(&[0x00, 0x00, 0x01, 0x5d]), 1);
}
