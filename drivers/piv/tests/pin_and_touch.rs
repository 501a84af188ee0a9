//! What must never happen to a card: a PIN tried twice, a last try spent, a key overwritten, the wrong card asked.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::Command;

use sealwright_driver_api::wire::{self, Answer, Call, FromDriver, ToDriver, WireInput};
use sealwright_driver_api::{DriverError, ErrorClass, HashAlg, Progress, Scheme, Signature};
use support::{Host, SERIAL};

const SIGN_MS: u32 = 20_000;

#[test]
fn a_wrong_pin_is_tried_once_and_by_no_later_process() {
    let mut host = Host::new();
    host.generate("9c", "ecdsa-p256-sha256");
    host.pin = "999999".to_owned();
    let refused = sign(&mut host).unwrap_err();
    assert_eq!(refused.class, ErrorClass::Auth, "{refused}");
    assert!(refused.detail.contains("2 tries are left"), "{refused}");
    let again = sign(&mut host).unwrap_err();
    assert_eq!(again.class, ErrorClass::Auth);
    assert!(again.detail.contains("not tried again"), "{again}");
    assert_eq!(tries_left(&host), 2);
}

#[test]
fn the_last_try_before_the_lock_is_not_spent() {
    let mut host = Host::new();
    host.generate("9c", "ecdsa-p256-sha256");
    for _ in 0..2 {
        piv_tool(&host, &["-a", "verify-pin", "-P", "999999"]);
    }
    let refused = sign(&mut host).unwrap_err();
    assert_eq!(refused.class, ErrorClass::Auth);
    assert!(refused.detail.contains("stays yours"), "{refused}");
    assert_eq!(tries_left(&host), 1);
}

#[test]
fn a_locked_pin_is_told_from_a_wrong_one() {
    let mut host = Host::new();
    host.generate("9c", "ecdsa-p256-sha256");
    for _ in 0..3 {
        piv_tool(&host, &["-a", "verify-pin", "-P", "999999"]);
    }
    let refused = sign(&mut host).unwrap_err();
    assert_eq!(refused.class, ErrorClass::LockedOut, "{refused}");
    assert!(refused.detail.contains("unblock"), "{refused}");
}

#[test]
fn a_signature_leaves_no_pin_behind_for_other_programs() {
    let mut host = Host::new();
    host.driver = "pin_policy = 'once'".to_owned();
    host.generate("9c", "ecdsa-p256-sha256");
    sign(&mut host).unwrap();
    // A verified PIN would show as no number of tries.
    assert_eq!(tries_left(&host), 3);
}

#[test]
fn a_key_with_a_touch_policy_tells_that_it_waits_and_signs_once_touched() {
    let mut host = Host::new();
    host.driver = "touch_policy = 'always'".to_owned();
    host.generate("9c", "ecdsa-p256-sha256");
    host.card.wait_for_touch();
    let mut stream = host.connect().unwrap();
    ask(&mut stream);
    let told: FromDriver = wire::read(&mut stream).unwrap();
    let progress = Progress::Touch;
    assert_eq!(told, FromDriver::Progress { id: 1, progress });
    host.card.await_waiting();
    host.card.touch();
    answer(&mut stream).unwrap();
}

#[test]
fn a_slot_with_a_key_is_not_filled_again() {
    let host = Host::new();
    let first = host.generate("9c", "ecdsa-p256-sha256");
    let again = host.run(&["generate", "--scheme", "ecdsa-p256-sha256", "piv:slot=9c"]);
    assert!(!again.status.success());
    let why = String::from_utf8(again.stderr).unwrap();
    assert!(why.contains("would be destroyed"), "{why}");
    let described = host.run(&["describe", "piv:slot=9c"]);
    assert_eq!(String::from_utf8(described.stdout).unwrap(), first);
}

#[test]
fn two_cards_with_one_serial_number_are_both_refused() {
    let host = Host::new();
    let _twin = host.reader.insert_second(SERIAL);
    let refused = loop {
        let health = host.run(&["describe", "piv:slot=9c"]);
        let why = String::from_utf8(health.stderr).unwrap();
        // The second one is seen a moment later.
        if !why.contains("nothing in the slot") {
            break why;
        }
    };
    assert!(refused.contains("several cards"), "{refused}");
}

#[test]
fn another_card_in_the_reader_is_not_asked() {
    let mut host = Host::new();
    host.serial = "1".to_owned();
    let refused = host.run(&["describe", "piv:slot=9c"]);
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("no YubiKey with serial number 1"), "{why}");
}

#[test]
fn without_pcscd_the_error_names_it() {
    let host = Host::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealwright-driver-piv"));
    command.arg("--config").arg(host.write());
    command.env("PCSCLITE_CSOCK_NAME", "/nonexistent/pcscd.comm");
    let refused = command.args(["describe", "piv:slot=9c"]).output().unwrap();
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("systemctl start pcscd.socket"), "{why}");
}

/// One signature in slot 9c, by a process of its own.
fn sign(host: &mut Host) -> Result<Signature, DriverError> {
    let mut stream = host.connect().unwrap();
    ask(&mut stream);
    answer(&mut stream)
}

fn ask(stream: &mut std::os::unix::net::UnixStream) {
    let FromDriver::Hello(hello) = wire::read(stream).unwrap() else {
        panic!("the first frame is no Hello");
    };
    hello.token.unwrap();
    let hash = HashAlg::Sha256;
    let call = Call::Sign {
        key: "piv:slot=9c".parse().unwrap(),
        scheme: Scheme::EcdsaP256Sha256,
        input: WireInput::Digest {
            hash,
            bytes: hash.digest(&[b"m"]),
        },
    };
    let request = ToDriver::Request {
        id: 1,
        remaining_ms: SIGN_MS,
        call,
    };
    wire::write(stream, &request).unwrap();
}

fn answer(stream: &mut std::os::unix::net::UnixStream) -> Result<Signature, DriverError> {
    loop {
        match wire::read(stream).unwrap() {
            FromDriver::Reply { result, .. } => {
                return result.map(|answer| match answer {
                    Answer::Signature(signature) => signature,
                    other => panic!("no signature: {other:?}"),
                });
            }
            FromDriver::Progress { .. } => {}
            FromDriver::Hello(_) => panic!("a second Hello"),
        }
    }
}

/// What Yubico's own tool says.
fn tries_left(host: &Host) -> u8 {
    let status = piv_tool(host, &["-a", "status"]);
    let line = status
        .lines()
        .find(|line| line.starts_with("PIN tries left"));
    let tries = line.unwrap().rsplit('\t').next().unwrap();
    tries.trim().parse().unwrap()
}

fn piv_tool(host: &Host, arguments: &[&str]) -> String {
    let mut tool = Command::new("yubico-piv-tool");
    tool.args(["-r", "Virtual"]).args(arguments);
    let output = tool.envs(host.reader.environment()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}
