//! Batches of which some bodies are gone. The leaves stay, and with them everything that tree, checkpoints and proofs
//! say; the chain of digests goes on over the digest of the batch as it was.
//!
//! | batch offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `SWR1` |
//! | 4 | 28 | as in the batch that it was |
//! | 32 | 4 | payload length, a multiple of 8 |
//! | 36 | 4 | zero |
//! | 40 | 32 | SHA-256 of the batch before, as in the batch that it was |
//! | 72 | 32 | SHA-256 of the batch that it was (its field at 72): what the next batch carries |
//! | 104 | 32 | SHA-256 of bytes 0..104 and the payload |
//! | 136 | … | payload: entries, then zeros |
//!
//! An entry is leaf length (4), length of what follows the leaf (4), and then, by the two highest bits of that length:
//! none: salt (32), leaf, body; the highest: record that says so (8), leaf, rest; the second highest: leaf, rest.

use super::{
    ALIGN, BATCH_MAX, BadBatch, BatchHead, Chain, ENTRY_HEADER, Entry, RawBatch, as_u32, field,
};
use crate::digest::Sha256Digest;
use crate::record::Rest;

pub(super) const MAGIC: &[u8; 4] = b"SWR1";
pub(super) const HEADER: usize = 136;
const ERASED: u32 = 1 << 31;
const ARCHIVED: u32 = 1 << 30;

/// What the journal has of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// All of it.
    Whole(Entry),
    /// Its leaf, and no body.
    Redacted(Box<Redacted>),
}

/// A record without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    /// Canonical leaf bytes.
    pub leaf: Vec<u8>,
    /// Where the body went.
    pub gone: Gone,
    /// What stands in the body's place.
    pub rest: Rest,
}

/// Where a body went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// Destroyed.
    Erased {
        /// The `audit.erased` record that says so.
        by: u64,
    },
    /// Into the archive, with its segment.
    Archived,
}

impl Kept {
    /// Canonical leaf bytes.
    pub fn leaf(&self) -> &[u8] {
        match self {
            Self::Whole(entry) => &entry.leaf,
            Self::Redacted(redacted) => &redacted.leaf,
        }
    }
}

/// A batch that can be written again with fewer bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritable {
    /// Its segment.
    pub segment: u64,
    /// The chain before it.
    pub before: Chain,
    /// The chain after it, which stays.
    pub after: Chain,
    /// What is to be kept of each of its records.
    pub kept: Vec<Kept>,
}

impl Rewritable {
    /// The batch's bytes, filled up with zeros to `len` where that is given; `None` where they are more.
    ///
    /// With the length of the batch that it was, everything behind it stays where it is.
    pub fn encode(&self, len: Option<usize>) -> Option<Vec<u8>> {
        let mut out = BatchHead {
            magic: MAGIC,
            count: self.kept.len(),
            segment: self.segment,
            chain: self.before,
        }
        .encode();
        out.extend_from_slice(&self.after.last.0);
        out.extend_from_slice(&[0; 32]);
        self.kept.iter().for_each(|kept| put(&mut out, kept));
        let end = out.len().next_multiple_of(ALIGN).max(len.unwrap_or(0));
        out.resize(end, 0);
        let payload = as_u32(end - HEADER).to_le_bytes();
        out.get_mut(32..36)?.copy_from_slice(&payload);
        let digest = Sha256Digest::of(&[out.get(..104)?, out.get(HEADER..)?]);
        out.get_mut(104..HEADER)?.copy_from_slice(&digest.0);
        len.is_none_or(|len| end == len).then_some(out)
    }
}

fn put(out: &mut Vec<u8>, kept: &Kept) {
    match kept {
        Kept::Whole(entry) => super::put(out, entry),
        Kept::Redacted(redacted) => {
            let Redacted { leaf, gone, rest } = &**redacted;
            let rest = rest.to_bytes();
            let flag = match gone {
                Gone::Erased { .. } => ERASED,
                Gone::Archived => ARCHIVED,
            };
            out.extend_from_slice(&as_u32(leaf.len()).to_le_bytes());
            out.extend_from_slice(&(as_u32(rest.len()) | flag).to_le_bytes());
            if let Gone::Erased { by } = gone {
                out.extend_from_slice(&by.to_le_bytes());
            }
            out.extend_from_slice(leaf);
            out.extend_from_slice(&rest);
        }
    }
}

/// Reads a redacted batch that is sound in itself, wherever it may belong.
pub(super) fn parse(bytes: &[u8]) -> Result<RawBatch<'_>, BadBatch> {
    let head = bytes.get(..HEADER).ok_or(BadBatch::Truncated)?;
    let (count, len, place) = super::parse_head(head)?;
    if !len.is_multiple_of(ALIGN) || HEADER + len > BATCH_MAX {
        return Err(BadBatch::Length);
    }
    let payload = bytes.get(HEADER..HEADER + len).ok_or(BadBatch::Truncated)?;
    let hash_at = |at| field(head, at).map(Sha256Digest).ok_or(BadBatch::Truncated);
    let padding: [u8; 4] = field(head, 36).ok_or(BadBatch::Truncated)?;
    if Sha256Digest::of(&[&head[..104], payload]) != hash_at(104)? || padding != [0; 4] {
        return Err(BadBatch::Digest);
    }
    Ok(RawBatch {
        count,
        segment: place.0,
        chain: place.1,
        own: hash_at(72)?,
        payload,
        header: HEADER,
        is_redacted: true,
    })
}

/// The entries of a redacted batch. One that still has all its bodies is none.
pub(super) fn entries(raw: &RawBatch<'_>) -> Result<Vec<Kept>, BadBatch> {
    let mut rest = raw.payload;
    let mut all = Vec::new();
    for _ in 0..raw.count {
        all.push(entry(&mut rest)?);
    }
    let is_redacted = all.iter().any(|kept| matches!(kept, Kept::Redacted(_)));
    if is_redacted && rest.iter().all(|byte| *byte == 0) {
        Ok(all)
    } else {
        Err(BadBatch::Entries)
    }
}

fn entry(rest: &mut &[u8]) -> Result<Kept, BadBatch> {
    let after = field::<4>(rest, 4).map(u32::from_le_bytes);
    let after = after.ok_or(BadBatch::Entries)?;
    let mut take = |len: usize| -> Result<&[u8], BadBatch> {
        let (head, tail) = rest.split_at_checked(len).ok_or(BadBatch::Entries)?;
        *rest = tail;
        Ok(head)
    };
    let (header, gone) = match after & (ERASED | ARCHIVED) {
        0 => {
            let header = take(ENTRY_HEADER)?;
            let (leaf_len, salt) = super::parse_entry_header(header)?;
            let (leaf, body) = (take(leaf_len)?.to_vec(), take(after as usize)?.to_vec());
            return Ok(Kept::Whole(Entry { leaf, salt, body }));
        }
        ERASED => {
            let header = take(16)?;
            let by = field(header, 8).map(u64::from_le_bytes);
            let by = by.ok_or(BadBatch::Entries)?;
            (header, Gone::Erased { by })
        }
        ARCHIVED => (take(8)?, Gone::Archived),
        _ => return Err(BadBatch::Entries),
    };
    let leaf_len = field(header, 0).map(u32::from_le_bytes);
    let leaf = take(leaf_len.ok_or(BadBatch::Entries)? as usize)?.to_vec();
    let rest = take((after & !(ERASED | ARCHIVED)) as usize)?;
    let rest = Rest::from_bytes(rest).ok_or(BadBatch::Entries)?;
    Ok(Kept::Redacted(Box::new(Redacted { leaf, gone, rest })))
}

#[cfg(test)]
mod tests {
    use super::super::{
        BadHeader, End, HEADER_LEN, READER, SegmentHeader, batch_len, chain_after, decode_batch,
        encode_batch, scan,
    };
    use super::*;
    use crate::record::{Lasting, Retry, SALT_LEN};
    use proptest::prelude::*;

    const SEGMENT: u64 = 3;

    fn entry(n: u8) -> Entry {
        Entry {
            leaf: vec![n; 120],
            salt: [n; SALT_LEN],
            body: vec![n; 400 + usize::from(n)],
        }
    }

    fn rest(n: u8) -> Rest {
        let (key, pae_sha256) = (Sha256Digest([n; 32]), Sha256Digest([n + 1; 32]));
        Rest {
            tenant: "partner".parse().unwrap(),
            lasting: Lasting {
                retry: Some(Retry { key, pae_sha256 }),
                signed: vec!["partner/seal#1".parse().unwrap()],
                approval: None,
                once: None,
                receipt: None,
                reserves: None,
            },
        }
    }

    fn before() -> Chain {
        Chain {
            batch: 5,
            index: 11,
            last: Sha256Digest([9; 32]),
        }
    }

    /// A batch of `gone.len()` records, and what it looks like without the bodies of some.
    fn batch(gone: &[Option<Gone>]) -> (Vec<u8>, Rewritable) {
        let entries: Vec<Entry> = (0..).zip(gone).map(|(n, _)| entry(n)).collect();
        let (bytes, after) = encode_batch(SEGMENT, before(), &entries);
        let kept = (0..)
            .zip(entries)
            .zip(gone)
            .map(|((n, entry), gone)| match gone {
                None => Kept::Whole(entry),
                Some(gone) => Kept::Redacted(Box::new(Redacted {
                    leaf: entry.leaf,
                    gone: *gone,
                    rest: rest(n),
                })),
            });
        let rewritable = Rewritable {
            segment: SEGMENT,
            before: before(),
            after,
            kept: kept.collect(),
        };
        (bytes, rewritable)
    }

    fn segment(header: Vec<u8>, batch: &[u8]) -> Vec<u8> {
        let mut bytes = [header, batch.to_vec()].concat();
        bytes.resize(bytes.len() + 4096, 0);
        bytes
    }

    #[test]
    fn a_batch_that_lost_no_body_is_no_redacted_one() {
        let (_, rewritable) = batch(&[None, None]);
        let bytes = rewritable.encode(None).unwrap();
        let read = decode_batch(&bytes, SEGMENT, before());
        assert_eq!(read.unwrap_err(), BadBatch::Entries);
    }

    #[test]
    fn what_does_not_fit_into_the_old_place_is_not_made() {
        let (_, rewritable) = batch(&[Some(Gone::Archived)]);
        let len = rewritable.encode(None).unwrap().len();
        assert!(rewritable.encode(Some(len)).is_some());
        assert!(rewritable.encode(Some(len - ALIGN)).is_none());
    }

    #[test]
    fn older_programs_refuse_a_segment_with_redacted_batches() {
        let header = SegmentHeader {
            segment: SEGMENT,
            chain: before(),
        };
        let mut bytes = header.encode_redacted();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
        assert_eq!(bytes[8..12], 2u32.to_le_bytes());
        bytes[8..12].copy_from_slice(&(READER + 1).to_le_bytes());
        let own = Sha256Digest::of(&[&bytes[..72]]);
        bytes[72..104].copy_from_slice(&own.0);
        assert_eq!(
            SegmentHeader::decode(&bytes),
            Err(BadHeader::NewerReader(READER + 1))
        );
    }

    fn any_gone() -> impl Strategy<Value = Option<Gone>> {
        prop_oneof![
            Just(None),
            Just(Some(Gone::Archived)),
            any::<u64>().prop_map(|by| Some(Gone::Erased { by })),
        ]
    }

    proptest! {
        #[test]
        fn the_chain_goes_on_over_a_redacted_batch_as_over_the_one_it_was(
            gone in proptest::collection::vec(any_gone(), 1..8),
        ) {
            prop_assume!(gone.iter().any(Option::is_some));
            let (bytes, rewritable) = batch(&gone);
            for len in [None, Some(bytes.len())] {
                let redacted = rewritable.encode(len).unwrap();
                prop_assert!(redacted.len() <= bytes.len());
                let (kept, read, after) = decode_batch(&redacted, SEGMENT, before()).unwrap();
                prop_assert_eq!(&kept, &rewritable.kept);
                prop_assert_eq!((read, after), (redacted.len(), rewritable.after));
                prop_assert_eq!(chain_after(&redacted, SEGMENT), Some(after));
                // Once more, as a later erasure does.
                let again = Rewritable { kept, ..rewritable.clone() };
                prop_assert_eq!(again.encode(Some(redacted.len())), Some(redacted));
            }
        }

        #[test]
        fn no_flipped_bit_of_a_redacted_batch_goes_unseen(at in 0usize..4000, bit in 0u8..8) {
            let (bytes, rewritable) = batch(&[None, Some(Gone::Erased { by: 77 }), None]);
            let mut redacted = rewritable.encode(Some(bytes.len())).unwrap();
            let at = at % redacted.len();
            redacted[at] ^= 1 << bit;
            prop_assert!(decode_batch(&redacted, SEGMENT, before()).is_err());
        }

        #[test]
        fn any_payload_is_read_without_a_panic(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            let (_, rewritable) = batch(&[Some(Gone::Archived)]);
            let mut bytes = rewritable.encode(None).unwrap();
            let len = payload.len().next_multiple_of(ALIGN);
            bytes.truncate(HEADER);
            bytes.extend(payload);
            bytes.resize(HEADER + len, 0);
            bytes[32..36].copy_from_slice(&as_u32(len).to_le_bytes());
            let digest = Sha256Digest::of(&[&bytes[..104], &bytes[HEADER..]]);
            bytes[104..HEADER].copy_from_slice(&digest.0);
            let _ = decode_batch(&bytes, SEGMENT, before());
            let header = SegmentHeader { segment: SEGMENT, chain: before() };
            let (_, end) = scan(&segment(header.encode_redacted(), &bytes), &header, &mut |_, _| {});
            let is_read = matches!(end, End::Clean { offset } if offset == HEADER_LEN + bytes.len());
            let is_damaged = matches!(end, End::Corrupt { why: BadBatch::Entries, .. });
            prop_assert!(is_read || is_damaged);
        }
    }

    #[test]
    fn a_redacted_batch_is_never_longer_than_the_one_it_was() {
        // The shortest body that any record has is longer than this.
        let entry = Entry {
            leaf: vec![1; 120],
            salt: [1; SALT_LEN],
            body: vec![1; 300],
        };
        let len = batch_len(entry.encoded_len());
        let (_, after) = encode_batch(SEGMENT, before(), std::slice::from_ref(&entry));
        let gone = Gone::Erased { by: u64::MAX };
        let kept = vec![Kept::Redacted(Box::new(Redacted {
            leaf: entry.leaf,
            gone,
            rest: rest(1).erased(),
        }))];
        let rewritable = Rewritable {
            segment: SEGMENT,
            before: before(),
            after,
            kept,
        };
        assert!(rewritable.encode(Some(len)).is_some());
    }
}
