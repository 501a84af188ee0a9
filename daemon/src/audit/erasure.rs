//! Which bodies are due, and how they are destroyed in the journal.

use std::collections::BTreeMap;
use std::path::Path;

use sealwright_core::journal::{Entry, Gone, Kept, Redacted};
use sealwright_core::name::Tenant;
use sealwright_core::record::{Record, Rest, SELECTION_SPAN, Selection, may_go};
use sealwright_core::state::Outstanding;
use sealwright_core::time::Timestamp;
use serde::Deserialize;

use super::disk::Disk;
use super::reader::SegmentReader;
use super::recovery::{RecoveryError, segment_name, segments};
use super::rewrite::{Layout, RewriteError, Rewriting};

/// Bodies of one tenant that are older than some time.
#[derive(Debug, Default)]
pub struct Due {
    /// One for each segment, or more where a segment has very many records.
    pub parts: Vec<Part>,
    /// Time of the oldest of them.
    pub oldest: Option<Timestamp>,
    /// How many more lie in the archive, out of reach.
    pub archived: u64,
}

/// Records of one segment.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// The segment.
    pub segment: u64,
    /// The records.
    pub selection: Selection,
}

impl Due {
    /// How many bodies.
    pub fn count(&self) -> u64 {
        self.parts.iter().map(|part| part.selection.count()).sum()
    }

    /// Takes in a record whose body may go, if it is the tenant's.
    fn look(&mut self, segment: u64, index: u64, time: Timestamp, kept: &Kept, tenant: &Tenant) {
        match kept {
            Kept::Whole(entry) if is_of(entry, tenant) => {
                self.oldest.get_or_insert(time);
                self.insert(segment, index);
            }
            Kept::Redacted(redacted)
                if redacted.gone == Gone::Archived && redacted.rest.tenant == *tenant =>
            {
                self.archived += 1;
            }
            _ => {}
        }
    }

    fn insert(&mut self, segment: u64, index: u64) {
        let fits = |part: &&mut Part| {
            let first = part.selection.iter().next().unwrap_or(index);
            part.segment == segment && index - first / 64 * 64 < SELECTION_SPAN
        };
        if let Some(part) = self.parts.last_mut().filter(fits) {
            return part.selection.insert(index);
        }
        let selection = Selection::from_iter([index]);
        self.parts.push(Part { segment, selection });
    }
}

/// Reads the journal up to `before`, and says which bodies of `tenant` could go. Those in `already` are on their way.
pub fn select(
    disk: &dyn Disk,
    folder: &Path,
    tenant: &Tenant,
    before: Timestamp,
    already: &Selection,
) -> Result<Due, RecoveryError> {
    let mut due = Due::default();
    for segment in segments(disk, folder)? {
        let name = segment_name(segment);
        let failed = |source| RecoveryError::Io {
            path: folder.join(&name),
            source,
        };
        let Ok(header) = SegmentReader::header(disk, &name).map_err(failed)? else {
            break;
        };
        let mut reader = SegmentReader::new(disk, &name, &header);
        while let Some(batch) = reader.batch().map_err(failed)? {
            for (index, kept) in (batch.first..).zip(&batch.entries) {
                let leaf = Facts::of_leaf(kept.leaf());
                // Times never go back.
                if leaf.as_ref().is_some_and(|leaf| leaf.t >= before) {
                    return Ok(due);
                }
                if let Some(leaf) = leaf
                    && may_go(leaf.kind)
                    && !already.contains(index)
                {
                    due.look(segment, index, leaf.t, kept, tenant);
                }
            }
        }
    }
    Ok(due)
}

/// What is needed of a leaf, without proving that it is canonical.
#[derive(Deserialize)]
struct Facts<'a> {
    kind: &'a str,
    t: Timestamp,
}

impl<'a> Facts<'a> {
    fn of_leaf(leaf: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(leaf).ok()
    }
}

fn is_of(entry: &Entry, tenant: &Tenant) -> bool {
    #[derive(Deserialize)]
    struct Owned {
        tenant: Tenant,
    }
    serde_json::from_slice::<Owned>(&entry.body).is_ok_and(|owned| owned.tenant == *tenant)
}

/// Destroys the bodies that `outstanding` names, segment by segment; returns how many there still were. After a crash
/// it is done again, and finds less to do. `reached` is told after each segment.
pub fn destroy(
    disk: &dyn Disk,
    folder: &Path,
    low_water_bytes: u64,
    outstanding: &BTreeMap<u64, Outstanding>,
    reached: &mut dyn FnMut(u64),
) -> Result<u64, RewriteError> {
    let mut by_segment: BTreeMap<u64, Vec<(u64, &Selection)>> = BTreeMap::new();
    for (by, Outstanding { segment, selection }) in outstanding {
        by_segment
            .entry(*segment)
            .or_default()
            .push((*by, selection));
    }
    let mut bodies = 0;
    for (segment, erasures) in by_segment {
        let rewriting = Rewriting {
            disk,
            folder,
            segment,
            layout: Layout::InPlace,
            low_water_bytes,
        };
        bodies += rewriting.run(&mut |index, entry| {
            let erasure = erasures
                .iter()
                .find(|(_, selection)| selection.contains(index));
            erasure.map(|(by, _)| redacted(entry, *by))
        })?;
        reached(segment);
    }
    Ok(bodies)
}

fn redacted(entry: &Entry, by: u64) -> Option<Redacted> {
    let record: Record = serde_json::from_slice(&entry.body).ok()?;
    Some(Redacted {
        leaf: entry.leaf.clone(),
        gone: Gone::Erased { by },
        rest: Rest::of_erased(&record.event)?,
    })
}
