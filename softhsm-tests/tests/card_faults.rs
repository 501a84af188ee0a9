//! A card behind a wire that fails: every request has one answer and one record, and the two agree.
//!
//! `SEALWRIGHT_FAULTS=long` asks for a thousand signatures, not for forty.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sealwright_softhsm_tests::fault::{Fault, is_long};
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{SOON, Site, TokenSpec, statement};
use support::{accounted_for, trusted, verified};

/// Of a hundred answers of the card five suffer.
const EVERY: u32 = 20;
const FAULTS: [Fault; 5] = [
    Fault::Truncate,
    Fault::Garble,
    Fault::Delay(Duration::from_millis(200)),
    Fault::Drop,
    Fault::Duplicate,
];

#[test]
fn on_a_bad_wire_every_signature_is_accounted_for() {
    let wanted: u32 = if is_long() { 1000 } else { 40 };
    let mut site = Site::builder()
        .token(TokenSpec::piv("card").key("release"))
        .start();
    let key = trusted(&site, "release");
    let before = site.records("sign").len();
    let begun = Instant::now();
    let mut outcomes = BTreeMap::<String, u32>::new();
    for number in 0..wanted {
        let fault = FAULTS[(number / 4) as usize % FAULTS.len()];
        if number % 4 == 0 {
            site.token_mut("card").card().faults().often(fault, EVERY);
        }
        let outcome = accounted_for(&site, &key, number, 4000);
        let confused = outcome != "signed" && fault == Fault::Duplicate;
        *outcomes.entry(outcome).or_default() += 1;
        let card = site.token_mut("card").card();
        // A reader that had an answer too many goes on wrong until the card is put in again.
        if confused || !card.is_in() {
            card.insert_again();
            card.await_seen();
        }
    }
    let done = site.token_mut("card").card().faults().done();
    site.token_mut("card").card().faults().stop();
    println!(
        "{wanted} requests, {done} faults, {:?}: {outcomes:?}",
        begun.elapsed()
    );
    assert!(done > 0, "no answer suffered");
    assert_eq!(outcomes.values().sum::<u32>(), wanted);
    assert!(outcomes["signed"] > 0, "nothing was signed: {outcomes:?}");
    assert_eq!(site.records("sign").len() - before, wanted as usize);
    let answer = wait_for("the card to sign as before", SOON, || {
        let answer = site.client().sign("key=release", &statement("after"));
        (answer.status == 200).then_some(answer)
    });
    verified(&site, &["release"], &answer);
}
