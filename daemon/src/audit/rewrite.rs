//! A closed segment written again without some of its bodies: into a new file, which then takes its name.
//!
//! A crash before the rename leaves the old segment, one after it the new one; both are the same journal to every
//! reader, also to one that has read the first half of the old file and goes on in the new one.

use std::io;
use std::path::{Path, PathBuf};

use sealwright_core::journal::{End, Entry, HEADER_LEN, Kept, Redacted, Rewritable, SegmentHeader};

use super::disk::{Disk, SegmentFile};
use super::reader::{Batch, SegmentReader};
use super::recovery::{RecoveryError, segment_name};

/// The new file, until it takes the old one's name. What a crash leaves of it is written over the next time.
const NEW: &str = "redacted.swj";

/// Why a segment was not written again. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// The segment is damaged.
    #[error(transparent)]
    Journal(#[from] RecoveryError),
    /// A file operation failed.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too little space for a second copy.
    #[error(
        "{path}: a copy of {needed} bytes does not fit on the disk; free space on the state directory, then restart sealwrightd"
    )]
    NoRoom {
        /// The segment.
        path: PathBuf,
        /// Bytes of the copy.
        needed: u64,
    },
    /// A body that other records depend on, or a batch that would become longer.
    #[error("{path}: the body of record {index} cannot be taken out")]
    MustStay {
        /// The segment.
        path: PathBuf,
        /// The record.
        index: u64,
    },
    /// What was written does not read back.
    #[error(
        "{0} does not read back as the journal it was made of: look at the disk, then restart sealwrightd"
    )]
    Unsound(PathBuf),
}

/// Whether the new segment has its batches where the old one had them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Yes: it may be read meanwhile.
    InPlace,
    /// No: it becomes as short as it can. Nobody else may have the journal open.
    Packed,
}

/// Says whether a record loses its body, and what then stands in its place: nothing, where it must not lose it.
pub type Redact<'r> = &'r mut dyn FnMut(u64, &Entry) -> Option<Option<Redacted>>;

/// A segment and where it lies.
pub struct Rewriting<'r> {
    /// The journal's folder.
    pub disk: &'r dyn Disk,
    /// Its path, for messages.
    pub folder: &'r Path,
    /// The segment; never the last one.
    pub segment: u64,
    /// How the new one lies.
    pub layout: Layout,
    /// Bytes that stay free.
    pub low_water_bytes: u64,
}

impl Rewriting<'_> {
    /// Writes the segment again, if it has bodies to lose; returns how many it lost.
    pub fn run(&self, redact: Redact<'_>) -> Result<u64, RewriteError> {
        let name = segment_name(self.segment);
        let header = SegmentReader::header(self.disk, &name).map_err(self.io())?;
        let header = header.map_err(|why| RecoveryError::Header {
            path: self.path(),
            why,
        })?;
        // Twice: the first time says how long the new file is, and whether there is anything to do.
        let (bodies, len) = self.pass(&header, redact, &mut |_, _| Ok(()))?;
        if bodies == 0 {
            return Ok(0);
        }
        let len = match self.layout {
            Layout::InPlace => self.disk.len(&name).map_err(self.io())?,
            Layout::Packed => len,
        };
        self.check_room(len)?;
        self.disk.create(NEW, len).map_err(self.io())?;
        let mut file = self.disk.open(NEW).map_err(self.io())?;
        self.fill(&header, redact, file.as_mut())?;
        self.read_back(&header)?;
        self.disk.rename(NEW, &name).map_err(self.io())?;
        Ok(bodies)
    }

    fn check_room(&self, needed: u64) -> Result<(), RewriteError> {
        let free = self.disk.free_bytes().map_err(self.io())?;
        if free.saturating_sub(self.low_water_bytes) >= needed {
            return Ok(());
        }
        let path = self.path();
        Err(RewriteError::NoRoom { path, needed })
    }

    fn fill(
        &self,
        header: &SegmentHeader,
        redact: Redact<'_>,
        file: &mut dyn SegmentFile,
    ) -> Result<(), RewriteError> {
        let head = header.encode_redacted();
        file.write_at(&head, 0).map_err(self.io())?;
        self.pass(header, redact, &mut |bytes, at| file.write_at(bytes, at))?;
        file.sync().map_err(self.io())
    }

    /// Hands each batch of the new segment to `put` with its place; how many bodies go, and where the last one ends.
    fn pass(
        &self,
        header: &SegmentHeader,
        redact: Redact<'_>,
        put: &mut dyn FnMut(&[u8], u64) -> io::Result<()>,
    ) -> Result<(u64, u64), RewriteError> {
        let name = segment_name(self.segment);
        let mut reader = SegmentReader::new(self.disk, &name, header);
        let (mut bodies, mut at) = (0, HEADER_LEN as u64);
        while let Some(batch) = reader.batch().map_err(self.io())? {
            let (bytes, gone) = self.rewrite(batch, redact)?;
            put(&bytes, at).map_err(self.io())?;
            at += bytes.len() as u64;
            bodies += gone;
        }
        match reader.end().map_err(self.io())? {
            End::Clean { .. } => Ok((bodies, at)),
            End::Torn { offset, why, .. } | End::Corrupt { offset, why } => {
                let path = self.path();
                Err(RecoveryError::Corrupt { path, offset, why }.into())
            }
        }
    }

    /// The batch's new bytes, and how many bodies it lost. A batch that loses none stays byte for byte.
    fn rewrite(&self, batch: Batch, redact: Redact<'_>) -> Result<(Vec<u8>, u64), RewriteError> {
        let len = usize::try_from(batch.len).map_err(|e| self.io()(io::Error::other(e)))?;
        let (mut gone, first) = (0, batch.first);
        let mut kept = Vec::with_capacity(batch.entries.len());
        for (index, entry) in (first..).zip(batch.entries) {
            kept.push(match &entry {
                Kept::Whole(whole) => match redact(index, whole) {
                    None => entry,
                    Some(redacted) => {
                        gone += 1;
                        let redacted = redacted.ok_or_else(|| self.must_stay(index))?;
                        Kept::Redacted(Box::new(redacted))
                    }
                },
                Kept::Redacted(_) => entry,
            });
        }
        if gone == 0 {
            let name = segment_name(self.segment);
            let same = self.disk.read(&name, batch.offset, len);
            return Ok((same.map_err(self.io())?, 0));
        }
        let rewritable = Rewritable {
            segment: self.segment,
            before: batch.before,
            after: batch.chain,
            kept,
        };
        let wanted = (self.layout == Layout::InPlace).then_some(len);
        let bytes = rewritable.encode(wanted);
        Ok((bytes.ok_or_else(|| self.must_stay(first))?, gone))
    }

    /// The new file as a start would read it.
    fn read_back(&self, header: &SegmentHeader) -> Result<(), RewriteError> {
        let chain = |name: &str| -> io::Result<_> {
            let mut reader = SegmentReader::new(self.disk, name, header);
            while reader.batch()?.is_some() {}
            Ok((reader.chain(), matches!(reader.end()?, End::Clean { .. })))
        };
        let old = chain(&segment_name(self.segment)).map_err(self.io())?;
        let new = chain(NEW).map_err(self.io())?;
        if new == old {
            return Ok(());
        }
        Err(RewriteError::Unsound(self.folder.join(NEW)))
    }

    fn path(&self) -> PathBuf {
        self.folder.join(segment_name(self.segment))
    }

    fn must_stay(&self, index: u64) -> RewriteError {
        let path = self.path();
        RewriteError::MustStay { path, index }
    }

    fn io(&self) -> impl Fn(io::Error) -> RewriteError + use<> {
        let path = self.path();
        move |source| RewriteError::Io {
            path: path.clone(),
            source,
        }
    }
}
