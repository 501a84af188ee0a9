//! `POST /v1/keys/{tenant}/{label}/{version}/revocation`: another key of the tenant says that this one is revoked.
//!
//! A call of its own: that the key signs no more is decided and durable before any device is asked for a statement.

use hyper::StatusCode;
use hyper::body::Incoming;
use sealwright_core::error::Code;
use sealwright_core::key::KeyState;
use sealwright_core::name::{KeyName, KeyVersionId};
use sealwright_core::permit::{PermittedRevocation, SpeechIntent, authorise_revocation};
use sealwright_core::record::{Event, KeyRevocation};
use sealwright_core::statement::PAYLOAD_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::keys::managed_key;
use super::{Call, actor, read_json};
use crate::audit::writer::Claim;
use crate::authn::Caller;
use crate::http::{self, Answer};
use crate::own_words;
use crate::refusal::Refusal;
use crate::seal::Sealed;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The key whose active version signs; where absent, the active version of the revoked key's own name.
    #[serde(default)]
    signed_by: Option<String>,
}

#[derive(Serialize)]
struct Revocation<'a> {
    key: KeyVersionId,
    signed_by: KeyVersionId,
    statement: &'a RawValue,
}

pub(super) async fn post(
    call: &Call<'_>,
    id: KeyVersionId,
    body: Incoming,
) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    managed_key(call, &caller, &id.key.to_string())?;
    let Wanted { signed_by } = read_json(call, body).await?;
    let by = match signed_by {
        Some(name) => managed_key(call, &caller, &name)?,
        None => successor(call, &id.key)?,
    };
    call.daemon.can_sign()?;
    let (signed, revocation) = stated(call, &caller, &id, &by).await?;
    let signed_by = revocation.signed_by.clone();
    let event = Event::KeyRevocation(Box::new(revocation));
    let recorded = call.daemon.journal.record_with(signed, event).await?;
    let record = recorded.index();
    let released = recorded.release();
    let statement = serde_json::from_slice(&released.bytes);
    let mut answer = http::json_with(
        StatusCode::CREATED,
        &Revocation {
            key: id,
            signed_by,
            statement: statement.map_err(|e| Refusal::failed(Code::Internal, e.to_string()))?,
        },
    );
    http::set(&mut answer, http::RECORD, &record.to_string());
    Ok(answer)
}

/// The key itself, if another version of it is active by now.
fn successor(call: &Call<'_>, name: &KeyName) -> Result<KeyName, Refusal> {
    let is_active = call.daemon.journal.with_state(|state| {
        let signs = state.signing_version(name);
        signs.is_some_and(|(_, version)| version.state == KeyState::Active)
    });
    if is_active {
        return Ok(name.clone());
    }
    let detail = format!("no version of {name} is active: name another key in signed_by");
    Err(Refusal::bad_input(Code::KeyNotActive, detail))
}

/// The signed statement, and the record that releases it.
async fn stated(
    call: &Call<'_>,
    caller: &Caller,
    id: &KeyVersionId,
    by: &KeyName,
) -> Result<((Sealed, Claim), KeyRevocation), Refusal> {
    let daemon = call.daemon;
    let intent = SpeechIntent {
        principal: &caller.principal,
        peer: caller.peer,
        token: caller.shown(),
        signed_by: by,
        now: daemon.clock.now(),
        deadline: own_words::deadline(),
    };
    let policy = daemon.policy.current();
    let PermittedRevocation {
        permit,
        payload,
        decided_index,
    } = daemon
        .journal
        .with_state(|state| authorise_revocation(state, &*policy, &intent, id))?;
    let signed_by = permit.key().clone();
    let claim = Claim::of(&permit);
    let sealed = own_words::signed(daemon, permit, PAYLOAD_TYPE, &payload).await?;
    let revocation = KeyRevocation {
        key: id.clone(),
        decided_index,
        signed_by,
        statement: sealed.for_record(),
        by: actor(caller),
    };
    Ok(((sealed, claim), revocation))
}
