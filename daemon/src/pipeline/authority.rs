//! Permits, and the approvals that policy asks for beside them.

use sealwright_core::approval::{ApprovalError, Params, SigningKey};
use sealwright_core::error::Code;
use sealwright_core::permit::{self, Permit, SignIntent};
use sealwright_core::record::SignRecord;
use sealwright_core::state::{State, StateError};

use super::payload::{Inspected, Received};
use crate::approvals;
use crate::daemon::Daemon;
use crate::refusal::Refusal;
use crate::seal::Format;

pub(super) fn authorise(
    daemon: &Daemon,
    inspected: &Inspected,
    draft: &mut SignRecord,
) -> Result<Vec<Permit>, Refusal> {
    daemon.failpoints.reach("authorise");
    let policy = daemon.policy.current();
    draft.policy_digest = policy.digest();
    draft.intent = None;
    let now = daemon.clock.now();
    let mut permits = Vec::with_capacity(inspected.received.keys.len());
    let received = &inspected.received;
    for key in &received.keys {
        let intent = SignIntent {
            principal: &received.caller.principal,
            peer: received.caller.peer,
            key,
            facts: inspected.facts(),
            pae_sha256: inspected.pae_sha256,
            token: received.caller.shown(),
            now,
            deadline: received.deadline,
        };
        permits.push(
            daemon
                .journal
                .with_state(|state| permit::authorise(state, &*policy, &intent))?,
        );
    }
    if let Some(first) = permits.first() {
        draft.key_version = Some(first.key().version);
        draft.spki_sha256 = Some(first.spki().sha256());
        draft.evidence_sha256 = first.evidence_sha256();
        draft.scheme = Some(first.scheme());
    }
    draft.once = permits.iter().any(|permit| permit.demands().once);
    check_format(received.format, &permits)?;
    // Looked at once more where it is recorded; here it spares the device.
    let place = |state: &State| state.check_receipt(draft);
    daemon.journal.with_state(place).map_err(StateError::from)?;
    Ok(permits)
}

/// A bundle says to every Sigstore client that it holds a plain signature. Asked before anybody approves or touches.
fn check_format(format: Format, permits: &[Permit]) -> Result<(), Refusal> {
    let mut permits = permits.iter();
    let assertion = permits.find(|permit| permit.scheme().assertion().is_some());
    match (format, assertion) {
        (Format::Bundle, Some(permit)) => {
            let detail = format!(
                "{} is a FIDO2 key: it signs authenticator data around the message ({}), and no Sigstore or cosign client accepts that; take format=dsse, and verify with `sealwright verify --scheme {}`",
                permit.key(),
                permit.scheme(),
                permit.scheme()
            );
            Err(Refusal::bad_input(Code::SchemeNotInBundles, detail))
        }
        _ => Ok(()),
    }
}

/// Where policy asks for approvals, the operation has them, or the caller is told which one to wait for. What they were used for
/// already may be answered once more under its Idempotency-Key, and not be signed again: that is what comes back then.
pub(super) async fn pass_approvals(
    daemon: &Daemon,
    inspected: &Inspected,
    permits: &[Permit],
    draft: &mut SignRecord,
) -> Result<Option<ApprovalError>, Refusal> {
    let needed = permits.iter().map(|permit| permit.demands().approvals);
    let needed = needed.max().unwrap_or(0);
    if needed == 0 {
        return Ok(None);
    }
    let Received {
        caller, operation, ..
    } = &inspected.received;
    let params = params(inspected, permits, draft);
    let Some(index) = *operation else {
        let asked = approvals::ask(daemon, caller, params, needed).await?;
        return Err(Refusal::waits(asked));
    };
    let (what, now) = (
        (&params, caller.principal.id.as_str()),
        daemon.record_time(),
    );
    let checked = daemon
        .journal
        .with_state(|state| state.check_use(index, what, needed, now));
    let used = match checked {
        Err(used @ ApprovalError::Used { .. }) if draft.idempotency_sha256.is_some() => {
            Ok(Some(used))
        }
        checked => checked.map(|()| None),
    };
    draft.approval = used.is_ok().then_some(index);
    Ok(used?)
}

fn params(inspected: &Inspected, permits: &[Permit], draft: &SignRecord) -> Params {
    let keys = permits.iter().map(|permit| SigningKey {
        key: permit.key().clone(),
        spki_sha256: permit.spki().sha256(),
    });
    Params::Sign {
        keys: keys.collect(),
        payload_type: inspected.received.payload_type.clone(),
        payload_sha256: draft.payload_sha256.unwrap_or_default(),
        pae_sha256: inspected.pae_sha256,
    }
}
