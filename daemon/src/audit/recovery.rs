//! Reading the journal back: every start does it, with the fold that normal work uses.

use std::io;
use std::path::{Path, PathBuf};

use sealwright_core::journal::{
    self, BadBatch, BadHeader, Chain, End, Entry, HEADER_LEN, SegmentHeader,
};
use sealwright_core::record::{Leaf, LogRecovered, Record, SCHEMA_VERSION};
use sealwright_core::state::{State, StateError};

use serde::Deserialize;

use super::disk::Disk;

/// File name of segment `number`.
pub fn segment_name(number: u64) -> String {
    format!("{number:010}.swj")
}

/// A file that is ready to become the next segment.
pub const SPARE: &str = "spare.swj";

/// Why the journal cannot be used. Nothing has been changed on disk.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// A file operation failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Damage that no crash makes.
    #[error(
        "{path} is damaged at byte {offset}: {why}. The log is not continued; restore it from the archive or open a new shard"
    )]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where the damage begins.
        offset: usize,
        /// What is wrong.
        why: BadBatch,
    },
    /// A header cannot be used.
    #[error("{path} cannot be read: {why}")]
    Header {
        /// The segment.
        path: PathBuf,
        /// What is wrong.
        why: BadHeader,
    },
    /// A segment is missing or does not follow the one before.
    #[error(
        "{path} does not continue the segment before it; a segment is missing or was exchanged"
    )]
    Gap {
        /// The segment.
        path: PathBuf,
    },
    /// A record does not fit its leaf.
    #[error("record {index} in {path} does not match its leaf")]
    Leaf {
        /// The segment.
        path: PathBuf,
        /// The record.
        index: u64,
    },
    /// A record cannot follow those before it.
    #[error("{path}: {source}")]
    State {
        /// The segment.
        path: PathBuf,
        /// Why.
        source: StateError,
    },
}

/// Where the journal ends, and what its records amount to.
pub struct Recovered {
    /// The fold over all records.
    pub state: State,
    /// What the next batch continues.
    pub chain: Chain,
    /// The segment to write to; `None` for a new journal.
    pub segment: Option<u64>,
    /// Where in that segment.
    pub offset: u64,
    /// A torn last batch, to be zeroed and recorded.
    pub torn: Option<LogRecovered>,
}

/// Reads all segments, calling `leaf` with index and bytes of each leaf.
pub fn recover(
    disk: &dyn Disk,
    folder: &Path,
    leaf: &mut dyn FnMut(u64, &[u8]),
) -> Result<Recovered, RecoveryError> {
    let numbers = segments(disk, folder)?;
    let mut found = Recovered {
        state: State::default(),
        chain: Chain::default(),
        segment: None,
        offset: HEADER_LEN as u64,
        torn: None,
    };
    for (position, number) in numbers.iter().enumerate() {
        let is_last = position + 1 == numbers.len();
        let path = folder.join(segment_name(*number));
        let bytes = read(disk, folder, &segment_name(*number))?;
        let header = SegmentHeader::decode(&bytes).map_err(|why| RecoveryError::Header {
            path: path.clone(),
            why,
        })?;
        if header.segment != *number || header.chain != found.chain {
            return Err(RecoveryError::Gap { path });
        }
        read_segment(&bytes, &header, &path, is_last, &mut found, leaf)?;
    }
    Ok(found)
}

fn segments(disk: &dyn Disk, folder: &Path) -> Result<Vec<u64>, RecoveryError> {
    let names = disk.list().map_err(|source| RecoveryError::Io {
        path: folder.to_owned(),
        source,
    })?;
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| name.strip_suffix(".swj")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn read(disk: &dyn Disk, folder: &Path, name: &str) -> Result<Vec<u8>, RecoveryError> {
    disk.read(name).map_err(|source| RecoveryError::Io {
        path: folder.join(name),
        source,
    })
}

fn read_segment(
    bytes: &[u8],
    header: &SegmentHeader,
    path: &Path,
    is_last: bool,
    found: &mut Recovered,
    leaf: &mut dyn FnMut(u64, &[u8]),
) -> Result<(), RecoveryError> {
    let mut failure = None;
    let state = &mut found.state;
    let (chain, end) = journal::scan(bytes, header, &mut |first, entries| {
        for (index, entry) in (first..).zip(&entries) {
            if failure.is_none() {
                failure = fold(state, path, index, entry).err();
                leaf(index, &entry.leaf);
            }
        }
    });
    if let Some(failure) = failure {
        return Err(failure);
    }
    let offset = match end {
        End::Clean { offset } => offset,
        End::Torn { offset, bytes, .. } if is_last => {
            found.torn = Some(LogRecovered {
                segment: header.segment,
                offset: offset as u64,
                bytes: bytes as u64,
            });
            offset
        }
        End::Torn { offset, why, .. } | End::Corrupt { offset, why } => {
            return Err(RecoveryError::Corrupt {
                path: path.to_owned(),
                offset,
                why,
            });
        }
    };
    found.chain = chain;
    found.segment = Some(header.segment);
    found.offset = offset as u64;
    Ok(())
}

/// Takes one entry into the state, if its body is the one its leaf commits to.
fn fold(state: &mut State, path: &Path, index: u64, entry: &Entry) -> Result<(), RecoveryError> {
    let mismatch = || RecoveryError::Leaf {
        path: path.to_owned(),
        index,
    };
    let leaf = Leaf::from_bytes(&entry.leaf).map_err(|_| mismatch())?;
    let record = parse(&entry.body).map_err(|newer| match newer {
        Some(source) => RecoveryError::State {
            path: path.to_owned(),
            source,
        },
        None => mismatch(),
    })?;
    let fits = leaf.commits_to(&entry.salt, &entry.body)
        && (leaf.index(), leaf.time(), leaf.kind())
            == (record.seq, record.time, record.event.kind());
    if !fits {
        return Err(mismatch());
    }
    state.apply(&record).map_err(|source| RecoveryError::State {
        path: path.to_owned(),
        source,
    })
}

/// What every version of the schema has.
#[derive(Deserialize)]
struct Versioned {
    v: u32,
    seq: u64,
}

/// A body of a newer schema may be of a kind that is unknown here: that is said, and not taken for damage.
fn parse(body: &[u8]) -> Result<Record, Option<StateError>> {
    serde_json::from_slice(body).map_err(|_| {
        let Versioned { v, seq } = serde_json::from_slice(body).ok()?;
        (v > SCHEMA_VERSION).then_some(StateError::NewerSchema { seq, v })
    })
}

/// Calls `visit` with each entry from index `from` on: how a lost index is rebuilt.
pub fn replay(
    disk: &dyn Disk,
    folder: &Path,
    from: u64,
    visit: &mut dyn FnMut(u64, &Entry, Chain),
) -> Result<(), RecoveryError> {
    for number in segments(disk, folder)? {
        let bytes = read(disk, folder, &segment_name(number))?;
        let Ok(header) = SegmentHeader::decode(&bytes) else {
            break;
        };
        // The batch's own end is what an index remembers of the journal it was built from.
        let mut chain = header.chain;
        let mut offset = HEADER_LEN;
        while let Ok((entries, len, next)) =
            journal::decode_batch(bytes.get(offset..).unwrap_or_default(), number, chain)
        {
            for (index, entry) in (chain.index..).zip(&entries) {
                if index >= from {
                    visit(index, entry, next);
                }
            }
            chain = next;
            offset += len;
        }
    }
    Ok(())
}
