//! Certificate revocation lists: like everything that the daemon says itself, made in the step that permits them.

use std::time::Instant;

use super::{Action, Denial, Permit, PolicyEngine, Question, Resource, Shown, grant};
use crate::crl::{self, Edition, UnsignedCrl};
use crate::identity::{PeerCred, Principal};
use crate::name::{KeyName, KeyVersionId};
use crate::state::State;
use crate::time::Timestamp;

/// Who wants a list.
#[derive(Debug, Clone, Copy)]
pub struct CrlIntent<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// The process behind the socket.
    pub peer: PeerCred,
    /// A compromised version with a certificate: the list is its authority's.
    pub revoked: &'a KeyVersionId,
    /// The authority's key; whichever it is, where absent.
    pub ca: Option<&'a KeyName>,
    /// When there will be a newer list at the latest.
    pub next_update: Timestamp,
    /// The access token that came along.
    pub token: Shown<'a>,
    /// When.
    pub now: Timestamp,
    /// When the caller stops waiting.
    pub deadline: Instant,
}

/// A list that may be signed.
#[derive(Debug)]
pub struct PermittedCrl {
    /// For its signature, and nothing else.
    pub permit: Permit,
    /// The list.
    pub crl: UnsignedCrl,
    /// Its number.
    pub number: u64,
    /// How many records it takes into account: nothing may have happened to a key after them when it is recorded.
    pub as_of: u64,
}

/// Decides on the next list of the authority that issued the certificate of a compromised version, and makes it.
pub fn authorise_crl(
    state: &State,
    policy: &dyn PolicyEngine,
    intent: &CrlIntent<'_>,
) -> Result<PermittedCrl, Denial> {
    let refused = |e| Denial::Crl(Box::new(e));
    state
        .check_thawed(intent.revoked.key.tenant())
        .map_err(|e| Denial::Frozen(Box::new(e)))?;
    let compromised = state.compromised(intent.revoked);
    let (enrolment, _) = compromised.map_err(|e| Denial::NotPossible(Box::new(e)))?;
    let issuer = crl::issuer_of(state, intent.revoked, enrolment, intent.ca);
    let (id, authority, certificate) = issuer.map_err(refused)?;
    let number = state.next_crl_number(&id.key, intent.now);
    let edition = Edition {
        number,
        this_update: intent.now,
        next_update: intent.next_update,
    };
    let crl = crl::make(state, &id, authority, &certificate, edition).map_err(refused)?;
    let question = Question {
        principal: intent.principal,
        peer: intent.peer,
        action: Action::ManageKey,
        resource: Resource::Key {
            name: &id.key,
            purpose: authority.enrolment.purpose,
        },
        sign: None,
        token: intent.token,
        now: intent.now,
    };
    let permit = grant(
        policy,
        &question,
        state.permit_index(&id, authority),
        id.clone(),
        authority,
        crl.sha256(),
        intent.deadline,
    )?;
    Ok(PermittedCrl {
        permit,
        crl,
        number,
        as_of: state.next_index(),
    })
}
