//! The types of receipts, each in versions of its own: what its inputs are, and what follows from them.
//!
//! The schemas in `schemas/` (JSON Schema 2020-12) say the same for other programs; the tests hold both to the same examples.

mod cvss40;

use std::fmt;
use std::str::FromStr;

use serde_json::value::RawValue;

pub use cvss40::{ConversionResult, CvssResult};

use crate::cvss::Vector;
use crate::error::ReceiptError;

/// A type of receipts with the version of its schema. A version never changes: other inputs are another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReceiptType {
    /// Inputs of any kind, from which nothing follows.
    Generic1,
    /// A CVSS v4.0 vector, or a v3.1 one to be converted; its score follows.
    Cvss40V1,
}

impl ReceiptType {
    /// Every type in every version.
    pub const ALL: [Self; 2] = [Self::Generic1, Self::Cvss40V1];

    /// Its name: `cvss-v4.0/1`.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Generic1 => "generic/1",
            Self::Cvss40V1 => "cvss-v4.0/1",
        }
    }

    /// The schema of its `inputs`.
    pub const fn schema(self) -> &'static str {
        match self {
            Self::Generic1 => include_str!("../schemas/generic-1.json"),
            Self::Cvss40V1 => include_str!("../schemas/cvss-v4.0-1.json"),
        }
    }

    /// Reads inputs in canonical form, and says what follows from them.
    pub(crate) fn evaluate(self, inputs: &RawValue) -> Result<Outcome, ReceiptError> {
        match self {
            Self::Generic1 if inputs.get().starts_with('{') => Ok(Outcome::default()),
            Self::Generic1 => Err(ReceiptError::Form("inputs is no object".into())),
            Self::Cvss40V1 => cvss40::evaluate(inputs),
        }
    }
}

/// What follows from inputs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// The score, for types that have one.
    pub result: Option<CvssResult>,
    /// The vector that was scored: what changes are told by.
    pub vector: Option<Vector>,
}

impl fmt::Display for ReceiptType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for ReceiptType {
    type Err = ReceiptError;

    fn from_str(text: &str) -> Result<Self, ReceiptError> {
        let known = Self::ALL.into_iter().find(|known| known.id() == text);
        known.ok_or_else(|| ReceiptError::Type(text.chars().take(64).collect()))
    }
}
