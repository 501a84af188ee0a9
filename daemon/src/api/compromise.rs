//! `POST /v1/keys/{tenant}/{label}/{version}/compromise`: the key may be in other hands. There is no way back.

use hyper::StatusCode;
use hyper::body::Incoming;
use sealwright_core::approval::Params;
use sealwright_core::name::KeyVersionId;
use sealwright_core::record::{Event, KeyCompromised, Warrant};
use sealwright_core::time::Timestamp;
use serde::Deserialize;

use super::gate::{Gate, Way};
use super::keys::{key_answer, managed_key};
use super::{Call, actor, check_reason, read_json};
use crate::authn::Caller;
use crate::http::Answer;
use crate::refusal::Refusal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Compromise {
    /// Since when its signatures are not to be trusted by themselves; now, where none is given.
    #[serde(default)]
    effective_time: Option<Timestamp>,
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
    let Compromise {
        effective_time,
        reason,
    } = read_json(call, body).await?;
    check_reason(&reason)?;
    // A time that the operator names is as good as ever: a key is revoked whatever the clock does.
    let asked = || asked_before(call, &caller, &id, &reason);
    let effective_time = match effective_time.or_else(asked) {
        Some(time) => time,
        None => call.daemon.trusted_clock.now()?,
    };
    let compromised = KeyCompromised {
        key: id.clone(),
        effective_time,
        reason,
        by: actor(&caller),
        warrant: Warrant::default(),
    };
    let now = call.daemon.record_time();
    call.daemon
        .journal
        .with_state(|state| state.check_compromise(&id, compromised.effective_time, now))?;
    let event = Event::KeyCompromised(compromised);
    let event = match gate.pass_event(call, &caller, event).await? {
        Way::Open(event) => event,
        Way::Closed(answer) => return Ok(answer),
    };
    let recorded = call.daemon.journal.record(event).await?;
    key_answer(call, &id, StatusCode::OK, recorded.index())
}

/// "Now" stays the moment of the request while it waits for approvals.
fn asked_before(
    call: &Call<'_>,
    caller: &Caller,
    id: &KeyVersionId,
    reason: &str,
) -> Option<Timestamp> {
    let now = call.daemon.record_time();
    call.daemon.journal.with_state(|state| {
        let mut waiting = state.operations().filter(|(_, one)| {
            one.is_open(now) && one.request.requester.principal == caller.principal.id
        });
        waiting.find_map(|(_, one)| match &one.request.params {
            Params::Compromise {
                key,
                effective_time,
                reason: why,
            } if key.key == *id && why == reason => Some(*effective_time),
            _ => None,
        })
    })
}
