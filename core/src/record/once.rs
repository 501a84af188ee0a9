//! What records say of statements whose subjects are signed once.

use serde::{Deserialize, Serialize};

use super::{Outcome, SignRecord};
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

/// What a request that signs once means to the fold, without the names themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// How it ended.
    pub outcome: Outcome,
    /// Its `sign.intent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<u64>,
    /// The keys that sign each name once.
    pub keys: Vec<KeyName>,
    /// The names.
    pub names: Vec<OnceName>,
}

/// A subject that is signed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnceName {
    /// SHA-256 of its name, so that a long one takes no more room than a short one.
    pub name: Sha256Digest,
    /// SHA-256 of the canonical JSON of its digests.
    pub digests: Sha256Digest,
}

impl OnceName {
    /// Of a subject.
    pub fn of(subject: &Subject) -> Self {
        // Algorithms are ASCII and sorted, digests hex: serde_json's text is the canonical one.
        let digests = serde_json::to_vec(&subject.digests).unwrap_or_default();
        Self {
            name: Self::hash(subject.name.as_deref().unwrap_or_default()),
            digests: Sha256Digest::of(&[&digests]),
        }
    }

    /// Of a name.
    pub fn hash(name: &str) -> Sha256Digest {
        Sha256Digest::of(&[name.as_bytes()])
    }
}

impl Settled {
    /// `None` where the record is of a request that may be signed again.
    pub fn of(sign: &SignRecord) -> Option<Self> {
        let further = sign.further_keys.iter().map(|used| &used.key);
        sign.once.then(|| Self {
            outcome: sign.outcome,
            intent: sign.intent,
            keys: sign.key.iter().chain(further).cloned().collect(),
            names: sign.subjects.iter().map(OnceName::of).collect(),
        })
    }
}
