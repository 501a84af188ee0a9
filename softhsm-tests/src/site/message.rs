//! Requests and answers as they are on the wire.

use std::io::{self, Read};

use serde_json::Value;

use super::http::SERVER_NAME;

/// A request as it is put on the wire.
#[derive(Debug, Clone)]
pub struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            head: format!("{method} {target} HTTP/1.1\r\nHost: {SERVER_NAME}\r\n"),
            body: Vec::new(),
        }
    }

    /// `POST /v1/sign?query` of an in-toto statement.
    #[must_use]
    pub fn sign(query: &str, payload: &[u8]) -> Self {
        Self::sign_as(query, "application/vnd.in-toto+json", payload)
    }

    /// `POST /v1/sign?query` with a payload type.
    #[must_use]
    pub fn sign_as(query: &str, payload_type: &str, payload: &[u8]) -> Self {
        Self::new("POST", &format!("/v1/sign?{query}"))
            .header("Content-Type", payload_type)
            .body(payload.to_vec())
    }

    /// One more header, also if it stands there already.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.head.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// The body, with its length in the head.
    #[must_use]
    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        let length = self.body.len().to_string();
        self.header("Content-Length", &length)
    }

    /// Its method, and its target without the query.
    #[must_use]
    pub fn method_and_path(&self) -> (&str, &str) {
        let mut words = self.head.split(' ');
        let method = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        (method, target.split('?').next().unwrap_or_default())
    }

    /// The bytes of the head.
    #[must_use]
    pub fn head_bytes(&self) -> Vec<u8> {
        format!("{}\r\n", self.head).into_bytes()
    }

    /// All bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        [self.head_bytes(), self.body.clone()].concat()
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header that stands once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(have, _)| have == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            (None, _) => None,
            _ => panic!("header {name} stands twice: {self:?}"),
        }
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Itself, if the status is 2xx.
    pub fn ok(self) -> Self {
        assert!(
            (200..300).contains(&self.status),
            "status {}: {}",
            self.status,
            self.text()
        );
        self
    }

    /// The stable code of a problem. Everything else about the problem is checked on the way.
    #[must_use]
    pub fn code(&self) -> String {
        assert!(
            self.status >= 400,
            "status {}: {}",
            self.status,
            self.text()
        );
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert_eq!(
            problem["request_id"].as_str(),
            self.header("sealwright-request-id")
        );
        problem["code"].as_str().expect("a code").to_owned()
    }

    /// Index of the record behind the answer.
    #[must_use]
    pub fn record(&self) -> Option<u64> {
        self.header("sealwright-record")
            .map(|index| index.parse().expect("an index"))
    }
}

/// Reads one answer: head, then as much body as its length says.
pub fn read_response(stream: &mut impl Read) -> io::Result<Response> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).map_err(io::Error::other)?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status in {head:?}")))?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut response = Response {
        status,
        headers,
        body: Vec::new(),
    };
    let length = response
        .header("content-length")
        .map_or(0, |n| n.parse().expect("a length"));
    response.body.resize(length, 0);
    stream.read_exact(&mut response.body)?;
    Ok(response)
}
