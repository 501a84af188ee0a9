//! The scripted driver keeps every rule, and with a fault on it breaks one that the suite has.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use sealwright_driver_api::conformance::{self, Expectations, Hands, InProcess, OverWire, Report};
use sealwright_driver_api::{EvidenceGrade, KeySpec, KeyUri, Scheme};
use sealwright_driver_host::Secrets;
use sealwright_driver_scripted::Fault;
use support::Driver;

const ALL_KEYS: &str = "keys = ['p256', 'p384', 'rsa2048', 'rsa3072', 'ed25519']";

fn uri(object: &str) -> KeyUri {
    format!("scripted:object={object}").parse().unwrap()
}

fn expectations(driver: &Driver, keys: &[(&str, Scheme)]) -> Expectations {
    let keys = keys
        .iter()
        .map(|(object, scheme)| (uri(object), *scheme))
        .collect();
    let (unplugged, plugged) = (driver.clone(), driver.clone());
    Expectations {
        schemes: Scheme::PLAIN.to_vec(),
        sessions: 2,
        evidence: EvidenceGrade::None,
        ambiguous: Some("scripted:".parse().unwrap()),
        generate: [
            ("made-p256", Scheme::EcdsaP256Sha256),
            ("made-ed25519", Scheme::Ed25519),
        ]
        .map(|(object, scheme)| KeySpec {
            uri: uri(object),
            scheme,
            rsa_bits: 0,
        })
        .to_vec(),
        hands: Hands {
            touch: None,
            unplug: Some(Box::new(move || unplugged.fault("lost"))),
            replug: Some(Box::new(move || plugged.fault("none"))),
        },
        ..Expectations::new("scripted", "bench", "0001", keys, uri("missing"))
    }
}

const EVERY_SCHEME: [(&str, Scheme); 6] = [
    ("p256", Scheme::EcdsaP256Sha256),
    ("p384", Scheme::EcdsaP384Sha384),
    ("rsa2048", Scheme::RsaPkcs1Sha256),
    ("rsa3072", Scheme::RsaPkcs1Sha256),
    ("rsa3072", Scheme::RsaPssSha256),
    ("ed25519", Scheme::Ed25519),
];

fn in_process(driver: &Driver, expect: &Expectations) -> Report {
    let config = driver.config();
    let open = move || sealwright_driver_scripted::open(&config, &Secrets::new(&config));
    conformance::run(&mut InProcess::new(open), expect)
}

fn over_wire(driver: &Driver, expect: &Expectations) -> Report {
    let connecting = driver.clone();
    conformance::run(&mut OverWire::new(move || connecting.connect()), expect)
}

#[test]
fn the_scripted_driver_keeps_every_rule_in_the_process() {
    let driver = Driver::new(ALL_KEYS);
    let report = in_process(&driver, &expectations(&driver, &EVERY_SCHEME));
    assert!(report.passed(), "{report}");
}

#[test]
fn the_scripted_driver_keeps_every_rule_over_the_wire() {
    let driver = Driver::new(ALL_KEYS);
    let report = over_wire(&driver, &expectations(&driver, &EVERY_SCHEME));
    assert!(report.passed(), "{report}");
}

#[test]
fn a_slow_device_that_wants_touches_keeps_every_rule_both_ways() {
    let driver = Driver::new(&format!("{ALL_KEYS}\nneeds_touch = true\ndelay_ms = 30"));
    let mut expect = expectations(&driver, &EVERY_SCHEME);
    let touching = driver.clone();
    expect.hands.touch = Some(Box::new(move || touching.touch()));
    let report = over_wire(&driver, &expect);
    assert!(report.passed(), "{report}");
    // The keys that were made are destroyed by now, so the addresses are free again.
    let report = in_process(&driver, &expect);
    assert!(report.passed(), "{report}");
}

const EVIDENCE: &str = "evidence is of the key and the nonce that were asked for";

const DESTROY: &str = "a key is destroyed only by its fingerprint, and is gone then";

/// The rule that each fault is known by; others may break with it.
fn broken_rule(fault: Fault) -> &'static str {
    match fault {
        Fault::WrongHelloLabel | Fault::WrongHelloVersion | Fault::SlowHello => {
            "the descriptor says what is configured"
        }
        Fault::Lost | Fault::HangWithoutReading => "health answers",
        Fault::OtherNonce | Fault::OtherEvidence => EVIDENCE,
        Fault::CrashAfterGenerate => "a made key is found and signs",
        Fault::KeepsDestroyed | Fault::CrashAfterDestroy => DESTROY,
        Fault::IgnoreCancel => "a cancelled request ends, and the next one works",
        _ => "every scheme signs, and the signature verifies",
    }
}

fn over_wire_with(fault: Fault) -> Report {
    // Without the RSA key that takes longest to make.
    let driver = Driver::new("keys = ['p256', 'p384', 'rsa2048', 'ed25519']");
    let keys = EVERY_SCHEME.map(|(object, scheme)| (object.replace("rsa3072", "rsa2048"), scheme));
    driver.fault(fault.as_str());
    let mut expect = expectations(
        &driver,
        &keys
            .each_ref()
            .map(|(object, scheme)| (object.as_str(), *scheme)),
    );
    // The fault stays on: hands would switch it off.
    expect.hands = Hands::default();
    // Longer than a driver may take once it is cancelled, where that is what has to be seen.
    expect.patience = match fault {
        Fault::IgnoreCancel => conformance::SLACK * 2,
        _ => Duration::from_millis(500),
    };
    // These two let every greeting after the first time out.
    let hello_limit = match fault {
        Fault::SlowHello | Fault::HangWithoutReading => Duration::from_millis(300),
        _ => Duration::from_secs(5),
    };
    let subject = OverWire::new(move || driver.connect());
    conformance::run(&mut subject.hello_within(hello_limit), &expect)
}

#[test]
fn the_suite_fails_for_each_fault_by_the_rule_it_breaks() {
    let reports: Vec<(Fault, Report)> = std::thread::scope(|scope| {
        let run = |fault| (fault, scope.spawn(move || over_wire_with(fault)));
        let runs: Vec<_> = Fault::ALL.iter().copied().map(run).collect();
        runs.into_iter()
            .map(|(fault, run)| (fault, run.join().unwrap()))
            .collect()
    });
    for (fault, report) in reports {
        if fault == Fault::None {
            // Without a fault the same set-up breaks nothing, so what breaks is the fault's doing.
            assert!(report.passed(), "{report}");
        } else {
            let noticed = report.broken().any(|row| row.name == broken_rule(fault));
            assert!(
                noticed,
                "{fault} does not break {:?}:\n{report}",
                broken_rule(fault)
            );
        }
    }
}
