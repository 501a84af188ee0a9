//! Every fault of the wire between reader and card, in every operation: the driver answers within the deadline or ends
//! itself, what it answers is right, and once the wire is whole again the card signs as before.
//!
//! `SEALWRIGHT_FAULTS=long` strikes each of the first answers of an operation, not one of them.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use sealwright_core::verify::verify_message_p1363;
use sealwright_driver_api::wire::{Answer, Call};
use sealwright_driver_api::{DriverError, KeySpec, KeyUri, Nonce, Scheme, Signature};
use sealwright_softhsm_tests::fault::{Fault, is_long};
use support::Host;
use support::calls::{MESSAGE, answer, ask, ask_for, greet, signing, try_answer};
use support::tool::tries_left;

/// What a request is given.
const DEADLINE: Duration = Duration::from_millis(2500);
/// The host's own grace, and as much again for a machine that has much to do.
const GRACE: Duration = Duration::from_millis(2500);

/// A card is full then.
const LAST_SLOT: u8 = 0x95;

/// What becomes of one answer of the card.
#[derive(Debug, Clone, Copy)]
enum Strike {
    Wire(Fault),
    /// The card is taken out.
    Out,
}

const STRIKES: [Strike; 7] = [
    Strike::Wire(Fault::Drop),
    Strike::Wire(Fault::Duplicate),
    Strike::Wire(Fault::Truncate),
    Strike::Wire(Fault::Garble),
    Strike::Wire(Fault::Delay(Duration::from_millis(300))),
    // Later than anybody waits.
    Strike::Wire(Fault::Delay(Duration::from_millis(3500))),
    Strike::Out,
];

#[derive(Debug, Clone, Copy)]
enum Operation {
    Health,
    Describe,
    Sign,
    Generate,
    Attest,
}

/// With so many answers of the card, or more.
const OPERATIONS: [(Operation, u32); 5] = [
    (Operation::Health, 3),
    (Operation::Describe, 4),
    (Operation::Sign, 8),
    (Operation::Generate, 8),
    (Operation::Attest, 7),
];

fn uri(slot: &str) -> KeyUri {
    format!("piv:slot={slot}").parse().unwrap()
}

#[test]
fn whatever_becomes_of_an_answer_the_driver_goes_on_and_the_card_is_as_before() {
    let mut bench = Bench::new();
    let mut turn = 0;
    for strike in STRIKES {
        for (operation, answers) in OPERATIONS {
            turn += 1;
            let struck = if is_long() {
                1..=answers
            } else {
                let one = 1 + turn * 3 % answers;
                one..=one
            };
            for nth in struck {
                bench.strike(strike, operation, nth);
                if bench.filled == LAST_SLOT {
                    bench.cost_no_try();
                    bench = Bench::new();
                }
            }
        }
    }
    bench.cost_no_try();
}

struct Bench {
    host: Host,
    stream: UnixStream,
    spki: Vec<u8>,
    /// The last slot that was to get a key.
    filled: u8,
}

impl Bench {
    fn new() -> Self {
        let mut host = Host::new();
        host.generate("9c", "ecdsa-p256-sha256");
        let mut stream = host.connect().unwrap();
        greet(&mut stream).unwrap().unwrap();
        ask(&mut stream, Call::Describe { key: uri("9c") });
        let Answer::Key(key) = answer(&mut stream).unwrap() else {
            panic!("no key");
        };
        Self {
            host,
            stream,
            spki: key.spki_der,
            filled: 0x81,
        }
    }

    fn strike(&mut self, strike: Strike, operation: Operation, nth: u32) {
        let what = format!("{strike:?} of answer {nth} while it does {operation:?}");
        let call = self.call(operation);
        match strike {
            Strike::Wire(fault) => self.host.card.faults().at(fault, nth),
            Strike::Out => self.host.card.take_out_in(nth),
        }
        let before = self.host.card.faults().done();
        let begun = Instant::now();
        self.stream
            .set_read_timeout(Some(DEADLINE + GRACE))
            .unwrap();
        let remaining = u32::try_from(DEADLINE.as_millis()).unwrap();
        ask_for(&mut self.stream, call, remaining);
        let answered = try_answer(&mut self.stream);
        assert!(begun.elapsed() < DEADLINE + GRACE, "{what}: it hangs");
        let is_struck = self.host.card.faults().done() > before || !self.host.card.is_in();
        assert!(is_struck, "{what}: there is no such answer");
        self.host.card.faults().stop();
        self.host.card.take_out_in(0);
        let has_ended = answered.is_err();
        if let Ok(answered) = &answered {
            self.check(&what, answered);
        }
        println!("{what}: {}, {:?}", told(&answered.ok()), begun.elapsed());
        self.mend(strike, has_ended);
        self.signs(&what);
    }

    fn cost_no_try(&self) {
        assert_eq!(tries_left(&self.host), 3, "a fault cost a try");
    }

    /// Generating fills one slot after another.
    fn call(&mut self, operation: Operation) -> Call {
        match operation {
            Operation::Health => Call::Health,
            Operation::Describe => Call::Describe { key: uri("9c") },
            Operation::Sign => signing("9c"),
            Operation::Attest => Call::Attest {
                key: uri("9c"),
                nonce: Nonce::default(),
            },
            Operation::Generate => {
                self.filled += 1;
                let spec = KeySpec {
                    uri: uri(&format!("{:02x}", self.filled)),
                    scheme: Scheme::EcdsaP256Sha256,
                    rsa_bits: 2048,
                };
                Call::Generate { spec }
            }
        }
    }

    /// A good answer is a right one.
    fn check(&self, what: &str, answered: &Result<Answer, DriverError>) {
        match answered {
            Ok(Answer::Signature(Signature::Raw(raw))) => {
                let scheme = Scheme::EcdsaP256Sha256;
                let verified = verify_message_p1363(&self.spki, scheme, &[MESSAGE], raw);
                // The daemon verifies each; only an answer that belongs to another command may come to it wrong.
                assert!(verified.is_ok(), "{what}: a wrong signature");
            }
            Ok(Answer::Key(key)) if key.uri.text("slot") == Some("9c") => {
                assert_eq!(key.spki_der, self.spki, "{what}: another key");
            }
            Ok(Answer::Evidence(evidence)) => {
                assert_eq!(
                    evidence.spki_der, self.spki,
                    "{what}: evidence of another key"
                );
            }
            Ok(_) => {}
            Err(error) => assert!(!error.detail.is_empty(), "{what}: no reason"),
        }
    }

    /// A reader that had an answer too many goes on wrong until the card is put in again. Whether a card that is being
    /// taken out is still in says nothing.
    fn mend(&mut self, strike: Strike, has_ended: bool) {
        let must_go_in = matches!(strike, Strike::Wire(Fault::Duplicate) | Strike::Out);
        if must_go_in || !self.host.card.is_in() {
            self.host.card.insert_again();
            self.host.card.await_seen();
        }
        if has_ended {
            self.stream = self.host.connect().unwrap();
            self.stream.set_read_timeout(None).unwrap();
            while greet(&mut self.stream).unwrap().is_err() {
                self.stream = self.host.connect().unwrap();
            }
        }
    }

    /// Without a restart, as soon as the reader has seen the card.
    fn signs(&mut self, what: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        self.stream.set_read_timeout(None).unwrap();
        loop {
            ask(&mut self.stream, signing("9c"));
            match answer(&mut self.stream) {
                Ok(signature) => return self.check(what, &Ok(signature)),
                Err(error) => assert!(Instant::now() < end, "{what}: afterwards {error}"),
            }
        }
    }
}

fn told(answered: &Option<Result<Answer, DriverError>>) -> String {
    match answered {
        None => "the process ended itself".to_owned(),
        Some(Ok(_)) => "answered".to_owned(),
        Some(Err(error)) => format!("{:?}: {error}", error.class),
    }
}
