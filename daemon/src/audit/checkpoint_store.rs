//! The folder `checkpoints/`: `<size>` is a note with the log's signature, `<size>.<witness>` one cosignature.
//!
//! What left the host is kept for ever: whoever has a copy may one day have to be shown that it was ours.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sealwright_core::digest::Sha256Digest;
use sealwright_core::tlog::note::NoteSignature;
use sealwright_core::tlog::{Checkpoint, Note, VerifierKey};

use super::checkpoint::{CheckpointError, Published};
use super::tree::Tree;

/// Checkpoints that were never shown and stay on disk nevertheless, newest first.
const UNSHOWN_KEPT: usize = 16;

/// Digits of a size in a file name: the order of names is the order of sizes.
const SIZE_DIGITS: usize = 20;

/// Hex digits of a witness in a file name.
const WITNESS_DIGITS: usize = 16;

/// The folder.
pub struct Store {
    folder: PathBuf,
    /// Sizes of this run's checkpoints that nobody has seen, oldest first. What an earlier run left behind may
    /// have been seen, and stays.
    unshown: Mutex<VecDeque<u64>>,
}

impl Store {
    /// Uses `folder`, making it if needed.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        std::fs::create_dir_all(folder).map_err(io_at(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            unshown: Mutex::default(),
        })
    }

    /// The newest checkpoint, if the log as it is now agrees with it.
    pub fn newest(
        &self,
        key: &VerifierKey,
        tree: &Tree,
    ) -> Result<Option<Published>, CheckpointError> {
        let Some(size) = self.names()?.iter().filter_map(|name| size_of(name)).max() else {
            return Ok(None);
        };
        let path = self.path(size);
        let text = std::fs::read_to_string(&path).map_err(io_at(&path))?;
        let stored = |reason: String| CheckpointError::Stored {
            path: path.clone(),
            reason,
        };
        let note = Note::parse(&text).map_err(|e| stored(e.to_string()))?;
        note.verify([key]).map_err(|e| stored(e.to_string()))?;
        let checkpoint: Checkpoint = note.text().parse().map_err(
            |e: sealwright_core::tlog::checkpoint::CheckpointError| stored(e.to_string()),
        )?;
        let size = checkpoint.size();
        let contradiction = |shorter| CheckpointError::Contradiction {
            path: path.clone(),
            size,
            shorter,
        };
        match tree.root_at(size)? {
            None => Err(contradiction(true)),
            Some(root) if root != *checkpoint.root() => Err(contradiction(false)),
            Some(root) => Ok(Some(Published {
                note: text,
                size,
                root,
            })),
        }
    }

    /// Makes a checkpoint durable. Of those that nobody saw only the newest stay.
    pub fn put(&self, published: &Published) -> Result<(), CheckpointError> {
        self.write(&self.path(published.size), &published.note)?;
        if let Some(size) = self.superseded(published.size) {
            let path = self.path(size);
            std::fs::remove_file(&path).map_err(io_at(&path))?;
        }
        Ok(())
    }

    /// Before it leaves the host: from now on it is kept for ever.
    pub fn show(&self, size: u64) {
        self.lock().retain(|unshown| *unshown != size);
    }

    /// The note with the log's signature; `None` where no checkpoint of this size is kept.
    pub fn note(&self, size: u64) -> Result<Option<String>, CheckpointError> {
        let path = self.path(size);
        match std::fs::read_to_string(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some).map_err(io_at(&path)),
        }
    }

    /// Makes a witness's cosignature durable beside its checkpoint, in the place of an older one.
    pub fn put_cosignature(
        &self,
        size: u64,
        witness: &VerifierKey,
        line: &NoteSignature,
    ) -> Result<(), CheckpointError> {
        self.write(&self.cosignature_path(size, witness), &line.to_string())
    }

    /// What [`Self::put_cosignature`] stored, verified or not.
    pub fn cosignature(
        &self,
        size: u64,
        witness: &VerifierKey,
    ) -> Result<Option<NoteSignature>, CheckpointError> {
        let path = self.cosignature_path(size, witness);
        let text = match std::fs::read_to_string(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(io_at(&path))?,
        };
        match NoteSignature::parse_lines(&text) {
            Ok(mut lines) => Ok(lines.pop()),
            Err(e) => Err(CheckpointError::Stored {
                path,
                reason: e.to_string(),
            }),
        }
    }

    /// For each of `witnesses` the sizes of the checkpoints that it cosigned, newest first.
    pub fn cosigned_by(&self, witnesses: &[VerifierKey]) -> Result<Vec<Vec<u64>>, CheckpointError> {
        let names = self.names()?;
        let of_witness = |witness: &VerifierKey| {
            let suffix = format!(".{}", witness_digits(witness));
            let sizes = names.iter().filter_map(|name| name.strip_suffix(&suffix));
            let mut sizes: Vec<u64> = sizes.filter_map(size_of).collect();
            sizes.sort_unstable_by(|a, b| b.cmp(a));
            sizes
        };
        Ok(witnesses.iter().map(of_witness).collect())
    }

    /// Adds `size` to those that nobody has seen; the one that is to be removed for it.
    fn superseded(&self, size: u64) -> Option<u64> {
        let mut unshown = self.lock();
        unshown.push_back(size);
        if unshown.len() > UNSHOWN_KEPT {
            unshown.pop_front()
        } else {
            None
        }
    }

    fn names(&self) -> Result<Vec<String>, CheckpointError> {
        let io = io_at(&self.folder);
        let names = std::fs::read_dir(&self.folder).and_then(|entries| {
            let name = |entry: io::Result<std::fs::DirEntry>| {
                Ok(entry?.file_name().to_string_lossy().into_owned())
            };
            entries.map(name).collect::<io::Result<_>>()
        });
        names.map_err(io)
    }

    fn path(&self, size: u64) -> PathBuf {
        self.folder.join(format!("{size:0SIZE_DIGITS$}"))
    }

    fn cosignature_path(&self, size: u64, witness: &VerifierKey) -> PathBuf {
        self.path(size).with_extension(witness_digits(witness))
    }

    /// A crash before the rename leaves a `.new` file that nobody reads.
    fn write(&self, path: &Path, text: &str) -> Result<(), CheckpointError> {
        let run = || -> io::Result<()> {
            let mut new = path.as_os_str().to_owned();
            new.push(".new");
            let mut file = File::create(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, path)?;
            File::open(&self.folder)?.sync_all()
        };
        run().map_err(io_at(path))
    }

    /// Held for a look at the queue, never over a file operation.
    fn lock(&self) -> MutexGuard<'_, VecDeque<u64>> {
        self.unshown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cosignatures by the size of their checkpoint, verified or not, and what is wrong with those that cannot be read.
#[derive(Debug, Default)]
pub struct Cosignatures {
    /// The lines.
    pub lines: BTreeMap<u64, Vec<NoteSignature>>,
    /// The files that hold none.
    pub damaged: Vec<CheckpointError>,
}

/// Reads the cosignatures in `folder`. No folder: none.
pub fn cosignatures(folder: &Path) -> Result<Cosignatures, CheckpointError> {
    let mut found = Cosignatures::default();
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries.map_err(io_at(folder))?,
    };
    for entry in entries {
        let path = entry.map_err(io_at(folder))?.path();
        let Some(size) = cosigned_size(&path) else {
            continue;
        };
        let text = std::fs::read_to_string(&path).map_err(io_at(&path))?;
        match NoteSignature::parse_lines(&text) {
            Ok(lines) => found.lines.entry(size).or_default().extend(lines),
            Err(e) => found.damaged.push(CheckpointError::Stored {
                path,
                reason: e.to_string(),
            }),
        }
    }
    Ok(found)
}

/// Of which checkpoint the file is a cosignature, if it is one.
fn cosigned_size(path: &Path) -> Option<u64> {
    let (size, witness) = path.file_name()?.to_str()?.split_once('.')?;
    let is_witness =
        witness.len() == WITNESS_DIGITS && witness.bytes().all(|b| b.is_ascii_hexdigit());
    size_of(size).filter(|_| is_witness)
}

fn size_of(name: &str) -> Option<u64> {
    let digits = name.len() == SIZE_DIGITS && name.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| name.parse().ok()).flatten()
}

/// A witness by its whole key: two may have the same name.
fn witness_digits(witness: &VerifierKey) -> String {
    let mut digits = Sha256Digest::of(&[witness.to_string().as_bytes()]).to_string();
    digits.truncate(WITNESS_DIGITS);
    digits
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> CheckpointError {
    let path = path.to_owned();
    |source| CheckpointError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(size: u64) -> Published {
        Published {
            note: format!("note {size}\n"),
            size,
            root: [0; 32],
        }
    }

    fn kept(store: &Store) -> Vec<u64> {
        let names = store.names().unwrap();
        let mut sizes: Vec<u64> = names.iter().filter_map(|name| size_of(name)).collect();
        sizes.sort_unstable();
        sizes
    }

    #[test]
    fn what_was_shown_stays_for_ever_and_of_the_rest_the_newest_sixteen() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for size in 1..=100 {
            store.put(&published(size)).unwrap();
            if size % 30 == 0 {
                store.show(size);
            }
        }
        let expected: Vec<u64> = [30, 60].into_iter().chain(84..=100).collect();
        assert_eq!(kept(&store), expected);
        assert_eq!(store.note(30).unwrap().unwrap(), "note 30\n");
        assert_eq!(store.note(31).unwrap(), None);
    }

    #[test]
    fn what_an_earlier_run_left_behind_may_have_been_seen_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let first = Store::open(folder.path()).unwrap();
        first.put(&published(1)).unwrap();
        let second = Store::open(folder.path()).unwrap();
        for size in 2..50 {
            second.put(&published(size)).unwrap();
        }
        assert_eq!(kept(&second).first(), Some(&1));
    }
}
