//! How a log ends on one host and another one takes its place: the file that `sealwrightd shard` writes and
//! `sealwright init --continues` reads, and what `init` leaves for the first start.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::json::{self, JsonError};
use crate::key::KeyState;
use crate::name::KeyName;
use crate::record::{Genesis, KeyInherited, Predecessor, PredecessorError};
use crate::state::{State, StateError};

/// What the member `format` says: kind and version of the file.
pub const FORMAT: &str = "https://sealwright.dev/shard/v1";

/// Everything of an old log that a new one begins with. The same log gives the same bytes, wherever it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    format: String,
    /// The old log.
    pub predecessor: Predecessor,
    /// The policy in force at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_digest: Option<Sha256Digest>,
    /// Its key versions, by name and number.
    pub keys: Vec<KeyInherited>,
}

/// The log's first records, before it has any: the file `genesis.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// The first.
    #[serde(flatten)]
    pub genesis: Genesis,
    /// Those that follow it in a log with a predecessor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyInherited>,
}

/// Why bytes are no shard file, or no log can begin with it.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// Another kind of file, or a version of it from the future.
    #[error(
        "the member `format` says {0:?}, not {FORMAT:?}: another file, or made by a newer sealwrightd"
    )]
    Format(String),
    /// Not JSON, or a member is missing, unknown or of another type.
    #[error("it cannot be read: {0}")]
    Json(#[from] JsonError),
    /// The old log as it is cited.
    #[error(transparent)]
    Predecessor(#[from] PredecessorError),
    /// A version that cannot come over.
    #[error(transparent)]
    Key(#[from] StateError),
    /// A version is missing, or one too many.
    #[error("it announces {announced} key versions and holds {found}")]
    Count {
        /// What the predecessor's part says.
        announced: u64,
        /// How many there are.
        found: usize,
    },
    /// The old log had not all of its own predecessor's key versions yet.
    #[error(
        "the log of {0} never got all key versions that its genesis announces: start its daemon once, or use the file \
         that it was begun with"
    )]
    Unfinished(String),
    /// Two versions signed at the same time.
    #[error("two versions of {0} are Active")]
    SecondActive(KeyName),
}

impl Shard {
    /// What comes over from the log that folded to `state`.
    ///
    /// # Errors
    /// [`ShardError`]: `predecessor` contradicts itself.
    pub fn new(mut predecessor: Predecessor, state: &State) -> Result<Self, ShardError> {
        let origin = &predecessor.origin;
        if state.to_inherit() > 0 {
            return Err(ShardError::Unfinished(origin.clone()));
        }
        let keys = state.keys();
        let keys: Vec<_> = keys
            .map(|(_, version)| KeyInherited::of(version, origin))
            .collect();
        predecessor.versions = keys.len() as u64;
        predecessor.suspect_tokens = state.suspect_tokens().iter().cloned().collect();
        predecessor.check_citation()?;
        check_keys(&predecessor, &keys)?;
        Ok(Self {
            format: FORMAT.to_owned(),
            predecessor,
            policy_digest: state.policy_digest(),
            keys,
        })
    }

    /// Reads a file, for a log called `origin`.
    ///
    /// # Errors
    /// [`ShardError`]: not a shard file, in contradiction to itself, or of a log whose place it cannot take.
    pub fn parse(bytes: &[u8], origin: &str) -> Result<Self, ShardError> {
        #[derive(Deserialize)]
        struct Probe {
            #[serde(default)]
            format: Option<String>,
        }
        match json::from_slice::<Probe>(bytes)?.format {
            Some(format) if format == FORMAT => {}
            other => return Err(ShardError::Format(other.unwrap_or_default())),
        }
        let shard: Self = json::from_slice(bytes)?;
        shard.predecessor.check(origin)?;
        check_keys(&shard.predecessor, &shard.keys)?;
        Ok(shard)
    }

    /// The file's text.
    ///
    /// # Errors
    /// [`JsonError`]: none that is known.
    pub fn to_json(&self) -> Result<String, JsonError> {
        let text = serde_json::to_string_pretty(self).map_err(JsonError::Form)?;
        Ok(text + "\n")
    }
}

impl Founding {
    /// Whether a log can begin with it.
    ///
    /// # Errors
    /// [`ShardError`]: its parts contradict each other.
    pub fn check(&self) -> Result<(), ShardError> {
        match &self.genesis.predecessor {
            Some(predecessor) => {
                predecessor.check(&self.genesis.origin)?;
                check_keys(predecessor, &self.keys)
            }
            None if self.keys.is_empty() => Ok(()),
            None => Err(ShardError::Count {
                announced: 0,
                found: self.keys.len(),
            }),
        }
    }
}

fn check_keys(predecessor: &Predecessor, keys: &[KeyInherited]) -> Result<(), ShardError> {
    let (announced, found) = (predecessor.versions, keys.len());
    if announced != found as u64 {
        return Err(ShardError::Count { announced, found });
    }
    State::check_inheritance(keys)?;
    let mut names = HashSet::new();
    let mut active = keys.iter().filter(|key| key.state == KeyState::Active);
    match active.find(|key| !names.insert(&key.enrolment.key.key)) {
        Some(second) => Err(ShardError::SecondActive(second.enrolment.key.key.clone())),
        None => Ok(()),
    }
}
