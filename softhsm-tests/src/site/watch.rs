//! What a site shows: keys, records, status, metrics.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use super::http::{self, Response};
use super::process::wait_for;
use super::{SOON, Site};

impl Site {
    /// Has the daemon describe and enrol one of a token's keys, under the key's own label.
    pub fn enrol(&self, token: &str, label: &str) -> Value {
        let operator = self.operator();
        let uri = self.token(token).uri(label);
        let mut keys = self.token(token).keys().iter();
        let scheme = keys.find(|key| key.label == label).map(|key| &key.scheme);
        let found = operator
            .post("/v1/keys/describe", &json!({"token": token, "uri": uri}))
            .ok()
            .json();
        let enrolment = json!({
            "key": label, "token": token, "uri": uri, "purpose": "dsse", "spki_sha256": found["spki_sha256"],
            "scheme": scheme,
        });
        operator.post("/v1/keys", &enrolment).ok().json()
    }

    /// One record as an operator sees it.
    #[must_use]
    pub fn record(&self, index: u64) -> Value {
        self.wait_for_index();
        let answer = self.operator().get(&format!("/v1/audit/records/{index}"));
        answer.ok().json()["record"].clone()
    }

    /// Waits until everything recorded so far can be queried: after a start the index may be on its way.
    pub fn wait_for_index(&self) {
        let size = self.status()["log"]["size"].as_u64().expect("a size");
        let last = format!("/v1/audit/records/{}", size - 1);
        wait_for("the index", SOON, || {
            let answer = self.operator().get(&last);
            (answer.status == 200 || answer.code() != "index_rebuilding").then_some(())
        });
    }

    /// All records of one kind, oldest first.
    #[must_use]
    pub fn records(&self, kind: &str) -> Vec<Value> {
        self.wait_for_index();
        let (mut from, mut all) = (0, Vec::new());
        loop {
            let page = self
                .operator()
                .get(&format!("/v1/audit/records?kind={kind}&from={from}"))
                .ok()
                .json();
            let records = page["records"].as_array().expect("records");
            all.extend(records.iter().map(|view| view["record"].clone()));
            match page["next"].as_u64() {
                Some(next) => from = next,
                None => return all,
            }
        }
    }

    /// What `/v1/status` says.
    #[must_use]
    pub fn status(&self) -> Value {
        self.operator().get("/v1/status").ok().json()
    }

    /// What `/v1/status` says of a token.
    #[must_use]
    pub fn token_status(&self, name: &str) -> Value {
        let status = self.status();
        let tokens = status["tokens"].as_array().expect("tokens");
        tokens
            .iter()
            .find(|token| token["name"] == name)
            .expect("a configured token")
            .clone()
    }

    /// Waits until a token is in `state`.
    pub fn wait_for_token(&self, name: &str, state: &str) -> Value {
        wait_for(&format!("token {name} {state}"), SOON, || {
            Some(self.token_status(name)).filter(|token| token["state"] == state)
        })
    }

    /// A value of the monitor's `/metrics`; 0 where it was never counted.
    #[must_use]
    pub fn metric(&self, name: &str) -> f64 {
        let text = self
            .monitor("/metrics")
            .expect("the monitor answers")
            .text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// Whether no token is on its way or out of service; one that is only suspect serves.
    #[must_use]
    pub fn every_token_serves(&self) -> bool {
        let health = self.monitor("/healthz").map(|answer| answer.text());
        let is_about_token =
            |line: &str| line.starts_with("token ") && !line.contains("marked suspect");
        health.is_ok_and(|health| !health.lines().any(is_about_token))
    }

    /// What the monitor's socket answers.
    pub fn monitor(&self, path: &str) -> io::Result<Response> {
        let mut stream = UnixStream::connect(self.path("run/monitor.sock"))?;
        stream.set_read_timeout(Some(SOON))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: monitor\r\nConnection: close\r\n\r\n"
        )?;
        http::read_response(&mut stream)
    }
}
