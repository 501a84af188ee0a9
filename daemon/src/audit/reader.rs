//! A segment read batch by batch through a window, so that the largest log needs a few MiB.

use std::io;

use sealwright_core::journal::{
    BATCH_MAX, BadBatch, BadHeader, Chain, END_WINDOW, End, HEADER_LEN, Kept, SegmentHeader,
    decode_batch, judge_end, used_bytes,
};

use super::disk::Disk;

/// A batch and where it lies.
pub struct Batch {
    /// Byte offset in the segment file.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
    /// Index of the first entry.
    pub first: u64,
    /// Its entries.
    pub entries: Vec<Kept>,
    /// The chain before it.
    pub before: Chain,
    /// The chain after it.
    pub chain: Chain,
}

/// Reads one segment from some batch on.
pub struct SegmentReader<'d> {
    disk: &'d dyn Disk,
    name: String,
    segment: u64,
    chain: Chain,
    /// Where the next batch begins.
    offset: u64,
    window: Vec<u8>,
    /// Where in the window the next batch begins.
    at: usize,
    /// The window reaches the end of the file.
    is_last: bool,
    /// Why there was no further one.
    ended: Option<BadBatch>,
}

impl<'d> SegmentReader<'d> {
    /// Reads the file's header, if it has one.
    pub fn header(disk: &dyn Disk, name: &str) -> io::Result<Result<SegmentHeader, BadHeader>> {
        Ok(SegmentHeader::decode(&disk.read(name, 0, HEADER_LEN)?))
    }

    /// Begins at the first batch behind `header`.
    pub fn new(disk: &'d dyn Disk, name: &str, header: &SegmentHeader) -> Self {
        Self::at(disk, name, header.segment, header.chain, HEADER_LEN as u64)
    }

    /// Begins at `offset`, where the batch that continues `chain` belongs.
    pub fn at(disk: &'d dyn Disk, name: &str, segment: u64, chain: Chain, offset: u64) -> Self {
        Self {
            disk,
            name: name.to_owned(),
            segment,
            chain,
            offset,
            window: Vec::new(),
            at: 0,
            is_last: false,
            ended: None,
        }
    }

    /// The chain after the last batch that was read.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// The next batch; `None` where none that belongs here follows, and [`SegmentReader::end`] says why.
    pub fn batch(&mut self) -> io::Result<Option<Batch>> {
        if self.ended.is_some() {
            return Ok(None);
        }
        self.fill()?;
        let rest = self.window.get(self.at..).unwrap_or_default();
        match decode_batch(rest, self.segment, self.chain) {
            Ok((entries, len, chain)) => {
                let (offset, before) = (self.offset, self.chain);
                self.offset += len as u64;
                self.at += len;
                self.chain = chain;
                Ok(Some(Batch {
                    offset,
                    len: len as u64,
                    first: before.index,
                    entries,
                    before,
                    chain,
                }))
            }
            Err(why) => {
                self.ended = Some(why);
                Ok(None)
            }
        }
    }

    /// A batch of any size must lie in the window whole.
    fn fill(&mut self) -> io::Result<()> {
        if !self.is_last && self.window.len().saturating_sub(self.at) < BATCH_MAX {
            self.window = self.disk.read(&self.name, self.offset, END_WINDOW)?;
            self.is_last = self.window.len() < END_WINDOW;
            self.at = 0;
        }
        Ok(())
    }

    /// Reads anew where it ended. `true`: a batch is there now, because a daemon wrote on between two looks.
    pub fn look_again(&mut self) -> io::Result<bool> {
        self.window.clear();
        (self.at, self.is_last) = (0, false);
        self.fill()?;
        let decoded = decode_batch(&self.window, self.segment, self.chain);
        self.ended = decoded.err();
        Ok(self.ended.is_none())
    }

    /// How the segment ends, once [`SegmentReader::batch`] has returned `None`.
    pub fn end(&mut self) -> io::Result<End> {
        let why = self.ended.unwrap_or(BadBatch::Magic);
        let rest = self.disk.read(&self.name, self.offset, END_WINDOW)?;
        let mut used = used_bytes(&rest);
        let (mut at, mut more) = (rest.len(), rest.len() == END_WINDOW);
        while more {
            let bytes = self
                .disk
                .read(&self.name, self.offset + at as u64, END_WINDOW)?;
            let here = used_bytes(&bytes);
            used = if here > 0 { at + here } else { used };
            at += bytes.len();
            more = bytes.len() == END_WINDOW;
        }
        let offset = usize::try_from(self.offset).map_err(io::Error::other)?;
        Ok(judge_end(&rest, used, offset, why))
    }
}
