//! How a log ends on one host and another one takes its place: the file that `sealwrightd shard` writes and
//! `sealwright init --continues` reads, and what `init` leaves for the first start.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::json::{self, JsonError};
use crate::key::KeyState;
use crate::name::KeyName;
use crate::record::{
    Event, FreezeInherited, Genesis, HoldInherited, KeyInherited, NamesInherited, Predecessor,
    PredecessorError,
};
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
    /// What comes over.
    pub inheritance: Inheritance,
}

/// What a new log takes from an old one, each in a record of its own. Approvals, schedules and retries stay behind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inheritance {
    /// Every key version, by name and number.
    pub keys: Vec<KeyInherited>,
    /// Names that are signed once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<NamesInherited>,
    /// The freezes in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<FreezeInherited>,
    /// The holds in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<HoldInherited>,
}

/// The log's first records, before it has any: the file `genesis.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// The first.
    #[serde(flatten)]
    pub genesis: Genesis,
    /// What follows it in a log with a predecessor.
    #[serde(default, skip_serializing_if = "Inheritance::is_empty")]
    pub inheritance: Inheritance,
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
    /// Something that cannot come over.
    #[error(transparent)]
    State(#[from] StateError),
    /// Something is missing, or too much.
    #[error(
        "it announces {announced} records of key versions, names, freezes and holds, and {found} are in it"
    )]
    Count {
        /// What the predecessor's part says.
        announced: u64,
        /// How many there are.
        found: u64,
    },
    /// The old log had not all of its own predecessor's records yet.
    #[error(
        "the log of {0} never got all that its genesis announces: start its daemon once, or use the file \
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
        if state.to_inherit() > 0 {
            return Err(ShardError::Unfinished(predecessor.origin));
        }
        let inheritance = Inheritance::of(state, &predecessor.origin);
        predecessor.inherited = inheritance.len();
        predecessor.suspect_tokens = state.suspect_tokens().iter().cloned().collect();
        predecessor.check_citation()?;
        inheritance.check(&predecessor)?;
        Ok(Self {
            format: FORMAT.to_owned(),
            predecessor,
            policy_digest: state.policy_digest(),
            inheritance,
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
        shard.inheritance.check(&shard.predecessor)?;
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
                self.inheritance.check(predecessor)
            }
            None if self.inheritance.is_empty() => Ok(()),
            None => Err(ShardError::Count {
                announced: 0,
                found: self.inheritance.len(),
            }),
        }
    }
}

impl Inheritance {
    fn of(state: &State, origin: &str) -> Self {
        let keys = state
            .keys()
            .map(|(_, version)| KeyInherited::of(version, origin));
        let in_force = state
            .freezes()
            .filter_map(|(scope, freeze)| Some((scope, freeze?)));
        let freezes = in_force.map(|(scope, freeze)| FreezeInherited {
            scope: scope.clone(),
            since: freeze.since,
            reason: freeze.reason.clone(),
            by: freeze.by.clone(),
        });
        let holds = state.all_holds().map(|(tenant, name, held)| HoldInherited {
            tenant: tenant.clone(),
            name: name.to_owned(),
            since: held.since,
            reason: held.reason.clone(),
            by: held.principal.clone(),
        });
        Self {
            keys: keys.collect(),
            names: state.names_to_inherit(),
            freezes: freezes.collect(),
            holds: holds.collect(),
        }
    }

    /// What is recorded, in order: no key comes under a freeze.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        let keys = self.keys.iter().cloned();
        let keys = keys.map(|key| Event::KeyInherited(Box::new(key)));
        let names = self.names.iter().cloned().map(Event::NamesInherited);
        let freezes = self.freezes.iter().cloned().map(Event::FreezeInherited);
        let holds = self.holds.iter().cloned().map(Event::HoldInherited);
        keys.chain(names).chain(freezes).chain(holds)
    }

    fn len(&self) -> u64 {
        let Self {
            keys,
            names,
            freezes,
            holds,
        } = self;
        (keys.len() + names.len() + freezes.len() + holds.len()) as u64
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn check(&self, predecessor: &Predecessor) -> Result<(), ShardError> {
        let (announced, found) = (predecessor.inherited, self.len());
        if announced != found {
            return Err(ShardError::Count { announced, found });
        }
        State::check_inheritance(self.events())?;
        let mut names = HashSet::new();
        let mut active = self.keys.iter().filter(|key| key.state == KeyState::Active);
        match active.find(|key| !names.insert(&key.enrolment.key.key)) {
            Some(second) => Err(ShardError::SecondActive(second.enrolment.key.key.clone())),
            None => Ok(()),
        }
    }
}
