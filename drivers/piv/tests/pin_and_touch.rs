//! What must never happen to a card: a PIN tried twice, a last try spent, a key overwritten, the wrong card asked.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::Command;

use sealwright_driver_api::wire::{self, FromDriver};
use sealwright_driver_api::{ErrorClass, Progress};
use sealwright_softhsm_tests::piv::PIN;
use support::calls::{answer, ask, greet, sign, signing};
use support::other;
use support::tool::{piv_tool, tries_left};
use support::{Host, SERIAL};
use yubikey::{Serial, YubiKey};

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
    // Its owner shows the right one, and nothing has to be mended besides.
    piv_tool(&host, &["-a", "verify-pin", "-P", PIN]);
    sign(&mut host).unwrap();
}

#[test]
fn a_card_to_which_another_program_shows_the_pin_is_not_taken_for_locked() {
    const NAME: &str = "a_card_to_which_another_program_shows_the_pin_is_not_taken_for_locked";
    if other::is_here() {
        let mut card = YubiKey::open_by_serial(Serial(SERIAL)).unwrap();
        card.verify_pin(PIN.as_bytes()).unwrap();
        return other::hold();
    }
    let mut host = Host::new();
    host.generate("9c", "ecdsa-p256-sha256");
    let _other = other::start(&host, NAME);
    sign(&mut host).unwrap();
}

#[test]
fn a_card_that_another_program_has_for_itself_is_told_from_none() {
    const NAME: &str = "a_card_that_another_program_has_for_itself_is_told_from_none";
    if other::is_here() {
        return other::hold_for_itself();
    }
    let mut host = Host::new();
    host.generate("9c", "ecdsa-p256-sha256");
    let rival = other::start(&host, NAME);
    let refused = host.run(&["describe", "piv:slot=9c"]);
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("another program has the card"), "{why}");
    assert!(why.contains("SharingViolation"), "{why}");
    drop(rival);
    host.await_card();
    sign(&mut host).unwrap();
}

#[test]
fn a_key_that_wants_no_pin_is_not_shown_one() {
    let mut host = Host::new();
    host.driver = "pin_policy = 'never'".to_owned();
    host.generate("9e", "ecdsa-p256-sha256");
    host.pin = "999999".to_owned();
    let mut stream = host.connect().unwrap();
    greet(&mut stream).unwrap().unwrap();
    ask(&mut stream, signing("9e"));
    answer(&mut stream).unwrap();
    assert_eq!(tries_left(&host), 3);
}

#[test]
fn a_login_that_was_cut_off_is_made_up_for_by_the_next_process() {
    let mut host = Host::new();
    host.generate("9c", "ecdsa-p256-sha256");
    // As a process leaves it that ends between the PIN and the card's answer.
    let mark = host.state().join("login-pending");
    sign(&mut host).unwrap();
    host.pin = "999999".to_owned();
    assert_eq!(sign(&mut host).unwrap_err().class, ErrorClass::Auth);
    let refused = std::fs::read_to_string(&mark).unwrap();
    let cut_off = refused.replacen('\n', "\ntries 2\n", 1);
    std::fs::write(&mark, cut_off).unwrap();
    // Another wrong one would be the last but one, so it is the owner's turn again.
    let again = sign(&mut host).unwrap_err();
    assert!(again.detail.contains("1 tries are left"), "{again}");
    assert_eq!(std::fs::read_to_string(&mark).unwrap(), refused);
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
    greet(&mut stream).unwrap().unwrap();
    ask(&mut stream, signing("9c"));
    let told: FromDriver = wire::read(&mut stream).unwrap();
    let progress = Progress::Touch;
    assert_eq!(told, FromDriver::Progress { id: 1, progress });
    host.card.await_waiting();
    host.card.touch();
    answer(&mut stream).unwrap();
}

#[test]
fn a_touch_that_does_not_come_is_told_from_a_missing_pin() {
    let mut host = Host::new();
    host.driver = "touch_policy = 'always'".to_owned();
    host.generate("9c", "ecdsa-p256-sha256");
    host.card.wait_for_touch();
    let refused = sign(&mut host).unwrap_err();
    assert_eq!(refused.class, ErrorClass::TouchTimeout, "{refused}");
    assert!(refused.detail.contains("nobody touched"), "{refused}");
    assert_eq!(tries_left(&host), 3);
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
