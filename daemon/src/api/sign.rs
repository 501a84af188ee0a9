//! `POST /v1/sign?key=…[&key=…]&format=dsse|bundle[&timeout_ms=…]`: the body is the payload, its
//! `Content-Type` the payloadType.

use std::time::{Duration, Instant};

use hyper::HeaderMap;
use hyper::body::Incoming;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;

use super::query::Query;
use super::{Call, content_type};
use crate::http::Answer;
use crate::pipeline::{self, KEYS_MAX, SignCall, TIMEOUT_MAX};
use crate::refusal::Refusal;
use crate::seal::Format;

/// Longest Idempotency-Key.
const IDEMPOTENCY_KEY_MAX: usize = 128;

pub(super) async fn post(
    call: &Call<'_>,
    query: &str,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Answer, Refusal> {
    let bad = |detail: String| Refusal::bad_input(Code::InvalidRequest, detail);
    let mut query = Query::parse(query);
    let keys = query.take_all("key");
    if !(1..=KEYS_MAX).contains(&keys.len()) {
        return Err(bad(format!(
            "name 1 to {KEYS_MAX} keys, as in ?key=release"
        )));
    }
    let format = match query.take("format")?.as_deref() {
        None | Some("dsse") => Format::Dsse,
        Some("bundle") if keys.len() == 1 => Format::Bundle,
        Some("bundle") => {
            return Err(bad(
                "a bundle holds one signature; take format=dsse for several keys".to_owned(),
            ));
        }
        Some(other) => return Err(bad(format!("format={other}; known are dsse and bundle"))),
    };
    let timeout = match query.take_as::<u64>("timeout_ms")? {
        None => Duration::from_millis(call.daemon.config.limits.request_ms),
        Some(ms) if ms >= 1 && Duration::from_millis(ms) <= TIMEOUT_MAX => {
            Duration::from_millis(ms)
        }
        Some(ms) => {
            return Err(bad(format!(
                "timeout_ms={ms} is not between 1 and {}",
                TIMEOUT_MAX.as_millis()
            )));
        }
    };
    query.finish()?;
    let sign_call = SignCall {
        keys,
        format,
        payload_type: content_type(headers)?,
        idempotency: idempotency_key(headers)?,
        deadline: Instant::now() + timeout,
        body,
    };
    Ok(pipeline::sign(call.daemon, call.peer, sign_call, call.request_id).await)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<Sha256Digest>, Refusal> {
    let mut values = headers.get_all("idempotency-key").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        let none = headers.get("idempotency-key").is_none();
        let twice = || Refusal::bad_input(Code::InvalidRequest, "Idempotency-Key stands twice");
        return if none { Ok(None) } else { Err(twice()) };
    };
    let bytes = value.as_bytes();
    if (1..=IDEMPOTENCY_KEY_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic) {
        Ok(Some(Sha256Digest::of(&[bytes])))
    } else {
        let detail =
            format!("an Idempotency-Key has 1 to {IDEMPOTENCY_KEY_MAX} visible ASCII characters");
        Err(Refusal::bad_input(Code::InvalidRequest, detail))
    }
}
