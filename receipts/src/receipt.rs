//! Reading a receipt that was signed, and checking that it says what follows from its inputs.

use sealwright_core::digest::Sha256Digest;
use sealwright_core::name::Tenant;
use sealwright_core::receipt::{Follows, PREDICATE_TYPE, ReceiptId};
use sealwright_core::statement::{Accept, StatementError, StatementSummary, check};
use sealwright_core::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::canonical::{Nulls, Rule, canonicalize};
use crate::error::ReceiptError;
use crate::registry::{Outcome, ReceiptType};
use crate::request::{ENGINE, follows};

/// A receipt whose parts agree with one another.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Its id.
    pub id: ReceiptId,
    /// Whose it is.
    pub tenant: Tenant,
    /// Its type.
    pub receipt_type: ReceiptType,
    /// What it is about.
    pub subject: String,
    /// SHA-256 of its document.
    pub inputs_hash: Sha256Digest,
    /// The receipt that it follows.
    pub follows: Option<Follows>,
    /// When it was made, by the host's clock.
    pub created_at: Timestamp,
    /// Who asked for it.
    pub created_by: String,
    /// What computed its result, and whether that is this program.
    pub engine: String,
    /// What follows from its inputs.
    pub outcome: Outcome,
}

/// Why a statement is no receipt to rely on.
#[derive(Debug, thiserror::Error)]
pub enum BadReceipt {
    /// No statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// Another kind of statement.
    #[error("the statement is of type {0}, not {PREDICATE_TYPE}")]
    Type(String),
    /// A member is missing, or its inputs are not acceptable.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// Its bytes are not in the canonical form that it names.
    #[error("the statement is not in its canonical form")]
    NotCanonical,
    /// Document, `inputsHash` and subject do not belong together.
    #[error("hash mismatch: the document has SHA-256 {got}, and the receipt says {said}")]
    HashMismatch {
        /// What the document hashes to.
        got: Sha256Digest,
        /// What the receipt says, or its subject.
        said: String,
    },
    /// The result does not follow from the inputs.
    #[error("the result does not follow from the inputs by {ENGINE}; the receipt was made by {0}")]
    Result(String),
}

#[derive(Deserialize)]
struct Whole {
    predicate: Predicate,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Predicate {
    amends_receipt_id: Option<ReceiptId>,
    created_at: Timestamp,
    created_by: String,
    document: Box<RawValue>,
    engine: String,
    inputs_hash: String,
    result: Option<Box<RawValue>>,
    supersedes_receipt_id: Option<ReceiptId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    canonicalization: String,
    inputs: Box<RawValue>,
    subject: String,
    tenant_id: Tenant,
    #[serde(rename = "type")]
    receipt_type: String,
}

impl Receipt {
    /// Reads the payload of a receipt's envelope. Whether the signature is good is another question.
    ///
    /// # Errors
    /// See [`BadReceipt`].
    pub fn read(payload: &[u8]) -> Result<Self, BadReceipt> {
        let summary = check(payload, Accept::V1)?;
        if summary.predicate_type != PREDICATE_TYPE {
            return Err(BadReceipt::Type(summary.predicate_type));
        }
        let Whole { predicate } = parse(payload)?;
        let document: Document = parse(predicate.document.get().as_bytes())?;
        let rule: Rule = document
            .canonicalization
            .parse()
            .map_err(ReceiptError::from)?;
        let canonical = canonicalize(payload, rule, Nulls::Keep).map_err(ReceiptError::from)?;
        if canonical != payload {
            return Err(BadReceipt::NotCanonical);
        }
        let inputs_hash = checked_hash(&predicate, &summary)?;
        let receipt_type: ReceiptType = document.receipt_type.parse()?;
        let outcome = receipt_type.evaluate(&document.inputs)?;
        check_result(&predicate, &outcome, rule)?;
        Ok(Self {
            id: ReceiptId(Sha256Digest::of(&[payload])),
            tenant: document.tenant_id,
            receipt_type,
            subject: document.subject,
            inputs_hash,
            follows: follows(predicate.supersedes_receipt_id, predicate.amends_receipt_id)?,
            created_at: predicate.created_at,
            created_by: predicate.created_by,
            engine: predicate.engine,
            outcome,
        })
    }
}

fn parse<'t, T: Deserialize<'t>>(text: &'t [u8]) -> Result<T, ReceiptError> {
    // The text passed the strict reader before, as a part of the statement.
    serde_json::from_slice(text).map_err(|error| ReceiptError::Form(error.to_string()))
}

fn checked_hash(
    predicate: &Predicate,
    summary: &StatementSummary,
) -> Result<Sha256Digest, BadReceipt> {
    let got = Sha256Digest::of(&[predicate.document.get().as_bytes()]);
    let mismatch = |said: &str| BadReceipt::HashMismatch {
        got,
        said: said.to_owned(),
    };
    if predicate.inputs_hash != format!("sha256:{got}") {
        return Err(mismatch(&predicate.inputs_hash));
    }
    match summary.subjects.as_slice() {
        [only] if only.digests.get("sha256") == Some(&got.to_string()) => Ok(got),
        subjects => Err(mismatch(&format!("{} other subject(s)", subjects.len()))),
    }
}

fn check_result(predicate: &Predicate, outcome: &Outcome, rule: Rule) -> Result<(), BadReceipt> {
    let differs = || BadReceipt::Result(predicate.engine.clone());
    let Some(result) = &outcome.result else {
        return match predicate.result {
            Some(_) => Err(differs()),
            None => Ok(()),
        };
    };
    let text = serde_json::to_vec(result).map_err(|_| differs())?;
    let ours = canonicalize(&text, rule, Nulls::Keep).map_err(ReceiptError::from)?;
    let theirs = predicate
        .result
        .as_ref()
        .map(|result| result.get().as_bytes());
    match theirs == Some(&ours) {
        true => Ok(()),
        false => Err(differs()),
    }
}
