//! From permits to a sealed envelope: the only part that has a device used.

use sealwright_core::permit::Permit;
use sealwright_core::record::{Event, SignIntended, SignRecord};
use sealwright_core::sign::{ToBeSigned, Unverified, VerifiedSignature};

use super::payload::{Inspected, LARGE, Received};
use crate::audit::writer::Claim;
use crate::daemon::Daemon;
use crate::receipts;
use crate::refusal::Refusal;
use crate::seal::{Sealed, seal};

pub(super) fn prepare(
    daemon: &Daemon,
    permits: Vec<Permit>,
    inspected: &Inspected,
) -> Result<Vec<ToBeSigned>, Refusal> {
    daemon.failpoints.reach("prepare");
    let pae = inspected.received.pae();
    let prepared = permits.into_iter().map(|permit| {
        daemon.check_message_size(&permit, pae.prefix().len() + pae.payload.len())?;
        Ok(ToBeSigned::dsse(permit, &pae, inspected.pae_sha256)?)
    });
    prepared.collect()
}

/// Before a device is used for what is signed once: reserves the names, so that no second signature for them is made
/// meanwhile. If we crash after it, the next start says that the device may hold one.
pub(super) async fn intend(
    daemon: &Daemon,
    claims: &[Claim],
    draft: &mut SignRecord,
) -> Result<(), Refusal> {
    if !draft.once {
        return Ok(());
    }
    let intended = SignIntended {
        request_id: draft.request_id.clone(),
        tenant: draft.tenant.clone(),
        principal: draft.principal.clone(),
        peer: draft.peer,
        keys: claims.iter().map(|claim| claim.key.clone()).collect(),
        pae_sha256: draft.pae_sha256.unwrap_or_default(),
        subjects: draft.subjects.clone(),
        amends: draft.amends,
        policy_digest: draft.policy_digest,
        config_digest: draft.config_digest,
    };
    let event = Event::SignIntended(Box::new(intended));
    draft.intent = Some(daemon.journal.record(event).await?.index());
    Ok(())
}

pub(super) async fn sign_on_token(
    daemon: &Daemon,
    to_be_signed: Vec<ToBeSigned>,
) -> Result<Vec<Unverified>, Refusal> {
    daemon.failpoints.reach("sign");
    Ok(daemon.tokens.sign(to_be_signed).await?)
}

/// Each by its enrolled key; the first that does not verify is told with the token to suspect.
pub(crate) fn verify(
    daemon: &Daemon,
    unverified: Vec<Unverified>,
) -> Result<Vec<VerifiedSignature>, Refusal> {
    daemon.failpoints.reach("verify");
    let verified = unverified.into_iter().map(|signature| {
        signature
            .verify(&daemon.verifier)
            .map_err(|(bad, permit)| Refusal::bad_signature(permit.token(), &bad))
    });
    verified.collect()
}

pub(super) fn seal_envelope(
    daemon: &Daemon,
    verified: Vec<VerifiedSignature>,
    inspected: &Inspected,
) -> Sealed {
    daemon.failpoints.reach("seal");
    let Received {
        payload_type,
        payload,
        format,
        ..
    } = &inspected.received;
    let run = || seal(&verified, payload_type, payload.bytes(), *format);
    if payload.bytes().len() > LARGE {
        tokio::task::block_in_place(run)
    } else {
        run()
    }
}

/// A receipt's statement is on disk before the record that names it, and the record has its signature: whatever we crash
/// between, a recorded receipt can be shown.
pub(super) async fn keep_statement(
    daemon: &Daemon,
    sealed: &Sealed,
    inspected: &Inspected,
    draft: &mut SignRecord,
) -> Result<(), Refusal> {
    let Some(receipt) = &mut draft.receipt else {
        return Ok(());
    };
    receipt.signature = sealed.signature_for_record();
    receipts::keep(daemon, &draft.tenant, inspected.received.payload.bytes()).await
}
