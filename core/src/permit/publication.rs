//! What the daemon says of keys itself. Each message is made here, from the state, and permitted in the same step:
//! whoever manages a key cannot have it say anything else about keys.

use std::time::Instant;

use super::{
    Action, Denial, Permit, PolicyEngine, Question, Resource, Shown, grant, signing_version,
};
use crate::dsse::Pae;
use crate::identity::{PeerCred, Principal};
use crate::name::{KeyName, KeyVersionId};
use crate::revocation;
use crate::state::State;
use crate::statement;
use crate::time::Timestamp;
use crate::trust::{Document, PAYLOAD_TYPE, Published};

/// Who wants the daemon to say something, and with which key.
#[derive(Debug, Clone, Copy)]
pub struct SpeechIntent<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// The process behind the socket.
    pub peer: PeerCred,
    /// The key that shall sign: its active version does.
    pub signed_by: &'a KeyName,
    /// The access token that came along.
    pub token: Shown<'a>,
    /// When.
    pub now: Timestamp,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// A trust document that may be signed.
#[derive(Debug)]
pub struct PermittedDocument {
    /// For its signature, and nothing else.
    pub permit: Permit,
    /// The document's text: the payload.
    pub payload: Vec<u8>,
    /// Its number.
    pub serial: u64,
    /// How many records it takes into account: nothing may have happened to a key after them when it is recorded.
    pub as_of: u64,
}

/// A revocation statement that may be signed.
#[derive(Debug)]
pub struct PermittedRevocation {
    /// For its signature, and nothing else.
    pub permit: Permit,
    /// The statement's text: the payload.
    pub payload: Vec<u8>,
    /// The record that it tells of: it must still be the newest finding when the statement is recorded.
    pub decided_index: u64,
}

/// Decides on the next trust document of the principal's tenant, and makes it. `vkey` is the log's key.
pub fn authorise_trust(
    state: &State,
    policy: &dyn PolicyEngine,
    intent: &SpeechIntent<'_>,
    valid_until: Option<Timestamp>,
    vkey: &str,
) -> Result<PermittedDocument, Denial> {
    let tenant = &intent.principal.tenant;
    let serial = state.next_trust_serial(tenant);
    let published = Published {
        tenant: tenant.clone(),
        serial,
        valid_until,
    };
    let document = Document::of_state(state, intent.now, published, vkey);
    let document = document.map_err(|e| Denial::Statement(e.to_string()))?;
    let text = document.to_json();
    let payload = text
        .map_err(|e| Denial::Statement(e.to_string()))?
        .into_bytes();
    let permit = permit(state, policy, intent, PAYLOAD_TYPE, &payload)?;
    Ok(PermittedDocument {
        permit,
        payload,
        serial,
        as_of: state.next_index(),
    })
}

/// Decides on the statement that `revoked`, which is compromised, is revoked, and makes it.
pub fn authorise_revocation(
    state: &State,
    policy: &dyn PolicyEngine,
    intent: &SpeechIntent<'_>,
    revoked: &KeyVersionId,
) -> Result<PermittedRevocation, Denial> {
    let not_possible = |e| Denial::NotPossible(Box::new(e));
    let compromised = state.compromised(revoked).map_err(not_possible)?;
    let (_, by) = signing_version(state, intent.principal, intent.signed_by)?;
    let log = state.genesis().map_or("", |genesis| &genesis.origin);
    let text = revocation::statement(log, compromised, &by.enrolment, intent.now);
    let text = text.map_err(|e| Denial::Statement(e.to_string()))?;
    Ok(PermittedRevocation {
        permit: permit(state, policy, intent, statement::PAYLOAD_TYPE, &text)?,
        payload: text,
        decided_index: compromised.1.decided_index,
    })
}

/// For one payload by the active version of the key; whoever asks has to manage it.
fn permit(
    state: &State,
    policy: &dyn PolicyEngine,
    intent: &SpeechIntent<'_>,
    payload_type: &str,
    payload: &[u8],
) -> Result<Permit, Denial> {
    let (key, version) = signing_version(state, intent.principal, intent.signed_by)?;
    let pae_sha256 = Pae {
        payload_type,
        payload,
    }
    .sha256();
    let question = Question {
        principal: intent.principal,
        peer: intent.peer,
        action: Action::ManageKey,
        resource: Resource::Key {
            name: intent.signed_by,
            purpose: version.enrolment.purpose,
        },
        sign: None,
        token: intent.token,
        now: intent.now,
    };
    grant(
        policy,
        &question,
        state.permit_index(&key, version),
        key,
        version,
        pae_sha256,
        intent.deadline,
    )
}
