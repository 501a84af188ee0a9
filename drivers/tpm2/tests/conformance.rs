//! The suite that defines a driver, in the process and through the built binary.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::{Arc, Mutex};

use sealwright_core::scheme::Scheme;
use sealwright_driver_api::KeySpec;
use sealwright_driver_api::conformance::{self, Expectations, Hands, InProcess, OverWire, Subject};
use sealwright_softhsm_tests::swtpm::Swtpm;
use support::driver::Activator;
use support::{Host, SCHEMES, generate};

fn expectations(tpm: Swtpm, host: &Host) -> Expectations {
    let mut worker = host.worker();
    let keys = SCHEMES
        .iter()
        .filter(|(_, bits)| *bits != 3072)
        .map(|&(scheme, bits)| {
            let uri = generate(&mut *worker, scheme.as_str(), scheme, bits)
                .unwrap()
                .uri;
            (uri, scheme)
        })
        .collect();
    let missing = "tpm2:object=missing".parse().unwrap();
    let mut expect = Expectations::new("tpm2", "host", &host.serial, keys, missing);
    expect.generate = [(Scheme::EcdsaP256Sha256, 0), (Scheme::RsaPssSha256, 2048)]
        .map(|(scheme, rsa_bits)| {
            let uri = format!("tpm2:object=new-{scheme}").parse().unwrap();
            KeySpec {
                uri,
                scheme,
                rsa_bits,
            }
        })
        .into();
    let tpm = Arc::new(Mutex::new(tpm));
    let again = Arc::clone(&tpm);
    expect.hands = Hands {
        touch: None,
        unplug: Some(Box::new(move || tpm.lock().unwrap().kill())),
        replug: Some(Box::new(move || again.lock().unwrap().restart())),
    };
    expect
}

fn passes(subject: &mut dyn Subject, expect: &Expectations) {
    let report = conformance::run(subject, expect);
    assert!(report.passed(), "\n{report}");
}

#[test]
fn the_driver_conforms_in_process() {
    let tpm = Swtpm::start();
    let host = Host::of(&tpm);
    let expect = expectations(tpm, &host);
    let config = host.write();
    passes(&mut InProcess::new(move || support::open(&config)), &expect);
}

#[test]
fn the_driver_conforms_through_the_wire() {
    let tpm = Swtpm::start();
    let host = Host::of(&tpm);
    let expect = expectations(tpm, &host);
    let mut activator = Activator::of(&host);
    passes(&mut OverWire::new(move || activator.connect()), &expect);
}
