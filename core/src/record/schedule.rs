//! What records say of a rotation that is put off to a time.

use serde::{Deserialize, Serialize};

use super::{Actor, Warrant};
use crate::name::{KeyName, KeyVersionId};
use crate::time::Timestamp;

/// A successor is to take over at a time; until then it is published and signs nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationScheduled {
    /// The version that signs until then.
    pub from: KeyVersionId,
    /// The version that signs from then on.
    pub to: KeyVersionId,
    /// Not before.
    pub at: Timestamp,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Who asked for it, and in whose name it will be done.
    pub by: Actor,
    /// By which approvals; they are also those of the rotation itself.
    #[serde(flatten)]
    pub warrant: Warrant,
}

/// A scheduled rotation will not take place. The successor stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationCancelled {
    /// The key.
    pub key: KeyName,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Who did it.
    pub by: Actor,
}
