//! `POST /v1/sign?key=…[&key=…]&format=dsse|bundle[&timeout_ms=…][&proof=wait]`: the body is the payload, its
//! `Content-Type` the payloadType.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::HeaderMap;
use hyper::body::Incoming;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::name::KeyName;

use super::query::Query;
use super::{Call, content_type, operations};
use crate::authn::Caller;
use crate::binding::{Address, Presented};
use crate::daemon::Daemon;
use crate::http::Answer;
use crate::pipeline::{self, Asked, KEYS_MAX, SignCall, TIMEOUT_MAX};
use crate::refusal::Refusal;
use crate::seal::Format;

/// How long a caller waits that prefers to be answered later and does not say how much later.
const PATIENCE: Duration = Duration::from_millis(500);
/// And at most.
const PATIENCE_MAX: Duration = Duration::from_secs(30);
/// Longest Idempotency-Key.
const IDEMPOTENCY_KEY_MAX: usize = 128;

/// What is wrong with the head of a request is judged after the caller is known, so that it is recorded.
pub(super) async fn post(
    call: &Call<'_>,
    query: &str,
    headers: &HeaderMap,
    shown: Result<Option<(Presented, Address)>, Refusal>,
    body: Incoming,
) -> Answer {
    let default_timeout = Duration::from_millis(call.daemon.config.limits.request_ms);
    let sign_call = shown.and_then(|shown| read_head(query, headers, default_timeout, shown, body));
    let patience = preferred_patience(headers);
    let (Some(patience), Ok(read), Ok(caller)) = (patience, &sign_call, call.caller()) else {
        return pipeline::sign(call.daemon, call.peer, sign_call, call.request_id).await;
    };
    let touch = to_be_touched(call.daemon, &caller, &read.keys);
    let (daemon, peer) = (Arc::clone(call.daemon), Arc::clone(call.peer));
    let id = call.request_id.to_owned();
    let work = async move { pipeline::sign(&daemon, &peer, sign_call, &id).await };
    let name = (call.request_id, caller.principal.id.as_str(), touch.clone());
    let answer = call.daemon.later.start(name, patience, work).await;
    answer.unwrap_or_else(|| operations::working(call.request_id, touch))
}

/// How long the caller wants to wait on this connection; `None` where it prefers no other way (RFC 7240 sections 4.1 and
/// 4.3).
fn preferred_patience(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let preferences: Vec<&str> = values.flat_map(|v| v.split(',')).map(str::trim).collect();
    let is_async = preferences
        .iter()
        .any(|p| p.eq_ignore_ascii_case("respond-async"));
    let mut waits = preferences.iter().filter_map(|p| p.strip_prefix("wait="));
    let seconds = waits.next().and_then(|seconds| seconds.parse().ok());
    let patience = seconds.map_or(PATIENCE, Duration::from_secs);
    is_async.then(|| patience.min(PATIENCE_MAX))
}

/// Those of `keys` that lie on tokens which a person touches.
fn to_be_touched(daemon: &Daemon, caller: &Caller, keys: &[String]) -> Vec<String> {
    let names = keys
        .iter()
        .filter_map(|text| KeyName::parse_in(&caller.principal.tenant, text).ok());
    let touched = names.filter(|name| {
        let token = daemon.journal.with_state(|state| {
            let version = state.signing_version(name);
            version.map(|(_, version)| version.enrolment.token.clone())
        });
        let status = token.and_then(|token| daemon.tokens.status(&token));
        let needs_touch = status.and_then(|status| status.says(|token| token.needs_touch));
        needs_touch == Some(true)
    });
    touched.map(|name| name.to_string()).collect()
}

pub(super) fn bad(detail: impl Into<String>) -> Refusal {
    Refusal::bad_input(Code::InvalidRequest, detail)
}

fn read_head(
    query: &str,
    headers: &HeaderMap,
    default_timeout: Duration,
    shown: Option<(Presented, Address)>,
    body: Incoming,
) -> Result<SignCall, Refusal> {
    let mut query = Query::parse(query);
    let keys = query.take_all("key");
    if !(1..=KEYS_MAX).contains(&keys.len()) {
        return Err(bad(format!(
            "name 1 to {KEYS_MAX} keys, as in ?key=release"
        )));
    }
    let format = format(query.take("format")?.as_deref(), keys.len())?;
    let wants_proof = wants_proof(query.take("proof")?.as_deref())?;
    let timeout = query
        .take_as("timeout_ms")?
        .map_or(Ok(default_timeout), timeout)?;
    let operation = query.take_as("operation")?;
    query.finish()?;
    Ok(SignCall {
        asked: Asked::Signature,
        keys,
        format,
        wants_proof,
        payload_type: content_type(headers)?,
        idempotency: idempotency_key(headers)?,
        operation,
        deadline: Instant::now() + timeout,
        shown,
        body,
    })
}

fn format(text: Option<&str>, keys: usize) -> Result<Format, Refusal> {
    match text {
        None | Some("dsse") => Ok(Format::Dsse),
        Some("bundle") if keys == 1 => Ok(Format::Bundle),
        Some("bundle") => Err(bad(
            "a bundle holds one signature; take format=dsse for several keys",
        )),
        Some(other) => Err(bad(format!("format={other}; known are dsse and bundle"))),
    }
}

pub(super) fn wants_proof(text: Option<&str>) -> Result<bool, Refusal> {
    match text {
        None => Ok(false),
        Some("wait") => Ok(true),
        Some(other) => Err(bad(format!("proof={other}; known is wait"))),
    }
}

pub(super) fn timeout(ms: u64) -> Result<Duration, Refusal> {
    let timeout = Duration::from_millis(ms);
    if ms >= 1 && timeout <= TIMEOUT_MAX {
        return Ok(timeout);
    }
    let longest = TIMEOUT_MAX.as_millis();
    Err(bad(format!(
        "timeout_ms={ms} is not between 1 and {longest}"
    )))
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
