//! The trust document: every version of every key with its life, for those who verify (`docs/trust-document.md`).
//!
//! By itself it is data: whoever verifies with it trusts the way it came. Published, it is the payload of an envelope
//! that one of the tenant's keys signed ([`signed`]).

mod check;
mod fold;
pub mod jwk;
pub mod signed;
pub mod sigstore;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dsse::TrustedKey;
use crate::json::{self, JsonError};
use crate::key::{KeyState, Purpose};
use crate::name::{KeyName, KeyVersionId, Tenant};
use crate::scheme::Scheme;
use crate::spki::Spki;
use crate::time::Timestamp;
use crate::tlog::VerifierKey;
use crate::verdict::Life;
use crate::verify::VerifyError;

pub use check::{Contradiction, DocumentError};

/// What the member `format` says: kind and version of the document.
pub const FORMAT: &str = "https://sealwright.dev/trust/v1";

/// DSSE payload type of a published document. Nobody gets it signed but the daemon itself.
pub const PAYLOAD_TYPE: &str = "application/vnd.sealwright.trust+json";

/// The longest document in bytes: some ten thousand versions.
pub const DOCUMENT_MAX: usize = 16 << 20;

/// A document that holds no contradiction: made by [`Document::new`] or read by [`Document::parse`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Document(Content);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: String,
    time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    published: Option<Published>,
    log: Log,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    former_logs: Vec<Log>,
    keys: Vec<Key>,
}

/// What only a published document says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// Whose keys it lists, all of them.
    pub tenant: Tenant,
    /// From 1, one more with each document of the tenant: who has seen one takes no earlier one.
    pub serial: u64,
    /// When to stop relying on it, where its publisher said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
}

/// The log that the keys' signatures are recorded in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Its origin.
    pub origin: String,
    /// Its key, a C2SP vkey line.
    pub vkey: String,
}

/// A key and its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// `tenant/label`.
    pub name: KeyName,
    /// Oldest first.
    pub versions: Vec<Version>,
}

/// A key version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// From 1.
    pub version: u32,
    /// Where it stands.
    pub state: KeyState,
    /// What it is for.
    pub purpose: Purpose,
    /// What it signs with.
    pub scheme: Scheme,
    /// SubjectPublicKeyInfo, base64 of DER.
    pub spki: Spki,
    /// DSSE keyid: base64 of the SHA-256 of the SPKI.
    pub keyid: String,
    /// When it began to sign, if it ever did; by the host's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_from: Option<Timestamp>,
    /// When it stopped for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_until: Option<Timestamp>,
    /// Set once it may be in other hands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compromise: Option<Compromised>,
    /// The succession statement by which its predecessor named it, a DSSE envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succession: Option<serde_json::Value>,
}

/// That a version may be in other hands. The operator's reason stays in the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compromised {
    /// Since when its signatures are not to be trusted by themselves.
    pub effective_time: Timestamp,
    /// Index of the record that says so.
    pub decided_index: u64,
    /// Origin of the log that has the record, where it is a former one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

impl Version {
    /// What verdicts need to know of it.
    pub fn life(&self) -> Life {
        Life {
            state: self.state,
            active_from: self.active_from,
            compromised_from: self.compromise.as_ref().map(|c| c.effective_time),
        }
    }

    /// The key to verify with.
    ///
    /// # Errors
    /// [`VerifyError`]: not for a version in a [`Document`], which checked that there is none.
    pub fn trusted(&self) -> Result<TrustedKey, VerifyError> {
        TrustedKey::new(self.spki.clone(), self.scheme)
    }
}

impl Document {
    /// Puts a document together. `former_logs` are those whose place the log took, oldest first; the order of
    /// `versions` does not matter.
    ///
    /// # Errors
    /// [`DocumentError`]: the versions contradict each other, or the vkey is none.
    pub fn new(
        time: Timestamp,
        vkey: &str,
        former_logs: Vec<Log>,
        versions: impl IntoIterator<Item = (KeyName, Version)>,
    ) -> Result<Self, DocumentError> {
        Self::with(time, None, vkey, former_logs, versions)
    }

    /// The same, to be published where `published` says so.
    fn with(
        time: Timestamp,
        published: Option<Published>,
        vkey: &str,
        former_logs: Vec<Log>,
        versions: impl IntoIterator<Item = (KeyName, Version)>,
    ) -> Result<Self, DocumentError> {
        let vkey = vkey.trim_end();
        let origin = vkey.parse::<VerifierKey>()?.name().to_owned();
        let mut keys: BTreeMap<KeyName, Vec<Version>> = BTreeMap::new();
        for (name, version) in versions {
            keys.entry(name).or_default().push(version);
        }
        let key = |(name, mut versions): (KeyName, Vec<Version>)| {
            versions.sort_by_key(|version| version.version);
            Key { name, versions }
        };
        check::checked(Content {
            format: FORMAT.to_owned(),
            time,
            published,
            log: Log {
                origin,
                vkey: vkey.to_owned(),
            },
            former_logs,
            keys: keys.into_iter().map(key).collect(),
        })
        .map(Self)
    }

    /// Reads a document. A member that this version of the format does not have is refused: it could take trust
    /// away, and who ignores it would give too much.
    ///
    /// # Errors
    /// [`DocumentError`]: too long, another format or version of it, malformed, or in contradiction to itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        #[derive(Deserialize)]
        struct Probe {
            #[serde(default)]
            format: Option<String>,
        }
        if bytes.len() > DOCUMENT_MAX {
            return Err(DocumentError::TooLong(bytes.len()));
        }
        match json::from_slice::<Probe>(bytes)?.format {
            Some(format) if format == FORMAT => {}
            other => return Err(DocumentError::Format(other.unwrap_or_default())),
        }
        check::checked(json::from_slice(bytes)?).map(Self)
    }

    /// The document's text.
    ///
    /// # Errors
    /// [`JsonError`]: none that is known.
    pub fn to_json(&self) -> Result<String, JsonError> {
        let text = serde_json::to_string_pretty(self).map_err(JsonError::Form)?;
        Ok(text + "\n")
    }

    /// When it was made, by the clock of whoever made it: later events are not in it.
    pub fn time(&self) -> Timestamp {
        self.0.time
    }

    /// What it says as a published one; `None` for one that was only exported.
    pub fn published(&self) -> Option<&Published> {
        self.0.published.as_ref()
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.0.log
    }

    /// The log, and those whose place it took: records of each are evidence about the keys.
    pub fn logs(&self) -> impl Iterator<Item = &Log> {
        std::iter::once(&self.0.log).chain(&self.0.former_logs)
    }

    /// The keys, in the order of their names.
    pub fn keys(&self) -> &[Key] {
        &self.0.keys
    }

    /// Every version for one purpose, with its name.
    pub fn versions(&self, purpose: Purpose) -> impl Iterator<Item = (KeyVersionId, &Version)> {
        let all = self.0.keys.iter().flat_map(|key| {
            let versions = key.versions.iter();
            versions.map(|version| (key.name.version(version.version), version))
        });
        all.filter(move |(_, version)| version.purpose == purpose)
    }

    /// The versions for a verifier that knows keys and no verdicts: never compromised. It cannot tell signatures
    /// before a compromise from those after it, so it must not have the key. Versions that do not sign yet are
    /// among them, so that verifiers know a successor before its first signature.
    pub fn unharmed(&self, purpose: Purpose) -> impl Iterator<Item = (KeyVersionId, &Version)> {
        self.versions(purpose)
            .filter(|(_, version)| version.compromise.is_none())
    }
}

#[cfg(test)]
mod tests;
