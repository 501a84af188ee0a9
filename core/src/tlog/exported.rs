//! A whole log as it lies in a folder (C2SP `tlog-tiles`), checked offline: every entry is in the tree that
//! the checkpoint commits to, and every tile says the same.

use super::entries::{self, EntriesError};
use super::merkle::leaf_hash;
use super::tile::{EntryBundle, FULL_WIDTH, Tile};
use super::tree::{self, NewTile, TileSource};
use super::witnessed::{WitnessedCheckpoint, WitnessedError};
use super::{Frontier, Hash, Policy};

/// The checkpoint's file below the log's prefix.
pub const CHECKPOINT: &str = "checkpoint";

/// Where the files of an exported log come from.
pub trait Files {
    /// Why a file cannot be had.
    type Error: std::error::Error;

    /// The bytes of the file at `path`, such as `tile/0/x001/067` or `checkpoint`.
    ///
    /// # Errors
    /// The source's own.
    fn read(&self, path: &str) -> Result<Vec<u8>, Self::Error>;
}

/// A log of which every entry was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedLog {
    /// What the log and its witnesses signed.
    pub witnessed: WitnessedCheckpoint,
    /// The hash of each entry, in the order of the log.
    pub leaves: Vec<Hash>,
}

/// Why an exported log is not what its checkpoint says.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportedError<E: std::error::Error> {
    /// A file is missing or cannot be read.
    #[error(transparent)]
    Files(#[from] E),
    /// The checkpoint is no text.
    #[error("checkpoint: it is not UTF-8 text")]
    NotText,
    /// The policy does not accept the checkpoint.
    #[error("checkpoint: {0}")]
    Checkpoint(WitnessedError),
    /// A bundle cannot be taken apart.
    #[error("{path}: {error}")]
    Bundle {
        /// The file.
        path: String,
        /// What is wrong.
        error: EntriesError,
    },
    /// A bundle has too few or too many entries.
    #[error("{path} has {found} entries where the checkpoint asks for {expected}")]
    Count {
        /// The file.
        path: String,
        /// Entries in it.
        found: usize,
        /// Entries it must have.
        expected: u32,
    },
    /// A tile has other hashes than the entries. Told before [`Self::Root`], because it says where.
    #[error(
        "{0} does not follow from the entries: one of them, or the tile, is not what was logged"
    )]
    Tile(String),
    /// Entries and tiles agree with each other, and not with the checkpoint.
    #[error("the {size} entries have another root than the checkpoint: the log was rewritten")]
    Root {
        /// Entries.
        size: u64,
    },
}

/// Checks everything in `files` against its checkpoint, and the checkpoint against `policy`.
///
/// Holds 32 bytes per entry, and the tiles once more.
///
/// # Errors
/// [`ExportedError`]: the first thing that is missing or wrong.
pub fn check<F: Files>(files: &F, policy: &Policy) -> Result<CheckedLog, ExportedError<F::Error>> {
    let note = String::from_utf8(files.read(CHECKPOINT)?).map_err(|_| ExportedError::NotText)?;
    let witnessed = policy.accept(&note).map_err(ExportedError::Checkpoint)?;
    let size = witnessed.checkpoint.size();
    let mut leaves = Vec::new();
    for bundle in bundles(size) {
        leaves.extend(bundle_hashes(files, bundle)?);
    }
    check_tiles(files, &leaves)?;
    let mut frontier = Frontier::new();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    if frontier.root() != *witnessed.checkpoint.root() {
        return Err(ExportedError::Root { size });
    }
    Ok(CheckedLog { witnessed, leaves })
}

/// The entry bundles of a log of `size` entries, each as wide as it is there.
pub fn bundles(size: u64) -> impl Iterator<Item = EntryBundle> {
    let full = u64::from(FULL_WIDTH);
    (0..size.div_ceil(full)).map(move |index| EntryBundle {
        index,
        // At most FULL_WIDTH.
        width: u32::try_from((size - index * full).min(full)).unwrap_or(FULL_WIDTH),
    })
}

fn bundle_hashes<F: Files>(
    files: &F,
    bundle: EntryBundle,
) -> Result<Vec<Hash>, ExportedError<F::Error>> {
    let path = bundle.path();
    let bytes = files.read(&path)?;
    let entries = match entries::decode(&bytes) {
        Ok(entries) => entries,
        Err(error) => return Err(ExportedError::Bundle { path, error }),
    };
    if entries.len() != bundle.width as usize {
        return Err(ExportedError::Count {
            path,
            found: entries.len(),
            expected: bundle.width,
        });
    }
    Ok(entries.into_iter().map(leaf_hash).collect())
}

fn check_tiles<F: Files>(files: &F, leaves: &[Hash]) -> Result<(), ExportedError<F::Error>> {
    // An append to nothing reads no tile.
    for NewTile { tile, bytes } in tree::append(0, leaves, &Nothing).unwrap_or_default() {
        let path = tile.path();
        if files.read(&path)? != bytes {
            return Err(ExportedError::Tile(path));
        }
    }
    Ok(())
}

struct Nothing;

impl TileSource for Nothing {
    type Error = EntriesError;

    fn tile(&self, _: Tile) -> Result<Vec<u8>, EntriesError> {
        Err(EntriesError::Count { count: 0 })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Checkpoint;
    use super::super::signers::{TestKey, signed};
    use super::*;

    #[derive(Debug, PartialEq, Eq, thiserror::Error)]
    #[error("no file {0}")]
    struct NoFile(String);

    #[derive(Clone, Default)]
    struct Log(BTreeMap<String, Vec<u8>>);

    impl Files for Log {
        type Error = NoFile;

        fn read(&self, path: &str) -> Result<Vec<u8>, NoFile> {
            self.0.get(path).cloned().ok_or(NoFile(path.to_owned()))
        }
    }

    fn key() -> TestKey {
        TestKey::log("log.example", 1)
    }

    /// A log of `size` entries under the checkpoint of `root`, or of its own root.
    fn log(size: u64, root: Option<Hash>) -> Log {
        let entry = |index: u64| format!("entry {index}").into_bytes();
        let leaves: Vec<Hash> = (0..size).map(|index| leaf_hash(&entry(index))).collect();
        let mut frontier = Frontier::new();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        let mut log = Log::default();
        for bundle in bundles(size) {
            let first = bundle.index * u64::from(FULL_WIDTH);
            let entries: Vec<_> = (first..first + u64::from(bundle.width))
                .map(entry)
                .collect();
            log.0
                .insert(bundle.path(), entries::encode(&entries).unwrap());
        }
        for NewTile { tile, bytes } in tree::append(0, &leaves, &Nothing).unwrap() {
            log.0.insert(tile.path(), bytes);
        }
        let root = root.unwrap_or(frontier.root());
        let checkpoint = Checkpoint::new("log.example", size, root).unwrap();
        let note = signed(&checkpoint.to_string(), [&key()]).to_string();
        log.0.insert(CHECKPOINT.to_owned(), note.into_bytes());
        log
    }

    fn policy() -> Policy {
        Policy::of_log(key().public)
    }

    #[test]
    fn a_whole_log_is_checked_entry_by_entry() {
        for size in [0, 1, 255, 256, 257, 700, 66_000] {
            let checked = check(&log(size, None), &policy()).unwrap();
            assert_eq!(checked.leaves.len() as u64, size);
            assert_eq!(checked.witnessed.checkpoint.size(), size);
        }
    }

    #[test]
    fn a_flipped_byte_in_any_file_is_found() {
        let whole = log(600, None);
        for path in whole.0.keys() {
            let mut damaged = whole.clone();
            let bytes = damaged.0.get_mut(path).unwrap();
            let last = bytes.len() - 3;
            bytes[last] ^= 1;
            assert!(check(&damaged, &policy()).is_err(), "{path}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let whole = log(600, None);
        for path in whole.0.keys() {
            let mut damaged = whole.clone();
            damaged.0.remove(path);
            let error = check(&damaged, &policy()).unwrap_err();
            assert_eq!(error, ExportedError::Files(NoFile(path.clone())));
        }
    }

    #[test]
    fn a_bundle_with_other_entries_than_its_width_is_refused() {
        let mut short = log(300, None);
        let bundle = entries::encode(&[b"one"]).unwrap();
        short.0.insert("tile/entries/001.p/44".to_owned(), bundle);
        let error = check(&short, &policy()).unwrap_err();
        assert!(error.to_string().contains("has 1 entries"), "{error}");
    }

    #[test]
    fn a_log_that_is_sound_in_itself_but_not_the_signed_one_was_rewritten() {
        let error = check(&log(300, Some([7; 32])), &policy()).unwrap_err();
        assert_eq!(error, ExportedError::Root { size: 300 });
    }

    #[test]
    fn another_logs_checkpoint_is_not_accepted() {
        let other = Policy::of_log(TestKey::log("other.example", 2).public);
        let error = check(&log(3, None), &other).unwrap_err();
        assert!(matches!(error, ExportedError::Checkpoint(_)), "{error}");
    }
}
