//! `POST /v1/sign`.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::statement::PAYLOAD_TYPE;
use serde::Deserialize;

use crate::connection::{Answer, Client};
use crate::error::ClientError;

/// What to get for a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A DSSE envelope, with one signature per key.
    Dsse,
    /// A Sigstore bundle v0.3; one key only.
    Bundle,
}

impl Format {
    /// The name in the request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dsse => "dsse",
            Self::Bundle => "bundle",
        }
    }
}

/// A request to sign a payload with one key or several.
#[derive(Debug, Clone)]
pub struct SignRequest<'a> {
    /// Key names; all of them sign, or none.
    pub keys: &'a [String],
    /// What to answer with.
    pub format: Format,
    /// DSSE payloadType.
    pub payload_type: &'a str,
    /// The payload's bytes, signed as they are.
    pub payload: Bytes,
    /// Makes a retry safe: the daemon answers a repeated request from its record instead of signing again.
    pub idempotency_key: Option<&'a str>,
    /// The operation whose approvals it uses, where policy asks for some.
    pub operation: Option<u64>,
    /// How long the daemon may take; its own default where none is given.
    pub timeout: Option<Duration>,
    /// Told once if it takes more than a moment, because somebody has to touch a key.
    pub on_wait: Option<fn(&Working)>,
}

/// A request at which the daemon is still at work.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Working {
    /// Its id.
    pub operation: String,
    /// Keys that have to be touched for it.
    pub touch: Vec<String>,
}

impl<'a> SignRequest<'a> {
    /// A request to sign an in-toto statement.
    pub fn statement(keys: &'a [String], format: Format, statement: impl Into<Bytes>) -> Self {
        Self {
            keys,
            format,
            payload_type: PAYLOAD_TYPE,
            payload: statement.into(),
            idempotency_key: None,
            operation: None,
            timeout: None,
            on_wait: None,
        }
    }
}

/// A signature that is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The envelope or bundle, canonical JSON.
    pub body: Bytes,
    /// SHA-256 of `body`.
    pub digest: Sha256Digest,
    /// Index of its record in the audit log.
    pub record: u64,
    /// The request's id.
    pub request_id: String,
    /// Whether it was signed by an earlier request with the same idempotency key.
    pub replayed: bool,
}

impl Client {
    /// Signs a payload.
    pub async fn sign(&mut self, request: SignRequest<'_>) -> Result<Signed, ClientError> {
        let on_wait = request.on_wait;
        match (self.send(http_request(request)?).await, on_wait) {
            (Err(ClientError::Working(working)), Some(tell)) => {
                tell(&working);
                signed(self.answer_to(&working.operation).await?)
            }
            (answer, _) => signed(answer?),
        }
    }

    /// The answer to a request that the daemon is still at work at.
    async fn answer_to(&mut self, id: &str) -> Result<Answer, ClientError> {
        let path = format!("/v1/operations/{id}?wait=true");
        loop {
            match self.fetch(&path).await {
                Err(ClientError::Working(_)) => {}
                answer => return answer,
            }
        }
    }
}

/// A signature in an answer.
pub(crate) fn signed(answer: Answer) -> Result<Signed, ClientError> {
    let header = |name| text(&answer.headers, name);
    let missing = |name: &str| ClientError::Unexpected(format!("the answer has no usable {name}"));
    let record = header("sealwright-record").and_then(|text| text.parse().ok());
    let digest = Sha256Digest::of(&[&answer.body]);
    // Guards against a truncated or mixed-up answer; who sent it is TLS's business.
    if header("sealwright-digest").is_some_and(|text| text != format!("sha256:{digest}")) {
        return Err(ClientError::Unexpected(
            "the answer's bytes differ from its digest".to_owned(),
        ));
    }
    Ok(Signed {
        digest,
        record: record.ok_or_else(|| missing("Sealwright-Record"))?,
        request_id: header("sealwright-request-id")
            .unwrap_or_default()
            .to_owned(),
        replayed: header("idempotent-replay") == Some("true"),
        body: answer.body,
    })
}

fn http_request(request: SignRequest<'_>) -> Result<Request<Full<Bytes>>, ClientError> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    request.keys.iter().for_each(|key| {
        query.append_pair("key", key);
    });
    query.append_pair("format", request.format.as_str());
    if let Some(operation) = request.operation {
        query.append_pair("operation", &operation.to_string());
    }
    if let Some(timeout) = request.timeout {
        query.append_pair("timeout_ms", &timeout.as_millis().to_string());
    }
    let mut builder = Request::post(format!("/v1/sign?{}", query.finish()))
        .header(CONTENT_TYPE, request.payload_type);
    if let Some(key) = request.idempotency_key {
        builder = builder.header("Idempotency-Key", key);
    }
    if request.on_wait.is_some() {
        builder = builder.header("Prefer", "respond-async, wait=1");
    }
    builder
        .body(Full::new(request.payload))
        .map_err(|e| ClientError::Request(e.to_string()))
}

pub(crate) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_escaped_and_a_type_that_no_header_can_carry_is_refused() {
        let keys = ["release".to_owned(), "acme/a&b=c".to_owned()];
        let mut request = SignRequest::statement(&keys, Format::Dsse, "{}");
        request.timeout = Some(Duration::from_secs(2));
        let sent = http_request(request.clone()).unwrap();
        let wanted = "/v1/sign?key=release&key=acme%2Fa%26b%3Dc&format=dsse&timeout_ms=2000";
        assert_eq!(sent.uri().to_string(), wanted);
        assert_eq!(sent.headers()[CONTENT_TYPE], PAYLOAD_TYPE);
        request.payload_type = "a\nb";
        assert!(matches!(
            http_request(request),
            Err(ClientError::Request(_))
        ));
    }
}
