//! Reading the journal back: every start does it, with the fold that normal work uses.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use sealwright_core::journal::{BadBatch, BadHeader, Chain, End, HEADER_LEN, SegmentHeader};
use sealwright_core::record::LogRecovered;
use sealwright_core::state::{State, StateError};

use super::disk::Disk;
use super::folding::Folding;
use super::reader::{Batch, SegmentReader};

/// File name of segment `number`.
pub fn segment_name(number: u64) -> String {
    format!("{number:010}.swj")
}

/// A file that is ready to become the next segment.
pub const SPARE: &str = "spare.swj";

/// What to do about damage that no crash makes.
const NEXT: &str = "The log is not continued over it: keep a copy, then put back the segments of a backup or \
    archive (docs/runbooks/audit.md), or let a new log take its place with `sealwrightd shard` (docs/runbooks/restore.md)";

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
    #[error("{path} is damaged at byte {offset}: {why}. {NEXT}")]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where the damage begins.
        offset: usize,
        /// What is wrong.
        why: BadBatch,
    },
    /// A header cannot be used.
    #[error("{path} cannot be used: {why}. {NEXT}")]
    Header {
        /// The segment.
        path: PathBuf,
        /// What is wrong.
        why: BadHeader,
    },
    /// A segment is missing.
    #[error("{path} is missing, and later segments are there. {NEXT}")]
    Missing {
        /// The segment.
        path: PathBuf,
    },
    /// A segment does not follow the one before.
    #[error("{path} does not continue the segment before it: one of the two was exchanged. {NEXT}")]
    Gap {
        /// The segment.
        path: PathBuf,
    },
    /// A record does not fit its leaf.
    #[error(
        "record {index} in {path}, in the batch at byte {offset}, does not match its leaf. {NEXT}"
    )]
    Leaf {
        /// The segment.
        path: PathBuf,
        /// The record.
        index: u64,
        /// Its batch.
        offset: u64,
    },
    /// A body is gone that nobody erased.
    #[error(
        "record {index} in {path}, in the batch at byte {offset}, has lost its body, and no record says that it was erased. {NEXT}"
    )]
    Unauthorised {
        /// The segment.
        path: PathBuf,
        /// The record.
        index: u64,
        /// Its batch.
        offset: u64,
    },
    /// A body is in the archive, by its own account.
    #[error(
        "record {index}, in the batch at byte {offset} of its segment, lies in the archive, and {path}, which says where, is missing or about another segment. Put that file back, or the whole segment from the archive"
    )]
    NoStub {
        /// The stub.
        path: PathBuf,
        /// The record.
        index: u64,
        /// Its batch.
        offset: u64,
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

impl RecoveryError {
    /// The file or folder, and where in it.
    pub fn place(&self) -> (&Path, Option<u64>) {
        match self {
            Self::Corrupt { path, offset, .. } => (path, Some(*offset as u64)),
            Self::Leaf { path, offset, .. } | Self::Unauthorised { path, offset, .. } => {
                (path, Some(*offset))
            }
            Self::NoStub { path, .. } => (path, None),
            Self::Header { path, .. } => (path, Some(0)),
            Self::Io { path, .. }
            | Self::Missing { path }
            | Self::Gap { path }
            | Self::State { path, .. } => (path, None),
        }
    }
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
    /// Bytes of the batch right before `offset`; 0 where the segment has none.
    pub last_len: u64,
    /// A torn last batch, to be zeroed and recorded.
    pub torn: Option<LogRecovered>,
}

impl Recovered {
    fn nothing() -> Self {
        Self {
            state: State::default(),
            chain: Chain::default(),
            segment: None,
            offset: HEADER_LEN as u64,
            last_len: 0,
            torn: None,
        }
    }
}

/// What is called for each batch, with the state after it.
pub type Visit<'v> = &'v mut dyn FnMut(&Batch, &State);

/// Reads all segments.
pub fn recover(
    disk: &dyn Disk,
    folder: &Path,
    visit: Visit<'_>,
) -> Result<Recovered, RecoveryError> {
    recover_from(disk, folder, Recovered::nothing(), visit)
}

/// Reads what follows `found`, an earlier end of this journal.
pub fn recover_from(
    disk: &dyn Disk,
    folder: &Path,
    mut found: Recovered,
    visit: Visit<'_>,
) -> Result<Recovered, RecoveryError> {
    let begun = found.segment;
    let mut folding = Folding::new(disk);
    let mut numbers = VecDeque::new();
    let mut next = begun.unwrap_or(0);
    loop {
        if numbers.is_empty() {
            // Beside a running daemon there may be more by now. What it erased meanwhile, it has said there.
            let all = segments(disk, folder)?.into_iter();
            numbers.extend(all.skip_while(|number| *number < next));
        }
        let Some(number) = numbers.pop_front().filter(|_| found.torn.is_none()) else {
            break;
        };
        next = number + 1;
        let mut reader = if begun == Some(number) {
            let name = segment_name(number);
            SegmentReader::at(disk, &name, number, found.chain, found.offset)
        } else {
            begin(disk, folder, number, &mut found)?
        };
        let mut taking = Taking {
            folding: &mut folding,
            found: &mut found,
            visit,
        };
        taking.segment(&mut reader, folder, numbers.is_empty())?;
    }
    folding.finish(folder)?;
    Ok(found)
}

/// Goes on to segment `number`, if it continues what was found.
fn begin<'d>(
    disk: &'d dyn Disk,
    folder: &Path,
    number: u64,
    found: &mut Recovered,
) -> Result<SegmentReader<'d>, RecoveryError> {
    let header = next_header(disk, folder, number, found.chain)?;
    (found.segment, found.offset) = (Some(number), HEADER_LEN as u64);
    found.last_len = 0;
    let name = segment_name(number);
    Ok(SegmentReader::new(disk, &name, &header))
}

/// The header of segment `number`, if it continues `chain`.
pub(super) fn next_header(
    disk: &dyn Disk,
    folder: &Path,
    number: u64,
    chain: Chain,
) -> Result<SegmentHeader, RecoveryError> {
    let name = segment_name(number);
    let path = folder.join(&name);
    let header = SegmentReader::header(disk, &name).map_err(at(&path))?;
    let header = header.map_err(|why| RecoveryError::Header {
        path: path.clone(),
        why,
    })?;
    if header.segment == number && header.chain == chain {
        Ok(header)
    } else {
        Err(RecoveryError::Gap { path })
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> RecoveryError {
    move |source| RecoveryError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Numbers of the segments, without a gap; the last one is written to.
pub fn segments(disk: &dyn Disk, folder: &Path) -> Result<Vec<u64>, RecoveryError> {
    let names = disk.list().map_err(|source| RecoveryError::Io {
        path: folder.to_owned(),
        source,
    })?;
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| name.strip_suffix(".swj")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    match (0..)
        .zip(&numbers)
        .find(|(wanted, number)| wanted != *number)
    {
        None => Ok(numbers),
        Some((missing, _)) => Err(RecoveryError::Missing {
            path: folder.join(segment_name(missing)),
        }),
    }
}

/// Where what is read goes.
struct Taking<'t, 'd, 'v> {
    folding: &'t mut Folding<'d>,
    found: &'t mut Recovered,
    visit: &'t mut (dyn FnMut(&Batch, &State) + 'v),
}

impl Taking<'_, '_, '_> {
    /// Takes in what `reader` still has of the segment that was found last.
    fn segment(
        &mut self,
        reader: &mut SegmentReader<'_>,
        folder: &Path,
        is_last: bool,
    ) -> Result<(), RecoveryError> {
        let segment = self.found.segment.unwrap_or_default();
        let path = folder.join(segment_name(segment));
        loop {
            self.batches(reader, &path)?;
            match reader.end().map_err(at(&path))? {
                End::Clean { .. } => return Ok(()),
                End::Torn { offset, bytes, .. } if is_last => {
                    self.found.torn = Some(LogRecovered {
                        segment,
                        offset: offset as u64,
                        bytes: bytes as u64,
                    });
                    return Ok(());
                }
                End::Torn { offset, why, .. } | End::Corrupt { offset, why } => {
                    if !reader.look_again().map_err(at(&path))? {
                        return Err(RecoveryError::Corrupt { path, offset, why });
                    }
                }
            }
        }
    }

    fn batches(
        &mut self,
        reader: &mut SegmentReader<'_>,
        path: &Path,
    ) -> Result<(), RecoveryError> {
        let found = &mut *self.found;
        while let Some(batch) = reader.batch().map_err(at(path))? {
            self.folding.batch(&mut found.state, path, &batch)?;
            (self.visit)(&batch, &found.state);
            (found.chain, found.offset) = (batch.chain, batch.offset + batch.len);
            found.last_len = batch.len;
        }
        Ok(())
    }
}

/// Calls `visit` with each batch that has an entry from index `from` on: how a lost index is rebuilt.
pub fn replay(
    disk: &dyn Disk,
    folder: &Path,
    from: u64,
    visit: &mut dyn FnMut(&Batch),
) -> Result<(), RecoveryError> {
    let mut wanted = Vec::new();
    for number in segments(disk, folder)? {
        let name = segment_name(number);
        let Ok(header) = SegmentReader::header(disk, &name).map_err(at(&folder.join(&name)))?
        else {
            break;
        };
        // What lies before a segment that begins at or below `from` is of no use.
        if header.chain.index <= from {
            wanted.clear();
        }
        wanted.push(header);
    }
    for header in wanted {
        let name = segment_name(header.segment);
        let mut reader = SegmentReader::new(disk, &name, &header);
        while let Some(batch) = reader.batch().map_err(at(&folder.join(&name)))? {
            if batch.chain.index > from {
                visit(&batch);
            }
        }
    }
    Ok(())
}
