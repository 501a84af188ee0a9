//! The thread that owns sled: follows the journal, and builds the index anew where it cannot be trusted.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sealwright_core::state::State;
use tokio::sync::watch;

use crate::panics::caught;

use super::disk::{Disk, RealDisk};
use super::index::{Index, Note, SharedDb, publish};
use super::index_rows::{Rows, mark_value, marked};
use super::reader::Batch;
use super::recovery::{RecoveryError, replay};
use super::writer::{Durable, Follower};

/// First and longest pause before the index is built anew.
const REBUILD_PAUSE_MIN: Duration = Duration::from_millis(100);
const REBUILD_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long durable records wait for others before they go into the index together. For each batch sled wakes
/// all of its threads twice and syncs its own log, on the disk that the journal waits for.
const GROUP_TIME: Duration = Duration::from_millis(20);
/// Most journal batches in one of sled's.
const GROUP_MAX: usize = 256;

/// Hands batches to the index thread.
pub struct IndexFollower(Arc<Sender<Note>>);

impl Follower for IndexFollower {
    fn durable(&mut self, batch: Arc<Durable>, _: &State) {
        // The thread ends after us.
        let _ = self.0.send(Note::Batch(batch));
    }
}

/// Starts the index thread for the journal on `disk`. It ends when its follower is dropped, with everything on disk.
pub fn start(
    folder: &Path,
    disk: Arc<dyn Disk>,
    journal_folder: &Path,
) -> std::io::Result<(Index, IndexFollower, JoinHandle<()>)> {
    let (sender, notes) = channel();
    let sender = Arc::new(sender);
    let (applied, seen) = watch::channel(0);
    let db = SharedDb::default();
    let keeper = Keeper {
        applied,
        folder: folder.to_owned(),
        disk,
        journal_folder: journal_folder.to_owned(),
        db: Arc::clone(&db),
        waiting: Vec::new(),
    };
    let thread = std::thread::Builder::new()
        .name("index".to_owned())
        .spawn(move || keeper.run(&notes))?;
    let index = Index::new(db, seen, &sender);
    Ok((index, IndexFollower(sender), thread))
}

/// Builds the index below `state_dir` anew from the journal, beside the old one, and puts it in its place; returns
/// the number of records. Nobody else may have the index open.
///
/// A crash leaves the old index or none, and `index.new`, which the next time begins afresh.
pub fn rebuild(state_dir: &Path, progress: &mut dyn FnMut(u64)) -> std::io::Result<u64> {
    let journal_folder = state_dir.join("journal");
    let (folder, new) = (state_dir.join("index"), state_dir.join("index.new"));
    // The folders may be missing; only what follows counts.
    let _ = std::fs::remove_dir_all(&new);
    let db = open_sled(&new)?;
    let disk = RealDisk::new(&journal_folder);
    let next = fill(&db, &disk, &journal_folder, 0, progress).map_err(std::io::Error::other)?;
    db.flush()?;
    drop(db);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::rename(&new, &folder)?;
    Ok(next)
}

/// Owns sled: the only one who writes to it.
struct Keeper {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    journal_folder: PathBuf,
    db: SharedDb,
    applied: watch::Sender<u64>,
    /// Who waits until the index was made anew.
    waiting: Vec<Sender<()>>,
}

/// Why a round of the keeper ended.
#[derive(Debug, thiserror::Error)]
enum KeeperError {
    #[error(transparent)]
    Sled(#[from] sled::Error),
    #[error(transparent)]
    Journal(#[from] RecoveryError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("sled panicked")]
    Panic,
    #[error("bodies were erased")]
    Erased,
}

impl Keeper {
    fn run(mut self, notes: &Receiver<Note>) {
        let mut trusted = true;
        let mut pause = REBUILD_PAUSE_MIN;
        loop {
            let round = caught(|| self.round(notes, trusted));
            self.publish(None);
            match round.unwrap_or(Err(KeeperError::Panic)) {
                Ok(()) => return,
                Err(KeeperError::Erased) => {
                    tracing::info!("the audit index is made anew without what was erased");
                    (trusted, pause) = (false, REBUILD_PAUSE_MIN);
                    continue;
                }
                Err(error) => tracing::warn!(%error, "the audit index is rebuilt from the journal"),
            }
            trusted = false;
            // A disk that refuses sled now will not have changed its mind at once.
            std::thread::sleep(pause);
            pause = (pause * 2).min(REBUILD_PAUSE_MAX);
        }
    }

    /// A reader that panicked has taken the index out of use.
    fn is_withdrawn(&self) -> bool {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        db.is_none()
    }

    /// Opens or rebuilds sled, then follows the journal until the daemon ends.
    fn round(&mut self, notes: &Receiver<Note>, trusted: bool) -> Result<(), KeeperError> {
        let (db, mut next) = self.open(trusted)?;
        next = fill(
            &db,
            self.disk.as_ref(),
            &self.journal_folder,
            next,
            &mut |_| {},
        )?;
        self.publish(Some(db.clone()));
        self.applied.send_replace(next);
        if !self.waiting.is_empty()
            && let Some(parent) = self.folder.parent()
        {
            // After a power cut the old index must not be there again.
            std::fs::File::open(parent).and_then(|folder| folder.sync_all())?;
        }
        for rebuilt in self.waiting.drain(..) {
            // Whoever does not wait any more does not mind.
            let _ = rebuilt.send(());
        }
        while let Ok(first) = notes.recv() {
            std::thread::sleep(GROUP_TIME);
            if self.is_withdrawn() {
                return Err(KeeperError::Panic);
            }
            let mut rows = Rows::default();
            let rest = notes.try_iter().take(GROUP_MAX - 1);
            for note in std::iter::once(first).chain(rest) {
                let batch = match note {
                    Note::Batch(batch) => batch,
                    Note::Rebuild(rebuilt) => {
                        self.waiting.push(rebuilt);
                        continue;
                    }
                };
                // Batches that became durable while the journal was replayed come a second time.
                if batch.first >= next {
                    next = batch.chain.index;
                    for (index, (entry, _)) in (batch.first..).zip(&batch.entries) {
                        rows.add_whole(index, entry);
                    }
                    rows.mark(batch.chain);
                }
            }
            if !self.waiting.is_empty() {
                return Err(KeeperError::Erased);
            }
            rows.apply(&db)?;
            self.applied.send_replace(next);
        }
        // The daemon ends. Readers may hold sled for longer, so it is not left to them.
        db.flush()?;
        Ok(())
    }

    fn publish(&self, db: Option<sled::Db>) {
        publish(&self.db, db);
    }

    /// The database and the index it has applied everything before.
    fn open(&self, trusted: bool) -> Result<(sled::Db, u64), KeeperError> {
        if trusted && let Ok(db) = open_sled(&self.folder) {
            if let Some(next) = self.check_mark(&db)? {
                return Ok((db, next));
            }
            drop(db);
        }
        // The folder may be missing altogether; only a failure to make a new one counts.
        let _ = std::fs::remove_dir_all(&self.folder);
        Ok((open_sled(&self.folder)?, 0))
    }

    /// `Some` if the mark names a batch of this journal.
    fn check_mark(&self, db: &sled::Db) -> Result<Option<u64>, KeeperError> {
        let Some(stored) = marked(db)? else {
            return Ok(None);
        };
        let mut found = None;
        let Some(next) = stored.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)) else {
            return Ok(None);
        };
        replay(
            self.disk.as_ref(),
            &self.journal_folder,
            next.saturating_sub(1),
            &mut |batch| {
                if mark_value(batch.chain) == *stored {
                    found = Some(next);
                }
            },
        )?;
        Ok(found)
    }
}

/// Takes the journal from record `from` on into `db`; returns the index after the last.
fn fill(
    db: &sled::Db,
    disk: &dyn Disk,
    journal_folder: &Path,
    from: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, KeeperError> {
    let (mut rows, mut waiting, mut next) = (Rows::default(), 0, from);
    let mut failure = None;
    replay(disk, journal_folder, from, &mut |batch: &Batch| {
        // A mark is made of whole batches, so none is half below `from`.
        for (index, kept) in (batch.first..).zip(&batch.entries) {
            rows.add(index, kept);
        }
        rows.mark(batch.chain);
        (waiting, next) = (waiting + batch.entries.len(), batch.chain.index);
        if waiting >= GROUP_MAX && failure.is_none() {
            failure = std::mem::take(&mut rows).apply(db).err();
            waiting = 0;
            progress(next);
        }
    })?;
    rows.apply(db)?;
    failure.map_or(Ok(next), |error| Err(error.into()))
}

pub(super) fn open_sled(folder: &Path) -> Result<sled::Db, sled::Error> {
    let config = sled::Config::new()
        .path(folder)
        .cache_capacity(8 << 20)
        .flush_every_ms(Some(1000));
    config.open()
}
