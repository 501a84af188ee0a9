//! What records say of what was published about keys.

use serde::{Deserialize, Serialize};

use super::Actor;
use crate::digest::Sha256Digest;
use crate::name::KeyVersionId;
use crate::time::Timestamp;

/// A trust document was signed for the tenant of `signed_by`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustPublished {
    /// Its number: one more than that of the tenant's document before.
    pub serial: u64,
    /// The version that signed it.
    pub signed_by: KeyVersionId,
    /// How many records it takes into account.
    pub as_of: u64,
    /// SHA-256 of the document, the envelope's payload.
    pub document_sha256: Sha256Digest,
    /// SHA-256 of the envelope's JCS bytes.
    pub envelope_sha256: Sha256Digest,
    /// Until when to rely on it, where the publisher said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// Who published it.
    pub by: Actor,
}

/// A certificate revocation list was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrlIssued {
    /// The authority's key that signed it.
    pub issuer: KeyVersionId,
    /// Its CRL number: higher than that of the authority's list before.
    pub number: u64,
    /// How many records it takes into account.
    pub as_of: u64,
    /// How many certificates it lists.
    pub entries: u64,
    /// When there will be a newer list at the latest.
    pub next_update: Timestamp,
    /// SHA-256 of what was signed, TBSCertList in DER.
    pub tbs_sha256: Sha256Digest,
    /// Who had it made.
    pub by: Actor,
}

/// Another key of the tenant said that a compromised version is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRevocation {
    /// The version that is revoked.
    pub key: KeyVersionId,
    /// Index of the record that calls it compromised.
    pub decided_index: u64,
    /// The version that signed the statement.
    pub signed_by: KeyVersionId,
    /// The statement: a DSSE envelope, as its canonical JSON text.
    pub statement: String,
    /// Who had it made.
    pub by: Actor,
}
