//! Everything that is kept, read again and held against everything else. Nothing below the state directory is written.
//!
//! The journal is append-only, so it is read beside a daemon that writes to it. Checkpoints are read before it and
//! tiles against it: both can only be behind what is read later. The index cannot be read while a daemon has it.

mod checkpoints;
mod finding;
mod index;
mod tiles;

use std::io;
use std::path::{Path, PathBuf};

use sealwright_core::journal::{Gone, Kept};
use sealwright_core::record::Selection;
use sealwright_core::tlog::Frontier;
use sealwright_core::tlog::merkle::leaf_hash;
use serde::Serialize;

pub(super) use self::checkpoints::Claims;
pub use self::finding::Finding;
use self::index::IndexCopy;
use self::tiles::TileCheck;
use super::disk::RealDisk;
use super::recovery::{Recovered, recover};
use super::snapshot::{Snapshot, SnapshotFile};
use super::stubs::Stub;

/// What is looked at.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// `/var/lib/sealwright`.
    pub state_dir: PathBuf,
    /// Checkpoints that were kept elsewhere: the log must contain them too.
    pub outside: Vec<PathBuf>,
    /// A daemon runs: what it is writing just now is no damage, and the index is its own.
    pub is_live: bool,
}

/// What was read, and what is wrong with it.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Records whose body, leaf and place are sound.
    pub records: u64,
    /// Tiles that are those of the journal.
    pub tiles: u64,
    /// Checkpoints that verify and that the journal contains.
    pub checkpoints: u64,
    /// Records that the newest of those in the state directory covers.
    pub checkpoint_size: u64,
    /// Records in the index; absent where it was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indexed: Option<u64>,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What is no damage, but worth knowing.
    pub notes: Vec<String>,
}

/// Reads everything. `progress` is told the number of records so far.
///
/// # Errors
/// Something could not be read at all; damage is a finding.
pub fn check(scope: &Scope, progress: &mut dyn FnMut(u64)) -> io::Result<Report> {
    let mut report = Report::default();
    let folder = scope.state_dir.join("journal");
    let disk = RealDisk::new(&folder);
    let mut claims = Claims::read(scope, &mut report)?;
    report.checkpoint_size = claims.newest_own();
    let mut tiles = TileCheck::new(&scope.state_dir.join("tiles"), report.checkpoint_size);
    let mut index = IndexCopy::of(scope, &mut report)?;
    let file = SnapshotFile::of(&scope.state_dir);
    let snapshot = Snapshot::read(file.path());
    let (mut frontier, mut erased) = (Frontier::new(), Selection::default());
    let found = recover(&disk, &folder, &mut |batch, state| {
        for (number, kept) in (batch.first..).zip(&batch.entries) {
            let leaf = leaf_hash(kept.leaf());
            if is_erased(kept) {
                erased.insert(number);
            }
            frontier.push(leaf);
            tiles.push(leaf);
            claims.reached(&frontier);
            if let Some(index) = &mut index {
                index.expect(number, kept);
            }
        }
        if let Some(index) = &mut index {
            index.batch(batch.chain);
        }
        if let Some(snapshot) = snapshot.as_ref().filter(|s| s.chain() == batch.chain)
            // It may have been made before bodies went, and remember more.
            && (snapshot.state().clone().without(&erased) != *state
                || snapshot.root() != Some(frontier.root()))
        {
            let what = "says something else than the records that it stands for";
            report.findings.push(Finding::snapshot(file.path(), what));
        }
        report.records = frontier.size();
        progress(report.records);
    });
    match found {
        Ok(found) => {
            note_end(&found, scope, &folder, &mut report);
            for stub in Stub::all(&disk)? {
                let (segment, file) = (stub.manifest.segment, stub.file.display());
                let note =
                    format!("bodies of segment {segment} are in {file} alone, and were not read");
                report.notes.push(note);
            }
            claims.judge(&found.state, report.records, &mut report);
            tiles.finish(&mut report);
            if !found.state.outstanding_erasures().is_empty() {
                report.findings.retain(|finding| finding.part != "index");
                let note = "the index was not judged: the next start ends an erasure that is under way, and makes it anew";
                report.notes.push(note.to_owned());
            } else if let Some(index) = index {
                index.finish(&mut report);
            }
        }
        // What lies behind the damage cannot be judged: it would all be called missing.
        Err(error) => {
            report.findings.push(Finding::of_journal(&error));
            let note = "tiles, checkpoints and index were not judged: mend the journal, then run fsck again";
            report.notes.push(note.to_owned());
        }
    }
    Ok(report)
}

fn is_erased(kept: &Kept) -> bool {
    matches!(kept, Kept::Redacted(redacted) if redacted.gone != Gone::Archived)
}

/// Says so where the journal ends in a batch that was never acknowledged.
pub(super) fn note_end(found: &Recovered, scope: &Scope, folder: &Path, report: &mut Report) {
    let Some(torn) = &found.torn else { return };
    let path = folder.join(super::recovery::segment_name(torn.segment));
    let what = if scope.is_live {
        "the daemon is writing it"
    } else {
        "it was never acknowledged; the next start cuts it off and records that"
    };
    let (path, offset) = (path.display(), torn.offset);
    let note = format!("{path} ends in an unfinished batch at byte {offset}: {what}");
    report.notes.push(note);
}
