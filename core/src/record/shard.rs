//! What a new log says of the one whose place it takes.

use serde::{Deserialize, Serialize};

use super::FreezeScope;
use crate::digest::Sha256Digest;
use crate::key::{Compromise, Enrolment, KeyState, KeyVersion};
use crate::time::Timestamp;
use crate::tlog::checkpoint::CheckpointError;
use crate::tlog::note::NoteError;
use crate::tlog::vkey::VkeyError;
use crate::tlog::{Checkpoint, Note, VerifierKey};

/// Characters of the reason why a log was not taken over whole.
pub const BECAUSE_MAX: usize = 1024;

/// The log that this one takes the place of, and how much of it came over. A log is never continued by a restore:
/// whoever saw the old one may have seen more of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// Its origin.
    pub origin: String,
    /// Its key, a C2SP vkey line.
    pub vkey: String,
    /// Records of it that this log stands on.
    pub size: u64,
    /// Root of its tree of that size.
    pub root: Sha256Digest,
    /// Time of the last of these records.
    pub time: Timestamp,
    /// The newest checkpoint that is known, a signed note with the cosignatures that were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// The newest one that was cosigned, where that is an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnessed: Option<String>,
    /// Why less than the whole log was taken over, or why without a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// How many records of what comes over follow, before anything else is recorded: `key.inherited`, then
    /// `names.inherited`, `freeze.inherited`, `hold.inherited`.
    pub inherited: u64,
    /// Tokens that were marked suspect; they stay so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspect_tokens: Vec<String>,
    /// The logs before it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<FormerLog>,
}

/// A log that is not written any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerLog {
    /// Its origin.
    pub origin: String,
    /// Its key, a C2SP vkey line.
    pub vkey: String,
}

/// A key version that comes from the predecessor, with the life it had there. One that was `Active` is `Suspended`
/// here, until an operator has looked at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInherited {
    /// What was enrolled.
    #[serde(flatten)]
    pub enrolment: Enrolment,
    /// Where it stood in the old log.
    pub state: KeyState,
    /// When it was enrolled.
    pub enrolled_at: Timestamp,
    /// When it began to sign, if it ever did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_from: Option<Timestamp>,
    /// When it stopped for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_until: Option<Timestamp>,
    /// Set if it may be in other hands; names the log that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compromise: Option<Compromise>,
    /// The succession statement by which its predecessor named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succession: Option<String>,
    /// Signatures of it that were released.
    #[serde(default)]
    pub signatures: u64,
}

/// A freeze that was in force at the predecessor's end, and stays so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeInherited {
    /// What is frozen.
    pub scope: FreezeScope,
    /// Since when.
    pub since: Timestamp,
    /// Why, in the operator's words.
    pub reason: String,
    /// The principal who set it.
    pub by: String,
}

/// Why a log cannot take another one's place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PredecessorError {
    /// Two logs with one name.
    #[error(
        "{0} is the origin of the old log: two logs with one origin are a split view, and each would be evidence \
         against the other. Give the new log an origin of its own"
    )]
    SameOrigin(String),
    /// The key is none.
    #[error("the old log's vkey: {0}")]
    Vkey(#[from] VkeyError),
    /// The key has another name than the log.
    #[error("the old log is {origin}, and its vkey is one of {name}")]
    OtherKey {
        /// The log.
        origin: String,
        /// The name in the vkey.
        name: String,
    },
    /// Nothing to stand on.
    #[error("the old log has no record: begin one without a predecessor")]
    Empty,
    /// The checkpoint is no note of the old log.
    #[error("the old log's checkpoint: {0}")]
    Note(#[from] NoteError),
    /// The note is no checkpoint.
    #[error("the old log's checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is of another log.
    #[error("the old log is {origin}, and its checkpoint is one of {other}")]
    OtherCheckpoint {
        /// The log.
        origin: String,
        /// The origin in the checkpoint.
        other: String,
    },
    /// The checkpoint contradicts what is cited.
    #[error("the old log's checkpoint of {0} records has another root than is cited beside it")]
    Root(u64),
    /// Less than was signed, or nothing that was.
    #[error(
        "{}, and {size} are taken over without a reason: say why (--sound-to {size} --because TEXT)",
        .signed.map_or("no checkpoint of the old log is known".to_owned(), |n| format!("the old log had {n} records"))
    )]
    NoReason {
        /// Records taken over.
        size: u64,
        /// Records that the newest checkpoint covers.
        signed: Option<u64>,
    },
    /// The reason is empty or too long.
    #[error("the reason has 1 to {BECAUSE_MAX} characters, not {0}")]
    Because(usize),
}

impl Predecessor {
    /// Whether a log called `origin` may take its place, as far as can be told without the old log itself.
    ///
    /// # Errors
    /// [`PredecessorError`]: one name for two logs, a checkpoint that is not the old log's or has another root, or
    /// no reason where one is due.
    pub fn check(&self, origin: &str) -> Result<(), PredecessorError> {
        let earlier = self.earlier.iter().map(|log| &log.origin);
        if earlier.chain([&self.origin]).any(|old| old == origin) {
            return Err(PredecessorError::SameOrigin(origin.to_owned()));
        }
        self.check_citation()
    }

    /// Whether what is cited agrees with itself and with the signatures in it.
    ///
    /// # Errors
    /// As [`Self::check`], but for the name.
    pub fn check_citation(&self) -> Result<(), PredecessorError> {
        if self.size == 0 {
            return Err(PredecessorError::Empty);
        }
        let vkey: VerifierKey = self.vkey.parse()?;
        if vkey.name() != self.origin {
            return Err(PredecessorError::OtherKey {
                origin: self.origin.clone(),
                name: vkey.name().to_owned(),
            });
        }
        let of_note = |note: &String| self.check_note(note, &vkey);
        let signed = self.checkpoint.as_ref().map(of_note).transpose()?;
        let witnessed = self.witnessed.as_ref().map(of_note).transpose()?;
        self.check_reason(signed.max(witnessed))
    }

    /// Records that the note covers, if the old log signed it.
    fn check_note(&self, note: &str, vkey: &VerifierKey) -> Result<u64, PredecessorError> {
        let note = Note::parse(note)?;
        note.verify([vkey])?;
        let checkpoint: Checkpoint = note.text().parse()?;
        if checkpoint.origin() != self.origin {
            return Err(PredecessorError::OtherCheckpoint {
                origin: self.origin.clone(),
                other: checkpoint.origin().to_owned(),
            });
        }
        if checkpoint.size() == self.size && *checkpoint.root() != self.root.0 {
            return Err(PredecessorError::Root(self.size));
        }
        Ok(checkpoint.size())
    }

    fn check_reason(&self, signed: Option<u64>) -> Result<(), PredecessorError> {
        let is_whole = signed.is_some_and(|signed| signed <= self.size);
        match &self.because {
            None if !is_whole => Err(PredecessorError::NoReason {
                size: self.size,
                signed,
            }),
            Some(text) if !(1..=BECAUSE_MAX).contains(&text.trim().chars().count()) => {
                Err(PredecessorError::Because(text.trim().chars().count()))
            }
            _ => Ok(()),
        }
    }
}

impl KeyInherited {
    /// A version of the log called `origin`, as it leaves it.
    pub fn of(version: &KeyVersion, origin: &str) -> Self {
        let compromise = version.compromise.clone().map(|compromise| Compromise {
            log: compromise.log.or_else(|| Some(origin.to_owned())),
            ..compromise
        });
        Self {
            // The newest evidence goes along, or it would be lost with the old log.
            enrolment: Enrolment {
                attestation: version.attestation,
                ..version.enrolment.clone()
            },
            state: version.state,
            enrolled_at: version.enrolled_at,
            active_from: version.active_from,
            active_until: version.active_until,
            compromise,
            succession: version.succession.clone(),
            signatures: version.signatures,
        }
    }

    /// The version as it enters the new log with record `state_index`.
    pub fn version(&self, state_index: u64) -> KeyVersion {
        let state = match self.state {
            KeyState::Active => KeyState::Suspended,
            state => state,
        };
        KeyVersion {
            enrolment: self.enrolment.clone(),
            state,
            state_index,
            enrolled_at: self.enrolled_at,
            active_from: self.active_from,
            active_until: self.active_until,
            compromise: self.compromise.clone(),
            succession: self.succession.clone(),
            signatures: self.signatures,
            attestation: self.enrolment.attestation,
            destroy_intent: None,
        }
    }
}
