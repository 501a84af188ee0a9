//! The journal of a log that is not written any more: read and never written, with segments out of an archive where
//! the folder lacks them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::archive;
use super::disk::{Disk, RealDisk, SegmentFile};
use super::recovery::segment_name;

/// A journal's folder and an archive of it.
pub struct OldJournal {
    folder: RealDisk,
    /// Segments that the folder lacks.
    archived: BTreeSet<String>,
    archive: PathBuf,
    /// Whether segments behind a missing one are passed over instead of being an error.
    to_the_gap: bool,
    /// The archived segment that was read last.
    unpacked: Mutex<Option<(String, Arc<Vec<u8>>)>>,
}

impl OldJournal {
    /// Looks which segments are where.
    ///
    /// # Errors
    /// One of the folders cannot be read.
    pub fn open(folder: &Path, archive: Option<&Path>, to_the_gap: bool) -> io::Result<Self> {
        let here = RealDisk::new(folder);
        let mut archived = BTreeSet::new();
        if let Some(archive) = archive {
            let there = RealDisk::new(archive).list()?;
            archived.extend(
                there
                    .iter()
                    .filter_map(|name| name.strip_suffix(".zst").map(str::to_owned)),
            );
        }
        for name in here.list()? {
            archived.remove(&name);
        }
        Ok(Self {
            folder: here,
            archived,
            archive: archive.unwrap_or(Path::new("")).to_owned(),
            to_the_gap,
            unpacked: Mutex::default(),
        })
    }

    /// One segment of the archive, verified against its manifest. A log is read from front to back, so the last one is
    /// all that is worth keeping.
    fn unpacked(&self, name: &str) -> io::Result<Arc<Vec<u8>>> {
        if let Some((_, bytes)) = self.last().as_ref().filter(|(last, _)| last == name) {
            return Ok(Arc::clone(bytes));
        }
        let bytes = archive::restored(&self.archive, name).map_err(io::Error::other)?;
        let bytes = Arc::new(bytes);
        *self.last() = Some((name.to_owned(), Arc::clone(&bytes)));
        Ok(bytes)
    }

    /// Held for a look, never while a segment is unpacked.
    fn last(&self) -> MutexGuard<'_, Option<(String, Arc<Vec<u8>>)>> {
        self.unpacked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for OldJournal {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names: BTreeSet<String> = self.folder.list()?.into_iter().collect();
        names.extend(self.archived.iter().cloned());
        if !self.to_the_gap {
            return Ok(names.into_iter().collect());
        }
        let in_order = (0..).map(segment_name);
        Ok(in_order.take_while(|name| names.contains(name)).collect())
    }

    fn read(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        if !self.archived.contains(name) {
            return self.folder.read(name, offset, len);
        }
        let bytes = self.unpacked(name)?;
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let to = from.saturating_add(len).min(bytes.len());
        Ok(bytes.get(from..to).unwrap_or_default().to_vec())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        if self.archived.contains(name) {
            return Ok(self.unpacked(name)?.len() as u64);
        }
        self.folder.len(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        Err(never_written(name))
    }

    fn create(&self, name: &str, _: u64) -> io::Result<()> {
        Err(never_written(name))
    }

    fn rename(&self, from: &str, _: &str) -> io::Result<()> {
        Err(never_written(from))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.folder.free_bytes()
    }
}

fn never_written(name: &str) -> io::Error {
    let text = format!("{name} belongs to a log that is not written any more");
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, text)
}
