//! Answers: JSON, text, and RFC 9457 problems with a request id.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::refusal::Refusal;

/// Every answer has its whole body at hand.
pub type Answer = Response<Full<Bytes>>;

/// Header with the index of the record behind an answer.
pub const RECORD: HeaderName = HeaderName::from_static("sealwright-record");
/// Header with the request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("sealwright-request-id");
/// Header with the id of the receipt in an answer.
pub const RECEIPT: HeaderName = HeaderName::from_static("sealwright-receipt");
/// Header with `sha256:<hex>` of the body.
pub const DIGEST: HeaderName = HeaderName::from_static("sealwright-digest");
/// Header that marks an answer given before.
pub const REPLAY: HeaderName = HeaderName::from_static("idempotent-replay");

/// An answer with a body of `content_type`.
pub fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// `200` with JSON.
pub fn json(value: &impl Serialize) -> Answer {
    json_with(StatusCode::OK, value)
}

/// JSON with another status.
pub fn json_with(status: StatusCode, value: &impl Serialize) -> Answer {
    // The API's own types serialise; an empty body is what is left if one ever did not.
    let body = serde_json::to_vec(value).unwrap_or_default();
    answer(status, "application/json", body.into())
}

/// `200` with text.
pub fn text(body: String) -> Answer {
    answer(StatusCode::OK, "text/plain; charset=utf-8", body.into())
}

/// Adds a header whose value is plain ASCII; anything else is left out.
pub fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// RFC 9457. `type` is a relative reference into the error list of the API description.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

/// The answer to a refused request.
pub fn problem(refusal: &Refusal, request_id: &str) -> Answer {
    let code = refusal.code;
    let problem = Problem {
        r#type: format!("/errors#{code}"),
        title: code.title(),
        status: code.status(),
        code: code.as_str(),
        request_id,
        detail: refusal.detail.as_deref(),
    };
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = json_with(status, &problem);
    set(&mut answer, CONTENT_TYPE, "application/problem+json");
    // For whoever adds a challenge to it.
    answer.extensions_mut().insert(code);
    if status == StatusCode::SERVICE_UNAVAILABLE {
        set(&mut answer, RETRY_AFTER, "1");
    }
    answer
}
