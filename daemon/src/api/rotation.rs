//! `POST /v1/keys/{tenant}/{label}/rotate`: a successor takes over, named by the key it follows.
//!
//! One record deactivates the old version and activates the new one. A crash before it leaves the old one
//! active and the successor waiting; the call is then repeated.

use std::time::{Duration, Instant};

use hyper::body::Incoming;
use sealwright_core::dsse::Pae;
use sealwright_core::error::Code;
use sealwright_core::key::KeyState;
use sealwright_core::name::{KeyName, KeyVersionId};
use sealwright_core::permit::{RotationIntent, authorise_rotation};
use sealwright_core::record::{Event, KeyRotated};
use sealwright_core::sign::ToBeSigned;
use sealwright_core::statement::PAYLOAD_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::keys::{KeyView, managed_key, view_of};
use super::{Call, actor, check_reason, read_json};
use crate::authn::Caller;
use crate::http::{self, Answer};
use crate::pipeline;
use crate::refusal::Refusal;
use crate::seal::{Format, Sealed, seal};

/// How long the old key's device may take for the succession statement.
const DEVICE_TIMEOUT: Duration = Duration::from_secs(30);

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
    call.daemon.can_sign()?;
    let (from, to) = (active(call, &name)?, name.version(to));
    let sealed = succession(call, &caller, &from, &to).await?;
    let rotated = KeyRotated {
        from: from.clone(),
        to: to.clone(),
        succession: sealed.for_record(),
        reason,
        by: actor(&caller),
    };
    let event = Event::KeyRotated(Box::new(rotated));
    let recorded = call.daemon.journal.record_with(sealed, event).await?;
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

/// The statement, signed by `from` and verified.
async fn succession(
    call: &Call<'_>,
    caller: &Caller,
    from: &KeyVersionId,
    to: &KeyVersionId,
) -> Result<Sealed, Refusal> {
    let daemon = call.daemon;
    let intent = RotationIntent {
        principal: &caller.principal,
        peer: caller.peer,
        from,
        to,
        now: daemon.clock.now(),
        deadline: Instant::now() + DEVICE_TIMEOUT,
    };
    let policy = daemon.policy.current();
    let (permit, statement) = daemon
        .journal
        .with_state(|state| authorise_rotation(state, &*policy, &intent))?;
    let pae = Pae {
        payload_type: PAYLOAD_TYPE,
        payload: &statement,
    };
    let pae_sha256 = permit.message_sha256();
    let to_be_signed = ToBeSigned::dsse(permit, &pae, pae_sha256)?;
    let unverified = daemon.tokens.sign(vec![to_be_signed]).await?;
    let verified = pipeline::verify(daemon, unverified)?;
    Ok(seal(&verified, PAYLOAD_TYPE, &statement, Format::Dsse))
}
