//! SIGTERM: what is under way is finished, what comes after is refused, and the log ends clean.
#![allow(clippy::unwrap_used)]

mod support;

use std::thread;
use std::time::{Duration, Instant};

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
fn a_request_that_outlives_the_drain_time_is_given_up_recorded_and_answered() {
    let token = TokenSpec::scripted("soft").sessions(1).key("release");
    let mut site = Site::builder().token(token).limit("drain_ms = 300").start();
    site.token("soft").fault("touch");
    // One at the device, one behind it in the driver, one that was never sent.
    let codes = thread::scope(|scope| {
        let ask = |name: &'static str| {
            let client = site.client();
            scope.spawn(move || client.sign("key=release", &statement(name)).code())
        };
        let sent = [ask("a"), ask("b")];
        wait_in_flight(&site, "soft", 2);
        let queued = ask("c");
        wait_for("a queue", SOON, || {
            (site.token_status("soft")["queued"] == 1).then_some(())
        });
        site.daemon().signal(Signal::TERM);
        let [a, b] = sent.map(|asked| asked.join().unwrap());
        [a, b, queued.join().unwrap()]
    });
    assert_eq!(
        codes,
        ["outcome_unknown", "outcome_unknown", "token_unavailable"]
    );
    assert!(site.daemon().wait().success());
    site.token("soft").fault("none");
    site.start_daemon();
    let mut recorded: Vec<_> = site
        .records("sign")
        .iter()
        .map(|record| text(record, "code").to_owned())
        .collect();
    recorded.sort();
    assert_eq!(recorded, codes);
    assert_eq!(site.records("log.recovered").len(), 0);
    site.client().sign("key=release", &statement("b")).ok();
}

#[test]
fn who_waits_for_news_does_not_hold_up_the_end() {
    let mut site = site();
    let operator = site.operator();
    let mut waiting = operator.connect();
    let far = "/v1/audit/records?wait=true&from=1000000";
    waiting.write(&Request::new("GET", far).bytes()).unwrap();
    // By then the daemon has read the other one, too.
    operator.get("/v1/status").ok();
    let begun = Instant::now();
    site.stop_daemon();
    // The drain time is twice as long.
    assert!(begun.elapsed() < Duration::from_secs(5));
    waiting.read().unwrap().ok();
}
