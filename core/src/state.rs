//! The daemon's state as a fold over the journal. Recovery and normal work call the same [`State::apply`].

pub mod approvals;
mod clock;
mod erasures;
mod freeze;
mod keys;
mod names;
mod parts;
mod publications;
mod receipts;
mod reservations;
mod retries;
mod schedule;
mod shard;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::approval::ApprovalError;
use crate::digest::Sha256Digest;
use crate::error::Code;
use crate::key::{IllegalTransition, KeyState, KeyVersion, Purpose};
use crate::name::{KeyName, KeyVersionId, Tenant};
use crate::record::{
    Event, FreezeScope, Genesis, Lasting, PredecessorError, Record, SCHEMA_VERSION,
};
use crate::time::Timestamp;

use self::approvals::{Operation, Use};
use self::clock::ClockState;
use self::erasures::Erasures;
pub use self::erasures::{ErasureError, HOLD_NAME_MAX, HOLDS_MAX, Held, Outstanding};
pub use self::freeze::Freeze;
use self::freeze::Freezes;
use self::receipts::Receipts;
pub use self::receipts::{Issued, RECEIPTS_MAX, ReceiptConflict};
use self::reservations::Reservations;
pub use self::reservations::{OnceConflict, RESERVATIONS_MAX, Reserved};
use self::retries::Retries;
pub use self::retries::{Earlier, IDEMPOTENCY_RECORDS};
pub use self::schedule::Schedule;

/// Everything that decides: folded in memory, never read from an index. Serialised for the snapshot that a start
/// continues from; whatever a record comes to mean beside this makes a snapshot of an older program useless.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    next_index: u64,
    last_time: Timestamp,
    genesis: Option<Genesis>,
    /// Records that came from the log before this one.
    inherited: u64,
    keys: BTreeMap<KeyName, BTreeMap<u32, KeyVersion>>,
    suspect_tokens: BTreeSet<String>,
    freezes: Freezes,
    clock: ClockState,
    schedules: BTreeMap<KeyName, Schedule>,
    policy_digest: Option<Sha256Digest>,
    config_digest: Option<Sha256Digest>,
    retries: Retries,
    reservations: Reservations,
    receipts: Receipts,
    publications: publications::Publications,
    erasures: Erasures,
    operations: BTreeMap<u64, Operation>,
}

/// The journal holds a record that cannot follow those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Written by a newer program.
    #[error(
        "record {seq} has schema version {v}; this program reads up to {SCHEMA_VERSION}, install a newer one"
    )]
    NewerSchema {
        /// The record.
        seq: u64,
        /// Its version.
        v: u32,
    },
    /// Not the next index.
    #[error("record {got} stands where record {want} belongs")]
    Index {
        /// The index that belongs there.
        want: u64,
        /// The index found.
        got: u64,
    },
    /// Earlier than the record before.
    #[error("record {seq} is older than the record before it")]
    Time {
        /// The record.
        seq: u64,
    },
    /// Genesis missing or repeated.
    #[error("a log begins with exactly one genesis record; record {seq} breaks that")]
    Genesis {
        /// The record.
        seq: u64,
    },
    /// The version is enrolled already, or leaves a gap.
    #[error("key version {0} cannot be enrolled: the next version of this key is {1}")]
    Version(KeyVersionId, u32),
    /// The public key is enrolled under another name.
    #[error("the public key of {new} is enrolled already as {old}")]
    SameKey {
        /// The name asked for.
        new: KeyVersionId,
        /// The name it has.
        old: KeyVersionId,
    },
    /// A payload key without payload types, or another key with some.
    #[error("key {0} needs at least one payload type (purpose dsse) or must have none (others)")]
    PayloadTypes(KeyVersionId),
    /// No such version.
    #[error("no key version {0} is enrolled")]
    UnknownVersion(KeyVersionId),
    /// Another version is active.
    #[error("key {0} has an active version already")]
    SecondActive(KeyName),
    /// The step is not possible.
    #[error("key {0}: {1}")]
    Illegal(KeyVersionId, IllegalTransition),
    /// A compromised version is to sign.
    #[error("key {key} is compromised ({record}): it never signs again; enrol a successor")]
    Compromised {
        /// The version.
        key: KeyVersionId,
        /// The record that says so, and in which log if not in this one.
        record: String,
    },
    /// Its private part may be gone already.
    #[error(
        "key {key} is being destroyed since record {index}; `sealwright keys destroy {key}` goes on from there"
    )]
    BeingDestroyed {
        /// The version.
        key: KeyVersionId,
        /// The record that began it.
        index: u64,
    },
    /// A tenant would have no key left.
    #[error("key {0} is the last one of its tenant; make and enrol another one first")]
    LastKey(KeyVersionId),
    /// Nothing is signed, made or taken into use now.
    #[error(
        "{scope} is frozen since record {index}; an operator may lift that with `sealwright thaw`"
    )]
    Frozen {
        /// What is frozen.
        scope: FreezeScope,
        /// The record that froze it.
        index: u64,
    },
    /// A freeze of what is frozen.
    #[error("{scope} is frozen already, since record {index}; there is nothing more to do")]
    AlreadyFrozen {
        /// What was to be frozen.
        scope: FreezeScope,
        /// The record that froze it.
        index: u64,
    },
    /// The end of a freeze that is not.
    #[error("{0} is not frozen; `sealwright status` shows what is")]
    NotFrozen(FreezeScope),
    /// A rotation between versions of two keys, or from a version to itself.
    #[error("{to} cannot succeed {from}: name two versions of one key")]
    NoSuccessor {
        /// The version that signs.
        from: KeyVersionId,
        /// The version that was named.
        to: KeyVersionId,
    },
    /// A rotation at a time that is over.
    #[error(
        "a rotation at {at} cannot be scheduled at {now}: give a later time, or none to rotate now"
    )]
    PastRotation {
        /// The time asked for.
        at: Timestamp,
        /// The time of asking.
        now: Timestamp,
    },
    /// A second rotation ahead.
    #[error("{to} is to take over at {at} already; cancel that first")]
    AlreadyScheduled {
        /// The successor.
        to: KeyVersionId,
        /// When.
        at: Timestamp,
    },
    /// Nothing to cancel.
    #[error("no rotation of {0} is ahead")]
    NotScheduled(KeyName),
    /// A rotation to a key that signs other things.
    #[error(
        "{to} cannot succeed {from}: it was enrolled for another purpose or other payload types"
    )]
    OtherUse {
        /// The version that signs.
        from: KeyVersionId,
        /// The version that was named.
        to: KeyVersionId,
    },
    /// A revocation of a version that nobody called compromised.
    #[error("key {0} is not compromised; `sealwright keys revoke {0}` says so first")]
    NotCompromised(KeyVersionId),
    /// A revocation statement about what was decided before the newest finding.
    #[error("key {0} was moved to an earlier time meanwhile; have the statement made once more")]
    RevocationOutdated(KeyVersionId),
    /// What a version said is not released: it does not sign any more.
    #[error(
        "key {key} is {state:?} by now, and what it signed is thrown away; name one that is active"
    )]
    NotSigning {
        /// The version.
        key: KeyVersionId,
        /// Its state.
        state: KeyState,
    },
    /// A trust document that says what is not so any more.
    #[error(
        "a key of tenant {0} changed, or another trust document was published, meanwhile; publish once more"
    )]
    TrustOutdated(Tenant),
    /// A revocation list that says what is not so any more.
    #[error("a key changed, or another CRL of {0} was issued, meanwhile; ask for it once more")]
    CrlOutdated(KeyName),
    /// A compromise in the future.
    #[error(
        "key {0} cannot be compromised from a time in the future; to stop it before then, suspend it"
    )]
    FutureCompromise(KeyVersionId),
    /// A compromise before the key was known here.
    #[error("key {key} was enrolled at {enrolled_at}; it cannot be compromised from before that")]
    BeforeEnrolment {
        /// The version.
        key: KeyVersionId,
        /// Its enrolment.
        enrolled_at: Timestamp,
    },
    /// A compromise that says nothing new.
    #[error(
        "key {key} is compromised from {effective_time} already; only an earlier time changes that"
    )]
    AlreadyCompromised {
        /// The version.
        key: KeyVersionId,
        /// Since when.
        effective_time: Timestamp,
    },
    /// The log before this one cannot be it.
    #[error("the genesis record cites a log whose place it cannot take: {0}")]
    Predecessor(#[from] PredecessorError),
    /// More came over than was announced.
    #[error(
        "record {seq} comes from the log before this one, and all that genesis announces are here already"
    )]
    NotAnnounced {
        /// The record.
        seq: u64,
    },
    /// Something else before all came over.
    #[error("record {seq} comes before {missing} records that genesis announces")]
    NotAllInherited {
        /// The record.
        seq: u64,
        /// Records that are still to come.
        missing: u64,
    },
    /// What is said of the version's life cannot be.
    #[error("key {key} cannot be taken over: {why}")]
    Life {
        /// The version.
        key: KeyVersionId,
        /// What is wrong.
        why: &'static str,
    },
    /// Names that come over are none.
    #[error("the names that come over with {0} cannot be read, or one of them stands there twice")]
    Names(KeyName),
    /// A name that is signed once stands for something else.
    #[error(transparent)]
    Once(#[from] OnceConflict),
    /// A receipt that cannot stand where it would.
    #[error(transparent)]
    Receipt(#[from] ReceiptConflict),
    /// See [`ErasureError`].
    #[error(transparent)]
    Erasure(#[from] ErasureError),
    /// Approvals are missing, or do not count.
    #[error(transparent)]
    Approval(#[from] ApprovalError),
}

impl StateError {
    /// What the client is told whose request cannot follow.
    pub fn code(&self) -> Code {
        match self {
            Self::Frozen { .. } => Code::Frozen,
            Self::AlreadyFrozen { .. } => Code::AlreadyFrozen,
            Self::NotFrozen(_) => Code::NotFrozen,
            Self::LastKey(_) => Code::LastKey,
            Self::Once(conflict) => conflict.code(),
            Self::Receipt(conflict) => conflict.code(),
            Self::Erasure(ErasureError::Held { .. }) => Code::OnHold,
            Self::Approval(error) => error.code(),
            _ => Code::InvalidRequest,
        }
    }
}

/// A signature may not be released any more; the writer asks right before it accepts the record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseConflict {
    /// The key's state.
    #[error("key {key} left the state its permit was made in ({now})")]
    Key {
        /// The version.
        key: KeyVersionId,
        /// What it is now.
        now: String,
    },
    /// A subject's name.
    #[error(transparent)]
    Once(#[from] OnceConflict),
    /// The chain that a receipt would join.
    #[error(transparent)]
    Receipt(#[from] ReceiptConflict),
    /// The approvals that policy asks for.
    #[error(transparent)]
    Approval(#[from] ApprovalError),
}

impl ReleaseConflict {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            Self::Key { .. } => Code::Discarded,
            Self::Once(conflict) => conflict.code(),
            Self::Receipt(conflict) => conflict.code(),
            Self::Approval(error) => error.code(),
        }
    }
}

impl State {
    /// Index that the next record gets; the number of records so far.
    pub fn next_index(&self) -> u64 {
        self.next_index
    }

    /// Time of the newest record.
    pub fn last_time(&self) -> Timestamp {
        self.last_time
    }

    /// The genesis record.
    pub fn genesis(&self) -> Option<&Genesis> {
        self.genesis.as_ref()
    }

    /// The policy in force when the last record was written.
    pub fn policy_digest(&self) -> Option<Sha256Digest> {
        self.policy_digest
    }

    /// The configuration in force when the last record was written.
    pub fn config_digest(&self) -> Option<Sha256Digest> {
        self.config_digest
    }

    /// Tokens that once answered with something that does not verify and were not cleared since.
    pub fn suspect_tokens(&self) -> &BTreeSet<String> {
        &self.suspect_tokens
    }

    /// All key versions, by name and version.
    pub fn keys(&self) -> impl Iterator<Item = (KeyVersionId, &KeyVersion)> {
        self.keys.iter().flat_map(|(name, versions)| {
            versions
                .iter()
                .map(|(number, version)| (name.version(*number), version))
        })
    }

    /// Those that serve `purpose`. The names of all others are not copied.
    pub fn keys_for(&self, purpose: Purpose) -> impl Iterator<Item = (KeyVersionId, &KeyVersion)> {
        self.keys.iter().flat_map(move |(name, versions)| {
            versions
                .iter()
                .filter(move |(_, version)| version.enrolment.purpose == purpose)
                .map(|(number, version)| (name.version(*number), version))
        })
    }

    /// The active version of `key`, else a suspended one, else its newest.
    pub fn signing_version(&self, key: &KeyName) -> Option<(u32, &KeyVersion)> {
        let versions = self.keys.get(key)?;
        let in_state = |state| versions.iter().find(|(_, version)| version.state == state);
        in_state(KeyState::Active)
            .or_else(|| in_state(KeyState::Suspended))
            .or_else(|| versions.last_key_value())
            .map(|(number, version)| (*number, version))
    }

    /// One version.
    pub fn version(&self, id: &KeyVersionId) -> Option<&KeyVersion> {
        self.keys.get(&id.key)?.get(&id.version)
    }

    /// The number the next version of `key` gets.
    pub fn next_version(&self, key: &KeyName) -> u32 {
        let newest = self
            .keys
            .get(key)
            .and_then(|versions| versions.last_key_value());
        newest.map_or(1, |(number, _)| number.saturating_add(1))
    }

    /// The record of an earlier request with this Idempotency-Key by this principal.
    pub fn earlier(&self, principal: &str, idempotency: &Sha256Digest) -> Option<Earlier> {
        self.retries.get(principal, idempotency)
    }

    /// The record since which `version` may sign without a break, if it may: the one that activated it, or the
    /// newest freeze that was lifted since. A permit holds it and is void when it is another.
    pub(crate) fn permit_index(&self, key: &KeyVersionId, version: &KeyVersion) -> u64 {
        version
            .state_index
            .max(self.newest_freeze(key.key.tenant()))
    }

    /// Whether a signature made under a permit from `state_index` may still be released.
    pub fn check_release(
        &self,
        key: &KeyVersionId,
        state_index: u64,
    ) -> Result<(), ReleaseConflict> {
        let conflict = |now: String| ReleaseConflict::Key {
            key: key.clone(),
            now,
        };
        let version = self
            .version(key)
            .ok_or_else(|| conflict("it is unknown".to_owned()))?;
        self.check_thawed(key.key.tenant())
            .map_err(|frozen| conflict(frozen.to_string()))?;
        let since = self.permit_index(key, version);
        if version.state == KeyState::Active && since == state_index {
            Ok(())
        } else {
            Err(conflict(format!(
                "it is {:?}, and everything from before record {since} is void",
                version.state
            )))
        }
    }

    /// Takes in the next record. On an error nothing has changed.
    pub fn apply(&mut self, record: &Record) -> Result<(), StateError> {
        self.check_place(record)?;
        let used = self.check_warrant(record)?;
        match &record.event {
            Event::Genesis(genesis) => self.begin(genesis)?,
            Event::KeyInherited(_)
            | Event::NamesInherited(_)
            | Event::FreezeInherited(_)
            | Event::HoldInherited(_) => self.inherit(record)?,
            Event::KeyEnrolled(enrolled) => self.enrol(record, &enrolled.enrolment)?,
            Event::KeyChanged(changed) => self.change(record, changed)?,
            Event::RotationScheduled(rotation) => self.schedule(record, rotation)?,
            Event::RotationCancelled(cancelled) => self.cancel(cancelled)?,
            Event::PolicyActivated(activated) => self.policy_digest = Some(activated.digest),
            Event::ConfigActivated(activated) => self.config_digest = Some(activated.digest),
            Event::FreezeSet(set) => self.freeze(record, set)?,
            Event::FreezeLifted(lifted) => self.thaw(lifted)?,
            Event::ClockDoubted(doubted) => self.doubt_clock(doubted.doubt),
            Event::ClockBelieved(believed) => self.believe_clock(believed),
            Event::ClockAccepted(accepted) => self.accept_clock(record, accepted),
            Event::KeyDestroyIntent(intent) => self.begin_destruction(record, intent)?,
            Event::KeyGenerateIntent(intent) => self.check_thawed(intent.key.key.tenant())?,
            Event::TokenSuspect(mark) => {
                self.suspect_tokens.insert(mark.token.clone());
            }
            Event::TokenCleared(mark) => {
                self.suspect_tokens.remove(&mark.token);
            }
            Event::SignIntended(intended) => self.intend(record, intended)?,
            Event::Sign(sign) => {
                self.check_settled(sign)?;
                self.take(record.seq, &Lasting::of(sign));
            }
            Event::ApprovalRequested(requested) => self.request(record, requested)?,
            Event::ApprovalGranted(given) | Event::ApprovalDenied(given) => {
                self.approve(record, given)?;
            }
            Event::KeyRotated(rotated) => self.rotate(record, rotated)?,
            Event::KeyAttested(attested) => self.attest(attested)?,
            Event::KeyCompromised(compromised) => self.compromise(record, compromised)?,
            Event::CrlIssued(issued) => self.issue_crl(issued)?,
            Event::KeyRevocation(revocation) => self.check_revocation(revocation)?,
            Event::TrustPublished(published) => self.publish_trust(published)?,
            Event::AuditErased(erased) => self.erase(record.seq, erased)?,
            Event::ErasureDone(done) => self.finish_erasure(done)?,
            Event::HoldPlaced(hold) => self.place_hold(record.seq, record.time, hold)?,
            Event::HoldLifted(hold) => self.lift_hold(hold)?,
            Event::DaemonStarted(started) => {
                self.forget_open_intents();
                self.note_start(started);
            }
            Event::LogRecovered(_) | Event::DenialsSummarised(_) => {}
        }
        if let Some(used) = used {
            self.use_up(used, record.seq);
        }
        self.advance(record.seq, record.time);
        Ok(())
    }

    /// What a record of a signing request means for later ones, whether or not it still has its body.
    fn take(&mut self, index: u64, lasting: &Lasting) {
        if let Some(retry) = lasting.retry {
            self.retries.insert(index, retry);
        }
        self.count_signatures(&lasting.signed);
        if let Some(reserves) = &lasting.reserves {
            self.reserve(index, reserves);
        }
        if let Some(once) = &lasting.once {
            self.settle(index, once);
        }
        if let Some(receipt) = &lasting.receipt {
            self.add_receipt(index, receipt);
        }
        if let Some(operation) = lasting.approval {
            self.use_up(Use::of(operation), index);
        }
    }

    fn advance(&mut self, index: u64, time: Timestamp) {
        self.next_index = index + 1;
        self.note_time(time);
        self.retries.age(self.next_index);
    }

    fn check_place(&self, record: &Record) -> Result<(), StateError> {
        let seq = record.seq;
        if record.v > SCHEMA_VERSION {
            return Err(StateError::NewerSchema { seq, v: record.v });
        }
        self.check_order(seq, record.time)?;
        let is_genesis = matches!(record.event, Event::Genesis(_));
        if is_genesis != (seq == 0) {
            return Err(StateError::Genesis { seq });
        }
        self.check_opening(record)
    }

    fn check_order(&self, seq: u64, time: Timestamp) -> Result<(), StateError> {
        if seq != self.next_index {
            let want = self.next_index;
            return Err(StateError::Index { want, got: seq });
        }
        if time < self.last_time {
            return Err(StateError::Time { seq });
        }
        Ok(())
    }
}
