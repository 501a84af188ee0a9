//! The bodies of archived segments leave this host. Their leaves stay, and what the fold needs of them: every start, the
//! tree, the index and each proof go on without the archive.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sealwright_core::journal::{Entry, Gone, Kept, Redacted};
use sealwright_core::record::{Leaf, Record, Rest, may_go};
use sealwright_core::time::Timestamp;

use super::archive::Manifest;
use super::disk::RealDisk;
use super::reader::SegmentReader;
use super::recovery::{RecoveryError, next_header, segment_name};
use super::rewrite::{Layout, RewriteError, Rewriting};
use super::stubs::{Stub, stub_name};

/// Why bodies were not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// No such closed segment.
    #[error("segment {0} is not a closed segment of this journal: the newest one always stays")]
    NotClosed(u64),
    /// Nobody could prove later what was removed.
    #[error(
        "segment {segment} ends at record {end}, and {what} covers {covered}: start sealwrightd, wait for that, and try again"
    )]
    NotCovered {
        /// The segment.
        segment: u64,
        /// The index after its last record.
        end: u64,
        /// Which checkpoint is asked for.
        what: &'static str,
        /// Records that it covers.
        covered: u64,
    },
    /// The journal is not sound.
    #[error(transparent)]
    Journal(#[from] RecoveryError),
    /// It could not be written again.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// A file operation failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Which checkpoint has to cover what is removed.
#[derive(Debug, Clone, Copy)]
pub struct Covered {
    /// For messages.
    pub what: &'static str,
    /// Records that it covers.
    pub size: u64,
}

/// A journal that nobody else has open, and the archive of its segments.
pub struct Removal<'r> {
    /// The journal's folder.
    pub journal: &'r Path,
    /// The archive's folder, absolute.
    pub archive: &'r Path,
    /// What the archive was just verified to hold: all closed segments.
    pub manifests: &'r [Manifest],
    /// The checkpoint.
    pub covered: Covered,
    /// Bytes that stay free.
    pub low_water_bytes: u64,
}

impl Removal<'_> {
    /// Removes the bodies of these segments; returns where they are. Nothing is removed unless all of them may be; after
    /// a crash it is done again, and finds less to do.
    pub fn remove(&self, segments: &BTreeSet<u64>) -> Result<Vec<Stub>, RemovalError> {
        let chosen = segments.iter().map(|segment| self.check(*segment));
        let chosen: Vec<&Manifest> = chosen.collect::<Result<_, _>>()?;
        let mut stubs = Vec::new();
        for manifest in chosen {
            let stub = self.stub(manifest);
            // First: without it, a segment without bodies is damage.
            self.write(&stub)?;
            self.pack(manifest.segment)?;
            stubs.push(stub);
        }
        Ok(stubs)
    }

    fn check(&self, segment: u64) -> Result<&Manifest, RemovalError> {
        let manifest = self.manifests.iter().find(|m| m.segment == segment);
        let manifest = manifest.ok_or(RemovalError::NotClosed(segment))?;
        let Covered { what, size } = self.covered;
        if manifest.to.index <= size {
            return Ok(manifest);
        }
        Err(RemovalError::NotCovered {
            segment,
            end: manifest.to.index,
            what,
            covered: size,
        })
    }

    fn stub(&self, manifest: &Manifest) -> Stub {
        let name = format!("{}.zst", segment_name(manifest.segment));
        Stub {
            file: self.archive.join(name),
            manifest: manifest.clone(),
        }
    }

    fn pack(&self, segment: u64) -> Result<(), RemovalError> {
        let rewriting = Rewriting {
            disk: &RealDisk::new(self.journal),
            folder: self.journal,
            segment,
            layout: Layout::Packed,
            low_water_bytes: self.low_water_bytes,
        };
        rewriting.run(&mut |_, entry| archived(entry))?;
        Ok(())
    }

    fn write(&self, stub: &Stub) -> Result<(), RemovalError> {
        let path = self.journal.join(stub_name(stub.manifest.segment));
        let run = || -> io::Result<()> {
            let new = path.with_extension("new");
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec_pretty(stub)?)?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(self.journal)?.sync_all()
        };
        let failed = |source| RemovalError::Io {
            path: path.clone(),
            source,
        };
        run().map_err(failed)
    }
}

/// What stays of a record: all of it, where keys, policy or holds follow from it.
fn archived(entry: &Entry) -> Option<Option<Redacted>> {
    let leaf = Leaf::from_bytes(&entry.leaf).ok()?;
    may_go(leaf.kind()).then(|| {
        let record: Record = serde_json::from_slice(&entry.body).ok()?;
        Some(Redacted {
            leaf: entry.leaf.clone(),
            gone: Gone::Archived,
            rest: Rest::of_archived(&record.event)?,
        })
    })
}

/// The segments of which every record is older than `before` and some still has its body.
pub fn older_than(
    journal: &Path,
    manifests: &[Manifest],
    before: Timestamp,
) -> Result<BTreeSet<u64>, RemovalError> {
    let mut found = BTreeSet::new();
    for manifest in manifests {
        let (newest, is_whole) = look(journal, manifest)?;
        if newest >= before {
            break;
        }
        if is_whole {
            found.insert(manifest.segment);
        }
    }
    Ok(found)
}

/// Time of a segment's last record, and whether a body of it could be removed.
fn look(journal: &Path, manifest: &Manifest) -> Result<(Timestamp, bool), RemovalError> {
    let (disk, name) = (RealDisk::new(journal), segment_name(manifest.segment));
    let header = next_header(&disk, journal, manifest.segment, manifest.from)?;
    let mut reader = SegmentReader::new(&disk, &name, &header);
    let failed = |source| RemovalError::Io {
        path: journal.join(&name),
        source,
    };
    let (mut newest, mut is_whole) = (Timestamp::default(), false);
    while let Some(batch) = reader.batch().map_err(failed)? {
        for kept in &batch.entries {
            let leaf = Leaf::from_bytes(kept.leaf()).ok();
            newest = leaf.as_ref().map_or(newest, Leaf::time);
            let may_go = leaf.is_some_and(|leaf| may_go(leaf.kind()));
            is_whole |= may_go && matches!(kept, Kept::Whole(_));
        }
    }
    Ok((newest, is_whole))
}
