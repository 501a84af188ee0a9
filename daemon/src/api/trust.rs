//! `POST /v1/trust`: the tenant's next trust document, made from the state and signed by a key of the tenant.

use hyper::StatusCode;
use hyper::body::Incoming;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::name::{KeyName, KeyVersionId};
use sealwright_core::permit::{PermittedDocument, SpeechIntent, authorise_trust};
use sealwright_core::record::{Event, TrustPublished};
use sealwright_core::time::Timestamp;
use sealwright_core::trust::PAYLOAD_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::keys::{bad, managed_key};
use super::{Call, actor, read_json};
use crate::audit::writer::Claim;
use crate::authn::Caller;
use crate::http::{self, Answer};
use crate::own_words;
use crate::refusal::Refusal;
use crate::seal::Sealed;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publish {
    /// The key whose active version signs it.
    signed_by: String,
    /// Until when verifiers shall rely on it; without an end where absent.
    #[serde(default)]
    valid_until: Option<Timestamp>,
}

#[derive(Serialize)]
struct Published<'a> {
    serial: u64,
    signed_by: KeyVersionId,
    document_sha256: Sha256Digest,
    envelope: &'a RawValue,
}

pub(super) async fn post(call: &Call<'_>, body: Incoming) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let wanted: Publish = read_json(call, body).await?;
    let name = managed_key(call, &caller, &wanted.signed_by)?;
    let now = call.daemon.trusted_clock.now()?;
    if wanted.valid_until.is_some_and(|end| end <= now) {
        return Err(bad(format!("valid_until is not after now, which is {now}")));
    }
    call.daemon.can_sign()?;
    let (signed, published) = published(call, &caller, &name, wanted.valid_until).await?;
    let event = Event::TrustPublished(published.clone());
    let recorded = call.daemon.journal.record_with(signed, event).await?;
    let record = recorded.index();
    let released = recorded.release();
    let envelope = serde_json::from_slice(&released.bytes);
    let mut answer = http::json_with(
        StatusCode::CREATED,
        &Published {
            serial: published.serial,
            signed_by: published.signed_by,
            document_sha256: published.document_sha256,
            envelope: envelope.map_err(|e| Refusal::failed(Code::Internal, e.to_string()))?,
        },
    );
    http::set(&mut answer, http::RECORD, &record.to_string());
    Ok(answer)
}

/// The signed document, and the record that releases it.
async fn published(
    call: &Call<'_>,
    caller: &Caller,
    name: &KeyName,
    valid_until: Option<Timestamp>,
) -> Result<((Sealed, Claim), TrustPublished), Refusal> {
    let daemon = call.daemon;
    let intent = SpeechIntent {
        principal: &caller.principal,
        peer: caller.peer,
        token: caller.shown(),
        signed_by: name,
        now: daemon.trusted_clock.now()?,
        deadline: own_words::deadline(),
    };
    let policy = daemon.policy.current();
    let vkey = daemon.log_key.to_string();
    let PermittedDocument {
        permit,
        payload,
        serial,
        as_of,
    } = daemon
        .journal
        .with_state(|state| authorise_trust(state, &*policy, &intent, valid_until, &vkey))?;
    let signed_by = permit.key().clone();
    let claim = Claim::of(&permit);
    let sealed = own_words::signed(daemon, permit, PAYLOAD_TYPE, &payload).await?;
    let published = TrustPublished {
        serial,
        signed_by,
        as_of,
        document_sha256: Sha256Digest::of(&[&payload]),
        envelope_sha256: sealed.envelope_sha256(),
        valid_until,
        by: actor(caller),
    };
    Ok(((sealed, claim), published))
}
