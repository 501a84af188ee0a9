//! Dual control: asking for approvals, and judging those that are brought.
//!
//! Everything is decided by the fold ([`sealwright_core::state::approvals`]), here before a device is asked, and once
//! more by the journal's writer when it takes in what was approved.

use rustls::pki_types::CertificateDer;
use sealwright_core::approval::{
    ApprovalError, ApprovalFile, NONCE_LEN, Params, Request, Requester, Verdict,
};
use sealwright_core::error::Code;
use sealwright_core::record::{Actor, ApprovalGiven, ApprovalRequested, Event};
use sealwright_core::state::State;
use sealwright_core::state::approvals::Status;
use sealwright_core::time::Timestamp;

use crate::authn::Caller;
use crate::daemon::Daemon;
use crate::refusal::Refusal;

/// The index of the request for `needed` approvals of `params` by `caller`: one that waits already, or a new one.
pub async fn ask(
    daemon: &Daemon,
    caller: &Caller,
    params: Params,
    needed: u32,
) -> Result<u64, Refusal> {
    // A key is revoked whatever the clock does, and only this ends the doubt; everything else waits until it is believed.
    if !matches!(
        params,
        Params::Compromise { .. } | Params::AcceptClock { .. }
    ) {
        daemon.trusted_clock.now()?;
    }
    let now = daemon.record_time();
    let waiting = |state: &State| {
        let mut same = state.operations().filter(|(_, one)| {
            one.used_by.is_none()
                && one.is_open(now)
                && one.request.requester.principal == caller.principal.id
                && one.request.params == params
                && one.request.approvals >= needed
        });
        same.next().map(|(index, _)| index)
    };
    if let Some(index) = daemon.journal.with_state(waiting) {
        return Ok(index);
    }
    daemon.can_record()?;
    let mut nonce = [0; NONCE_LEN];
    aws_lc_rs::rand::fill(&mut nonce)
        .map_err(|_| Refusal::failed(Code::Internal, "the kernel gave no randomness"))?;
    let requester = Requester {
        principal: caller.principal.id.clone(),
        spki_sha256: caller.spki_sha256,
    };
    let request = Request::new(
        daemon.log_key.name(),
        nonce,
        caller.principal.tenant.clone(),
        requester,
        (now, expiry(daemon, now)),
        (needed, params),
    );
    let requested = ApprovalRequested {
        tenant: request.tenant.clone(),
        request: request.to_text(),
        by: actor(caller),
    };
    let event = Event::ApprovalRequested(requested);
    Ok(daemon.journal.record(event).await?.index())
}

fn expiry(daemon: &Daemon, now: Timestamp) -> Timestamp {
    let open = daemon.config.dual_control.expires().as_millis();
    let open = i64::try_from(open).unwrap_or(i64::MAX);
    Timestamp::from_unix_millis(now.unix_millis().saturating_add(open))
}

/// Takes in the approval that `caller` brings for the operation at `index`; the index of its record.
pub async fn take(
    daemon: &Daemon,
    caller: &Caller,
    index: u64,
    text: &str,
) -> Result<u64, Refusal> {
    let invalid = |e: String| Refusal::from(ApprovalError::Invalid(e));
    let file = ApprovalFile::verify(text.as_bytes()).map_err(|e| invalid(e.to_string()))?;
    let now = daemon.record_time();
    daemon
        .journal
        .with_state(|state| state.check_approval(index, &file, now))?;
    check_approver(daemon, caller, &file)?;
    daemon.can_record()?;
    let given = ApprovalGiven {
        tenant: caller.principal.tenant.clone(),
        request: index,
        approver: file.predicate.approver,
        approver_spki_sha256: file.spki_sha256,
        approval: text.to_owned(),
        by: actor(caller),
    };
    let event = match file.predicate.verdict {
        Verdict::Granted => Event::ApprovalGranted(given),
        Verdict::Denied => Event::ApprovalDenied(given),
    };
    Ok(daemon.journal.record(event).await?.index())
}

/// The certificate is good now in its trust domain, and the directory knows its holder as an approver of the tenant.
fn check_approver(daemon: &Daemon, caller: &Caller, file: &ApprovalFile) -> Result<(), Refusal> {
    let invalid = |e: String| Refusal::from(ApprovalError::Invalid(e));
    let now = daemon.clock.now();
    let certificates = file.certificates.iter().cloned();
    let chain: Vec<_> = certificates.map(CertificateDer::from).collect();
    let identity = daemon.tls.identify(&chain, now).map_err(|e| {
        invalid(format!(
            "the certificate of {}: {e}",
            file.predicate.approver
        ))
    })?;
    let tenant = &caller.principal.tenant;
    let is_denied = daemon.deny.current().contains(&file.spki_sha256);
    if is_denied || !daemon.directory.is_approver(&identity, tenant, now) {
        let approver = file.predicate.approver.clone();
        return Err(ApprovalError::NotAnApprover { approver }.into());
    }
    Ok(())
}

/// Operations of all tenants that stand so.
pub fn count(daemon: &Daemon, status: Status) -> usize {
    let now = daemon.record_time();
    daemon.journal.with_state(|state| {
        let all = state.operations();
        all.filter(|(_, one)| one.status(now) == status).count()
    })
}

fn actor(caller: &Caller) -> Actor {
    Actor {
        principal: caller.principal.id.clone(),
        peer: caller.peer,
    }
}
