//! What records say of keys.

use serde::{Deserialize, Serialize};

use super::{Actor, Warrant};
use crate::digest::Sha256Digest;
use crate::evidence::{Finding, Nonce};
use crate::key::{Enrolment, KeyEvent};
use crate::name::KeyVersionId;
use crate::scheme::Scheme;
use crate::time::Timestamp;
use crate::uri::KeyUri;

/// A key version came under the daemon's care.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEnrolled {
    /// What was enrolled.
    #[serde(flatten)]
    pub enrolment: Enrolment,
    /// Who did it.
    pub by: Actor,
}

/// A key version changed its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChanged {
    /// The version.
    pub key: KeyVersionId,
    /// What happened to it.
    pub event: KeyEvent,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Who did it.
    pub by: Actor,
    /// By which approvals.
    #[serde(flatten)]
    pub warrant: Warrant,
}

/// A key is about to be made: if no `key.enrolled` follows, look for an orphan on the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyGenerateIntent {
    /// The name it will be enrolled under.
    pub key: KeyVersionId,
    /// The token.
    pub token: String,
    /// Its address there.
    pub uri: KeyUri,
    /// The scheme.
    pub scheme: Scheme,
    /// Modulus length, for RSA schemes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rsa_bits: Option<u16>,
    /// Who asked.
    pub by: Actor,
    /// By which approvals.
    #[serde(flatten)]
    pub warrant: Warrant,
}

/// A key version's private part is about to be destroyed. From here on the version is not taken into use, whatever becomes of
/// the device. If no `key.state` with `destroy` follows, ask once more: it goes on from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDestroyIntent {
    /// The version.
    pub key: KeyVersionId,
    /// The token.
    pub token: String,
    /// Its address there.
    pub uri: KeyUri,
    /// SHA-256 of its SPKI: the device destroys no other key.
    pub spki_sha256: Sha256Digest,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Who asked.
    pub by: Actor,
    /// By which approvals.
    #[serde(flatten)]
    pub warrant: Warrant,
}

/// Evidence of a key's origin was asked for, and was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyAttested {
    /// The version.
    pub key: KeyVersionId,
    /// What the asker chose.
    pub nonce: Nonce,
    /// SHA-256 of the evidence document.
    pub evidence_sha256: Sha256Digest,
    /// What it is worth.
    #[serde(flatten)]
    pub finding: Finding,
    /// Who asked.
    pub by: Actor,
}

/// A successor took a key version's place: one record, so that there is no moment without an active version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRotated {
    /// The version that signed until now; deactivated by this.
    pub from: KeyVersionId,
    /// The version that signs from now on; activated by this.
    pub to: KeyVersionId,
    /// The succession statement: a DSSE envelope signed by `from`, as its canonical JSON text.
    pub succession: String,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Who did it.
    pub by: Actor,
    /// By which approvals.
    #[serde(flatten)]
    pub warrant: Warrant,
}

/// A key version may be in other hands; deactivated by this if it was in use. There is no way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyCompromised {
    /// The version.
    pub key: KeyVersionId,
    /// Since when its signatures are not to be trusted by themselves.
    pub effective_time: Timestamp,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who decided it.
    pub by: Actor,
    /// By which approvals.
    #[serde(flatten)]
    pub warrant: Warrant,
}
