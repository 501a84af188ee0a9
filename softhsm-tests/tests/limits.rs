//! Bounds: beyond each of them a caller is refused at once, and those within go on.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::thread;

use sealwright_softhsm_tests::site::http::Request;
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{CI, OTHER, SOON, Site, TokenSpec, statement};
use support::{assert_refused, text, wait_in_flight, without_using_a_key};

fn limited(limits: &[&str]) -> Site {
    let builder = limits
        .iter()
        .fold(Site::builder(), |builder, line| builder.limit(line));
    builder
        .token(TokenSpec::scripted("soft").key("release").sessions(1))
        .start()
}

fn sign() -> Request {
    Request::sign("key=release", &statement("a"))
}

#[test]
fn a_connection_beyond_the_limit_is_closed_and_counted_while_those_within_sign() {
    const REFUSED: &str = "sealwright_connections_refused_total";
    let site = limited(&["max_connections = 2"]);
    let refused = site.metric(REFUSED);
    // Connections of the enrolment may still be on their way out.
    let mut within: Vec<_> = (0..2)
        .map(|_| wait_for("a free place", SOON, || site.client().try_connect().ok()))
        .collect();
    for connection in &mut within {
        connection.send(&sign()).unwrap().ok();
    }
    let before = site.metric(REFUSED);
    assert!(before >= refused);
    let mut beyond = site.client().open().unwrap();
    let mut byte = [0];
    let closed = beyond.write_all(b"x").and_then(|()| beyond.read(&mut byte));
    let is_closed = match closed {
        Ok(read) => read == 0,
        Err(e) => matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
    };
    assert!(is_closed);
    assert!((site.metric(REFUSED) - before - 1.0).abs() < f64::EPSILON);
    for connection in &mut within {
        connection.send(&sign()).unwrap().ok();
    }
    // A place that is given up is free for the next one.
    drop(within.pop());
    let mut next = wait_for("a free place", SOON, || site.client().try_connect().ok());
    next.send(&sign()).unwrap().ok();
}

#[test]
fn a_handshake_that_does_not_come_is_given_up() {
    let site = limited(&["handshake_ms = 200"]);
    let failed = site.metric("sealwright_handshakes_failed_total");
    let mut stream = site.client().open().unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    assert!(site.metric("sealwright_handshakes_failed_total") > failed);
}

#[test]
fn an_idle_connection_and_one_with_half_a_head_are_closed_and_a_busy_one_is_not() {
    let site = limited(&["idle_ms = 400"]);
    let mut busy = site.client().connect();
    let mut idle = site.client().connect();
    idle.send(&sign()).unwrap().ok();
    let mut half = site.client().connect();
    half.write(b"GET /v1/sta").unwrap();
    thread::scope(|scope| {
        let closed = scope.spawn(move || {
            idle.read_to_close();
            half.read_to_close();
        });
        while !closed.is_finished() {
            busy.send(&sign()).unwrap().ok();
        }
    });
    busy.send(&sign()).unwrap().ok();
}

#[test]
fn a_full_queue_refuses_at_once_and_those_in_it_are_signed() {
    let site = limited(&["queue = 3"]);
    let soft = site.token("soft");
    soft.fault("touch");
    thread::scope(|scope| {
        let ask = || {
            let client = site.client();
            scope.spawn(move || client.send(&sign()))
        };
        // The device has one, the driver a second one; three wait with the daemon.
        let mut waiting = vec![ask(), ask()];
        wait_in_flight(&site, "soft", 2);
        waiting.extend((0..3).map(|_| ask()));
        wait_for("a full queue", SOON, || {
            (site.token_status("soft")["queued"] == 3).then_some(())
        });
        let answer = site.client().send(&sign());
        assert_eq!(
            (answer.status, answer.header("retry-after")),
            (503, Some("1"))
        );
        assert_refused(&site, &answer, "token_busy", "failed");
        soft.fault("none");
        soft.touch();
        for request in waiting {
            request.join().unwrap().ok();
        }
    });
    assert_eq!(site.token_status("soft")["queued"], 0);
}

#[test]
fn a_busy_principal_does_not_keep_another_one_waiting() {
    // Slow enough that records come in the order of the device.
    let token = TokenSpec::scripted("soft")
        .key("release")
        .sessions(1)
        .delay_ms(50);
    let site = Site::builder().token(token).start();
    let soft = site.token("soft");
    soft.fault("touch");
    thread::scope(|scope| {
        let ask = |principal: &str| {
            let client = site.caller_of(principal);
            scope.spawn(move || client.send(&sign()).ok().record().unwrap())
        };
        let mut busy = vec![ask(CI), ask(CI)];
        wait_in_flight(&site, "soft", 2);
        busy.extend((0..6).map(|_| ask(CI)));
        wait_for("a queue", SOON, || {
            (site.token_status("soft")["queued"] == 6).then_some(())
        });
        let other = ask(OTHER);
        wait_for("a queue", SOON, || {
            (site.token_status("soft")["queued"] == 7).then_some(())
        });
        soft.fault("none");
        soft.touch();
        let other = other.join().unwrap();
        let busy: Vec<u64> = busy
            .into_iter()
            .map(|request| request.join().unwrap())
            .collect();
        let before = busy.iter().filter(|index| **index < other).count();
        // Two were at the device, and one turn of the other principal may come first.
        assert!(before <= 3, "{before} of {busy:?} came before {other}");
    });
}

#[test]
fn a_deadline_that_passes_in_the_queue_uses_no_key() {
    let site = limited(&[]);
    let soft = site.token("soft");
    soft.fault("touch");
    thread::scope(|scope| {
        let ask = || {
            let client = site.client();
            scope.spawn(move || client.send(&sign()))
        };
        let waiting = [ask(), ask()];
        wait_in_flight(&site, "soft", 2);
        let answer = site
            .client()
            .sign("key=release&timeout_ms=200", &statement("late"));
        assert_eq!(answer.status, 504);
        assert_refused(&site, &answer, "deadline_exceeded", "failed");
        soft.fault("none");
        soft.touch();
        for request in waiting {
            request.join().unwrap().ok();
        }
    });
}

#[test]
fn bodies_wait_for_their_share_of_memory_and_are_refused_when_it_does_not_come() {
    let site = limited(&["max_body = 20000", "body_budget = 30000", "body_ms = 500"]);
    let soft = site.token("soft");
    let mut payload = statement("big");
    payload.resize(20_000, b' ');
    let big = Request::sign("key=release", &payload);
    soft.fault("touch");
    thread::scope(|scope| {
        let client = site.client();
        let first = big.clone();
        // A body counts until its request is answered.
        let holder = scope.spawn(move || client.send(&first));
        wait_in_flight(&site, "soft", 1);
        let answer = site.client().send(&big);
        assert_eq!(answer.status, 503);
        assert_refused(&site, &answer, "body_budget", "failed");
        // Small ones find room beside it.
        let small = site.client().send(&Request::sign("key=release", b"{}"));
        assert_eq!(small.code(), "invalid_statement");
        soft.fault("none");
        soft.touch();
        holder.join().unwrap().ok();
    });
    site.client().send(&big).ok();
}

#[test]
fn a_message_that_a_token_would_have_to_take_whole_is_bounded_by_the_token() {
    let token = TokenSpec::scripted("soft")
        .key("release")
        .key_of("edwards", "ed25519");
    let site = Site::builder().token(token).start();
    let mut payload = statement("big");
    payload.resize(1 << 20, b' ');
    let answer = without_using_a_key(&site, "soft", || {
        site.client().sign("key=edwards", &payload)
    });
    assert_eq!(answer.status, 413);
    assert_refused(&site, &answer, "message_too_large", "denied");
    // Only a digest of it reaches this key's token.
    site.client().sign("key=release", &payload).ok();
    site.client().sign("key=edwards", &statement("small")).ok();
}

#[test]
fn denials_beyond_the_rate_are_counted_instead_of_recorded() {
    let site = limited(&["denials_per_minute = 2"]);
    let client = site.client();
    let request = Request::sign("key=missing", &statement("a"));
    let recorded = (0..5)
        .filter(|_| client.send(&request).record().is_some())
        .count();
    assert_eq!(recorded, 2);
    // Another principal's denials are its own, and signatures are always recorded.
    let other = site.caller_of(OTHER).send(&request);
    assert_refused(&site, &other, "unknown_key", "denied");
    let signed = client.send(&sign()).ok();
    assert_eq!(
        text(&site.record(signed.record().unwrap()), "outcome"),
        "signed"
    );
}
