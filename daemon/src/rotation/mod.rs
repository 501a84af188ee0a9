//! Rotation: the step itself, for the endpoint and for what was put off to a time; and what is due.
//!
//! One record deactivates the old version and activates the new one. A crash before it leaves the old one
//! active and the successor waiting; the step is then repeated.

pub mod alerts;
pub mod schedule;

use sealwright_core::identity::Principal;
use sealwright_core::name::KeyVersionId;
use sealwright_core::permit::{RotationIntent, Shown, authorise_rotation};
use sealwright_core::record::{Actor, Event, KeyRotated, Warrant};
use sealwright_core::statement::PAYLOAD_TYPE;

use crate::audit::writer::{Claim, Recorded};
use crate::daemon::Daemon;
use crate::own_words;
use crate::refusal::Refusal;
use crate::seal::Sealed;

/// A rotation to be done now.
pub struct Rotation<'a> {
    /// The version that signs.
    pub from: &'a KeyVersionId,
    /// Its successor, enrolled and not active yet.
    pub to: &'a KeyVersionId,
    /// Why.
    pub reason: String,
    /// In whose name: policy is asked about him, now.
    pub principal: &'a Principal,
    /// The same with the process behind him, for the record.
    pub by: Actor,
    /// The access token that he showed, now or when he scheduled it.
    pub token: Shown<'a>,
    /// By which approvals.
    pub warrant: Warrant,
}

/// Lets the successor take over; what is recorded is the succession statement.
pub async fn rotate(daemon: &Daemon, rotation: Rotation<'_>) -> Result<Recorded<Sealed>, Refusal> {
    daemon.can_sign()?;
    let (sealed, claim) = succession(daemon, &rotation).await?;
    daemon.failpoints.reach("rotate-record");
    let rotated = KeyRotated {
        from: rotation.from.clone(),
        to: rotation.to.clone(),
        succession: sealed.for_record(),
        reason: rotation.reason,
        by: rotation.by,
        warrant: rotation.warrant,
    };
    let event = Event::KeyRotated(Box::new(rotated));
    let recorded = daemon.journal.record_with((sealed, claim), event).await?;
    daemon.failpoints.reach("rotate-respond");
    Ok(recorded)
}

/// The statement, signed by the old version and verified.
async fn succession(daemon: &Daemon, rotation: &Rotation<'_>) -> Result<(Sealed, Claim), Refusal> {
    let intent = RotationIntent {
        principal: rotation.principal,
        peer: rotation.by.peer,
        token: rotation.token,
        from: rotation.from,
        to: rotation.to,
        now: daemon.clock.now(),
        deadline: own_words::deadline(),
    };
    let policy = daemon.policy.current();
    let (permit, statement) = daemon
        .journal
        .with_state(|state| authorise_rotation(state, &*policy, &intent))?;
    daemon.failpoints.reach("rotate-sign");
    let claim = Claim::of(&permit);
    let sealed = own_words::signed(daemon, permit, PAYLOAD_TYPE, &statement).await?;
    Ok((sealed, claim))
}
