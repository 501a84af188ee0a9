//! How the driver's process lives and ends: the host's rules, seen from the daemon's side of the socket.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use sealwright_driver_api::wire::{
    self, Answer, CHUNK_MAX, Call, FromDriver, IN_FLIGHT_MAX, ToDriver, WireError, WireInput,
};
use sealwright_driver_api::{DriverError, ErrorClass, KeyUri, Scheme};
use sealwright_driver_host::exit;
use support::Driver;

fn key(object: &str) -> KeyUri {
    format!("scripted:object={object}").parse().unwrap()
}

fn request(id: u64, remaining_ms: u32, call: Call) -> ToDriver {
    ToDriver::Request {
        id,
        remaining_ms,
        call,
    }
}

fn sign(id: u64, remaining_ms: u32) -> ToDriver {
    let scheme = Scheme::EcdsaP256Sha256;
    let hash = scheme.prehash().unwrap();
    let input = WireInput::Digest {
        hash,
        bytes: hash.digest(&[b"m"]),
    };
    request(
        id,
        remaining_ms,
        Call::Sign {
            key: key("p256"),
            scheme,
            input,
        },
    )
}

fn message(id: u64, len: u32) -> ToDriver {
    let input = WireInput::Message { len };
    request(
        id,
        5000,
        Call::Sign {
            key: key("ed25519"),
            scheme: Scheme::Ed25519,
            input,
        },
    )
}

fn chunk(id: u64, len: usize) -> ToDriver {
    ToDriver::Chunk {
        id,
        bytes: vec![7; len],
    }
}

fn send(stream: &mut UnixStream, frame: &ToDriver) {
    wire::write(stream, frame).unwrap();
}

fn reply(stream: &mut UnixStream) -> (u64, Result<Answer, DriverError>) {
    match wire::read(stream).unwrap() {
        FromDriver::Reply { id, result } => (id, result),
        other => panic!("not a reply: {other:?}"),
    }
}

fn class(stream: &mut UnixStream) -> (u64, ErrorClass) {
    let (id, result) = reply(stream);
    (id, result.unwrap_err().class)
}

fn code(driver: &Driver) -> Option<u8> {
    driver
        .end()
        .status
        .code()
        .map(|code| u8::try_from(code).unwrap())
}

#[test]
fn a_request_that_outlives_its_deadline_ends_the_process_soon_after() {
    let driver = Driver::new("");
    driver.fault("stall");
    let (mut stream, _) = driver.greet();
    let begun = Instant::now();
    send(&mut stream, &sign(1, 200));
    assert_eq!(code(&driver), Some(exit::DEADLINE));
    let took = begun.elapsed();
    assert!(
        (Duration::from_millis(200)..Duration::from_secs(3)).contains(&took),
        "{took:?}"
    );
    driver.fault("none");
    let (mut stream, _) = driver.greet();
    send(&mut stream, &sign(1, 5000));
    assert!(reply(&mut stream).1.is_ok(), "the next process works");
}

#[test]
fn a_request_that_waits_behind_a_long_one_does_not_end_the_process() {
    // One signature takes longer than the second request's deadline and the host's grace together.
    let driver = Driver::with("sessions = 1", "delay_ms = 900", me());
    let (mut stream, _) = driver.greet();
    send(&mut stream, &sign(1, 10_000));
    send(&mut stream, &sign(2, 1));
    send(&mut stream, &sign(3, 10_000));
    send(&mut stream, &ToDriver::Cancel { id: 3 });
    let (id, result) = reply(&mut stream);
    assert!(id == 1 && result.is_ok());
    assert_eq!(class(&mut stream), (2, ErrorClass::Transient));
    assert_eq!(class(&mut stream), (3, ErrorClass::Cancelled));
}

#[test]
fn a_daemon_that_goes_away_with_work_in_flight_ends_the_process() {
    let driver = Driver::new("needs_touch = true");
    let (mut stream, _) = driver.greet();
    send(&mut stream, &sign(1, 60_000));
    assert!(matches!(
        wire::read(&mut stream).unwrap(),
        FromDriver::Progress { id: 1, .. }
    ));
    drop(stream);
    assert_eq!(code(&driver), Some(exit::PEER_GONE));
}

#[test]
fn a_daemon_that_goes_away_idle_finds_the_same_process_again() {
    let driver = Driver::new("");
    for _ in 0..3 {
        let (mut stream, hello) = driver.greet();
        assert_eq!(hello.unwrap().label, "bench");
        send(&mut stream, &sign(1, 5000));
        assert!(reply(&mut stream).1.is_ok());
    }
    driver.fault("lost");
    let (mut stream, _) = driver.greet();
    send(&mut stream, &request(1, 5000, Call::Health));
    assert_eq!(class(&mut stream), (1, ErrorClass::Lost));
    let end = driver.end();
    assert_eq!(
        end.status.code(),
        Some(exit::LOST.into()),
        "the first end of all: {}",
        end.log
    );
}

#[test]
fn a_crash_is_the_end_of_the_connection_and_the_next_process_works() {
    let driver = Driver::new("");
    for fault in ["crash-before-sign", "crash-after-sign", "abort"] {
        driver.fault(fault);
        let (mut stream, _) = driver.greet();
        send(&mut stream, &sign(1, 5000));
        let end = wire::read::<FromDriver>(&mut stream);
        assert!(
            matches!(end, Err(WireError::Closed | WireError::Io(_))),
            "{fault}: {end:?}"
        );
        assert!(!driver.end().status.success());
    }
    driver.fault("none");
    let (mut stream, _) = driver.greet();
    send(&mut stream, &sign(1, 5000));
    assert!(reply(&mut stream).1.is_ok());
}

#[test]
fn what_is_no_frame_or_out_of_order_ends_the_process() {
    let driver = Driver::new("needs_touch = true");
    let raw = |bytes: &[u8]| bytes.to_vec();
    let frames = |frames: &[ToDriver]| {
        frames
            .iter()
            .flat_map(|f| wire::encode(f).unwrap())
            .collect::<Vec<u8>>()
    };
    let broken = [
        ("no frame", raw(&[3, 0, 0, 0, 0xff, 0xff, 0xff])),
        ("over the limit", raw(&[1, 0, 1, 0])),
        ("an empty frame", raw(&[0; 4])),
        ("an id in use", frames(&[message(1, 10), message(1, 10)])),
        ("a chunk too long", frames(&[message(1, 10), chunk(1, 11)])),
        ("an empty chunk", frames(&[message(1, 10), chunk(1, 0)])),
        (
            "a chunk too many",
            frames(&[message(1, 10), chunk(1, 10), chunk(1, 1)]),
        ),
    ];
    for (what, bytes) in broken {
        let (mut stream, _) = driver.greet();
        stream.write_all(&bytes).unwrap();
        assert_eq!(code(&driver), Some(exit::PROTOCOL), "{what}");
    }
}

#[test]
fn a_message_in_chunks_may_be_interleaved_with_other_requests() {
    let driver = Driver::new("");
    let (mut stream, _) = driver.greet();
    send(&mut stream, &message(1, 70_000));
    send(&mut stream, &chunk(1, CHUNK_MAX));
    send(&mut stream, &sign(2, 5000));
    assert_eq!(
        reply(&mut stream).0,
        2,
        "the later request is answered first"
    );
    send(&mut stream, &chunk(1, 70_000 - CHUNK_MAX));
    let (id, result) = reply(&mut stream);
    assert!(id == 1 && result.is_ok());
}

#[test]
fn a_message_that_is_refused_or_cancelled_halfway_leaves_the_connection_whole() {
    let driver = Driver::new("");
    let (mut stream, _) = driver.greet();
    send(&mut stream, &message(1, 100_001));
    send(&mut stream, &chunk(1, 1000));
    assert_eq!(class(&mut stream), (1, ErrorClass::BadRequest));
    send(&mut stream, &message(2, 10));
    send(&mut stream, &ToDriver::Cancel { id: 2 });
    send(&mut stream, &chunk(2, 10));
    assert_eq!(class(&mut stream), (2, ErrorClass::Cancelled));
    send(&mut stream, &sign(3, 5000));
    assert!(reply(&mut stream).1.is_ok());
}

#[test]
fn requests_over_the_limit_are_turned_away_at_once() {
    let driver = Driver::with("sessions = 1", "needs_touch = true", me());
    let (mut stream, _) = driver.greet();
    for id in 0..=IN_FLIGHT_MAX as u64 {
        send(&mut stream, &sign(id, 60_000));
    }
    let over = loop {
        if let FromDriver::Reply { id, result } = wire::read(&mut stream).unwrap() {
            break (id, result.unwrap_err().class);
        }
    };
    assert_eq!(over, (IN_FLIGHT_MAX as u64, ErrorClass::Transient));
}

#[test]
fn another_user_is_closed_without_a_byte_and_that_does_not_end_the_process() {
    let other = if me() == 64_099 { 64_098 } else { 64_099 };
    let driver = Driver::with("", "", other);
    let mut stream = driver.connect().unwrap();
    assert!(matches!(
        wire::read::<FromDriver>(&mut stream),
        Err(WireError::Closed)
    ));
    // The process is still there: a second connection of ours is closed the same way.
    let mut stream = driver.connect().unwrap();
    assert!(matches!(
        wire::read::<FromDriver>(&mut stream),
        Err(WireError::Closed)
    ));
}

#[test]
fn a_token_that_cannot_be_opened_says_why_in_hello() {
    let driver = Driver::new("no_such_setting = 1");
    let (_stream, hello) = driver.greet();
    let error = hello.unwrap_err();
    assert_eq!(error.class, ErrorClass::Config);
    assert!(error.detail.contains("no_such_setting"), "{error}");
    assert_eq!(code(&driver), Some(exit::NOT_OPENED));
}

#[test]
fn sessions_work_at_the_same_time() {
    let driver = Driver::with("sessions = 4", "delay_ms = 400", me());
    let (mut stream, _) = driver.greet();
    let begun = Instant::now();
    (0..4).for_each(|id| send(&mut stream, &sign(id, 5000)));
    (0..4).for_each(|_| assert!(reply(&mut stream).1.is_ok()));
    assert!(
        begun.elapsed() < Duration::from_millis(4 * 400),
        "{:?}",
        begun.elapsed()
    );
}

fn me() -> u32 {
    rustix::process::getuid().as_raw()
}
