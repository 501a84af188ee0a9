//! What records say of dual control.

use serde::{Deserialize, Serialize};

use super::{Actor, Event, Warrant};
use crate::digest::Sha256Digest;
use crate::name::Tenant;

/// Somebody asks for approvals; the record's index names the request from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalRequested {
    /// Whose keys it concerns, also in the request.
    pub tenant: Tenant,
    /// Canonical JSON of a [`crate::approval::Request`]; approvers sign its SHA-256.
    pub request: String,
    /// Who asks.
    pub by: Actor,
}

/// An approver spoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalGiven {
    /// The request's.
    pub tenant: Tenant,
    /// Index of the `approval.requested` record.
    pub request: u64,
    /// The approver's identity.
    pub approver: String,
    /// SHA-256 of the public key that signed.
    pub approver_spki_sha256: Sha256Digest,
    /// The approval file: signed statement and certificates, as it was brought.
    pub approval: String,
    /// Who brought it.
    pub by: Actor,
}

impl Event {
    /// The same, done by `warrant`. Events that need no approvals stay as they are.
    #[must_use]
    pub fn by(mut self, warrant: Warrant) -> Self {
        let place = match &mut self {
            Self::PolicyActivated(event) => &mut event.warrant,
            Self::KeyChanged(event) => &mut event.warrant,
            Self::KeyGenerateIntent(event) => &mut event.warrant,
            Self::KeyDestroyIntent(event) => &mut event.warrant,
            Self::FreezeLifted(event) => &mut event.warrant,
            Self::ClockAccepted(event) => &mut event.warrant,
            Self::AuditErased(event) => &mut event.warrant,
            Self::KeyRotated(event) => &mut event.warrant,
            Self::RotationScheduled(event) => &mut event.warrant,
            Self::KeyCompromised(event) => &mut event.warrant,
            _ => return self,
        };
        *place = warrant;
        self
    }
}
