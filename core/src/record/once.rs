//! What records say of statements whose subjects are signed once.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::identity::PeerCred;
use crate::name::{KeyName, KeyVersionId, Tenant};
use crate::statement::Subject;

/// A statement whose subjects are signed once is about to go to a device: if no `sign` record names this one, a
/// signature may exist in the device's memory. It reserves the subjects' names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIntended {
    /// The request's id.
    pub request_id: String,
    /// The caller's tenant.
    pub tenant: Tenant,
    /// The caller.
    pub principal: String,
    /// The process behind the socket.
    pub peer: PeerCred,
    /// The versions that are to sign.
    pub keys: Vec<KeyVersionId>,
    /// SHA-256 of the PAE.
    pub pae_sha256: Sha256Digest,
    /// All subjects.
    pub subjects: Vec<Subject>,
    /// The approval by which names that stand for other digests may be signed once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amends: Option<u64>,
    /// The policy that decided.
    pub policy_digest: Sha256Digest,
    /// The configuration it runs under.
    pub config_digest: Sha256Digest,
}

/// Names of one key that come from the log before this one, with what they stand for; a key with many has several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamesInherited {
    /// The key.
    pub key: KeyName,
    /// Base64 of 65 bytes for each: SHA-256 of the name, SHA-256 of its digests' canonical JSON, and 1 where it was
    /// released, 0 where it may have been signed.
    pub names: String,
}
