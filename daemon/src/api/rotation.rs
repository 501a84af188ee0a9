//! `POST /v1/keys/{tenant}/{label}/rotate`: a successor takes over, named by the key it follows; at once, or with
//! `…/rotate/schedule` at a time. `…/rotate/cancel` takes that back.

use hyper::StatusCode;
use hyper::body::Incoming;
use sealwright_core::approval::Params;
use sealwright_core::error::Code;
use sealwright_core::key::KeyState;
use sealwright_core::name::{KeyName, KeyVersionId};
use sealwright_core::record::{Event, RotationCancelled, RotationScheduled, Warrant};
use sealwright_core::state::StateError;
use sealwright_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::gate::{Gate, Way};
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

pub(super) async fn post(
    call: &Call<'_>,
    name: &str,
    query: &str,
    body: Incoming,
) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let gate = Gate::read(query)?;
    let name = managed_key(call, &caller, name)?;
    let Rotate { to, reason } = read_json(call, body).await?;
    check_reason(&reason)?;
    let (from, to) = (active(call, &name)?, name.version(to));
    let warrant = match gate.pass(call, &caller, params(call, &from, &to)?).await? {
        Way::Open(warrant) => warrant,
        Way::Closed(answer) => return Ok(answer),
    };
    let rotation = Rotation {
        from: &from,
        to: &to,
        reason,
        principal: &caller.principal,
        by: actor(&caller),
        token: caller.shown(),
        warrant,
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
    query: &str,
    body: Incoming,
) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let gate = Gate::read(query)?;
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
        warrant: Warrant::default(),
    };
    let now = call.daemon.clock.now();
    call.daemon
        .journal
        .with_state(|state| state.check_schedule(&from, &scheduled.to, at, now))?;
    let event = Event::RotationScheduled(scheduled);
    let event = match gate.pass_event(call, &caller, event).await? {
        Way::Open(event) => event,
        Way::Closed(answer) => return Ok(answer),
    };
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

/// What approvers are asked for, if it is possible at all.
fn params(call: &Call<'_>, from: &KeyVersionId, to: &KeyVersionId) -> Result<Params, Refusal> {
    call.daemon.journal.with_state(|state| {
        state.check_rotation(from, to)?;
        Ok(Params::Rotate {
            from: state.signing_key(from)?,
            to: state.signing_key(to)?,
        })
    })
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
