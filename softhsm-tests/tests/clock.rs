//! A host's clock that is set wrong: nothing is lost or refused by it but what depends on the time.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{OPERATOR, SOON, Site, TokenSpec, statement};
use serde_json::{Value, json};
use support::text;

/// Makes the daemon's libc tell another time; tells it anew at every look.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

struct Host {
    site: Site,
    offset: String,
}

impl Host {
    fn start() -> Self {
        let mut site = Site::builder()
            .token(TokenSpec::scripted("soft").key("release"))
            .start();
        site.stop_daemon();
        let offset = site.path("offset").display().to_string();
        let mut host = Self { site, offset };
        host.set("+0");
        host.start_daemon();
        host
    }

    /// Sets the daemon's clock to what it really is, and so much.
    fn set(&self, offset: &str) {
        // In one step: half an offset would be another one.
        let new = format!("{}.new", self.offset);
        fs::write(&new, format!("{offset}\n")).unwrap();
        fs::rename(new, &self.offset).unwrap();
    }

    fn restart_at(&mut self, offset: &str) {
        self.site.stop_daemon();
        self.set(offset);
        self.start_daemon();
    }

    fn start_daemon(&mut self) {
        let environment = [
            ("LD_PRELOAD", LIBRARY),
            ("FAKETIME_TIMESTAMP_FILE", &*self.offset),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        self.site.start_daemon_with(&environment);
    }

    fn doubt(&self) -> Option<String> {
        let status = self.site.operator().get("/v1/status").ok().json();
        status
            .get("clock")
            .map(|doubt| doubt.as_str().unwrap().to_owned())
    }

    fn sign(&self) -> u64 {
        let client = self.site.client();
        let answer = client.sign("key=release", &statement("a")).ok();
        answer.record().unwrap()
    }

    fn compromise(&self, body: &Value) -> (u16, Value) {
        let path = "/v1/keys/default/release/1/compromise";
        let answer = self.site.operator().post(path, body);
        (answer.status, answer.json())
    }
}

#[test]
fn a_clock_that_is_set_while_the_daemon_runs_is_doubted_and_signing_goes_on() {
    for (offset, word) in [("+365d", "ahead"), ("-365d", "behind")] {
        let host = Host::start();
        host.sign();
        assert_eq!(host.doubt(), None);
        host.set(offset);
        assert!(host.doubt().unwrap().contains(word));
        host.sign();
        let (status, problem) = host.compromise(&json!({ "reason": "lost" }));
        assert_eq!((status, text(&problem, "code")), (409, "clock_in_doubt"));
        host.set("+0");
        assert_eq!(host.doubt(), None);
    }
}

#[test]
fn a_key_is_revoked_whatever_the_clock_says_where_the_operator_names_the_time() {
    let host = Host::start();
    let enrolled = host
        .site
        .operator()
        .get("/v1/keys/default/release")
        .ok()
        .json();
    host.set("-365d");
    let since = &enrolled["keys"][0]["enrolled_at"];
    let body = json!({ "reason": "lost", "effective_time": since });
    assert_eq!(host.compromise(&body).0, 200);
}

#[test]
fn a_clock_that_is_set_by_hours_while_no_daemon_runs_is_doubted_within_one_boot() {
    for (offset, word) in [("+3h", "ahead"), ("-3h", "behind")] {
        let mut host = Host::start();
        let before = host.sign();
        host.restart_at(offset);
        assert!(host.doubt().unwrap().contains(word));
        assert!(host.sign() > before, "signing goes on");
        host.restart_at("+0");
        assert_eq!(host.doubt(), None, "it came back by itself");
        host.restart_at("+50s");
        assert_eq!(host.doubt(), None, "a clock that is set right");
        host.restart_at("+100s");
        assert_eq!(host.doubt(), None, "and once more");
    }
}

#[test]
fn times_of_records_never_go_back() {
    let mut host = Host::start();
    let before = host.site.record(host.sign());
    host.restart_at("-365d");
    assert!(host.doubt().unwrap().contains("behind"));
    let after = host.site.record(host.sign());
    assert!(text(&after, "time") >= text(&before, "time"));
}

#[test]
fn a_doubt_outlives_restarts_until_an_operator_ends_it() {
    let mut host = Host::start();
    host.sign();
    for _ in 0..2 {
        host.restart_at("+365d");
        assert!(host.doubt().unwrap().contains("ahead"));
    }
    let arguments = ["clock", "accept", "--reason", "new battery"];
    let accepted = host.site.sealwright(OPERATOR, &arguments).ok();
    assert!(accepted.stdout.contains("is believed since"));
    assert_eq!(host.doubt(), None);
    host.restart_at("+365d");
    assert_eq!(host.doubt(), None);
    let again = host
        .site
        .operator()
        .post("/v1/clock/accept", &json!({ "reason": "" }));
    assert_eq!(again.code(), "clock_not_in_doubt");
    host.restart_at("+0");
    assert!(host.doubt().unwrap().contains("behind"));
    wait_for("the metric", SOON, || {
        let metrics = host.site.monitor("/metrics").ok()?;
        let metrics = String::from_utf8(metrics.body).ok()?;
        metrics
            .contains("sealwright_clock_in_doubt 1")
            .then_some(())
    });
}

#[test]
fn a_host_that_comes_up_in_1970_says_so_and_goes_on_when_its_clock_is_right() {
    let mut host = Host::start();
    let before = host.site.record(host.sign());
    host.restart_at("@1970-01-02 00:00:00");
    // No certificate is good yet at that time, so only monitoring can ask.
    let asked = host.site.client().try_connect();
    let status = sealwright_softhsm_tests::site::http::Request::new("GET", "/v1/status");
    assert!(asked.and_then(|mut opened| opened.send(&status)).is_err());
    let health = host.site.monitor("/healthz").unwrap().text();
    assert!(health.contains("the clock is in doubt"), "{health}");
    assert!(host.site.metric("sealwright_clock_in_doubt") == 1.0);
    host.set("+0");
    wait_for("a clock that is believed", SOON, || {
        (host.site.metric("sealwright_clock_in_doubt") == 0.0).then_some(())
    });
    let after = host.site.record(host.sign());
    assert!(text(&after, "time") >= text(&before, "time"));
}
