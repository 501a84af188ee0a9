//! `POST /v1/keys/{tenant}/{label}/{version}/destroy`: intent ▸ device ▸ outcome.
//!
//! A crash, or a token that vanishes, leaves the intent: the version is used for nothing any more, and the same call goes
//! on from there, without approvals of its own.

use std::time::Instant;

use hyper::StatusCode;
use hyper::body::Incoming;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::key::{Enrolment, KeyEvent, KeyState, KeyVersion};
use sealwright_core::name::KeyVersionId;
use sealwright_core::record::{Event, KeyChanged, KeyDestroyIntent, Warrant};
use sealwright_driver_api::ErrorClass;
use serde::Deserialize;

use super::device_keys::{DEVICE_TIMEOUT, ask, operator_may_know};
use super::gate::{Gate, Way};
use super::keys::{bad, key_answer, known, managed_key};
use super::{Call, actor, check_reason, read_json};
use crate::authn::Caller;
use crate::http::Answer;
use crate::refusal::Refusal;
use crate::tokens::CallError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Destroy {
    #[serde(default)]
    reason: String,
}

pub(super) async fn post(
    call: &Call<'_>,
    id: KeyVersionId,
    query: &str,
    body: Incoming,
) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let gate = Gate::read(query)?;
    managed_key(call, &caller, &id.key.to_string())?;
    let Destroy { reason } = read_json(call, body).await?;
    check_reason(&reason)?;
    call.daemon.can_record()?;
    let version = known(call, &id, |_, version| version.clone())?;
    let is_begun = version.destroy_intent.is_some() && version.state != KeyState::Destroyed;
    if !is_begun {
        check_first(call, &caller, &id, &version).await?;
        let event = Event::KeyDestroyIntent(intent(&caller, &version.enrolment, &reason));
        let event = match gate.pass_event(call, &caller, event).await? {
            Way::Open(event) => event,
            Way::Closed(answer) => return Ok(answer),
        };
        let _ = call.daemon.journal.record(event).await?;
    }
    call.daemon.failpoints.reach("destroy");
    destroy(call, &caller, &version.enrolment).await?;
    call.daemon.failpoints.reach("destroyed");
    let changed = KeyChanged {
        key: id.clone(),
        event: KeyEvent::Destroy,
        reason,
        by: actor(&caller),
        warrant: Warrant::default(),
    };
    let recorded = call
        .daemon
        .journal
        .record(Event::KeyChanged(changed))
        .await?;
    key_answer(call, &id, StatusCode::OK, recorded.index())
}

/// What can be known before anything is recorded: that it may be destroyed, and that the token is there and has this key.
async fn check_first(
    call: &Call<'_>,
    caller: &Caller,
    id: &KeyVersionId,
    version: &KeyVersion,
) -> Result<(), Refusal> {
    call.daemon
        .journal
        .with_state(|state| state.check_destruction(id))?;
    let now = call.daemon.trusted_clock.now()?;
    let from = call.daemon.config.destruction.possible_from(version);
    if let Some(from) = from.filter(|from| now < *from) {
        let detail = format!("{id} is kept until {from} ([destruction] after_days)");
        return Err(Refusal::bad_input(Code::KeyRetentionNotOver, detail));
    }
    let Enrolment { token, uri, .. } = &version.enrolment;
    let described = ask(call, caller, token, uri.clone()).await?;
    let found = Sha256Digest::of(&[&described.spki_der]);
    let enrolled = version.enrolment.spki.sha256();
    if found != enrolled {
        return Err(bad(format!(
            "the token's key at {uri} has fingerprint {found}, not {enrolled} of {id}; nothing is destroyed"
        )));
    }
    let status = call.daemon.tokens.status(token);
    let can_destroy = status.and_then(|status| status.says(|token| token.can_destroy));
    if can_destroy == Some(false) {
        return Err(bad(format!(
            "token {token} destroys no keys; its maker's tools may"
        )));
    }
    Ok(())
}

fn intent(caller: &Caller, enrolment: &Enrolment, reason: &str) -> KeyDestroyIntent {
    KeyDestroyIntent {
        key: enrolment.key.clone(),
        token: enrolment.token.clone(),
        uri: enrolment.uri.clone(),
        spki_sha256: enrolment.spki.sha256(),
        reason: reason.to_owned(),
        by: actor(caller),
        warrant: Warrant::default(),
    }
}

/// A key that is not there any more was destroyed by an attempt whose answer was lost: it was there at the intent.
async fn destroy(call: &Call<'_>, caller: &Caller, enrolment: &Enrolment) -> Result<(), Refusal> {
    let deadline = Instant::now() + DEVICE_TIMEOUT;
    let what = (enrolment.uri.clone(), enrolment.spki.sha256());
    let tokens = &call.daemon.tokens;
    let done = tokens.destroy(&enrolment.token, &caller.principal.id, what, deadline);
    match done.await {
        Ok(()) => Ok(()),
        Err(CallError::Driver { error, .. }) if error.class == ErrorClass::KeyMissing => Ok(()),
        Err(error) => Err(operator_may_know(error)),
    }
}
