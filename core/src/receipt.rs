//! Receipts as far as signing and the log are concerned: their names, and how one follows another.
//!
//! What a receipt says, and how its text is made, is in the crate `sealwright-receipts`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, de};

use crate::digest::Sha256Digest;

/// predicateType of a receipt. The daemon makes these statements; it signs none that a client brings.
pub const PREDICATE_TYPE: &str = "https://sealwright.dev/receipt/v1";

/// The name of a receipt: SHA-256 of its statement's bytes, which are the payload of its envelope.
///
/// Prints as `sha256:` and 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReceiptId(pub Sha256Digest);

/// The text names no receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a receipt's id is sha256: and 64 lower-case hex digits")]
pub struct NotAReceiptId;

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl FromStr for ReceiptId {
    type Err = NotAReceiptId;

    fn from_str(text: &str) -> Result<Self, NotAReceiptId> {
        let hex = text.strip_prefix("sha256:").ok_or(NotAReceiptId)?;
        hex.parse().map(Self).map_err(|_| NotAReceiptId)
    }
}

crate::name::serde_as_text!(ReceiptId);

impl From<ReceiptId> for Sha256Digest {
    fn from(id: ReceiptId) -> Self {
        id.0
    }
}

/// How a receipt follows another one about the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// It takes the other's place: the same question was answered anew.
    Supersedes,
    /// It adds to the other or corrects it.
    Amends,
}

impl Relation {
    /// The name in records and policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Supersedes => "supersedes",
            Self::Amends => "amends",
        }
    }
}

/// The receipt that one follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Follows {
    /// How.
    pub relation: Relation,
    /// Which one.
    pub receipt: ReceiptId,
}

/// What a receipt is about, within its tenant: SHA-256 over its type, a line end, and its subject. Neither has a line end
/// inside.
pub fn about(receipt_type: &str, subject: &str) -> Sha256Digest {
    Sha256Digest::of(&[receipt_type.as_bytes(), b"\n", subject.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = ReceiptId(Sha256Digest::of(&[b"a"]));
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "sha256:",
            &id.0.to_string(),
            &id.to_string().to_uppercase(),
        ] {
            assert_eq!(bad.parse::<ReceiptId>(), Err(NotAReceiptId), "{bad}");
        }
    }
}
