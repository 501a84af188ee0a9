//! Records on their way from the journal into the state, and those without a body until a record says why.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sealwright_core::journal::{Entry, Gone, Kept, Redacted};
use sealwright_core::record::{
    AuditErased, Event, Leaf, Record, SCHEMA_VERSION, Selection, may_go,
};
use sealwright_core::state::{State, StateError};
use serde::Deserialize;

use super::disk::Disk;
use super::reader::{Batch, SegmentReader};
use super::recovery::{RecoveryError, segment_name, segments};
use super::stubs::{ARCHIVED, Stub};

/// Folds records into a state, whether or not they still have their bodies.
pub(super) struct Folding<'d> {
    disk: &'d dyn Disk,
    /// Records that say they were erased, by the record that they name for it, which is still to come.
    unproven: BTreeMap<u64, Selection>,
    /// Where archived bodies are; read once a record says that its own was archived.
    stubs: Option<Vec<Stub>>,
}

impl<'d> Folding<'d> {
    /// Of the journal on `disk`.
    pub(super) fn new(disk: &'d dyn Disk) -> Self {
        Self {
            disk,
            unproven: BTreeMap::new(),
            stubs: None,
        }
    }

    /// Takes in a whole batch of the segment at `path`.
    pub(super) fn batch(
        &mut self,
        state: &mut State,
        path: &Path,
        batch: &Batch,
    ) -> Result<(), RecoveryError> {
        for (index, kept) in (batch.first..).zip(&batch.entries) {
            let place = Place {
                path,
                offset: batch.offset,
                index,
            };
            self.record(state, &place, kept)?;
        }
        Ok(())
    }

    /// Takes in one record.
    pub(super) fn record(
        &mut self,
        state: &mut State,
        place: &Place<'_>,
        kept: &Kept,
    ) -> Result<(), RecoveryError> {
        match kept {
            Kept::Whole(entry) => self.whole(state, place, entry),
            Kept::Redacted(redacted) => self.redacted(state, place, redacted),
        }
    }

    /// A record, if its body is the one its leaf commits to.
    fn whole(
        &mut self,
        state: &mut State,
        place: &Place<'_>,
        entry: &Entry,
    ) -> Result<(), RecoveryError> {
        let leaf = Leaf::from_bytes(&entry.leaf).map_err(|_| place.mismatch())?;
        let record = parse(&entry.body).map_err(|newer| match newer {
            Some(source) => place.impossible(source),
            None => place.mismatch(),
        })?;
        let fits = leaf.commits_to(&entry.salt, &entry.body)
            && (leaf.index(), leaf.time(), leaf.kind())
                == (record.seq, record.time, record.event.kind());
        if !fits {
            return Err(place.mismatch());
        }
        if let Event::AuditErased(erased) = &record.event {
            self.authorise(place.index, erased);
        }
        let applied = state.apply(&record);
        applied.map_err(|source| place.impossible(source))
    }

    fn redacted(
        &mut self,
        state: &mut State,
        place: &Place<'_>,
        redacted: &Redacted,
    ) -> Result<(), RecoveryError> {
        let Redacted { leaf, gone, rest } = redacted;
        let leaf = Leaf::from_bytes(leaf).map_err(|_| place.mismatch())?;
        if leaf.index() != place.index || !may_go(leaf.kind()) {
            return Err(place.mismatch());
        }
        match gone {
            Gone::Erased { by } if *by > place.index => {
                self.unproven.entry(*by).or_default().insert(place.index);
            }
            Gone::Erased { .. } => return Err(place.unauthorised()),
            Gone::Archived => self.check_stub(place)?,
        }
        let applied = state.apply_redacted(place.index, leaf.time(), *gone, rest);
        applied.map_err(|source| place.impossible(source))
    }

    /// Record `seq` says what was erased. A record that names it and is not among those stays unproven.
    fn authorise(&mut self, seq: u64, erased: &AuditErased) {
        let claimed = self.unproven.remove(&seq).unwrap_or_default();
        if let Some(index) = claimed.first_beyond(&erased.selection) {
            self.unproven.insert(seq, Selection::from_iter([index]));
        }
    }

    /// A record is only believed to be in the archive where a file says which.
    fn check_stub(&mut self, place: &Place<'_>) -> Result<(), RecoveryError> {
        let path = place.path.with_extension(ARCHIVED);
        if self.stubs.is_none() {
            let read = Stub::all(self.disk);
            self.stubs = Some(read.map_err(|source| RecoveryError::Io {
                path: path.clone(),
                source,
            })?);
        }
        let mut stubs = self.stubs.iter().flatten();
        if stubs.any(|stub| stub.covers(place.index)) {
            return Ok(());
        }
        Err(RecoveryError::NoStub {
            path,
            index: place.index,
            offset: place.offset,
        })
    }

    /// The journal is read to its end: no body may be missing without a record that says so.
    pub(super) fn finish(self, folder: &Path) -> Result<(), RecoveryError> {
        let first = self
            .unproven
            .values()
            .filter_map(|claimed| claimed.iter().next());
        let Some(index) = first.min() else {
            return Ok(());
        };
        let (path, offset) = find(self.disk, folder, index)?;
        Err(RecoveryError::Unauthorised {
            path,
            index,
            offset,
        })
    }
}

/// Where a record lies.
pub(super) struct Place<'p> {
    pub(super) path: &'p Path,
    /// Of its batch.
    pub(super) offset: u64,
    pub(super) index: u64,
}

impl Place<'_> {
    fn mismatch(&self) -> RecoveryError {
        RecoveryError::Leaf {
            path: self.path.to_owned(),
            index: self.index,
            offset: self.offset,
        }
    }

    fn unauthorised(&self) -> RecoveryError {
        RecoveryError::Unauthorised {
            path: self.path.to_owned(),
            index: self.index,
            offset: self.offset,
        }
    }

    fn impossible(&self, source: StateError) -> RecoveryError {
        RecoveryError::State {
            path: self.path.to_owned(),
            source,
        }
    }
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

/// The segment's file and the offset of the batch that holds record `index` of a journal that was just read. Slow,
/// and only for saying what is wrong: places of all records without a body would be too many to keep.
fn find(disk: &dyn Disk, folder: &Path, index: u64) -> Result<(PathBuf, u64), RecoveryError> {
    let mut place = (folder.to_owned(), 0);
    for number in segments(disk, folder)? {
        let name = segment_name(number);
        let path = folder.join(&name);
        let failed = |source| RecoveryError::Io {
            path: path.clone(),
            source,
        };
        let Ok(header) = SegmentReader::header(disk, &name).map_err(failed)? else {
            break;
        };
        let mut reader = SegmentReader::new(disk, &name, &header);
        while let Some(batch) = reader.batch().map_err(failed)? {
            if batch.first > index {
                return Ok(place);
            }
            place = (path.clone(), batch.offset);
        }
    }
    Ok(place)
}
