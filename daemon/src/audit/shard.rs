//! Reads the log of a state directory to its end, or as far as it is sound, for another log to take its place.
//! Nothing is written, and what is damaged is said as `fsck` says it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use sealwright_core::digest::Sha256Digest;
use sealwright_core::record::{FormerLog, Predecessor};
use sealwright_core::shard::{Shard, ShardError};
use sealwright_core::state::State;
use sealwright_core::tlog::merkle::leaf_hash;
use sealwright_core::tlog::note::{NoteError, NoteSignature};
use sealwright_core::tlog::{Frontier, Note, VerifierKey};

use super::checkpoint::{CheckpointError, log_verifier_key};
use super::checkpoint_store::{Cosignatures, cosignatures};
use super::folding::{Folding, Place};
use super::fsck::{Claims, Report, Scope, note_end};
use super::old_journal::OldJournal;
use super::reader::Batch;
use super::recovery::{RecoveryError, recover};

/// The log to be read.
#[derive(Debug, Clone, Default)]
pub struct OldLog {
    /// Its state directory, or a copy of it.
    pub state_dir: PathBuf,
    /// Where segments lie that the state directory lacks.
    pub archive: Option<PathBuf>,
    /// Checkpoints that were kept elsewhere: the log must contain them too.
    pub outside: Vec<PathBuf>,
    /// How many records to take, and why not all; the rest may be damaged or gone.
    pub cut: Option<(u64, String)>,
}

/// What was read.
#[derive(Debug)]
pub struct Read {
    /// For the new log.
    pub shard: Shard,
    /// What was passed over.
    pub notes: Vec<String>,
}

/// Why nothing can take this log's place.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The journal is damaged, or cannot be read.
    #[error("{source}{}", way_out(*.sound))]
    Journal {
        /// The damage.
        source: RecoveryError,
        /// Records in front of it.
        sound: u64,
    },
    /// A checkpoint is damaged, or says that the journal is another one.
    #[error(
        "{0}\nWhere nothing better can be had, a new log can stand on what comes before: `--sound-to N --because TEXT` \
         with N below what that checkpoint covers"
    )]
    Checkpoint(String),
    /// The log ends before the record that it is to be taken to.
    #[error("{path} has {records} records that are sound, not {wanted}")]
    Short {
        /// The journal.
        path: PathBuf,
        /// Records in it.
        records: u64,
        /// Records that were asked for.
        wanted: u64,
    },
    /// No log.
    #[error("{0} holds no log: name the state directory, the folder that `journal` lies in")]
    Nothing(PathBuf),
    /// A file operation failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A checkpoint or cosignature file cannot be read.
    #[error(transparent)]
    Stored(#[from] CheckpointError),
    /// A checkpoint's signatures are too many.
    #[error("the checkpoint of {size} records: {source}")]
    Note {
        /// What it covers.
        size: u64,
        /// What is wrong.
        source: NoteError,
    },
    /// What was read cannot be cited.
    #[error(transparent)]
    Shard(#[from] ShardError),
}

impl ReadError {
    /// Whether the log is damaged, as opposed to not readable here and now.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Journal { source, .. } if !matches!(source, RecoveryError::Io { .. }))
            || matches!(self, Self::Checkpoint(_))
    }
}

fn way_out(sound: u64) -> String {
    if sound == 0 {
        return String::new();
    }
    format!(
        "\nWhere nothing better can be had, a new log can stand on what is sound: `--sound-to N --because TEXT` with N \
         up to {sound}"
    )
}

/// Reads it. `progress` is told the number of records so far.
///
/// # Errors
/// [`ReadError`]: see there.
pub fn read(old: &OldLog, progress: &mut dyn FnMut(u64)) -> Result<Read, ReadError> {
    let folder = old.state_dir.join("journal");
    if !folder.is_dir() {
        return Err(ReadError::Nothing(old.state_dir.clone()));
    }
    let scope = Scope {
        state_dir: old.state_dir.clone(),
        outside: old.outside.clone(),
        ..Scope::default()
    };
    let mut report = Report::default();
    let claims = Claims::read(&scope, &mut report).map_err(io_at(&old.state_dir))?;
    let disk = OldJournal::open(&folder, old.archive.as_deref(), old.cut.is_some());
    let disk = disk.map_err(io_at(&folder))?;
    let wanted = old.cut.as_ref().map(|(records, _)| *records);
    let mut fold = Fold::new(&disk, claims, wanted);
    read_journal(&disk, &folder, &mut fold, &mut report, progress)?;
    let Fold {
        state,
        frontier,
        claims,
        ..
    } = fold;
    let key = log_key(&state).ok_or_else(|| ReadError::Nothing(old.state_dir.clone()))??;
    let notes = judge(claims, &key, &state, old.cut.is_some(), &mut report)?;
    let Cosignatures { lines, damaged } = cosignatures(&old.state_dir.join("checkpoints"))?;
    let damaged = damaged.iter().map(|error| format!("left behind: {error}"));
    report.notes.extend(damaged);
    let cited = Cited::of(notes, &lines)?;
    let predecessor = predecessor(&state, &key, &frontier, cited, old);
    Ok(Read {
        shard: Shard::new(predecessor, &state)?,
        notes: report.notes,
    })
}

/// The log as far as it is wanted. A fold of its own: that of recovery goes on to the end of the batch, and of the log.
struct Fold<'d> {
    wanted: Option<u64>,
    folding: Folding<'d>,
    state: State,
    frontier: Frontier,
    claims: Claims,
}

impl<'d> Fold<'d> {
    fn new(disk: &'d OldJournal, claims: Claims, wanted: Option<u64>) -> Self {
        Self {
            wanted,
            folding: Folding::new(disk),
            state: State::default(),
            frontier: Frontier::new(),
            claims,
        }
    }

    /// Takes what is wanted of a batch.
    fn take(&mut self, batch: &Batch, folder: &Path) -> Result<(), RecoveryError> {
        for (index, kept) in (batch.first..).zip(&batch.entries) {
            if self.is_done() {
                break;
            }
            let place = Place {
                path: folder,
                offset: batch.offset,
                index,
            };
            self.folding.record(&mut self.state, &place, kept)?;
            self.frontier.push(leaf_hash(kept.leaf()));
            self.claims.reached(&self.frontier);
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.wanted
            .is_some_and(|wanted| self.frontier.size() >= wanted)
    }
}

fn read_journal(
    disk: &OldJournal,
    folder: &Path,
    fold: &mut Fold<'_>,
    report: &mut Report,
    progress: &mut dyn FnMut(u64),
) -> Result<(), ReadError> {
    let mut taken = Ok(());
    let found = recover(disk, folder, &mut |batch, _| {
        if taken.is_ok() {
            taken = fold.take(batch, folder);
        }
        progress(fold.frontier.size());
    });
    let records = fold.frontier.size();
    match taken.and(found) {
        Err(source) if !fold.is_done() => {
            let sound = records;
            return Err(ReadError::Journal { source, sound });
        }
        Err(source) => report.notes.push(format!("left behind: {source}")),
        Ok(found) => note_end(&found, &Scope::default(), folder, report),
    }
    match fold.wanted {
        Some(wanted) if records < wanted => Err(ReadError::Short {
            path: folder.to_owned(),
            records,
            wanted,
        }),
        _ => Ok(()),
    }
}

fn log_key(state: &State) -> Option<Result<VerifierKey, CheckpointError>> {
    let genesis = state.genesis()?;
    Some(log_verifier_key(&genesis.origin, &genesis.log_key))
}

/// The log's own checkpoints by size; all that it reaches are proved against it.
fn judge(
    mut claims: Claims,
    key: &VerifierKey,
    state: &State,
    is_cut: bool,
    report: &mut Report,
) -> Result<BTreeMap<u64, Note>, ReadError> {
    let records = state.next_index();
    let notes = claims.signed_by(key);
    if is_cut {
        claims.forget_beyond(records, report);
    }
    claims.judge(state, records, report);
    match report.findings.first() {
        Some(finding) => Err(ReadError::Checkpoint(finding.message.clone())),
        None => Ok(notes),
    }
}

/// What the genesis of the new log quotes.
struct Cited {
    checkpoint: Option<String>,
    witnessed: Option<String>,
}

impl Cited {
    fn of(
        mut notes: BTreeMap<u64, Note>,
        lines: &BTreeMap<u64, Vec<NoteSignature>>,
    ) -> Result<Self, ReadError> {
        let newest = notes.last_key_value().map(|(size, _)| *size);
        let mut sizes = lines.keys().rev();
        let cosigned = sizes.find(|size| notes.contains_key(size)).copied();
        let mut whole = |size: u64| -> Result<Option<String>, ReadError> {
            let Some(note) = notes.remove(&size) else {
                return Ok(None);
            };
            let own = note.signatures().iter();
            let all = own.chain(lines.get(&size).into_iter().flatten()).cloned();
            let note = Note::new(note.text().to_owned(), all.collect());
            let note = note.map_err(|source| ReadError::Note { size, source })?;
            Ok(Some(note.to_string()))
        };
        Ok(Self {
            checkpoint: newest.map(&mut whole).transpose()?.flatten(),
            witnessed: cosigned.map(&mut whole).transpose()?.flatten(),
        })
    }
}

fn predecessor(
    state: &State,
    key: &VerifierKey,
    frontier: &Frontier,
    cited: Cited,
    old: &OldLog,
) -> Predecessor {
    let before = state
        .genesis()
        .and_then(|genesis| genesis.predecessor.as_deref());
    let mut earlier = before.map_or_else(Vec::new, |before| before.earlier.clone());
    earlier.extend(before.map(|before| FormerLog {
        origin: before.origin.clone(),
        vkey: before.vkey.clone(),
    }));
    Predecessor {
        origin: key.name().to_owned(),
        vkey: key.to_string(),
        size: frontier.size(),
        root: Sha256Digest(frontier.root()),
        time: state.last_time(),
        checkpoint: cited.checkpoint,
        witnessed: cited.witnessed,
        because: old.cut.as_ref().map(|(_, because)| because.clone()),
        inherited: 0,
        suspect_tokens: Vec::new(),
        earlier,
    }
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> ReadError {
    let path = path.to_owned();
    |source| ReadError::Io { path, source }
}
