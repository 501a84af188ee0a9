//! What a `sign` record says of the receipt that it released.

use serde::{Deserialize, Serialize};

use super::{Outcome, SignRecord};
use crate::digest::Sha256Digest;
use crate::name::Tenant;
use crate::receipt::{Follows, ReceiptId, about};
use crate::time::Timestamp;

/// The receipt of a `sign` record. Its id is the record's `payload_sha256`, and its inputs' hash the one subject's digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptIssued {
    /// Its type with the version of that type's schema: `cvss-v4.0/1`.
    #[serde(rename = "type")]
    pub receipt_type: String,
    /// What it is about.
    pub subject: String,
    /// When it was made; stands in it as well.
    pub issued_at: Timestamp,
    /// The receipt that it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Follows>,
    /// The signature as it stands in the envelope, base64: with the statement, which was kept before, the envelope can
    /// be put together again if we crashed before it was kept. Absent where none was released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// A receipt as a link in the chain of those about one thing: all that the fold takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptLink {
    /// Its id.
    pub id: ReceiptId,
    /// Whose it is.
    pub tenant: Tenant,
    /// See [`about`].
    pub about: Sha256Digest,
    /// When it was made.
    pub issued_at: Timestamp,
    /// The receipt that it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follows: Option<Follows>,
}

impl ReceiptLink {
    /// Of a request, whatever became of it.
    pub fn of_request(sign: &SignRecord) -> Option<Self> {
        let receipt = sign.receipt.as_ref()?;
        Some(Self {
            id: ReceiptId(sign.payload_sha256?),
            tenant: sign.tenant.clone(),
            about: about(&receipt.receipt_type, &receipt.subject),
            issued_at: receipt.issued_at,
            follows: receipt.follows,
        })
    }

    /// Of a receipt that was released.
    pub fn of(sign: &SignRecord) -> Option<Self> {
        Self::of_request(sign).filter(|_| sign.outcome == Outcome::Signed)
    }
}
