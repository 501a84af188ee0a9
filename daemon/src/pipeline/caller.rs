//! Who asks, and whether that may be asked for at all: before a byte of the body is read.

use sealwright_core::error::Code;
use sealwright_core::name::KeyName;
use sealwright_core::permit;
use sealwright_core::record::{Outcome, SignRecord};

use super::SignCall;
use crate::authn::{Caller, Peer};
use crate::daemon::Daemon;
use crate::refusal::Refusal;

pub(super) fn draft(daemon: &Daemon, peer: &Peer, request_id: &str) -> SignRecord {
    SignRecord {
        outcome: Outcome::Failed,
        code: None,
        reason: None,
        request_id: request_id.to_owned(),
        tenant: peer.identity.tenant.clone(),
        principal: String::new(),
        peer: peer.cred,
        key: None,
        key_version: None,
        spki_sha256: None,
        evidence_sha256: None,
        scheme: None,
        further_keys: Vec::new(),
        payload_type: None,
        predicate_type: None,
        payload_sha256: None,
        pae_sha256: None,
        envelope_sha256: None,
        signature_sha256: Vec::new(),
        subjects: Vec::new(),
        subject_count: None,
        subjects_sha256: None,
        idempotency_sha256: None,
        retry_of: None,
        once: false,
        intent: None,
        amends: None,
        approval: None,
        receipt: None,
        token: None,
        policy_digest: daemon.policy.current().digest(),
        config_digest: daemon.config_digest(),
    }
}

pub(super) fn authenticate(
    daemon: &Daemon,
    peer: &Peer,
    draft: &mut SignRecord,
) -> Result<Caller, Refusal> {
    if let Ok(identity) = &peer.identity.identity {
        draft.principal = identity.to_string();
    }
    let caller = daemon.authenticate(peer)?;
    draft.tenant = caller.principal.tenant.clone();
    Ok(caller)
}

/// A caller that may use these keys at all, with a body still unread.
pub(super) struct Admitted {
    pub(super) caller: Caller,
    pub(super) keys: Vec<KeyName>,
    pub(super) call: SignCall,
}

/// Principal × key × action, and whether a record could be written: asked before a byte of the body is read.
pub(super) fn admit(
    daemon: &Daemon,
    caller: Caller,
    call: SignCall,
    draft: &mut SignRecord,
) -> Result<Admitted, Refusal> {
    daemon.failpoints.reach("admit");
    draft.payload_type = Some(call.payload_type.clone());
    draft.idempotency_sha256 = call.idempotency;
    let mut keys = Vec::with_capacity(call.keys.len());
    for text in &call.keys {
        let key = KeyName::parse_in(&caller.principal.tenant, text)
            .map_err(|e| Refusal::bad_input(Code::InvalidRequest, e.to_string()))?;
        draft.key.get_or_insert_with(|| key.clone());
        if keys.contains(&key) {
            return Err(Refusal::bad_input(
                Code::InvalidRequest,
                format!("key {key} is named twice"),
            ));
        }
        keys.push(key);
    }
    daemon.can_sign()?;
    let (policy, action) = (daemon.policy.current(), call.asked.action());
    for key in &keys {
        daemon
            .journal
            .with_state(|state| permit::admit(state, &*policy, &caller.principal, action, key))?;
    }
    Ok(Admitted { caller, keys, call })
}

/// The same with the access token that it showed, once that is bound to the caller: the body is still unread, and the
/// token's issuer has spoken before policy does.
pub(super) async fn bind_token(
    daemon: &Daemon,
    peer: &Peer,
    admitted: Admitted,
    draft: &mut SignRecord,
) -> Result<Admitted, Refusal> {
    daemon.failpoints.reach("bind-token");
    let Admitted {
        caller,
        keys,
        mut call,
    } = admitted;
    let shown = call.shown.take();
    let caller = daemon
        .bind_token(caller, peer, shown, &mut draft.token)
        .await?;
    Ok(Admitted { caller, keys, call })
}
