//! The index against the journal: every row, and none besides. A copy is read, because sled writes when it opens.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sealwright_core::journal::{Chain, Kept};

use crate::panics::caught;

use super::{Finding, Report, Scope};
use crate::audit::index_keeper::open_sled;
use crate::audit::index_rows::{BLOCK, KeyValue, Rows, mark_value, marked};
use crate::audit::index_subjects::Tails;

/// A copy of the index, and what ought to be in it.
pub(super) struct IndexCopy {
    folder: PathBuf,
    db: sled::Db,
    /// The index after the last that it has.
    applied: u64,
    mark: sled::IVec,
    mark_found: bool,
    /// Rows of the block that is being read.
    rows: Rows,
    tails: Tails,
    expected: usize,
    finding: Option<String>,
    // Removed when everything else is dropped.
    _copy: tempfile::TempDir,
}

impl IndexCopy {
    /// Copies and opens it; `None` where it cannot be judged, which the report then says.
    pub(super) fn of(scope: &Scope, report: &mut Report) -> io::Result<Option<Self>> {
        let folder = scope.state_dir.join("index");
        if scope.is_live {
            let note = "the index was not looked at: the running daemon has it open";
            report.notes.push(note.to_owned());
            return Ok(None);
        }
        if !folder.is_dir() {
            let note = "there is no index: the next start builds it";
            report.notes.push(note.to_owned());
            return Ok(None);
        }
        let copy = tempfile::tempdir()?;
        // A daemon that started now would write to what is being copied.
        let lock = File::open(scope.state_dir.join("lock"))?;
        lock.lock_shared()?;
        copy_files(&folder, copy.path())?;
        drop(lock);
        match open(copy.path()) {
            Ok((db, applied, mark)) => Ok(Some(Self {
                folder,
                db,
                applied,
                mark,
                mark_found: false,
                rows: Rows::default(),
                tails: Tails::default(),
                expected: 1,
                finding: None,
                _copy: copy,
            })),
            Err(what) => {
                report.findings.push(Finding::index(&folder, &what));
                Ok(None)
            }
        }
    }

    /// The journal's next record.
    pub(super) fn expect(&mut self, index: u64, kept: &Kept) {
        if index >= self.applied || self.finding.is_some() {
            return;
        }
        self.rows.add(index, kept);
        let is_last = index + 1 == self.applied;
        if !is_last && !(index + 1).is_multiple_of(BLOCK) {
            return;
        }
        let block = format!("records {} to {index}", index / BLOCK * BLOCK);
        let rows = std::mem::take(&mut self.rows).into_rows(&mut self.tails);
        let mut compared = self.compare(rows, &block);
        if is_last && compared.is_ok() {
            let rest = std::mem::take(&mut self.tails).into_rows();
            compared = self.compare(rest, &block);
        }
        self.finding = compared.err();
    }

    /// The journal's batch ended.
    pub(super) fn batch(&mut self, chain: Chain) {
        self.mark_found |= chain.index == self.applied && self.mark == mark_value(chain);
    }

    fn compare(&mut self, rows: impl Iterator<Item = KeyValue>, block: &str) -> Result<(), String> {
        for (key, value) in rows {
            self.expected += 1;
            match self.db.get(&key) {
                Ok(Some(found)) if found == value => {}
                Ok(Some(_)) => {
                    return Err(format!("says something else of {block} than the journal"));
                }
                Ok(None) => return Err(format!("lacks something of {block}")),
                Err(error) => return Err(format!("cannot be read at {block}: {error}")),
            }
        }
        Ok(())
    }

    /// The journal is read to its end.
    pub(super) fn finish(self, report: &mut Report) {
        let finding = self.finding.or_else(|| {
            if !self.mark_found {
                return Some(
                    "was made of another journal, or of records it no longer has".to_owned(),
                );
            }
            let rows = self.db.len();
            (rows != self.expected).then(|| format!("has {rows} rows instead of {}", self.expected))
        });
        match finding {
            Some(what) => report.findings.push(Finding::index(&self.folder, &what)),
            None => report.indexed = Some(self.applied),
        }
    }
}

type Opened = (sled::Db, u64, sled::IVec);

fn open(folder: &Path) -> Result<Opened, String> {
    let run = || -> Result<Opened, String> {
        let cannot = |e: sled::Error| format!("cannot be opened: {e}");
        let db = open_sled(folder).map_err(cannot)?;
        let mark = marked(&db).map_err(cannot)?;
        let mark = mark.ok_or_else(|| "has no mark of what it was made of".to_owned())?;
        let applied = mark
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Ok((db, applied, mark))
    };
    // sled panics over some of the damage.
    caught(run).unwrap_or_else(|_| Err("cannot be opened: sled panicked".to_owned()))
}

fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&target)?;
            copy_files(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
