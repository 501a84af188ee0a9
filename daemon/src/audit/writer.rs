//! The journal's only writer, and the linearisation point of the whole daemon.
//!
//! It takes everything that waits, decides on each with the state as it is now, writes one batch, syncs
//! once, and only then lets the results go. A [`Recorded`] value is the proof that this happened; nothing
//! else can make one, and the response stage takes nothing else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, RwLock};
use std::time::Instant;

use sealwright_core::error::Code;
use sealwright_core::journal::{BATCH_MAX, BODY_MAX, Chain, Entry, batch_len};
use sealwright_core::name::KeyVersionId;
use sealwright_core::permit::Permit;
use sealwright_core::record::{self, Event, Leaf, Record, SALT_LEN, SCHEMA_VERSION, SignRecord};
use sealwright_core::state::{ReleaseConflict, State, StateError};
use sealwright_core::time::Timestamp;
use sealwright_core::tlog::Hash;
use sealwright_core::tlog::merkle::leaf_hash;
use tokio::sync::oneshot;

use super::segments::{Place, Segments};
use crate::clock::Clock;
use crate::failpoints::Failpoints;
use crate::metrics::Commits;

/// A value whose record is durable at `index`. Made only here.
///
/// The response stage takes nothing else, so this is the way out for an envelope:
///
/// ```
/// # use sealwrightd::{audit::writer::Recorded, seal::Sealed};
/// fn leave(recorded: Recorded<Sealed>) {
///     let _ = recorded.release();
/// }
/// ```
///
/// A sealed envelope alone does not give its bytes away:
///
/// ```compile_fail,E0599
/// # use sealwrightd::seal::Sealed;
/// fn leak(sealed: Sealed) {
///     let _ = sealed.release();
/// }
/// ```
///
/// ```compile_fail,E0616
/// # use sealwrightd::seal::Sealed;
/// fn leak(sealed: Sealed) {
///     let _ = sealed.bytes;
/// }
/// ```
///
/// And nobody else says that something was recorded:
///
/// ```compile_fail,E0451
/// # use sealwrightd::{audit::writer::Recorded, seal::Sealed};
/// fn pretend(value: Sealed) -> Recorded<Sealed> {
///     Recorded { value, index: 0 }
/// }
/// ```
#[must_use = "what was recorded is meant to be answered"]
#[derive(Debug)]
pub struct Recorded<T> {
    value: T,
    index: u64,
}

impl<T> Recorded<T> {
    /// Index of the record.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The value, now free to leave.
    pub fn into_value(self) -> T {
        self.value
    }
}

/// Why nothing was recorded, or something else was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A sync failed earlier; nobody knows what is on the disk.
    #[error(
        "the journal is poisoned: an earlier write or sync failed; check the disk, then restart sealwrightd"
    )]
    Poisoned,
    /// No room for another segment. Nothing was written; it may be tried again.
    #[error(
        "the disk has no room for the journal's next segment; free space on the state directory"
    )]
    Full,
    /// The key or a reserved name changed while the signature was made. A `discarded` record was written instead.
    #[error("discarded, see record {index}: {reason}")]
    Discarded {
        /// The `discarded` record.
        index: u64,
        /// What the client is told.
        code: Code,
        /// What changed.
        reason: String,
    },
    /// A key changed while it signed what the daemon says itself. That is thrown away, and nothing was recorded.
    #[error(transparent)]
    Void(ReleaseConflict),
    /// The event is not possible now.
    #[error(transparent)]
    State(#[from] StateError),
    /// The record would be larger than any may be.
    #[error("the record has {0} bytes, more than {BODY_MAX}")]
    TooLarge(usize),
    /// The record could not be written as JSON.
    #[error("the record cannot be encoded")]
    Encoding,
    /// The daemon is going down.
    #[error("the journal is closed: the daemon is stopping")]
    Closed,
}

/// The state in which a key version was when a signature was permitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The version.
    pub key: KeyVersionId,
    /// The permit's state index.
    pub state_index: u64,
    /// How many approvals policy asks for.
    pub approvals: u32,
}

impl Claim {
    /// What `permit` relies on; the writer checks it once more before it accepts the release.
    pub fn of(permit: &Permit) -> Self {
        Self {
            key: permit.key().clone(),
            state_index: permit.state_index(),
            approvals: permit.demands().approvals,
        }
    }
}

/// What is asked of the writer.
struct Job {
    event: Event,
    claims: Vec<Claim>,
    reply: oneshot::Sender<Outcome>,
}

enum Message {
    Job(Box<Job>),
    Rotate(oneshot::Sender<Result<(), RecordError>>),
    Close,
}

/// What a durable batch consists of, for those who follow the journal.
pub struct Durable {
    /// Index of the first entry.
    pub first: u64,
    /// The entries with the hashes of their leaves.
    pub entries: Vec<(Entry, Hash)>,
    /// The chain after the batch.
    pub chain: Chain,
    /// Where the batch ends.
    pub end: Place,
}

/// Hands durable batches on; called after the replies, so followers delay nobody.
pub trait Follower: Send {
    /// Takes in one batch; `state` is the fold up to its end.
    fn durable(&mut self, batch: Arc<Durable>, state: &State);

    /// No batch comes any more.
    fn close(&mut self, _: &State) {}
}

/// A handle on the writer thread.
#[derive(Clone)]
pub struct Journal {
    messages: Sender<Message>,
    state: Arc<RwLock<State>>,
    poisoned: Arc<AtomicBool>,
    commits: Commits,
}

impl Journal {
    /// What the writer observes of its batches.
    pub fn commits(&self) -> &Commits {
        &self.commits
    }

    /// Starts the writer thread. It ends at [`Journal::close`].
    pub fn start(
        segments: Segments,
        state: State,
        clock: Arc<dyn Clock>,
        failpoints: Arc<Failpoints>,
        followers: Vec<Box<dyn Follower>>,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (messages, queue) = channel();
        let state = Arc::new(RwLock::new(state));
        let poisoned = Arc::new(AtomicBool::new(false));
        let commits = Commits::default();
        let writer = Writer {
            commits: commits.clone(),
            segments,
            state: Arc::clone(&state),
            poisoned: Arc::clone(&poisoned),
            clock,
            failpoints,
            followers,
        };
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(&queue))?;
        Ok((
            Self {
                messages,
                state,
                poisoned,
                commits,
            },
            thread,
        ))
    }

    /// Lets the writer finish what it was sent so far and end, whoever still holds a handle. Records sent after
    /// that are refused with [`RecordError::Closed`].
    pub fn close(&self) {
        // Fails only where the writer has ended already.
        let _ = self.messages.send(Message::Close);
    }

    /// Stops all signing until a restart: the log on disk is not what it was.
    pub fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    /// Whether a write or sync has failed.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// Looks at the state. The lock is held for the call only: `look` must not block.
    pub fn with_state<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(
            &self
                .state
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }

    /// Records `event`; resolves once it is durable.
    pub async fn record(&self, event: Event) -> Result<Recorded<()>, RecordError> {
        let index = self.submit(event, Vec::new()).await?;
        Ok(Recorded { value: (), index })
    }

    /// Records `event`, of which `value` is a part that a key signed under `claim`: it leaves once the event is durable.
    pub async fn record_with<T>(
        &self,
        (value, claim): (T, Claim),
        event: Event,
    ) -> Result<Recorded<T>, RecordError> {
        let index = self.submit(event, vec![claim]).await?;
        Ok(Recorded { value, index })
    }

    /// Records the release of `value`, if all `claims` still hold when the writer gets to it.
    pub async fn release<T>(
        &self,
        value: T,
        record: SignRecord,
        claims: Vec<Claim>,
    ) -> Result<Recorded<T>, RecordError> {
        let index = self.submit(Event::Sign(Box::new(record)), claims).await?;
        Ok(Recorded { value, index })
    }

    /// Closes the newest segment, so that what was written so far lies in segments that nobody writes to.
    pub async fn rotate(&self) -> Result<(), RecordError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.messages.send(Message::Rotate(reply));
        sent.map_err(|_| RecordError::Closed)?;
        answer.await.unwrap_or(Err(RecordError::Closed))
    }

    async fn submit(&self, event: Event, claims: Vec<Claim>) -> Result<u64, RecordError> {
        if self.is_poisoned() {
            return Err(RecordError::Poisoned);
        }
        let (reply, answer) = oneshot::channel();
        self.messages
            .send(Message::Job(Box::new(Job {
                event,
                claims,
                reply,
            })))
            .map_err(|_| RecordError::Closed)?;
        answer.await.unwrap_or(Err(RecordError::Closed))
    }
}

/// Room for entries in a batch.
const PAYLOAD_MAX: usize = BATCH_MAX - 256;

struct Writer {
    segments: Segments,
    state: Arc<RwLock<State>>,
    poisoned: Arc<AtomicBool>,
    commits: Commits,
    clock: Arc<dyn Clock>,
    failpoints: Arc<Failpoints>,
    followers: Vec<Box<dyn Follower>>,
}

/// A batch in the making, with the replies that wait for it.
#[derive(Default)]
struct Batch {
    first: u64,
    entries: Vec<Entry>,
    payload: usize,
    replies: Vec<Reply>,
}

impl Batch {
    /// Whether one more record could be too much.
    fn is_full(&self) -> bool {
        batch_len(self.payload + BODY_MAX + SALT_LEN) > PAYLOAD_MAX
    }
}

type Outcome = Result<u64, RecordError>;
type Reply = (oneshot::Sender<Outcome>, Outcome);

impl Writer {
    fn run(mut self, queue: &Receiver<Message>) {
        let mut next = queue.recv().ok();
        loop {
            next = match next {
                Some(Message::Job(job)) => self.batch(*job, queue),
                Some(Message::Rotate(reply)) => {
                    // Whoever stopped waiting has no use for the answer.
                    let _ = reply.send(self.rotate());
                    None
                }
                Some(Message::Close) | None => break,
            };
            next = next.or_else(|| queue.recv().ok());
        }
        self.tell(|follower, state| follower.close(state));
    }

    /// Makes one batch of `job` and what waits behind it; returns what did not belong to it.
    fn batch(&mut self, job: Job, queue: &Receiver<Message>) -> Option<Message> {
        let mut batch = Batch::default();
        self.add(&mut batch, job);
        let mut next = queue.try_recv().ok();
        while !batch.is_full() {
            let Some(Message::Job(job)) = next else { break };
            self.add(&mut batch, *job);
            next = queue.try_recv().ok();
        }
        self.commit(batch);
        next
    }

    fn rotate(&mut self) -> Result<(), RecordError> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(RecordError::Poisoned);
        }
        if self.segments.is_fresh() {
            return Ok(());
        }
        self.segments.rotate().map_err(|_| RecordError::Full)
    }

    /// Decides on one job, if its record will find room. The fold takes it in at once: a later job in the same batch sees it, and if the
    /// batch never becomes durable the journal is poisoned and nobody acts on the state any more.
    fn add(&mut self, batch: &mut Batch, job: Job) {
        let outcome = if self.poisoned.load(Ordering::Acquire) {
            Err(RecordError::Poisoned)
        } else if batch.entries.is_empty() && self.segments.make_room().is_err() {
            Err(RecordError::Full)
        } else {
            self.decide(batch, job.event, &job.claims)
        };
        batch.replies.push((job.reply, outcome));
    }

    fn decide(
        &mut self,
        batch: &mut Batch,
        event: Event,
        claims: &[Claim],
    ) -> Result<u64, RecordError> {
        let state = self
            .state
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let time = self.clock.now().max(state.last_time());
        let conflict = conflict(&state, &event, claims, time);
        let event = match (&conflict, event) {
            (Some(conflict), Event::Sign(sign)) => {
                Event::Sign(Box::new(discarded(*sign, conflict)))
            }
            (Some(conflict), _) => return Err(RecordError::Void(conflict.clone())),
            (_, event) => event,
        };
        let record = Record {
            v: SCHEMA_VERSION,
            seq: state.next_index(),
            time,
            event,
        };
        // Nobody else writes to the state, and its readers need not wait for the encoding.
        drop(state);
        let entry = encode(&record)?;
        self.state
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .apply(&record)?;
        if batch.entries.is_empty() {
            batch.first = record.seq;
        }
        batch.payload += entry.encoded_len();
        batch.entries.push(entry);
        match conflict {
            None => Ok(record.seq),
            Some(conflict) => Err(RecordError::Discarded {
                index: record.seq,
                code: conflict.code(),
                reason: conflict.to_string(),
            }),
        }
    }

    fn commit(&mut self, batch: Batch) {
        if batch.entries.is_empty() {
            return answer(batch.replies);
        }
        self.failpoints.reach("journal-write");
        let begun = Instant::now();
        match self.segments.commit(&batch.entries) {
            Ok(chain) => {
                self.commits.observe(batch.entries.len(), begun.elapsed());
                self.failpoints.reach("journal-reply");
                answer(batch.replies);
                self.follow(batch.first, batch.entries, chain);
            }
            Err(error) => {
                // Nobody knows what reached the disk. A second attempt could bury a torn batch under a good
                // one, so only a restart, which re-reads the disk, may write again.
                self.poisoned.store(true, Ordering::Release);
                tracing::error!(%error, "the journal failed to write or sync; signing stops until sealwrightd is restarted");
                let poisoned = batch
                    .replies
                    .into_iter()
                    .map(|(reply, _)| (reply, Err(RecordError::Poisoned)));
                answer(poisoned.collect());
            }
        }
    }

    fn follow(&mut self, first: u64, entries: Vec<Entry>, chain: Chain) {
        let entries = entries
            .into_iter()
            .map(|entry| {
                let hash = leaf_hash(&entry.leaf);
                (entry, hash)
            })
            .collect();
        let batch = Arc::new(Durable {
            first,
            entries,
            chain,
            end: self.segments.place(),
        });
        self.tell(|follower, state| follower.durable(Arc::clone(&batch), state));
    }

    /// Only this thread writes to the state, and its readers are not held up.
    fn tell(&mut self, mut what: impl FnMut(&mut dyn Follower, &State)) {
        let state = self
            .state
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for follower in &mut self.followers {
            what(follower.as_mut(), &state);
        }
    }
}

/// Why a release may not happen any more.
fn conflict(
    state: &State,
    event: &Event,
    claims: &[Claim],
    time: Timestamp,
) -> Option<ReleaseConflict> {
    let mut keys = claims.iter();
    keys.find_map(|claim| state.check_release(&claim.key, claim.state_index).err())
        .or_else(|| taken(state, event))
        .or_else(|| unapproved(state, event, claims, time))
}

/// Whether approvals that policy asks for are missing now.
fn unapproved(
    state: &State,
    event: &Event,
    claims: &[Claim],
    time: Timestamp,
) -> Option<ReleaseConflict> {
    match event {
        Event::Sign(sign) if sign.outcome == record::Outcome::Signed => {
            let needed = claims.iter().map(|claim| claim.approvals).max()?;
            let checked = state.check_sign_approval(sign, needed, time);
            checked.err().map(ReleaseConflict::Approval)
        }
        _ => None,
    }
}

fn answer(replies: Vec<Reply>) {
    for (reply, outcome) in replies {
        // A caller that stopped waiting loses the answer, not the record.
        let _ = reply.send(outcome);
    }
}

/// Whether a name that `event` would release has come to stand for something else, or a receipt's place is taken.
fn taken(state: &State, event: &Event) -> Option<ReleaseConflict> {
    match event {
        Event::Sign(sign) if sign.outcome == record::Outcome::Signed => {
            let once = state.check_once(sign).map_err(ReleaseConflict::Once);
            let receipt = || state.check_receipt(sign).map_err(ReleaseConflict::Receipt);
            once.and_then(|()| receipt()).err()
        }
        _ => None,
    }
}

/// The record of a signature that was thrown away: nothing of it is kept.
fn discarded(mut sign: SignRecord, conflict: &ReleaseConflict) -> SignRecord {
    sign.outcome = record::Outcome::Discarded;
    sign.code = Some(conflict.code());
    sign.reason = Some(conflict.to_string());
    sign.signature_sha256.clear();
    sign.envelope_sha256 = None;
    if let Some(receipt) = &mut sign.receipt {
        receipt.signature = None;
    }
    sign
}

fn encode(record: &Record) -> Result<Entry, RecordError> {
    let body = encode_body(record)?;
    let mut salt = [0; SALT_LEN];
    // aws-lc aborts where the kernel has no randomness; an error here means the same.
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| RecordError::Poisoned)?;
    let leaf = Leaf::new(record.seq, record.time, record.event.kind(), &salt, &body).to_bytes();
    Ok(Entry { leaf, salt, body })
}

/// Subjects with very long names are left out rather than lose the record: their count and digest stay. Not where they
/// reserve names: such a record is small enough, or was refused.
fn encode_body(record: &Record) -> Result<Vec<u8>, RecordError> {
    let to_json = |record| serde_json::to_vec(record).map_err(|_| RecordError::Encoding);
    let body = to_json(record)?;
    if body.len() <= BODY_MAX {
        return Ok(body);
    }
    let mut shorter = record.clone();
    if let Event::Sign(sign) = &mut shorter.event
        && !sign.once
    {
        sign.subjects.clear();
    }
    let body = to_json(&shorter)?;
    if body.len() <= BODY_MAX {
        Ok(body)
    } else {
        Err(RecordError::TooLarge(body.len()))
    }
}
