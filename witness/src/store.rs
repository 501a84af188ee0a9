//! What the witness has seen, one file per log: its newest checkpoint with the log's signature and ours.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sealwright_core::digest::Sha256Digest;
use sealwright_core::tlog::add_checkpoint::Seen;
use sealwright_core::tlog::note::MAX_NOTE_BYTES;
use sealwright_core::tlog::{Checkpoint, Note, VerifierKey};

/// The state folder, locked against a second process.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    // Held as long as the process lives; the kernel lets go of it when we die.
    _lock: File,
}

/// Why the state cannot be used. A witness that forgets is none, so nothing is made anew by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{0} is locked: another sealwright-witness uses this state folder")]
    Locked(PathBuf),
    #[error(
        "{path} is not what this witness stored for {origin:?}: {reason}; restore it from a copy that is not older than the last cosignature, or retire this witness and its key"
    )]
    Damaged {
        path: PathBuf,
        origin: String,
        reason: String,
    },
}

/// A stored checkpoint.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) seen: Seen,
    /// The note, as it is served to monitors.
    pub(crate) note: String,
}

/// The name of a log in file names and monitoring paths: SHA-256 of its origin in hex.
pub(crate) fn log_id(origin: &str) -> String {
    Sha256Digest::of(&[origin.as_bytes()]).to_string()
}

impl Store {
    /// Uses `folder`, making it if needed.
    pub(crate) fn open(folder: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(io_at(folder))?;
        let path = folder.join("lock");
        let mut options = File::options();
        let options = options.create(true).truncate(false).write(true);
        let lock = options.open(&path).map_err(io_at(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(StoreError::Locked(path)),
            Err(std::fs::TryLockError::Error(source)) => {
                return Err(StoreError::Io { path, source });
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    /// What is stored of a log; every known signature on it must verify.
    pub(crate) fn load(
        &self,
        origin: &str,
        keys: &[&VerifierKey],
    ) -> Result<Option<Stored>, StoreError> {
        let path = self.folder.join(log_id(origin));
        let note = match std::fs::read_to_string(&path) {
            Ok(note) => note,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::Io { path, source }),
        };
        match read(&note, origin, keys) {
            Ok(seen) => Ok(Some(Stored { seen, note })),
            Err(reason) => Err(StoreError::Damaged {
                path,
                origin: origin.to_owned(),
                reason,
            }),
        }
    }

    /// Makes a checkpoint durable in the place of the older one. A crash before the rename leaves the older
    /// one and a `.new` file that nobody reads.
    pub(crate) fn save(&self, origin: &str, note: &str) -> Result<(), StoreError> {
        let path = self.folder.join(log_id(origin));
        let run = || -> io::Result<()> {
            let new = path.with_extension("new");
            let mut file = File::create(&new)?;
            file.write_all(note.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        run().map_err(io_at(&path))
    }
}

fn read(text: &str, origin: &str, keys: &[&VerifierKey]) -> Result<Seen, String> {
    if text.len() > MAX_NOTE_BYTES {
        return Err("too long".to_owned());
    }
    let note = Note::parse(text).map_err(|e| e.to_string())?;
    note.verify(keys.iter().copied())
        .map_err(|e| e.to_string())?;
    let checkpoint: Checkpoint = note
        .text()
        .parse()
        .map_err(|e: sealwright_core::tlog::checkpoint::CheckpointError| e.to_string())?;
    if checkpoint.origin() != origin {
        return Err(format!("it is of {:?}", checkpoint.origin()));
    }
    Ok(Seen {
        size: checkpoint.size(),
        root: *checkpoint.root(),
    })
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    |source| StoreError::Io { path, source }
}
