//! The body: read within the budget, made into a statement where a receipt is asked for, hashed and checked.

use std::time::Instant;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::dsse::Pae;
use sealwright_core::name::KeyName;
use sealwright_core::permit::{Permit, SignFacts};
use sealwright_core::record::{INLINE_SUBJECTS_MAX, SignRecord};
use sealwright_core::statement::{self, Accept, Predicate, StatementSummary};

use super::caller::Admitted;
use super::{Asked, SignCall};
use crate::authn::Caller;
use crate::body::Payload;
use crate::daemon::Daemon;
use crate::receipts::{self, Composed};
use crate::refusal::Refusal;
use crate::retries::RetryKey;
use crate::seal::Format;

/// Bodies above this are hashed and parsed off the async threads: it takes milliseconds.
pub(super) const LARGE: usize = 64 << 10;

/// A caller with its whole body.
pub(super) struct Received {
    pub(super) asked: Asked,
    /// Where the payload was made of a request for a receipt.
    pub(super) receipt: Option<Composed>,
    pub(super) caller: Caller,
    pub(super) keys: Vec<KeyName>,
    pub(super) format: Format,
    pub(super) payload_type: String,
    pub(super) idempotency: Option<Sha256Digest>,
    pub(super) operation: Option<u64>,
    pub(super) deadline: Instant,
    pub(super) payload: Payload,
}

pub(super) async fn receive(daemon: &Daemon, admitted: Admitted) -> Result<Received, Refusal> {
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
    pub(super) fn pae(&self) -> Pae<'_> {
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
pub(super) fn compose(
    daemon: &Daemon,
    received: Received,
    draft: &mut SignRecord,
) -> Result<Received, Refusal> {
    if received.asked == Asked::Signature {
        return Ok(received);
    }
    let principal = &received.caller.principal;
    let body = received.payload.bytes();
    let (statement, composed) = receipts::compose(daemon, &principal.tenant, &principal.id, body)?;
    draft.receipt = Some(Box::new(composed.issued.clone()));
    Ok(Received {
        payload: received.payload.made_into(statement),
        receipt: Some(composed),
        ..received
    })
}

/// A payload that has been hashed, and checked if it is a statement.
pub(super) struct Inspected {
    pub(super) received: Received,
    pub(super) pae_sha256: Sha256Digest,
    pub(super) statement: Option<StatementSummary>,
}

pub(super) fn inspect(
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
    pub(super) fn facts(&self) -> SignFacts<'_> {
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

    pub(super) fn retry_key(&self, permits: &[Permit]) -> RetryKey<'_> {
        RetryKey {
            principal: &self.received.caller.principal.id,
            idempotency: self.received.idempotency,
            pae_sha256: self.pae_sha256,
            keys: permits.iter().map(|permit| permit.key().clone()).collect(),
            format: self.received.format,
        }
    }
}
