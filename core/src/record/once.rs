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
    #[serde(with = "packed")]
    pub names: Vec<OnceName>,
}

/// What a `sign.intent` means to the fold, without the names themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reserves {
    /// The keys that sign each name once.
    pub keys: Vec<KeyName>,
    /// The names.
    #[serde(with = "packed")]
    pub names: Vec<OnceName>,
}

/// A subject that is signed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

impl Reserves {
    /// Of an intent.
    pub fn of(intended: &SignIntended) -> Self {
        Self {
            keys: intended.keys.iter().map(|id| id.key.clone()).collect(),
            names: intended.subjects.iter().map(OnceName::of).collect(),
        }
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

/// Base64 of both digests of each name: what is left of a record must take no more room than its body did, and a subject
/// takes a hundred bytes there.
mod packed {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::OnceName;
    use crate::digest::Sha256Digest;

    pub(super) fn serialize<S: Serializer>(names: &[OnceName], to: S) -> Result<S::Ok, S::Error> {
        let bytes = names.iter().flat_map(|once| [once.name.0, once.digests.0]);
        to.serialize_str(&STANDARD.encode(bytes.collect::<Vec<_>>().as_flattened()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<OnceName>, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = STANDARD.decode(text).map_err(de::Error::custom)?;
        let (digests, rest) = bytes.as_chunks::<32>();
        let (names, odd) = digests.as_chunks::<2>();
        if !(rest.is_empty() && odd.is_empty()) {
            return Err(de::Error::custom("not a list of names"));
        }
        let once = |[name, digests]: &[[u8; 32]; 2]| OnceName {
            name: Sha256Digest(*name),
            digests: Sha256Digest(*digests),
        };
        Ok(names.iter().map(once).collect())
    }
}
