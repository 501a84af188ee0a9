//! `POST /v1/keys/{tenant}/{label}/rotate`: a successor takes over, named by the key it follows; at once, or with
//! `…/rotate/schedule` at a time. `…/rotate/cancel` takes that back.

use hyper::StatusCode;
use hyper::body::Incoming;
use sealwright_core::error::Code;
use sealwright_core::key::KeyState;
use sealwright_core::name::{KeyName, KeyVersionId};
use sealwright_core::record::{Event, RotationCancelled, RotationScheduled};
use sealwright_core::state::StateError;
use sealwright_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::keys::{KeyView, key_answer, managed_key, view_of};
use super::{Call, actor, check_reason, read_json};
use crate::audit::writer::RecordError;
use crate::http::{self, Answer};
use crate::refusal::Refusal;
use crate::rotation::{Rotation, rotate};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotate {
    /// The successor's version, enrolled and not active yet.
    to: u32,
    #[serde(default)]
    reason: String,
}

#[derive(Serialize)]
struct Rotated<'a> {
    from: KeyVersionId,
    to: KeyView,
    succession: &'a RawValue,
}

pub(super) async fn post(call: &Call<'_>, name: &str, body: Incoming) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let name = managed_key(call, &caller, name)?;
    let Rotate { to, reason } = read_json(call, body).await?;
    check_reason(&reason)?;
    let (from, to) = (active(call, &name)?, name.version(to));
    let rotation = Rotation {
        from: &from,
        to: &to,
        reason,
        principal: &caller.principal,
        by: actor(&caller),
    };
    let recorded = rotate(call.daemon, rotation).await?;
    let record = recorded.index();
    let released = recorded.release();
    let succession = serde_json::from_slice(&released.bytes);
    let mut answer = http::json(&Rotated {
        from,
        to: view_of(call, &to)?,
        succession: succession.map_err(|e| Refusal::failed(Code::Internal, e.to_string()))?,
    });
    http::set(&mut answer, http::RECORD, &record.to_string());
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Schedule {
    to: u32,
    at: Timestamp,
    #[serde(default)]
    reason: String,
}

pub(super) async fn schedule(
    call: &Call<'_>,
    name: &str,
    body: Incoming,
) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let name = managed_key(call, &caller, name)?;
    let Schedule { to, at, reason } = read_json(call, body).await?;
    check_reason(&reason)?;
    call.daemon.trusted_clock.now()?;
    let from = active(call, &name)?;
    let scheduled = RotationScheduled {
        from: from.clone(),
        to: name.version(to),
        at,
        reason,
        by: actor(&caller),
    };
    let event = Event::RotationScheduled(scheduled);
    let recorded = call.daemon.journal.record(event).await?;
    key_answer(call, &from, StatusCode::OK, recorded.index())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancel {
    #[serde(default)]
    reason: String,
}

pub(super) async fn cancel(call: &Call<'_>, name: &str, body: Incoming) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let name = managed_key(call, &caller, name)?;
    let Cancel { reason } = read_json(call, body).await?;
    check_reason(&reason)?;
    let from = call.daemon.journal.with_state(|state| {
        let ahead = state.schedule_of(&name);
        ahead.map(|schedule| schedule.rotation.from.clone())
    });
    let from = from.ok_or_else(|| RecordError::State(StateError::NotScheduled(name.clone())))?;
    let cancelled = RotationCancelled {
        key: name,
        reason,
        by: actor(&caller),
    };
    let event = Event::RotationCancelled(cancelled);
    let recorded = call.daemon.journal.record(event).await?;
    key_answer(call, &from, StatusCode::OK, recorded.index())
}

fn active(call: &Call<'_>, name: &KeyName) -> Result<KeyVersionId, Refusal> {
    let found = call.daemon.journal.with_state(|state| {
        let (number, version) = state.signing_version(name)?;
        (version.state == KeyState::Active).then(|| name.version(number))
    });
    found.ok_or_else(|| {
        let detail = format!("no version of {name} is active; activate one instead");
        Refusal::bad_input(Code::KeyNotActive, detail)
    })
}
