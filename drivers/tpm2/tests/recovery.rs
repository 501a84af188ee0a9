//! What the driver does when the TPM, or another process, takes away what it held.
#![allow(clippy::unwrap_used)]

mod support;

use sealwright_core::scheme::Scheme;
use sealwright_driver_api::wire::{self, Answer, Call, FromDriver, ToDriver, WireInput};
use sealwright_driver_api::{ErrorClass, HashAlg};
use sealwright_softhsm_tests::swtpm::Swtpm;
use support::driver::Activator;
use support::{Host, generate, sign, sign_and_verify};

const P256: Scheme = Scheme::EcdsaP256Sha256;

#[test]
fn after_the_tpm_was_killed_and_started_again_the_next_sign_works() {
    let mut tpm = Swtpm::start();
    for session in ["hmac", "password"] {
        let mut host = Host::of(&tpm);
        host.session = session;
        let mut worker = host.worker();
        let key = generate(&mut *worker, "release", P256, 0).unwrap();
        tpm.restart();
        sign_and_verify(&mut *worker, &key);
        tpm.restart();
        worker.health().unwrap();
        sign_and_verify(&mut *worker, &key);
    }
}

#[test]
fn while_the_tpm_is_away_every_call_says_lost_and_afterwards_works() {
    let mut tpm = Swtpm::start();
    let host = Host::of(&tpm);
    let mut worker = host.worker();
    let key = generate(&mut *worker, "release", P256, 0).unwrap();
    tpm.kill();
    for _ in 0..2 {
        let lost = sign(&mut *worker, "release", P256, b"m").unwrap_err();
        assert_eq!(lost.class, ErrorClass::Lost, "{lost}");
        assert_eq!(worker.health().unwrap_err().class, ErrorClass::Lost);
    }
    tpm.restart();
    sign_and_verify(&mut *worker, &key);
}

#[test]
fn after_a_reset_of_the_tpm_the_next_sign_works() {
    let tpm = Swtpm::start();
    let host = Host::of(&tpm);
    let mut worker = host.worker();
    let key = generate(&mut *worker, "release", P256, 0).unwrap();
    for _ in 0..3 {
        tpm.reset();
        sign_and_verify(&mut *worker, &key);
    }
}

#[test]
fn slots_that_another_process_flushed_are_filled_again() {
    let tpm = Swtpm::start();
    let host = Host::of(&tpm);
    let mut one = host.worker();
    let key = generate(&mut *one, "release", P256, 0).unwrap();
    // Opening empties every slot; each of the two finds its own gone, again and again.
    let mut other = host.worker();
    for _ in 0..3 {
        sign_and_verify(&mut *other, &key);
        sign_and_verify(&mut *one, &key);
    }
}

#[test]
fn a_driver_that_is_killed_again_and_again_finds_free_slots_each_time() {
    let tpm = Swtpm::start();
    let host = Host::of(&tpm);
    for object in ["a", "b"] {
        generate(&mut *host.worker(), object, P256, 0).unwrap();
    }
    let mut activator = Activator::of(&host);
    for _ in 0..5 {
        let mut stream = activator.connect().unwrap();
        let FromDriver::Hello(hello) = wire::read(&mut stream).unwrap() else {
            panic!("no Hello")
        };
        hello.token.unwrap();
        for (id, object) in [(1, "a"), (2, "b")] {
            let key = format!("tpm2:object={object}").parse().unwrap();
            let input = WireInput::Digest {
                hash: HashAlg::Sha256,
                bytes: vec![7; 32],
            };
            let call = Call::Sign {
                key,
                scheme: P256,
                input,
            };
            wire::write(
                &mut stream,
                &ToDriver::Request {
                    id,
                    remaining_ms: 60_000,
                    call,
                },
            )
            .unwrap();
            let FromDriver::Reply { result, .. } = wire::read(&mut stream).unwrap() else {
                panic!("no reply")
            };
            assert!(matches!(result, Ok(Answer::Signature(_))), "{result:?}");
        }
        // With the storage root key, two keys and a session in the TPM.
        activator.kill();
    }
}
