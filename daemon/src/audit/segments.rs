//! The segment that is written to, the spare that will follow it, and how much room is left.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sealwright_core::journal::{self, BATCH_MAX, Chain, Entry, SegmentHeader};
use serde::{Deserialize, Serialize};

use super::disk::{Disk, SegmentFile};
use super::recovery::{Recovered, SPARE, segment_name};

/// Bytes kept free in the current segment while no spare is ready: room for the batch that is being made
/// and for the denials and operator records that still have to be written.
const RESERVE: u64 = 2 * BATCH_MAX as u64;

/// A segment made in haste, while the keeper may be busy with the spare.
const UNNAMED: &str = "next.swj";

/// What the admission stage asks before a key is used. Written by the writer and the keeper, read by all.
#[derive(Debug, Default)]
pub struct Space {
    room: AtomicU64,
    spare_ready: AtomicBool,
    low_water: AtomicBool,
    free: AtomicU64,
}

impl Space {
    /// Bytes that were free when the disk was last looked at.
    pub fn free_bytes(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }

    /// Whether a release can be recorded for sure.
    pub fn is_enough(&self) -> bool {
        let next =
            self.spare_ready.load(Ordering::Acquire) || self.room.load(Ordering::Acquire) > RESERVE;
        next && !self.low_water.load(Ordering::Acquire)
    }

    /// Looks at the disk: makes the spare if it is missing, and notes whether free space is low.
    pub fn keep(&self, disk: &dyn Disk, segment_bytes: u64, low_water_bytes: u64) {
        let free = disk.free_bytes().unwrap_or(u64::MAX);
        self.free.store(free, Ordering::Relaxed);
        self.low_water
            .store(free < low_water_bytes, Ordering::Release);
        let would_fit = free.saturating_sub(low_water_bytes) >= segment_bytes;
        if self.spare_ready.load(Ordering::Acquire) || !would_fit {
            return;
        }
        match disk.create(SPARE, segment_bytes) {
            Ok(()) => self.spare_ready.store(true, Ordering::Release),
            Err(error) => tracing::warn!(%error, "no room for the next journal segment"),
        }
    }

    /// Takes the spare, if it is ready. Its room counts before it is gone: in between, admission would see
    /// neither and refuse work for nothing.
    fn take_spare(&self, room: u64) -> bool {
        if self.spare_ready.load(Ordering::Acquire) {
            self.room.store(room, Ordering::Release);
        }
        self.spare_ready.swap(false, Ordering::AcqRel)
    }
}

/// Where a batch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    /// The segment.
    pub segment: u64,
    /// Byte offset of its end, where the next one goes.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// The end of the journal, owned by the writer thread.
pub struct Segments {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    space: Arc<Space>,
    number: u64,
    file: Box<dyn SegmentFile>,
    offset: u64,
    /// Length of the file: another than `segment_bytes` where the setting was changed since it was made.
    len: u64,
    /// Of the last batch.
    last_len: u64,
    chain: Chain,
    /// Where what a torn batch left behind ends; at or below `offset` where there is nothing left of it.
    torn_end: u64,
}

impl Segments {
    /// Opens the journal where recovery found its end.
    ///
    /// What a torn batch left behind stays until its record, the next batch, is durable: after another crash, it is
    /// found again.
    pub fn open(
        disk: Arc<dyn Disk>,
        segment_bytes: u64,
        space: Arc<Space>,
        found: &Recovered,
    ) -> io::Result<Self> {
        let (number, offset) = (found.segment.unwrap_or(0), found.offset);
        let mut file = match found.segment {
            None => begin_segment(disk.as_ref(), number, found.chain, segment_bytes, false)?,
            Some(_) => disk.open(&segment_name(number))?,
        };
        harden(disk.as_ref(), file.as_mut(), number, found)?;
        let len = disk.len(&segment_name(number))?;
        let torn_end = found
            .torn
            .as_ref()
            .map_or(0, |torn| torn.offset + torn.bytes);
        let this = Self {
            disk,
            segment_bytes,
            space,
            number,
            file,
            offset,
            len,
            last_len: found.last_len,
            chain: found.chain,
            torn_end,
        };
        this.publish_room();
        Ok(this)
    }

    /// Where the last batch ends.
    pub fn place(&self) -> Place {
        Place {
            segment: self.number,
            offset: self.offset,
            len: self.last_len,
        }
    }

    /// Where the chain stands.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// Makes sure that a batch of any size fits, before anything is decided about it. If no new segment can be
    /// made the journal is as it was, and may be tried again.
    pub fn make_room(&mut self) -> io::Result<()> {
        if self.offset + BATCH_MAX as u64 <= self.len {
            return Ok(());
        }
        self.rotate()
    }

    /// Whether nothing was written to the segment yet.
    pub fn is_fresh(&self) -> bool {
        self.offset == journal::HEADER_LEN as u64
    }

    /// Makes `entries` durable as one batch. On an error the journal must not be written to again.
    pub fn commit(&mut self, entries: &[Entry]) -> io::Result<Chain> {
        let (bytes, next) = journal::encode_batch(self.number, self.chain, entries);
        self.file.write_at(&bytes, self.offset)?;
        self.file.sync()?;
        self.offset += bytes.len() as u64;
        self.last_len = bytes.len() as u64;
        self.clear_torn()?;
        self.chain = next;
        self.publish_room();
        Ok(next)
    }

    /// Zeros what is left of a torn batch.
    fn clear_torn(&mut self) -> io::Result<()> {
        if self.torn_end > self.offset {
            let len = usize::try_from(self.torn_end - self.offset).map_err(io::Error::other)?;
            self.file.write_at(&vec![0; len], self.offset)?;
            self.file.sync()?;
        }
        self.torn_end = 0;
        Ok(())
    }

    /// Closes the segment and begins the next one.
    pub fn rotate(&mut self) -> io::Result<()> {
        // A torn batch had room, so here its record stands in front of it already. Left behind, it would be damage.
        self.clear_torn()?;
        // Taken even if it cannot be used: the keeper then makes another.
        let spare = self.space.take_spare(self.segment_bytes);
        let number = self.number + 1;
        let begun = begin_segment(
            self.disk.as_ref(),
            number,
            self.chain,
            self.segment_bytes,
            spare,
        );
        let begun = begun.map(|file| {
            self.file = file;
            self.number = number;
            self.offset = journal::HEADER_LEN as u64;
            self.len = self.segment_bytes;
        });
        self.publish_room();
        begun
    }

    fn publish_room(&self) {
        self.space
            .room
            .store(self.len.saturating_sub(self.offset), Ordering::Release);
    }
}

/// Writes the last batch and what was torn once more and syncs it. A daemon that died, or whose sync failed, may
/// have left it in the page cache alone, where recovery reads it; the records that follow must not outlive it.
fn harden(
    disk: &dyn Disk,
    file: &mut dyn SegmentFile,
    number: u64,
    found: &Recovered,
) -> io::Result<()> {
    let at = found.offset - found.last_len;
    let torn = found.torn.as_ref().map_or(0, |torn| torn.bytes);
    let len = usize::try_from(found.last_len + torn).map_err(io::Error::other)?;
    let bytes = disk.read(&segment_name(number), at, len)?;
    file.write_at(&bytes, at)?;
    file.sync()
}

/// Turns the spare (or a new file) into segment `number`.
///
/// The header is written and synced before the rename: a file with a segment's name always has its header.
/// If we crash in between, a spare with a header is left, which the next start makes anew.
fn begin_segment(
    disk: &dyn Disk,
    number: u64,
    chain: Chain,
    segment_bytes: u64,
    spare: bool,
) -> io::Result<Box<dyn SegmentFile>> {
    let name = if spare { SPARE } else { UNNAMED };
    if !spare {
        disk.create(UNNAMED, segment_bytes)?;
    }
    let mut file = disk.open(name)?;
    file.write_at(
        &SegmentHeader {
            segment: number,
            chain,
        }
        .encode(),
        0,
    )?;
    file.sync()?;
    disk.rename(name, &segment_name(number))?;
    Ok(file)
}
