//! The way of a signing request, from socket to response.
//!
//! Each stage consumes what the stage before it made. There is no other way to an answer: a device is asked
//! only with a [`Permit`], an envelope is sealed only from verified signatures, and [`respond`] takes nothing
//! but what is durably [`Recorded`].

use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::body::Incoming;
use sealwright_core::approval::{ApprovalError, Params, SigningKey};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::dsse::Pae;
use sealwright_core::error::Code;
use sealwright_core::key::KeyState;
use sealwright_core::name::KeyName;
use sealwright_core::permit::{self, Action, Permit, SignFacts, SignIntent};
use sealwright_core::receipt::ReceiptId;
use sealwright_core::record::{Event, INLINE_SUBJECTS_MAX, Outcome, SignIntended, SignRecord};
use sealwright_core::sign::{ToBeSigned, Unverified, VerifiedSignature};
use sealwright_core::state::{State, StateError};
use sealwright_core::statement::{self, Accept, Predicate, StatementSummary};

use crate::api::operations;
use crate::approvals;
use crate::audit::writer::{Claim, Recorded};
use crate::authn::{Caller, Peer};
use crate::binding::{Address, Presented};
use crate::body::Payload;
use crate::daemon::Daemon;
use crate::http::{self, Answer};
use crate::log_proof;
use crate::receipts::{self, Composed};
use crate::refusal::Refusal;
use crate::retries::{Earlier, RetryKey};
use crate::seal::{Format, Released, Sealed, seal};

/// Keys in one envelope.
pub const KEYS_MAX: usize = 8;
/// Longest time a caller can ask for.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// Bodies above this are hashed and parsed off the async threads: it takes milliseconds.
const LARGE: usize = 64 << 10;

/// What the body of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The payload.
    Signature,
    /// A request for a receipt, of which the payload is made.
    Receipt,
}

impl Asked {
    fn action(self) -> Action {
        match self {
            Self::Signature => Action::Sign,
            Self::Receipt => Action::IssueReceipt,
        }
    }
}

/// A signing request as it came in, its head understood and its body unread.
pub struct SignCall {
    /// What for.
    pub asked: Asked,
    /// Keys as the caller named them, one to [`KEYS_MAX`].
    pub keys: Vec<String>,
    /// What to answer with.
    pub format: Format,
    /// Whether the answer waits for the proof that the record is in the log, and carries it.
    pub wants_proof: bool,
    /// DSSE payloadType.
    pub payload_type: String,
    /// SHA-256 of the Idempotency-Key.
    pub idempotency: Option<Sha256Digest>,
    /// The operation whose approvals it uses, where policy asks for some.
    pub operation: Option<u64>,
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// The access token that came along, and what its proof has to be about.
    pub shown: Option<(Presented, Address)>,
    /// The payload.
    pub body: Incoming,
}

impl SignCall {
    fn proof_by(&self) -> Option<Instant> {
        self.wants_proof.then_some(self.deadline)
    }
}

/// Signs, records and answers; whatever happens is in the journal before the caller hears of it.
///
/// A head that could not be read comes in as its refusal, so that it is recorded like any other.
pub async fn sign(
    daemon: &Daemon,
    peer: &Peer,
    call: Result<SignCall, Refusal>,
    request_id: &str,
) -> Answer {
    let begun = Instant::now();
    let mut draft = draft(daemon, peer, request_id);
    let proof_by = call.as_ref().ok().and_then(SignCall::proof_by);
    let ended = attempt(daemon, peer, call, &mut draft).await;
    observe(daemon, &draft, &ended, begun.elapsed());
    match ended {
        Ok(recorded) => respond(daemon, recorded, proof_by, &draft).await,
        Err(refusal) => refuse(daemon, draft, refusal).await,
    }
}

async fn attempt(
    daemon: &Daemon,
    peer: &Peer,
    call: Result<SignCall, Refusal>,
    draft: &mut SignRecord,
) -> Result<Recorded<Sealed>, Refusal> {
    let caller = authenticate(daemon, peer, draft)?;
    let admitted = admit(daemon, caller, call?, draft)?;
    let bound = bind_token(daemon, peer, admitted, draft).await?;
    let received = receive(daemon, bound).await?;
    let received = compose(daemon, received, draft)?;
    let inspected = inspect(daemon, received, draft)?;
    match release(daemon, &inspected, draft).await {
        // Its successor signs, and the caller never learns that the key was rotated meanwhile.
        Err(refusal) if was_rotated(daemon, &refusal, draft) => {
            release(daemon, &inspected, draft).await
        }
        result => result,
    }
}

/// From a payload that was looked at to an envelope that is recorded, with the keys that sign now.
async fn release(
    daemon: &Daemon,
    inspected: &Inspected,
    draft: &mut SignRecord,
) -> Result<Recorded<Sealed>, Refusal> {
    let permits = authorise(daemon, inspected, draft)?;
    let used = pass_approvals(daemon, inspected, &permits, draft).await?;
    let claims: Vec<Claim> = permits.iter().map(Claim::of).collect();
    let sealed = match daemon.earlier(&inspected.retry_key(&permits), draft)? {
        Earlier::Sealed(sealed) => sealed,
        Earlier::No(turn) => {
            if let Some(used) = used {
                draft.approval = None;
                return Err(used.into());
            }
            let to_be_signed = prepare(daemon, permits, inspected)?;
            intend(daemon, &claims, draft).await?;
            let unverified = sign_on_token(daemon, to_be_signed).await?;
            let verified = verify(daemon, unverified)?;
            let sealed = turn.keep(seal_envelope(daemon, verified, inspected));
            keep_statement(daemon, &sealed, inspected, draft).await?;
            sealed
        }
    };
    record(daemon, sealed, claims, draft).await
}

/// What monitoring sees of it. Several keys count for the kind of the first one's token.
fn observe(
    daemon: &Daemon,
    draft: &SignRecord,
    ended: &Result<Recorded<Sealed>, Refusal>,
    took: Duration,
) {
    let kind = daemon.token_kind(draft);
    let kind = kind.as_deref().unwrap_or("none");
    match ended {
        Ok(_) => {
            let further = draft.further_keys.iter().map(|used| &used.key);
            let keys = draft.key.iter().chain(further).map(ToString::to_string);
            daemon.metrics.released(kind, keys, took);
        }
        Err(refusal) => daemon.metrics.refused_to_sign(kind, refusal, took),
    }
}

/// Whether a signature was thrown away because another version of a key signs now.
fn was_rotated(daemon: &Daemon, refusal: &Refusal, draft: &SignRecord) -> bool {
    let used = draft.key.iter().zip(draft.key_version);
    let further = draft
        .further_keys
        .iter()
        .map(|used| (&used.key, used.key_version));
    refusal.code == Code::Discarded
        && used.chain(further).any(|(key, version)| {
            daemon.journal.with_state(|state| {
                let now = state.signing_version(key);
                now.is_some_and(|(number, now)| number != version && now.state == KeyState::Active)
            })
        })
}

fn draft(daemon: &Daemon, peer: &Peer, request_id: &str) -> SignRecord {
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

fn authenticate(daemon: &Daemon, peer: &Peer, draft: &mut SignRecord) -> Result<Caller, Refusal> {
    if let Ok(identity) = &peer.identity.identity {
        draft.principal = identity.to_string();
    }
    let caller = daemon.authenticate(peer)?;
    draft.tenant = caller.principal.tenant.clone();
    Ok(caller)
}

/// A caller that may use these keys at all, with a body still unread.
struct Admitted {
    caller: Caller,
    keys: Vec<KeyName>,
    call: SignCall,
}

/// Principal × key × action, and whether a record could be written: asked before a byte of the body is read.
fn admit(
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
async fn bind_token(
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

/// A caller with its whole body.
struct Received {
    asked: Asked,
    /// Where the payload was made of a request for a receipt.
    receipt: Option<Composed>,
    caller: Caller,
    keys: Vec<KeyName>,
    format: Format,
    payload_type: String,
    idempotency: Option<Sha256Digest>,
    operation: Option<u64>,
    deadline: Instant,
    payload: Payload,
}

async fn receive(daemon: &Daemon, admitted: Admitted) -> Result<Received, Refusal> {
    daemon.failpoints.reach("receive");
    let Admitted { caller, keys, call } = admitted;
    let SignCall {
        asked,
        format,
        payload_type,
        idempotency,
        operation,
        deadline,
        body,
        ..
    } = call;
    let payload = match asked {
        Asked::Signature => daemon.budget.read(body, &daemon.config.limits).await?,
        Asked::Receipt => daemon.budget.read(body, &receipts::limits(daemon)).await?,
    };
    Ok(Received {
        asked,
        receipt: None,
        caller,
        keys,
        format,
        payload_type,
        idempotency,
        operation,
        deadline,
        payload,
    })
}

impl Received {
    fn pae(&self) -> Pae<'_> {
        Pae {
            payload_type: &self.payload_type,
            payload: self.payload.bytes(),
        }
    }

    /// `application/vnd.in-toto+json` and its `application/vnd.in-toto.<predicate>+json` forms.
    fn is_statement(&self) -> bool {
        let inner = self.payload_type.strip_prefix("application/vnd.in-toto");
        let inner = inner.and_then(|rest| rest.strip_suffix("+json"));
        inner.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    fn examine(&self, draft: &mut SignRecord) -> Result<Option<StatementSummary>, Refusal> {
        let pae = self.pae();
        draft.payload_sha256 = Some(Sha256Digest::of(&[pae.payload]));
        draft.pae_sha256 = Some(Sha256Digest::of(&[&pae.prefix(), pae.payload]));
        if !self.is_statement() {
            return Ok(None);
        }
        let summary = statement::check(pae.payload, Accept::V1)?;
        draft.predicate_type = Some(summary.predicate_type.clone());
        draft.subjects = summary
            .subjects
            .iter()
            .take(INLINE_SUBJECTS_MAX)
            .cloned()
            .collect();
        draft.subject_count = Some(summary.subjects.len() as u64);
        draft.subjects_sha256 = Some(statement::subjects_sha256(&summary.subjects));
        // A policy that names a known type does not excuse it from what the type requires.
        summary.known_predicate()?;
        Ok(Some(summary))
    }
}

/// Makes the payload of what was asked for, where that is a receipt.
fn compose(
    daemon: &Daemon,
    received: Received,
    draft: &mut SignRecord,
) -> Result<Received, Refusal> {
    if received.asked == Asked::Signature {
        return Ok(received);
    }
    let principal = &received.caller.principal;
    let body = received.payload.bytes();
    let mut composed = receipts::compose(daemon, &principal.tenant, &principal.id, body)?;
    draft.receipt = Some(Box::new(composed.issued.clone()));
    let statement = std::mem::take(&mut composed.statement);
    Ok(Received {
        payload: received.payload.made_into(statement),
        receipt: Some(composed),
        ..received
    })
}

/// A payload that has been hashed, and checked if it is a statement.
struct Inspected {
    received: Received,
    pae_sha256: Sha256Digest,
    statement: Option<StatementSummary>,
}

fn inspect(
    daemon: &Daemon,
    received: Received,
    draft: &mut SignRecord,
) -> Result<Inspected, Refusal> {
    daemon.failpoints.reach("inspect");
    let statement = if received.payload.bytes().len() > LARGE {
        tokio::task::block_in_place(|| received.examine(draft))
    } else {
        received.examine(draft)
    }?;
    let pae_sha256 = draft.pae_sha256.unwrap_or_default();
    Ok(Inspected {
        received,
        pae_sha256,
        statement,
    })
}

impl Inspected {
    fn facts(&self) -> SignFacts<'_> {
        let statement = self.statement.as_ref();
        SignFacts {
            payload_type: &self.received.payload_type,
            predicate_type: statement.map(|s| s.predicate_type.as_str()),
            predicate_known: statement.is_some_and(|s| matches!(s.predicate, Predicate::Known(_))),
            subjects: statement.map_or(&[], |s| &s.subjects),
            payload_len: self.received.payload.bytes().len(),
            receipt: self.received.receipt.as_ref().map(Composed::facts),
        }
    }

    fn retry_key(&self, permits: &[Permit]) -> RetryKey<'_> {
        RetryKey {
            principal: &self.received.caller.principal.id,
            idempotency: self.received.idempotency,
            pae_sha256: self.pae_sha256,
            keys: permits.iter().map(|permit| permit.key().clone()).collect(),
            format: self.received.format,
        }
    }
}

fn authorise(
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
async fn pass_approvals(
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
    draft.approval = Some(index);
    match checked {
        Ok(()) => Ok(None),
        Err(used @ ApprovalError::Used { .. }) if draft.idempotency_sha256.is_some() => {
            Ok(Some(used))
        }
        Err(error) => {
            draft.approval = None;
            Err(error.into())
        }
    }
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

fn prepare(
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
async fn intend(daemon: &Daemon, claims: &[Claim], draft: &mut SignRecord) -> Result<(), Refusal> {
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

async fn sign_on_token(
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

fn seal_envelope(
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
async fn keep_statement(
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

/// The linearisation point: the journal's writer looks at the claims once more before it accepts the record.
async fn record(
    daemon: &Daemon,
    sealed: Sealed,
    claims: Vec<Claim>,
    draft: &mut SignRecord,
) -> Result<Recorded<Sealed>, Refusal> {
    daemon.failpoints.reach("record");
    draft.outcome = Outcome::Signed;
    draft.envelope_sha256 = Some(sealed.envelope_sha256());
    draft.signature_sha256 = sealed.signature_sha256().to_vec();
    draft.further_keys = sealed.keys().iter().skip(1).cloned().collect();
    Ok(daemon
        .journal
        .release(sealed, draft.clone(), claims)
        .await?)
}

/// The only way out for a signature. With `proof_by` the log proof goes along; one that does not come in time is left
/// out and the reason given: the signature is recorded, so it is not held back.
async fn respond(
    daemon: &Daemon,
    recorded: Recorded<Sealed>,
    proof_by: Option<Instant>,
    draft: &SignRecord,
) -> Answer {
    daemon.failpoints.reach("respond");
    let index = recorded.index();
    let envelope = recorded.release();
    let receipt = draft.receipt.as_ref().and(draft.payload_sha256);
    let receipt = receipt.map(ReceiptId);
    if let Some(id) = receipt {
        receipts::keep_envelope(daemon, &draft.tenant, id, &envelope.bytes);
    }
    let mut answer = match proof_by {
        None => released(index, envelope),
        Some(deadline) => {
            let proof = log_proof::of_new(daemon, index, deadline).await;
            released(index, envelope.with_proof(proof))
        }
    };
    if let Some(id) = receipt {
        http::set(&mut answer, http::RECEIPT, &id.to_string());
    }
    answer
}

fn released(index: u64, released: Released) -> Answer {
    let mut answer = http::answer(StatusCode::OK, released.content_type, released.bytes);
    http::set(&mut answer, http::RECORD, &index.to_string());
    http::set(
        &mut answer,
        http::DIGEST,
        &format!("sha256:{}", released.sha256),
    );
    if released.is_replay {
        http::set(&mut answer, http::REPLAY, "true");
    }
    answer
}

/// Records why there is no signature, then says so.
async fn refuse(daemon: &Daemon, mut draft: SignRecord, refusal: Refusal) -> Answer {
    tracing::info!(request_id = %draft.request_id, principal = %draft.principal,
        code = %refusal.code, reason = %refusal.reason, "signing request refused");
    daemon.mark_suspect(&refusal).await;
    draft.outcome = refusal.outcome;
    draft.code = Some(refusal.code);
    draft.reason = Some(refusal.reason.clone());
    draft.signature_sha256.clear();
    draft.envelope_sha256 = None;
    if let Some(receipt) = &mut draft.receipt {
        receipt.signature = None;
        receipts::count_refusal(daemon, &refusal);
    }
    let request_id = draft.request_id.clone();
    let index = daemon.record_refusal(draft, &refusal).await;
    let waits = refusal
        .operation
        .and_then(|op| operations::accepted(daemon, op).ok());
    let mut answer = waits.unwrap_or_else(|| http::problem(&refusal, &request_id));
    if let Some(index) = index {
        http::set(&mut answer, http::RECORD, &index.to_string());
    }
    answer
}
