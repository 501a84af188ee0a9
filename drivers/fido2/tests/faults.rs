//! Every fault of the wire to the security key, in every operation: the driver answers within the deadline or ends itself,
//! what it answers is right, and once the wire is whole again the security key signs as before, with all tries of its PIN.
//!
//! `SEALWRIGHT_FAULTS=long` strikes each of the first reports of an operation, not one of them.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sealwright_core::verify::verify_message;
use sealwright_driver_api::conformance::{Failure, OverWire, Reaction, SLACK, Subject};
use sealwright_driver_api::wire::Answer;
use sealwright_driver_api::{KeySpec, Scheme, SignInput, SignRequest, Signature, Task};
use sealwright_driver_host::LOGIN_MARK;
use sealwright_softhsm_tests::fault::{Fault, is_long};
use support::{Host, uri};

const DEADLINE: Duration = Duration::from_millis(1500);
/// Reports of the security key in which an operation may be struck.
const REPORTS: u32 = 6;
const FAULTS: [Fault; 6] = [
    Fault::Drop,
    Fault::Duplicate,
    Fault::Truncate,
    Fault::Garble,
    Fault::Delay(Duration::from_millis(300)),
    Fault::Foreign,
];
const TOUCHED: Scheme = Scheme::WebAuthnP256Sha256;
const VERIFIED: Scheme = Scheme::WebAuthnP256Sha256Uv;

fn sign(scheme: Scheme) -> Task {
    Task::Sign(SignRequest {
        key: uri("release"),
        scheme,
        input: SignInput::of(scheme, &[b"m"]),
    })
}

fn operations(number: u32) -> [Task; 5] {
    let spec = KeySpec {
        uri: uri(&format!("made-{number}")),
        scheme: TOUCHED,
        rsa_bits: 0,
    };
    [
        Task::Health,
        Task::Describe(uri("release")),
        sign(TOUCHED),
        sign(VERIFIED),
        Task::Generate(spec),
    ]
}

#[test]
fn whatever_becomes_of_a_report_the_driver_goes_on_and_the_security_key_is_as_before() {
    let host = Host::with_pin();
    host.generate("release", VERIFIED.as_str());
    let faults = host.key.faults().clone();
    let mark = host.path(LOGIN_MARK);
    let host = Arc::new(Mutex::new(host));
    let connecting = Arc::clone(&host);
    let mut driver = OverWire::new(move || connecting.lock().unwrap().connect());
    let spki = spki(&mut driver);
    let mut turn = 0;
    for fault in FAULTS {
        for (at, _) in operations(0).iter().enumerate() {
            let one = 1 + turn % REPORTS;
            for nth in if is_long() { 1..=REPORTS } else { one..=one } {
                turn += 1;
                let task = operations(turn)[at].clone();
                let what = format!("{fault:?} of report {nth} while it does {task:?}");
                faults.at(fault, nth);
                let begun = Instant::now();
                let answered = driver.ask(&task, DEADLINE, &mut |_| Reaction::Wait);
                assert!(begun.elapsed() < DEADLINE + SLACK, "{what}: it hangs");
                assert!(answered != Err(Failure::Overdue), "{what}: it hangs");
                faults.stop();
                check(&what, &spki, &task, answered);
                // Cut off while it was shown, the PIN waits for an operator, who looks and sees that no try was spent.
                let _ = fs::remove_file(&mark);
                driver.restart();
                signs(&what, &mut driver, &spki);
            }
        }
    }
    let verified = driver.ask(&sign(VERIFIED), DEADLINE, &mut |_| Reaction::Wait);
    assert!(verified.is_ok(), "{verified:?}");
}

fn spki(driver: &mut OverWire) -> Vec<u8> {
    let task = Task::Describe(uri("release"));
    match driver.ask(&task, DEADLINE, &mut |_| Reaction::Wait) {
        Ok(Answer::Key(key)) => key.spki_der,
        other => panic!("{other:?}"),
    }
}

/// A good answer is a right one.
fn check(what: &str, spki: &[u8], task: &Task, answered: Result<Answer, Failure>) {
    match (task, answered) {
        (Task::Sign(request), Ok(answer)) => verify(what, spki, request.scheme, answer),
        (Task::Describe(_), Ok(Answer::Key(key))) => assert_eq!(key.spki_der, spki, "{what}"),
        (_, Err(Failure::Driver(error))) => assert!(!error.detail.is_empty(), "{what}"),
        _ => {}
    }
}

fn verify(what: &str, spki: &[u8], scheme: Scheme, answer: Answer) {
    let Answer::Signature(Signature::WebAuthn(assertion)) = answer else {
        panic!("{what}: {answer:?}");
    };
    let bytes = assertion.to_bytes().unwrap();
    verify_message(spki, scheme, &[b"m"], &bytes).unwrap_or_else(|e| panic!("{what}: {e}"));
}

/// What was late for the request before may spoil one more, and no third.
fn signs(what: &str, driver: &mut OverWire, spki: &[u8]) {
    let mut answered = driver.ask(&sign(TOUCHED), DEADLINE, &mut |_| Reaction::Wait);
    if answered.is_err() {
        driver.restart();
        answered = driver.ask(&sign(TOUCHED), DEADLINE, &mut |_| Reaction::Wait);
    }
    let answer = answered.unwrap_or_else(|e| panic!("{what}, and afterwards: {e}"));
    verify(what, spki, TOUCHED, answer);
}
