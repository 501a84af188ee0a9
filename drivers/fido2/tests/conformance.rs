//! The suite that defines a driver, through the built binary and in the process.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

use sealwright_driver_api::conformance::{self, Expectations, Hands, InProcess, OverWire, Subject};
use sealwright_driver_api::{KeySpec, Scheme, TokenConfig};
use sealwright_driver_host::Secrets;
use support::{Host, SERIAL, uri};

const TOUCHED: Scheme = Scheme::WebAuthnP256Sha256;
const VERIFIED: Scheme = Scheme::WebAuthnP256Sha256Uv;

/// Set for the process that runs the suite in itself: only that one sees the virtual key.
const INSIDE: &str = "SEALWRIGHT_FIDO2_INSIDE";

fn expectations(hands: Hands) -> Expectations {
    let keys = vec![(uri("first"), TOUCHED), (uri("second"), VERIFIED)];
    let generate = [("third", TOUCHED), ("fourth", VERIFIED)].map(|(name, scheme)| KeySpec {
        uri: uri(name),
        scheme,
        rsa_bits: 0,
    });
    Expectations {
        generate: generate.into(),
        hands,
        ..Expectations::new("fido2", "key", SERIAL, keys, uri("missing"))
    }
}

/// A security key that waits for a touch from now on.
fn with_keys() -> Host {
    let host = Host::with_pin();
    host.generate("first", TOUCHED.as_str());
    host.generate("second", VERIFIED.as_str());
    host.key.wait_for_touch();
    host
}

fn passes(subject: &mut dyn Subject, expect: &Expectations) {
    let report = conformance::run(subject, expect);
    assert!(report.passed(), "\n{report}");
}

#[test]
fn the_driver_conforms_through_the_wire() {
    let host = Arc::new(Mutex::new(with_keys()));
    let (touched, out, back) = (Arc::clone(&host), Arc::clone(&host), Arc::clone(&host));
    let hands = Hands {
        touch: Some(Box::new(move || locked(&touched).key.touch())),
        unplug: Some(Box::new(move || locked(&out).key.unplug())),
        replug: Some(Box::new(move || locked(&back).key.replug())),
    };
    let mut subject = OverWire::new(move || locked(&host).connect());
    passes(&mut subject, &expectations(hands));
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
        .envs(host.keys.environment())
        .output()
        .unwrap();
    assert!(inside.status.success(), "{inside:?}");
}

fn conforms_here(config: PathBuf) {
    let touch = config.with_file_name("key0").join("touch");
    let open = move || {
        let config = TokenConfig::read(&config).unwrap();
        sealwright_driver_fido2::open(&config, &Secrets::new(&config))
    };
    let hands = Hands {
        touch: Some(Box::new(move || std::fs::write(&touch, "").unwrap())),
        ..Hands::default()
    };
    passes(&mut InProcess::new(open), &expectations(hands));
}

fn locked(host: &Mutex<Host>) -> MutexGuard<'_, Host> {
    host.lock().unwrap()
}
