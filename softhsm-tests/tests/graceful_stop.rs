//! SIGTERM: what is under way is finished, what comes after is refused, and the log ends clean.
#![allow(clippy::unwrap_used)]

mod support;

use std::thread;

use rustix::process::Signal;
use sealwright_softhsm_tests::site::http::Request;
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{SOON, Site, TokenSpec, statement};
use support::{text, verified, wait_in_flight};

fn site() -> Site {
    Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start()
}

#[test]
fn an_idle_daemon_ends_at_once_and_removes_its_sockets() {
    let mut site = site();
    let mut idle = site.client().connect();
    idle.send(&Request::sign("key=release", &statement("a")))
        .unwrap()
        .ok();
    site.stop_daemon();
    idle.read_to_close();
    assert!(!site.socket().exists());
    site.start_daemon();
    assert_eq!(site.records("log.recovered").len(), 0);
    site.client().sign("key=release", &statement("b")).ok();
}

#[test]
fn a_request_under_way_is_finished_while_nobody_new_gets_in() {
    let mut site = site();
    site.token("soft").fault("touch");
    let (busy, new) = (site.client(), site.client());
    let mut idle = site.client().connect();
    idle.send(&Request::new("GET", "/v1/status")).unwrap().ok();
    let answer = thread::scope(|scope| {
        let under_way = scope.spawn(move || busy.sign("key=release", &statement("a")));
        wait_in_flight(&site, "soft", 1);
        site.daemon().signal(Signal::TERM);
        wait_for("the socket to be closed", SOON, || new.open().err());
        idle.read_to_close();
        assert!(!under_way.is_finished());
        site.token("soft").fault("none");
        site.token("soft").touch();
        under_way.join().unwrap().ok()
    });
    assert!(site.daemon().wait().success());
    site.start_daemon();
    verified(&site, &["release"], &answer);
    assert_eq!(
        text(&site.record(answer.record().unwrap()), "outcome"),
        "signed"
    );
    assert_eq!(site.records("log.recovered").len(), 0);
}

#[test]
fn a_request_that_outlives_the_drain_time_gets_no_signature_and_the_daemon_ends() {
    let token = TokenSpec::scripted("soft").key("release");
    let mut site = Site::builder().token(token).limit("drain_ms = 300").start();
    site.token("soft").fault("touch");
    let client = site.client();
    thread::scope(|scope| {
        let request = Request::sign("key=release", &statement("a"));
        let under_way = scope.spawn(move || client.connect().send(&request));
        wait_in_flight(&site, "soft", 1);
        site.stop_daemon();
        let answer = under_way.join().unwrap();
        assert!(
            answer.as_ref().map_or(true, |answer| answer.status != 200),
            "{answer:?}"
        );
    });
    site.token("soft").fault("none");
    site.start_daemon();
    assert!(
        site.records("sign")
            .iter()
            .all(|record| record["outcome"] != "signed")
    );
    assert_eq!(site.records("log.recovered").len(), 0);
    site.client().sign("key=release", &statement("b")).ok();
}
