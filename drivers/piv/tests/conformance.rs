//! The suite that defines a driver, through the built binary and in the process.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

use sealwright_driver_api::conformance::{self, Expectations, Hands, InProcess, OverWire, Subject};
use sealwright_driver_api::{EvidenceGrade, KeySpec, KeyUri, Scheme, TokenConfig};
use sealwright_driver_host::Secrets;
use support::{Host, SERIAL};

/// A key in each of these slots before the suite begins.
const KEYS: [(&str, Scheme); 3] = [
    ("9a", Scheme::EcdsaP256Sha256),
    ("9c", Scheme::EcdsaP384Sha384),
    ("9d", Scheme::RsaPkcs1Sha256),
];

/// Set for the process that runs the suite in itself: only there do libpcsclite's settings lead to the test's reader.
const INSIDE: &str = "SEALWRIGHT_PIV_INSIDE";

fn slot(slot: &str) -> KeyUri {
    format!("piv:slot={slot}").parse().unwrap()
}

fn expectations(hands: Hands) -> Expectations {
    let keys = KEYS.map(|(number, scheme)| (slot(number), scheme)).into();
    let serial = SERIAL.to_string();
    let generate = [
        ("82", Scheme::EcdsaP256Sha256),
        ("83", Scheme::RsaPkcs1Sha256),
    ];
    Expectations {
        generate: generate
            .map(|(number, scheme)| KeySpec {
                uri: slot(number),
                scheme,
                rsa_bits: 2048,
            })
            .into(),
        hands,
        evidence: EvidenceGrade::Attested,
        ..Expectations::new("piv", "card", &serial, keys, slot("95"))
    }
}

fn with_keys() -> Host {
    let host = Host::new();
    for (number, scheme) in KEYS {
        host.generate(number, scheme.as_str());
    }
    host
}

fn passes(subject: &mut dyn Subject, expect: &Expectations) {
    let report = conformance::run(subject, expect);
    assert!(report.passed(), "\n{report}");
}

#[test]
fn the_driver_conforms_through_the_wire() {
    let host = Arc::new(Mutex::new(with_keys()));
    let hands = hands(&host);
    passes(
        &mut OverWire::new(move || locked(&host).connect()),
        &expectations(hands),
    );
}

#[test]
fn the_driver_conforms_in_process() {
    if let Some(config) = std::env::var_os(INSIDE) {
        return conforms_here(config.into());
    }
    let host = with_keys();
    let inside = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_driver_conforms_in_process", "--nocapture"])
        .env(INSIDE, host.write())
        .envs(host.reader.environment())
        .output()
        .unwrap();
    assert!(inside.status.success(), "{inside:?}");
}

fn conforms_here(config: PathBuf) {
    let open = move || {
        let config = TokenConfig::read(&config).unwrap();
        sealwright_driver_piv::open(&config, &Secrets::new(&config))
    };
    passes(&mut InProcess::new(open), &expectations(Hands::default()));
}

/// Takes the card out, and puts it in again.
fn hands(host: &Arc<Mutex<Host>>) -> Hands {
    let (out, back) = (Arc::clone(host), Arc::clone(host));
    Hands {
        touch: None,
        unplug: Some(Box::new(move || locked(&out).card.take_out())),
        replug: Some(Box::new(move || {
            let mut host = locked(&back);
            host.card.insert_again();
            host.await_card();
        })),
    }
}

fn locked(host: &Mutex<Host>) -> MutexGuard<'_, Host> {
    host.lock().unwrap()
}
