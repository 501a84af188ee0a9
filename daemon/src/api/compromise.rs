//! `POST /v1/keys/{tenant}/{label}/{version}/compromise`: the key may be in other hands. There is no way back.

use hyper::StatusCode;
use hyper::body::Incoming;
use sealwright_core::name::KeyVersionId;
use sealwright_core::record::{Event, KeyCompromised};
use sealwright_core::time::Timestamp;
use serde::Deserialize;

use super::keys::{key_answer, managed_key};
use super::{Call, actor, check_reason, read_json};
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
    body: Incoming,
) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    managed_key(call, &caller, &id.key.to_string())?;
    let Compromise {
        effective_time,
        reason,
    } = read_json(call, body).await?;
    check_reason(&reason)?;
    // A time that the operator names is as good as ever: a key is revoked whatever the clock does.
    let effective_time = match effective_time {
        Some(time) => time,
        None => call.daemon.trusted_clock.now()?,
    };
    let compromised = KeyCompromised {
        key: id.clone(),
        effective_time,
        reason,
        by: actor(&caller),
    };
    let event = Event::KeyCompromised(compromised);
    let recorded = call.daemon.journal.record(event).await?;
    key_answer(call, &id, StatusCode::OK, recorded.index())
}
