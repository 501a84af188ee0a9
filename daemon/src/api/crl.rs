//! `POST /v1/keys/{tenant}/{label}/{version}/crl`: the next revocation list of the authority that certified a compromised
//! key, where that authority's key is enrolled here.

use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Incoming;
use sealwright_core::error::Code;
use sealwright_core::name::{KeyName, KeyVersionId};
use sealwright_core::permit::{CrlIntent, PermittedCrl, authorise_crl};
use sealwright_core::record::{CrlIssued, Event};
use sealwright_core::sign::ToBeSigned;
use sealwright_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::keys::{bad, managed_key};
use super::{Call, actor, read_json};
use crate::audit::writer::Claim;
use crate::authn::Caller;
use crate::http::{self, Answer};
use crate::own_words;
use crate::pipeline;
use crate::refusal::Refusal;

/// How long a list is good, where the caller does not say.
const VALIDITY: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The authority's key; whichever it is, where absent.
    #[serde(default)]
    ca: Option<String>,
    /// When there will be a newer list at the latest; in [`VALIDITY`], where absent.
    #[serde(default)]
    next_update: Option<Timestamp>,
}

#[derive(Serialize)]
struct Issued {
    issuer: KeyVersionId,
    number: u64,
    entries: u64,
    next_update: Timestamp,
    /// PEM.
    crl: String,
}

pub(super) async fn post(
    call: &Call<'_>,
    id: KeyVersionId,
    body: Incoming,
) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    managed_key(call, &caller, &id.key.to_string())?;
    let Wanted { ca, next_update } = read_json(call, body).await?;
    let ca = ca
        .map(|name| managed_key(call, &caller, &name))
        .transpose()?;
    let now = call.daemon.trusted_clock.now()?;
    let validity = i64::try_from(VALIDITY.as_millis()).unwrap_or_default();
    let usual = Timestamp::from_unix_millis(now.unix_millis().saturating_add(validity));
    let next_update = next_update.unwrap_or(usual);
    if next_update <= now {
        return Err(bad(format!("next_update is not after now, which is {now}")));
    }
    call.daemon.can_sign()?;
    let (crl, issued) = signed(call, &caller, &id, ca.as_ref(), next_update).await?;
    let event = Event::CrlIssued(issued.clone());
    let recorded = call.daemon.journal.record_with(crl, event).await?;
    let record = recorded.index();
    let answer = Issued {
        issuer: issued.issuer,
        number: issued.number,
        entries: issued.entries,
        next_update,
        crl: recorded.into_value(),
    };
    let mut answer = http::json_with(StatusCode::CREATED, &answer);
    http::set(&mut answer, http::RECORD, &record.to_string());
    Ok(answer)
}

/// The signed list in PEM, and the record that releases it.
async fn signed(
    call: &Call<'_>,
    caller: &Caller,
    revoked: &KeyVersionId,
    ca: Option<&KeyName>,
    next_update: Timestamp,
) -> Result<((String, Claim), CrlIssued), Refusal> {
    let daemon = call.daemon;
    let intent = CrlIntent {
        principal: &caller.principal,
        peer: caller.peer,
        token: caller.shown(),
        revoked,
        ca,
        next_update,
        now: daemon.trusted_clock.now()?,
        deadline: own_words::deadline(),
    };
    let policy = daemon.policy.current();
    let PermittedCrl {
        permit,
        crl,
        number,
        as_of,
    } = daemon
        .journal
        .with_state(|state| authorise_crl(state, &*policy, &intent))?;
    daemon.check_message_size(&permit, crl.der().len())?;
    let issued = CrlIssued {
        issuer: permit.key().clone(),
        number,
        as_of,
        entries: crl.len() as u64,
        next_update,
        tbs_sha256: crl.sha256(),
        by: actor(caller),
    };
    let claim = Claim::of(&permit);
    let unverified = daemon
        .tokens
        .sign(vec![ToBeSigned::crl(permit, &crl)?])
        .await?;
    let verified = pipeline::verify(daemon, unverified)?;
    let signature = verified
        .first()
        .map_or(&[][..], |signature| signature.encoded());
    let pem = crl.with_signature(signature);
    let pem = pem.map_err(|e| Refusal::failed(Code::Internal, e.to_string()))?;
    Ok(((pem, claim), issued))
}
