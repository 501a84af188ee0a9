//! What a client asks for, and the statement that is made of it.

use std::collections::{BTreeMap, BTreeSet};

use sealwright_core::digest::Sha256Digest;
use sealwright_core::name::Tenant;
use sealwright_core::receipt::{Follows, PREDICATE_TYPE, ReceiptId, Relation};
use sealwright_core::statement::{Subject, TYPE_V1};
use sealwright_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::canonical::{Nulls, Rule, canonicalize};
use crate::cvss::{Group, Vector};
use crate::error::ReceiptError;
use crate::registry::{CvssResult, Outcome, ReceiptType};

/// Longest request in bytes.
pub const REQUEST_MAX: usize = 1 << 20;
/// Longest subject in bytes.
pub const SUBJECT_MAX: usize = 512;

/// What computed the result: its name and version, in every receipt.
pub const ENGINE: &str = concat!("sealwright-receipts/", env!("CARGO_PKG_VERSION"));

/// A request that was read and evaluated.
#[derive(Debug, Clone)]
pub struct Request {
    rule: Rule,
    receipt_type: ReceiptType,
    subject: String,
    /// In canonical form.
    inputs: Box<RawValue>,
    follows: Option<Follows>,
    outcome: Outcome,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire {
    #[serde(rename = "type")]
    receipt_type: String,
    subject: String,
    inputs: Box<RawValue>,
    canonicalization: Option<String>,
    supersedes_receipt_id: Option<ReceiptId>,
    amends_receipt_id: Option<ReceiptId>,
}

impl Wire {
    fn read(text: &[u8], rule: Rule) -> Result<Self, ReceiptError> {
        let canonical = canonicalize(text, rule, Nulls::DropMembers)?;
        // Its numbers, strings and keys are in canonical form now, and so is every part of it.
        let form = |error: serde_json::Error| ReceiptError::Form(error.to_string());
        serde_json::from_slice(&canonical).map_err(form)
    }
}

impl Request {
    /// Reads and evaluates a request.
    ///
    /// # Errors
    /// See [`ReceiptError`]; each fault has its code.
    pub fn read(text: &[u8]) -> Result<Self, ReceiptError> {
        let mut wire = Wire::read(text, Rule::default())?;
        let rule: Rule = match &wire.canonicalization {
            Some(id) => id.parse()?,
            None => Rule::default(),
        };
        if rule != Rule::default() {
            wire = Wire::read(text, rule)?;
        }
        let receipt_type: ReceiptType = wire.receipt_type.parse()?;
        check_subject(&wire.subject)?;
        Ok(Self {
            rule,
            receipt_type,
            follows: follows(wire.supersedes_receipt_id, wire.amends_receipt_id)?,
            outcome: receipt_type.evaluate(&wire.inputs)?,
            subject: wire.subject,
            inputs: wire.inputs,
        })
    }

    /// Its type.
    pub fn receipt_type(&self) -> ReceiptType {
        self.receipt_type
    }

    /// What it is about.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The receipt that it follows.
    pub fn follows(&self) -> Option<Follows> {
        self.follows
    }

    /// The groups of metrics in which it differs from the receipt `before`, or all that it defines where there is none.
    pub fn metric_groups(&self, before: Option<&Vector>) -> BTreeSet<Group> {
        match (&self.outcome.vector, before) {
            (Some(vector), Some(before)) => vector.changed_groups(before),
            (Some(vector), None) => vector.groups(),
            (None, _) => BTreeSet::new(),
        }
    }

    /// The statement that is signed for it.
    ///
    /// # Errors
    /// None for a request that was read; the type of the canonical form's errors.
    pub fn statement(&self, origin: &Origin<'_>) -> Result<Statement, ReceiptError> {
        let document = Document {
            canonicalization: self.rule.id(),
            inputs: &self.inputs,
            subject: &self.subject,
            tenant_id: origin.tenant.as_str(),
            receipt_type: self.receipt_type.id(),
        };
        let document = canonical(&document, self.rule)?;
        let inputs_hash = Sha256Digest::of(&[document.as_bytes()]);
        let form = |error: serde_json::Error| ReceiptError::Form(error.to_string());
        let of = |relation| self.follows.filter(|follows| follows.relation == relation);
        let predicate = Predicate {
            amends_receipt_id: of(Relation::Amends).map(|follows| follows.receipt),
            created_at: utc(origin.created_at),
            created_by: origin.created_by,
            document: RawValue::from_string(document).map_err(form)?,
            engine: ENGINE,
            inputs_hash: format!("sha256:{inputs_hash}"),
            result: self.outcome.result.as_ref(),
            supersedes_receipt_id: of(Relation::Supersedes).map(|follows| follows.receipt),
        };
        let subject = Subject {
            digests: BTreeMap::from([("sha256".to_owned(), inputs_hash.to_string())]),
            name: Some(self.subject.clone()),
        };
        let statement = Whole {
            statement_type: TYPE_V1,
            predicate,
            predicate_type: PREDICATE_TYPE,
            subject: [subject],
        };
        let bytes = canonical(&statement, self.rule)?.into_bytes();
        Ok(Statement {
            id: ReceiptId(Sha256Digest::of(&[&bytes])),
            inputs_hash,
            bytes,
        })
    }
}

/// The receipt that one follows, as a request and a receipt name it.
pub(crate) fn follows(
    supersedes: Option<ReceiptId>,
    amends: Option<ReceiptId>,
) -> Result<Option<Follows>, ReceiptError> {
    let follows = |relation| move |receipt| Follows { relation, receipt };
    match (supersedes, amends) {
        (Some(_), Some(_)) => Err(ReceiptError::TwoRelations),
        (supersedes, amends) => Ok(supersedes
            .map(follows(Relation::Supersedes))
            .or(amends.map(follows(Relation::Amends)))),
    }
}

fn check_subject(subject: &str) -> Result<(), ReceiptError> {
    let is_good = (1..=SUBJECT_MAX).contains(&subject.len()) && !subject.contains(char::is_control);
    match is_good {
        true => Ok(()),
        false => Err(ReceiptError::Form(format!(
            "subject has 1 to {SUBJECT_MAX} bytes and no control characters"
        ))),
    }
}

fn canonical(value: &impl Serialize, rule: Rule) -> Result<String, ReceiptError> {
    let form = |error: String| ReceiptError::Form(error);
    let text = serde_json::to_vec(value).map_err(|error| form(error.to_string()))?;
    let canonical = canonicalize(&text, rule, Nulls::Keep)?;
    String::from_utf8(canonical).map_err(|error| form(error.to_string()))
}

/// RFC 3339 in UTC, milliseconds only where there are some.
fn utc(time: Timestamp) -> String {
    time.to_string().replace(".000Z", "Z")
}

/// Who makes a receipt, and when.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Whose it is.
    pub tenant: &'a Tenant,
    /// When it is made.
    pub created_at: Timestamp,
    /// The principal who asked for it.
    pub created_by: &'a str,
}

/// A statement, the payload of a receipt's envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// SHA-256 of its bytes.
    pub id: ReceiptId,
    /// SHA-256 of the document inside: its one subject.
    pub inputs_hash: Sha256Digest,
    /// In canonical form.
    pub bytes: Vec<u8>,
}

/// What is hashed: inputs, and whose and what about they are.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    canonicalization: &'static str,
    inputs: &'a RawValue,
    subject: &'a str,
    tenant_id: &'a str,
    #[serde(rename = "type")]
    receipt_type: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Predicate<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    amends_receipt_id: Option<ReceiptId>,
    created_at: String,
    created_by: &'a str,
    document: Box<RawValue>,
    engine: &'static str,
    inputs_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a CvssResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supersedes_receipt_id: Option<ReceiptId>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Whole<'a> {
    #[serde(rename = "_type")]
    statement_type: &'static str,
    predicate: Predicate<'a>,
    predicate_type: &'static str,
    subject: [Subject; 1],
}
