//! The journal's bytes: segments of commit batches. What is on disk after a crash is decided here, without I/O.
//!
//! A segment is a zero-filled file: a header of [`HEADER_LEN`] bytes, then batches one after the other, then
//! zeros. A batch is what one `fdatasync` made durable; it names its segment, its number and its first index,
//! and carries the SHA-256 of the batch before it and its own. All integers are little-endian.
//!
//! | batch offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `SWB1` |
//! | 4 | 4 | number of entries |
//! | 8 | 8 | segment |
//! | 16 | 8 | batch number, from 0 over all segments |
//! | 24 | 8 | index of the first entry |
//! | 32 | 4 | payload length, a multiple of 8 |
//! | 36 | 4 | zero |
//! | 40 | 32 | SHA-256 of the batch before (its field at 72); zeros for the first |
//! | 72 | 32 | SHA-256 of bytes 0..72 and the payload |
//! | 104 | … | payload: entries, padded with zeros to a multiple of 8 |
//!
//! An entry is leaf length (4), body length (4), salt (32), leaf, body. A batch whose bodies are partly gone is another
//! form of the same batch, see [`Rewritable`].

mod redacted;

use serde::{Deserialize, Serialize};

pub use self::redacted::{Gone, Kept, Redacted, Rewritable};
use crate::digest::Sha256Digest;
use crate::record::SALT_LEN;

/// Bytes in front of the first batch of a segment.
pub const HEADER_LEN: usize = 4096;
/// Smallest segment: room for a few of the largest batches.
pub const SEGMENT_MIN: u64 = 4 << 20;
/// Largest batch with its header.
pub const BATCH_MAX: usize = 1 << 20;
/// Largest body of one record in bytes; more subjects are left out of the record rather than exceed it.
pub const BODY_MAX: usize = 128 << 10;

const SEGMENT_MAGIC: &[u8; 8] = b"SWJSEG01";
const BATCH_MAGIC: &[u8; 4] = b"SWB1";
const BATCH_HEADER: usize = 104;
const ENTRY_HEADER: usize = 8 + SALT_LEN;
const ALIGN: usize = 8;
/// Readers older than this must not touch the segment.
const MIN_READER: u32 = 1;
/// The same for a segment with redacted batches.
const MIN_READER_REDACTED: u32 = 2;
/// What this code can read.
const READER: u32 = 2;

/// One record in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Canonical leaf bytes.
    pub leaf: Vec<u8>,
    /// Salt of the body.
    pub salt: [u8; SALT_LEN],
    /// Body bytes.
    pub body: Vec<u8>,
}

impl Entry {
    /// Bytes it takes inside a batch.
    pub fn encoded_len(&self) -> usize {
        ENTRY_HEADER + self.leaf.len() + self.body.len()
    }
}

/// The end of the chain: what the next batch has to continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Chain {
    /// Number of the next batch.
    pub batch: u64,
    /// Index of the next entry.
    pub index: u64,
    /// SHA-256 of the last batch.
    pub last: Sha256Digest,
}

/// Bytes that a batch with `payload` bytes of entries takes.
pub fn batch_len(payload: usize) -> usize {
    BATCH_HEADER + payload.next_multiple_of(ALIGN)
}

/// The bytes of the batch that continues `chain` in `segment`, and the chain after it.
///
/// The caller keeps `entries` non-empty and [`batch_len`] within [`BATCH_MAX`].
pub fn encode_batch(segment: u64, chain: Chain, entries: &[Entry]) -> (Vec<u8>, Chain) {
    let payload: usize = entries.iter().map(Entry::encoded_len).sum();
    let len = batch_len(payload);
    let mut out = BatchHead {
        magic: BATCH_MAGIC,
        count: entries.len(),
        segment,
        chain,
    }
    .encode();
    out.reserve(len);
    out[32..36].copy_from_slice(&as_u32(len - BATCH_HEADER).to_le_bytes());
    out.extend_from_slice(&[0; 32]);
    entries.iter().for_each(|entry| put(&mut out, entry));
    out.resize(len, 0);
    let own = Sha256Digest::of(&[&out[..72], &out[BATCH_HEADER..]]);
    out[72..BATCH_HEADER].copy_from_slice(&own.0);
    let next = Chain {
        batch: chain.batch + 1,
        index: chain.index + entries.len() as u64,
        last: own,
    };
    (out, next)
}

/// What all batches begin with.
struct BatchHead<'m> {
    magic: &'m [u8; 4],
    count: usize,
    segment: u64,
    /// Before the batch.
    chain: Chain,
}

impl BatchHead<'_> {
    /// The first 72 bytes, with zeros for the payload's length.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BATCH_HEADER);
        out.extend_from_slice(self.magic);
        out.extend_from_slice(&as_u32(self.count).to_le_bytes());
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.chain.batch.to_le_bytes());
        out.extend_from_slice(&self.chain.index.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&self.chain.last.0);
        out
    }
}

fn put(out: &mut Vec<u8>, entry: &Entry) {
    out.extend_from_slice(&as_u32(entry.leaf.len()).to_le_bytes());
    out.extend_from_slice(&as_u32(entry.body.len()).to_le_bytes());
    out.extend_from_slice(&entry.salt);
    out.extend_from_slice(&entry.leaf);
    out.extend_from_slice(&entry.body);
}

/// Lengths here are bounded by [`BATCH_MAX`], far below `u32::MAX`.
fn as_u32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Why bytes are not the batch that belongs there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBatch {
    /// No magic.
    #[error("no batch begins here")]
    Magic,
    /// The length leads out of the segment or over the limit.
    #[error("the batch's length is impossible")]
    Length,
    /// The file ends inside the batch. No crash does that: a segment has its whole length from the start.
    #[error("the file was cut short: it ends inside the batch")]
    Truncated,
    /// The digest does not match.
    #[error("the batch's digest does not match its bytes")]
    Digest,
    /// A batch of another place.
    #[error("the batch belongs to another segment or position")]
    Place,
    /// The batch before it is another one.
    #[error("the batch does not continue the one before it")]
    Chain,
    /// The entries do not fill the payload.
    #[error("the batch's entries do not fill its payload")]
    Entries,
}

struct RawBatch<'a> {
    count: u32,
    segment: u64,
    chain: Chain,
    /// What the next batch carries.
    own: Sha256Digest,
    payload: &'a [u8],
    /// Bytes in front of the payload.
    header: usize,
    is_redacted: bool,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// Number of entries, length of the payload, segment and chain before, from the start of a batch.
fn parse_head(bytes: &[u8]) -> Result<(u32, usize, (u64, Chain)), BadBatch> {
    let u32_at = |at| {
        field(bytes, at)
            .map(u32::from_le_bytes)
            .ok_or(BadBatch::Truncated)
    };
    let u64_at = |at| {
        field(bytes, at)
            .map(u64::from_le_bytes)
            .ok_or(BadBatch::Truncated)
    };
    let last = field(bytes, 40).map(Sha256Digest);
    let chain = Chain {
        batch: u64_at(16)?,
        index: u64_at(24)?,
        last: last.ok_or(BadBatch::Truncated)?,
    };
    Ok((u32_at(4)?, u32_at(32)? as usize, (u64_at(8)?, chain)))
}

/// Reads a batch that is sound in itself, wherever it may belong.
fn parse_batch(bytes: &[u8]) -> Result<RawBatch<'_>, BadBatch> {
    if bytes.starts_with(redacted::MAGIC) {
        return redacted::parse(bytes);
    }
    if !bytes.starts_with(BATCH_MAGIC) {
        return Err(BadBatch::Magic);
    }
    let head = bytes.get(..BATCH_HEADER).ok_or(BadBatch::Truncated)?;
    let (count, len, (segment, chain)) = parse_head(head)?;
    if !len.is_multiple_of(ALIGN) || BATCH_HEADER + len > BATCH_MAX {
        return Err(BadBatch::Length);
    }
    let payload = bytes
        .get(BATCH_HEADER..BATCH_HEADER + len)
        .ok_or(BadBatch::Truncated)?;
    let own = field(head, 72).map(Sha256Digest);
    let own = own.ok_or(BadBatch::Truncated)?;
    if Sha256Digest::of(&[&head[..72], payload]) != own || head[36..40] != [0; 4] {
        return Err(BadBatch::Digest);
    }
    Ok(RawBatch {
        count,
        segment,
        chain,
        own,
        payload,
        header: BATCH_HEADER,
        is_redacted: false,
    })
}

fn parse_entries(raw: &RawBatch<'_>) -> Result<Vec<Kept>, BadBatch> {
    if raw.is_redacted {
        return redacted::entries(raw);
    }
    let mut rest = raw.payload;
    let mut take = |len: usize| -> Result<&[u8], BadBatch> {
        let (head, tail) = rest.split_at_checked(len).ok_or(BadBatch::Entries)?;
        rest = tail;
        Ok(head)
    };
    let mut entries = Vec::new();
    for _ in 0..raw.count {
        let header = take(ENTRY_HEADER)?;
        let body_len = field(header, 4).map(u32::from_le_bytes);
        let body_len = body_len.ok_or(BadBatch::Entries)? as usize;
        let (leaf_len, salt) = parse_entry_header(header)?;
        let (leaf, body) = (take(leaf_len)?.to_vec(), take(body_len)?.to_vec());
        entries.push(Kept::Whole(Entry { leaf, salt, body }));
    }
    if raw.count > 0 && rest.len() < ALIGN && rest.iter().all(|b| *b == 0) {
        Ok(entries)
    } else {
        Err(BadBatch::Entries)
    }
}

/// Length of the leaf, and the salt.
fn parse_entry_header(header: &[u8]) -> Result<(usize, [u8; SALT_LEN]), BadBatch> {
    let leaf_len = field(header, 0).map(u32::from_le_bytes);
    let salt = field(header, 8).ok_or(BadBatch::Entries)?;
    Ok((leaf_len.ok_or(BadBatch::Entries)? as usize, salt))
}

/// Reads the batch at the start of `bytes` as the one that continues `chain` in `segment`.
/// Returns its entries, its length and the chain after it.
pub fn decode_batch(
    bytes: &[u8],
    segment: u64,
    chain: Chain,
) -> Result<(Vec<Kept>, usize, Chain), BadBatch> {
    let raw = parse_batch(bytes)?;
    if raw.segment != segment || raw.chain.batch != chain.batch || raw.chain.index != chain.index {
        return Err(BadBatch::Place);
    }
    if raw.chain.last != chain.last {
        return Err(BadBatch::Chain);
    }
    let entries = parse_entries(&raw)?;
    let next = Chain {
        batch: chain.batch + 1,
        index: chain.index + entries.len() as u64,
        last: raw.own,
    };
    Ok((entries, raw.header + raw.payload.len(), next))
}

/// The chain after the batch that `bytes` are, if they are one of `segment`, whatever came before it.
pub fn chain_after(bytes: &[u8], segment: u64) -> Option<Chain> {
    let raw = parse_batch(bytes).ok()?;
    let is_whole = raw.header + raw.payload.len() == bytes.len() && raw.segment == segment;
    is_whole.then(|| Chain {
        batch: raw.chain.batch.saturating_add(1),
        index: raw.chain.index.saturating_add(u64::from(raw.count)),
        last: raw.own,
    })
}

/// What the header of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Number of the segment, from 0.
    pub segment: u64,
    /// Where the chain stood when it was made.
    pub chain: Chain,
}

/// Why a segment's header cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// Nothing was ever written: the file was being made when the host stopped.
    #[error("the segment's header was never written")]
    Blank,
    /// The file is shorter than a header.
    #[error("the file was cut short: it ends inside the segment's header")]
    Truncated,
    /// Damaged.
    #[error("the segment's header is damaged")]
    Damaged,
    /// Needs a newer program.
    #[error("the segment needs a program that reads journal version {0}; this one reads {READER}")]
    NewerReader(u32),
}

impl SegmentHeader {
    /// The header's bytes, [`HEADER_LEN`] of them.
    pub fn encode(&self) -> Vec<u8> {
        self.encode_for(MIN_READER)
    }

    /// The same for a segment with redacted batches, which older programs take for damaged.
    pub fn encode_redacted(&self) -> Vec<u8> {
        self.encode_for(MIN_READER_REDACTED)
    }

    fn encode_for(&self, min_reader: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend_from_slice(SEGMENT_MAGIC);
        out.extend_from_slice(&min_reader.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.segment.to_le_bytes());
        out.extend_from_slice(&self.chain.batch.to_le_bytes());
        out.extend_from_slice(&self.chain.index.to_le_bytes());
        out.extend_from_slice(&self.chain.last.0);
        let own = Sha256Digest::of(&[&out]);
        out.extend_from_slice(&own.0);
        out.resize(HEADER_LEN, 0);
        out
    }

    /// Reads the first [`HEADER_LEN`] bytes of a segment.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let head = bytes.get(..HEADER_LEN).ok_or(BadHeader::Truncated)?;
        if head.iter().all(|b| *b == 0) {
            return Err(BadHeader::Blank);
        }
        let u64_at = |at| {
            field(head, at)
                .map(u64::from_le_bytes)
                .ok_or(BadHeader::Damaged)
        };
        let hash_at = |at| field(head, at).map(Sha256Digest).ok_or(BadHeader::Damaged);
        if !head.starts_with(SEGMENT_MAGIC) || Sha256Digest::of(&[&head[..72]]) != hash_at(72)? {
            return Err(BadHeader::Damaged);
        }
        let min_reader = field(head, 8).map_or(u32::MAX, u32::from_le_bytes);
        if min_reader > READER {
            return Err(BadHeader::NewerReader(min_reader));
        }
        let chain = Chain {
            batch: u64_at(24)?,
            index: u64_at(32)?,
            last: hash_at(40)?,
        };
        Ok(Self {
            segment: u64_at(16)?,
            chain,
        })
    }
}

/// How a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Zeros from `offset` on: the next batch goes there.
    Clean {
        /// Where the next batch goes.
        offset: usize,
    },
    /// A batch that was never acknowledged: cut it off (only in the last segment).
    Torn {
        /// Where it begins, and where the next batch goes once it is zeroed.
        offset: usize,
        /// Bytes from `offset` to the last one that is not zero.
        bytes: usize,
        /// What is wrong with it.
        why: BadBatch,
    },
    /// Damage that no crash makes: a batch that was acknowledged is gone.
    Corrupt {
        /// Where the damage begins.
        offset: usize,
        /// What is wrong there.
        why: BadBatch,
    },
}

/// Reads all batches of a segment (header included in `bytes`), calling `visit` for each with its entries.
///
/// One batch is in flight at a time, so what a crash can leave behind is one bad batch at the end: nothing
/// sound may follow it, and it cannot reach further than [`BATCH_MAX`].
pub fn scan(
    bytes: &[u8],
    header: &SegmentHeader,
    visit: &mut dyn FnMut(u64, Vec<Kept>),
) -> (Chain, End) {
    let mut chain = header.chain;
    let mut offset = HEADER_LEN;
    loop {
        let rest = bytes.get(offset..).unwrap_or_default();
        match decode_batch(rest, header.segment, chain) {
            Ok((entries, len, next)) => {
                visit(chain.index, entries);
                chain = next;
                offset += len;
            }
            Err(why) => return (chain, judge_end(rest, used_bytes(rest), offset, why)),
        }
    }
}

/// Bytes up to the last one that is not zero.
pub fn used_bytes(bytes: &[u8]) -> usize {
    const STEP: usize = 4096;
    let steps = bytes.chunks(STEP).enumerate();
    // A comparison of whole blocks: most of a segment is zeros, and every start looks at all of them.
    let mut used = steps
        .rev()
        .filter(|(_, step)| **step != [0; STEP][..step.len()]);
    used.next().map_or(0, |(at, step)| {
        let last = step.iter().rposition(|b| *b != 0).unwrap_or_default();
        at * STEP + last + 1
    })
}

/// Bytes behind the last sound batch that decide how a segment ends.
pub const END_WINDOW: usize = 2 * BATCH_MAX;

/// How a segment ends in which `why` was found at `offset`. `rest` is what follows there, [`END_WINDOW`] bytes of
/// it or all; `used` counts the bytes from `offset` to the segment's last one that is not zero.
pub fn judge_end(rest: &[u8], used: usize, offset: usize, why: BadBatch) -> End {
    if used == 0 {
        return End::Clean { offset };
    }
    // A batch that is sound but belongs elsewhere was not torn by a crash either.
    let sound = |at: usize| rest.get(at..).is_some_and(|rest| parse_batch(rest).is_ok());
    let cut = why == BadBatch::Truncated;
    if cut || used > BATCH_MAX || (0..used).step_by(ALIGN).any(sound) {
        End::Corrupt { offset, why }
    } else {
        End::Torn {
            offset,
            bytes: used,
            why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(n: u8) -> Entry {
        Entry {
            leaf: vec![n; 9],
            salt: [n; SALT_LEN],
            body: vec![n; usize::from(n) + 1],
        }
    }

    /// A segment of `batches` batches with two entries each; returns it and each batch's offset.
    fn segment(batches: u8) -> (Vec<u8>, Vec<usize>) {
        let header = SegmentHeader {
            segment: 3,
            chain: Chain {
                batch: 5,
                index: 11,
                last: Sha256Digest([9; 32]),
            },
        };
        let (mut bytes, mut chain, mut offsets) = (header.encode(), header.chain, Vec::new());
        for n in 0..batches {
            let (batch, next) = encode_batch(3, chain, &[entry(n), entry(n + 1)]);
            offsets.push(bytes.len());
            bytes.extend(batch);
            chain = next;
        }
        offsets.push(bytes.len());
        bytes.resize(bytes.len() + 4096, 0);
        (bytes, offsets)
    }

    fn read(bytes: &[u8]) -> (Vec<Kept>, End) {
        let header = SegmentHeader::decode(bytes).unwrap();
        let mut all = Vec::new();
        let (_, end) = scan(bytes, &header, &mut |_, entries| all.extend(entries));
        (all, end)
    }

    #[test]
    fn what_was_written_is_read_back() {
        let (bytes, offsets) = segment(3);
        let (entries, end) = read(&bytes);
        assert_eq!(entries, [0, 1, 1, 2, 2, 3].map(|n| Kept::Whole(entry(n))));
        assert_eq!(end, End::Clean { offset: offsets[3] });
    }

    #[test]
    fn a_torn_last_batch_is_told_from_damage_further_up() {
        let (mut bytes, offsets) = segment(3);
        bytes[offsets[2] + 120] ^= 1;
        let (entries, end) = read(&bytes);
        assert_eq!(entries.len(), 4);
        assert!(
            matches!(end, End::Torn { offset, why: BadBatch::Digest, .. } if offset == offsets[2])
        );

        let (mut bytes, offsets) = segment(3);
        bytes[offsets[1] + 120] ^= 1;
        assert_eq!(
            read(&bytes).1,
            End::Corrupt {
                offset: offsets[1],
                why: BadBatch::Digest
            }
        );
    }

    #[test]
    fn a_last_batch_whose_first_sector_was_lost_is_torn() {
        let (mut bytes, offsets) = segment(2);
        bytes[offsets[1]..offsets[1] + 64].fill(0);
        assert!(matches!(read(&bytes).1, End::Torn { offset, .. } if offset == offsets[1]));
    }

    #[test]
    fn a_sound_batch_from_elsewhere_is_corruption() {
        let (mut bytes, offsets) = segment(2);
        let first = bytes[offsets[0]..offsets[1]].to_vec();
        bytes[offsets[2]..offsets[2] + first.len()].copy_from_slice(&first);
        assert_eq!(
            read(&bytes).1,
            End::Corrupt {
                offset: offsets[2],
                why: BadBatch::Place
            }
        );
    }

    #[test]
    fn a_header_that_was_never_written_is_told_from_a_damaged_one() {
        let (mut bytes, _) = segment(0);
        assert_eq!(
            SegmentHeader::decode(&[0; HEADER_LEN]),
            Err(BadHeader::Blank)
        );
        bytes[20] ^= 1;
        assert_eq!(SegmentHeader::decode(&bytes), Err(BadHeader::Damaged));
        assert_eq!(
            SegmentHeader::decode(&bytes[..100]),
            Err(BadHeader::Truncated)
        );
    }

    #[test]
    fn a_file_that_ends_inside_a_batch_was_cut_and_not_torn() {
        let (bytes, offsets) = segment(3);
        for end in [offsets[2] + 8, offsets[3] - 1] {
            let (_, end) = read(&bytes[..end]);
            let why = BadBatch::Truncated;
            assert_eq!(
                end,
                End::Corrupt {
                    offset: offsets[2],
                    why
                }
            );
        }
    }

    proptest! {
        #[test]
        fn no_flipped_bit_goes_unseen(at in 0usize..3000, bit in 0u8..8) {
            let (mut bytes, offsets) = segment(4);
            // A length that was hit does not reach beyond a segment with that much room.
            bytes.resize(bytes.len() + BATCH_MAX, 0);
            let at = HEADER_LEN + at % (offsets[4] - HEADER_LEN);
            bytes[at] ^= 1 << bit;
            let (entries, end) = read(&bytes);
            let hit = offsets.iter().rposition(|offset| *offset <= at).unwrap();
            prop_assert_eq!(entries.len(), hit * 2);
            let torn = matches!(end, End::Torn { offset, .. } if offset == offsets[hit]);
            let corrupt = matches!(end, End::Corrupt { offset, .. } if offset == offsets[hit]);
            prop_assert_eq!((torn, corrupt), (hit == 3, hit != 3));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(tail in proptest::collection::vec(any::<u8>(), 0..600)) {
            let (mut bytes, offsets) = segment(1);
            bytes.truncate(offsets[1]);
            bytes.extend(tail);
            let (entries, _) = read(&bytes);
            prop_assert!(entries.len() >= 2);
        }
    }
}
