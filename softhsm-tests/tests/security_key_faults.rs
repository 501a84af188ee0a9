//! A security key behind a wire that fails: every request has one answer and one record, and the two agree.
//!
//! `SEALWRIGHT_FAULTS=long` asks for a thousand signatures, not for forty.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sealwright_core::dsse::TrustedKey;
use sealwright_core::scheme::Scheme;
use sealwright_softhsm_tests::fault::{Fault, is_long};
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{SOON, Site, TokenSpec};
use support::{accounted_for, trusted};

/// Of a hundred reports of the security key five suffer.
const EVERY: u32 = 20;
const FAULTS: [Fault; 6] = [
    Fault::Truncate,
    Fault::Garble,
    Fault::Delay(Duration::from_millis(200)),
    Fault::Drop,
    Fault::Duplicate,
    Fault::Foreign,
];
const SCHEME: Scheme = Scheme::WebAuthnP256Sha256;

#[test]
fn on_a_bad_wire_every_signature_is_accounted_for() {
    let wanted: u32 = if is_long() { 1000 } else { 40 };
    let token = TokenSpec::fido2("key").key_of("release", SCHEME.as_str());
    let mut site = Site::builder().token(token).start();
    let key = TrustedKey::new(trusted(&site, "release").spki().clone(), SCHEME).unwrap();
    let faults = site.token_mut("key").security_key().faults().clone();
    let (before, begun) = (site.records("sign").len(), Instant::now());
    let mut outcomes = BTreeMap::<String, u32>::new();
    for number in 0..wanted {
        if number % 4 == 0 {
            let fault = FAULTS[(number / 4) as usize % FAULTS.len()];
            faults.often(fault, EVERY);
        }
        *outcomes
            .entry(accounted_for(&site, &key, number, 1500))
            .or_default() += 1;
    }
    let done = faults.done();
    faults.stop();
    let took = begun.elapsed();
    println!("{wanted} requests, {done} faults, {took:?}: {outcomes:?}");
    assert!(done > 0, "no report suffered");
    assert_eq!(outcomes.values().sum::<u32>(), wanted);
    assert!(outcomes["signed"] > 0, "nothing was signed: {outcomes:?}");
    assert_eq!(site.records("sign").len() - before, wanted as usize);
    wait_for("the security key to sign as before", SOON, || {
        (accounted_for(&site, &key, wanted, 1500) == "signed").then_some(())
    });
    let status = site.operator().get("/v1/status").ok().json();
    for token in status["tokens"].as_array().unwrap() {
        assert_eq!(token["suspect"], false, "{token}");
    }
}
