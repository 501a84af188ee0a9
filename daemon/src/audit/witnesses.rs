//! What the witnesses vouched for: cosignatures verified here, whoever brought them, and the age of the quorum.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealwright_core::time::Timestamp;
use sealwright_core::tlog::checkpoint::CheckpointError as BodyError;
use sealwright_core::tlog::note::{NoteError, NoteSignature};
use sealwright_core::tlog::quorum::{Cosignature, CosignatureError, Quorum};
use sealwright_core::tlog::{Checkpoint, Note};

use super::checkpoint::{CheckpointError, Published};
use super::checkpoint_store::Store;

/// How far a witness's clock may be ahead of ours: a time beyond that would keep the quorum young for ever.
pub const MAX_AHEAD_S: u64 = 300;

/// Cosigned checkpoints that a start looks at per witness.
const LOOKED_AT: usize = 64;

/// The witnesses of this log and what they have said.
pub struct Witnesses {
    quorum: Quorum,
    store: Arc<Store>,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    /// By position in the quorum.
    newest: Vec<Option<Vouched>>,
    anchored: Option<Anchored>,
}

/// The newest checkpoint that one witness cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vouched {
    /// Leaves.
    pub size: u64,
    /// When, in Unix seconds by the witness's clock.
    pub time: u64,
}

/// The newest checkpoint that has the quorum.
#[derive(Debug, Clone)]
pub struct Anchored {
    /// Its note carries the cosignatures.
    pub published: Published,
    /// When it had the quorum, in Unix seconds.
    pub reached: u64,
}

/// Why cosignatures are not taken; nothing of the request is stored.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// No such checkpoint.
    #[error("no checkpoint of size {0} is kept")]
    UnknownCheckpoint(u64),
    /// The lines are none.
    #[error("not cosignature lines: {0}")]
    Lines(NoteError),
    /// One is not good.
    #[error(transparent)]
    Cosignature(#[from] CosignatureError),
    /// A clock is wrong.
    #[error(
        "{witness:?} cosigned {ahead} s in the future: compare its clock and this host's, {MAX_AHEAD_S} s are allowed"
    )]
    Ahead {
        /// The witness's key name.
        witness: String,
        /// Seconds.
        ahead: u64,
    },
    /// A file operation failed, or a stored file is damaged.
    #[error(transparent)]
    Store(#[from] CheckpointError),
}

/// What the accepted cosignatures brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The witnesses whose cosignature of this checkpoint is stored, by key name.
    pub witnesses: Vec<String>,
    /// Whether the checkpoint has the quorum.
    pub quorum: bool,
}

impl Witnesses {
    /// Looks up what an earlier run stored; a damaged cosignature is passed over and logged.
    pub fn open(quorum: Quorum, store: Arc<Store>) -> Result<Self, CheckpointError> {
        let state = State {
            newest: vec![None; quorum.witnesses().len()],
            anchored: None,
        };
        let this = Self {
            quorum,
            store,
            state: Mutex::new(state),
        };
        let mut sizes = Vec::new();
        for witness in this.quorum.witnesses() {
            let cosigned = this.store.cosigned_by(witness)?;
            sizes.extend(cosigned.into_iter().take(LOOKED_AT));
        }
        sizes.sort_unstable();
        sizes.dedup();
        for size in sizes {
            if let Err(error) = this.learn(size) {
                tracing::error!(%error, size, "stored cosignatures are passed over");
            }
        }
        Ok(this)
    }

    /// The configured witnesses.
    pub fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// Takes cosignatures of the checkpoint of `size`: each is verified, and durable when this returns.
    pub fn accept(&self, size: u64, lines: &str, now: Timestamp) -> Result<Accepted, WitnessError> {
        let unknown = WitnessError::UnknownCheckpoint(size);
        let note = self.store.note(size)?.ok_or(unknown)?;
        let (body, _) = parts(&note)?;
        let lines = NoteSignature::parse_lines(lines).map_err(WitnessError::Lines)?;
        let found = self.quorum.verify(&body, &lines)?;
        for cosignature in &found {
            self.check_time(cosignature, seconds(now))?;
        }
        self.store.show(size);
        for Cosignature { witness, line, .. } in &found {
            if let Some(key) = self.quorum.witnesses().get(*witness) {
                self.store.put_cosignature(size, key, line)?;
            }
        }
        self.learn(size)
    }

    /// `published` with the cosignatures it has so far.
    pub fn cosigned(&self, published: &Published) -> Published {
        let Ok((body, _)) = parts(&published.note) else {
            return published.clone();
        };
        Published {
            note: with_lines(&published.note, &self.stored(published.size, &body)),
            ..published.clone()
        }
    }

    /// The newest checkpoint that has the quorum.
    pub fn anchored(&self) -> Option<Anchored> {
        self.lock().anchored.clone()
    }

    /// The newest cosignature of each witness, in the order of the configuration.
    pub fn newest(&self) -> Vec<Option<Vouched>> {
        self.lock().newest.clone()
    }

    /// Seconds since the newest quorum; `None` where there is none, or where it lies so far in the future that
    /// this host's clock must have been set back.
    pub fn age(&self, now: Timestamp) -> Option<u64> {
        let reached = self.lock().anchored.as_ref()?.reached;
        let now = seconds(now);
        (reached <= now.saturating_add(MAX_AHEAD_S)).then(|| now.saturating_sub(reached))
    }

    fn check_time(&self, cosignature: &Cosignature, now: u64) -> Result<(), WitnessError> {
        match cosignature.time.saturating_sub(now) {
            ahead if ahead > MAX_AHEAD_S => Err(WitnessError::Ahead {
                witness: cosignature.line.name().to_owned(),
                ahead,
            }),
            _ => Ok(()),
        }
    }

    /// Takes what is stored for `size` into memory.
    fn learn(&self, size: u64) -> Result<Accepted, WitnessError> {
        let unknown = WitnessError::UnknownCheckpoint(size);
        let note = self.store.note(size)?.ok_or(unknown)?;
        let (body, checkpoint) = parts(&note)?;
        let cosignatures = self.stored(size, &body);
        let reached = self.quorum.reached(&cosignatures);
        let published = Published {
            note: with_lines(&note, &cosignatures),
            size,
            root: *checkpoint.root(),
        };
        let mut state = self.lock();
        for Cosignature { witness, time, .. } in &cosignatures {
            let vouched = Vouched { size, time: *time };
            if let Some(slot) = state.newest.get_mut(*witness)
                && slot.is_none_or(|have| (have.size, have.time) <= (size, *time))
            {
                *slot = Some(vouched);
            }
        }
        if let Some(reached) = reached
            && state
                .anchored
                .as_ref()
                .is_none_or(|have| (have.published.size, have.reached) <= (size, reached))
        {
            state.anchored = Some(Anchored { published, reached });
        }
        drop(state);
        Ok(Accepted {
            witnesses: cosignatures
                .iter()
                .map(|c| c.line.name().to_owned())
                .collect(),
            quorum: reached.is_some(),
        })
    }

    /// The stored cosignatures of a checkpoint, verified anew: nothing is believed for lying in our folder, and
    /// a damaged file takes away its own line only.
    fn stored(&self, size: u64, body: &str) -> Vec<Cosignature> {
        let mut good = Vec::new();
        for witness in self.quorum.witnesses() {
            match self.store.cosignature(size, witness) {
                Ok(None) => {}
                Ok(Some(line)) => match self.quorum.verify(body, &[line]) {
                    Ok(found) => good.extend(found),
                    Err(error) => tracing::error!(%error, size, "a stored cosignature is damaged"),
                },
                Err(error) => tracing::error!(%error, size, "a stored cosignature is damaged"),
            }
        }
        good
    }

    /// Held for a look or a change of memory, never over a file operation.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text that is signed, and what it says.
fn parts(note: &str) -> Result<(String, Checkpoint), WitnessError> {
    let note = Note::parse(note).map_err(WitnessError::Lines)?;
    let checkpoint = note.text().parse();
    let checkpoint = checkpoint.map_err(|e: BodyError| CheckpointError::LogKey(e.to_string()))?;
    Ok((note.text().to_owned(), checkpoint))
}

fn with_lines(note: &str, cosignatures: &[Cosignature]) -> String {
    let lines = cosignatures.iter().map(|c| c.line.to_string());
    std::iter::once(note.to_owned()).chain(lines).collect()
}

fn seconds(time: Timestamp) -> u64 {
    u64::try_from(time.unix_seconds()).unwrap_or(0)
}
