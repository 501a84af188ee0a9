//! Why a receipt is not made, or one that was made is not believed.

use sealwright_core::error::Code;

use crate::canonical::{CanonicalError, UnknownRule};
use crate::cvss::VectorError;

/// Why there is no receipt. The client is told.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The text has no canonical form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// An unknown canonical form.
    #[error(transparent)]
    Rule(#[from] UnknownRule),
    /// An unknown type.
    #[error("there is no receipt type {0:?}; docs/receipts.md lists them")]
    Type(String),
    /// A member is missing, unknown, or of another form.
    #[error("{0}")]
    Form(String),
    /// It would supersede and amend at once.
    #[error("give one of supersedesReceiptId and amendsReceiptId, not both")]
    TwoRelations,
    /// No CVSS vector.
    #[error(transparent)]
    Vector(#[from] VectorError),
}

impl ReceiptError {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            Self::Canonical(error) => error.code(),
            Self::Rule(_) => Code::UnknownCanonicalization,
            Self::Type(_) => Code::UnknownReceiptType,
            Self::Form(_) | Self::TwoRelations => Code::InvalidReceipt,
            Self::Vector(error) => error.code(),
        }
    }
}
