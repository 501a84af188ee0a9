//! The way of a signing request, from socket to response.
//!
//! Each stage consumes what the stage before it made. There is no other way to an answer: a device is asked
//! only with a [`Permit`](sealwright_core::permit::Permit), an envelope is sealed only from verified signatures, and [`respond`] takes nothing
//! but what is durably [`Recorded`].

mod authority;
mod caller;
mod payload;
mod signature;

use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::body::Incoming;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::key::KeyState;
use sealwright_core::permit::Action;
use sealwright_core::receipt::ReceiptId;
use sealwright_core::record::{Outcome, SignRecord};

use self::authority::{authorise, pass_approvals};
use self::caller::{admit, authenticate, bind_token, draft};
use self::payload::{Inspected, compose, inspect, receive};
use self::signature::{intend, keep_statement, prepare, seal_envelope, sign_on_token};
use crate::api::operations;
use crate::audit::writer::{Claim, Recorded};
use crate::authn::Peer;
use crate::binding::{Address, Presented};
use crate::daemon::Daemon;
use crate::http::{self, Answer};
use crate::log_proof;
use crate::receipts;
use crate::refusal::Refusal;
use crate::retries::Earlier;
use crate::seal::{Format, Released, Sealed};

pub(crate) use self::signature::verify;

/// Keys in one envelope.
pub const KEYS_MAX: usize = 8;

/// Longest time a caller can ask for.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(600);

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
