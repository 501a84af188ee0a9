//! How the index lies in sled: one tree, keys tagged by what they list, so that one batch is one transaction.
//!
//! | key | value |
//! |---|---|
//! | `m3` | index and SHA-256 of the last batch applied |
//! | `r` chunk | the chunk's records, up to 4, in order: place in the chunk, length of what follows, leaf length, salt, leaf, body; without a body: leaf length with its highest bit set, the record that erased it or 0, leaf, rest |
//! | `k`, `p`, `o`, `t` with SHA-256 of key, principal, outcome, kind; block | which of the block's 256 indices are listed, a bit each |
//! | `s` bucket first | subject digests, see `index_subjects.rs` |
//!
//! Blocks, because most records are on the same few lists: a row per list and record would be five rows for
//! each, and a row costs sled as much as the record itself. Chunks, because sled keeps some hundred bytes in memory for
//! each of its pages, and a page has at most 16 rows, whatever their size.

use std::collections::BTreeMap;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::journal::{Chain, Entry, Gone, Kept, Redacted};
use sealwright_core::name::{KeyName, Tenant};
use sealwright_core::record::{Event, FreezeScope, Leaf, Outcome, Record, Rest, SALT_LEN};
use sealwright_core::statement::Subject;

use super::index::Query;
use super::index::Stored;
use super::index_subjects::{self, Subjects, Tails};

/// Another layout takes another mark: an index that lacks it is built anew.
const MARK: &[u8] = b"m3";
/// Which indices of a block are listed.
type Bits = [u8; 32];
/// Indices in one block of a list.
pub(super) const BLOCK: u64 = size_of::<Bits>() as u64 * 8;

/// Records in one row; a block is made of whole chunks.
const CHUNK: u64 = 4;

/// A row.
pub(super) type KeyValue = (Vec<u8>, Vec<u8>);

/// Rows of records that go into sled together.
#[derive(Default)]
pub(super) struct Rows {
    /// By chunk, in the order of their records.
    records: BTreeMap<u64, Vec<u8>>,
    lists: BTreeMap<Vec<u8>, Bits>,
    subjects: Subjects,
    mark: Option<Vec<u8>>,
}

impl Rows {
    /// One record, as far as it is kept.
    pub(super) fn add(&mut self, index: u64, kept: &Kept) {
        match kept {
            Kept::Whole(entry) => self.add_whole(index, entry),
            Kept::Redacted(redacted) => {
                self.hold(index, &encode_redacted(redacted));
                self.list(index, Facts::of_redacted(redacted));
            }
        }
    }

    /// One record.
    pub(super) fn add_whole(&mut self, index: u64, entry: &Entry) {
        self.hold(index, &encode(entry));
        self.list(index, Facts::of_whole(entry));
    }

    fn hold(&mut self, index: u64, record: &[u8]) {
        let chunk = self.records.entry(index / CHUNK).or_default();
        let len = u32::try_from(record.len()).unwrap_or(u32::MAX);
        chunk.push((index % CHUNK) as u8);
        chunk.extend(len.to_le_bytes());
        chunk.extend(record);
    }

    fn list(&mut self, index: u64, facts: Option<Facts>) {
        let Some(facts) = facts else { return };
        self.subjects.add(index, &facts.subjects);
        let lists = [
            (b'k', facts.keys),
            (b'p', facts.principals),
            (b'o', facts.outcomes),
            (b't', vec![facts.kind]),
        ];
        for (tag, values) in lists {
            for value in values {
                let key = with_number(list_prefix(tag, &value), index / BLOCK);
                let bits = self.lists.entry(key).or_default();
                let (byte, bit) = place(index);
                bits[byte] |= bit;
            }
        }
    }

    /// Everything before the end of `chain` has been added.
    pub(super) fn mark(&mut self, chain: Chain) {
        self.mark = Some(mark_value(chain));
    }

    /// Writes them. Only the thread that owns sled may: it adds to what chunks, blocks and buckets have already.
    pub(super) fn apply(self, db: &sled::Db) -> Result<(), sled::Error> {
        let mut batch = sled::Batch::default();
        for (chunk, new) in self.records {
            let key = chunk_key(chunk);
            let is_new = new.first() == Some(&0);
            match if is_new { None } else { db.get(&key)? } {
                Some(old) => batch.insert(key, [&old, new.as_slice()].concat()),
                None => batch.insert(key, new),
            }
        }
        for (key, mut bits) in self.lists {
            if let Some(old) = db.get(&key)? {
                bits.iter_mut()
                    .zip(old.iter())
                    .for_each(|(bits, old)| *bits |= old);
            }
            batch.insert(key, &bits);
        }
        self.subjects.apply(db, &mut batch)?;
        if let Some(mark) = self.mark {
            batch.insert(MARK, mark);
        }
        db.apply_batch(batch)
    }

    /// The rows, where all records of the blocks concerned were added, and all those before them to `tails`.
    pub(super) fn into_rows(self, tails: &mut Tails) -> impl Iterator<Item = KeyValue> + use<> {
        let records = self.records.into_iter();
        let lists = self.lists.into_iter();
        records
            .map(|(chunk, records)| (chunk_key(chunk), records))
            .chain(lists.map(|(key, bits)| (key, bits.to_vec())))
            .chain(tails.fill(self.subjects))
    }
}

/// Byte and bit of an index in its block.
fn place(index: u64) -> (usize, u8) {
    let place = (index % BLOCK) as usize;
    (place / 8, 1 << (place % 8))
}

/// The index after the last that has been applied, if the mark is there.
pub(super) fn marked(db: &sled::Db) -> Result<Option<sled::IVec>, sled::Error> {
    db.get(MARK)
}

pub(super) fn mark_value(chain: Chain) -> Vec<u8> {
    [chain.index.to_le_bytes().as_slice(), &chain.last.0].concat()
}

/// The record at `index`, if it is there.
pub(super) fn record(db: &sled::Db, index: u64) -> Result<Option<Stored>, sled::Error> {
    let chunk = db.get(chunk_key(index / CHUNK))?;
    let record = chunk.and_then(|chunk| {
        let mut records = records_of(&chunk);
        let (_, bytes) = records.find(|(place, _)| u64::from(*place) == index % CHUNK)?;
        decode(index, bytes)
    });
    Ok(record)
}

fn chunk_key(chunk: u64) -> Vec<u8> {
    with_number(vec![b'r'], chunk)
}

/// The records in a row, by their places.
fn records_of(mut chunk: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (place, rest) = chunk.split_first()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (record, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        chunk = rest;
        Some((*place, record))
    })
}

/// `tag ‖ SHA-256(value)`: fixed width, so that one value cannot be the prefix of another.
fn list_prefix(tag: u8, value: &str) -> Vec<u8> {
    let mut prefix = vec![tag];
    prefix.extend(Sha256Digest::of(&[value.as_bytes()]).0);
    prefix
}

pub(super) fn with_number(mut prefix: Vec<u8>, number: u64) -> Vec<u8> {
    prefix.extend(number.to_be_bytes());
    prefix
}

pub(super) fn number_at_end(key: &[u8]) -> u64 {
    key.last_chunk()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

pub(super) type Indices = Box<dyn Iterator<Item = Result<u64, sled::Error>>>;

/// Indices to look at, by the narrowest list that the query names.
pub(super) fn candidates(db: &sled::Db, query: &Query) -> Result<Indices, sled::Error> {
    let from = query.from;
    if let Some(digest) = &query.subject {
        return index_subjects::listed(db, digest, from);
    }
    let lists = [
        (b'k', &query.key),
        (b'p', &query.principal),
        (b'o', &query.outcome),
        (b't', &query.kind),
    ];
    let mut lists = lists.into_iter();
    Ok(
        match lists.find_map(|(tag, value)| Some((tag, value.as_deref()?))) {
            Some((tag, value)) => {
                let blocks = rows_from(db, list_prefix(tag, value), from / BLOCK);
                Box::new(blocks.flat_map(move |row| listed(row, from)))
            }
            None => {
                let chunks = rows_from(db, vec![b'r'], from / CHUNK);
                Box::new(chunks.flat_map(move |row| held(row, from)))
            }
        },
    )
}

pub(super) type Row = Result<(sled::IVec, sled::IVec), sled::Error>;

pub(super) fn rows_from(
    db: &sled::Db,
    prefix: Vec<u8>,
    number: u64,
) -> impl Iterator<Item = Row> + 'static {
    db.range(with_number(prefix.clone(), number)..)
        .take_while(move |row| {
            row.as_ref()
                .map_or(true, |(key, _)| key.starts_with(&prefix))
        })
}

/// The indices of a chunk from `from` on, or the error in its place.
fn held(chunk: Row, from: u64) -> Vec<Result<u64, sled::Error>> {
    let (key, row) = match chunk {
        Ok(row) => row,
        Err(error) => return vec![Err(error)],
    };
    let first = number_at_end(&key).saturating_mul(CHUNK);
    let indices = records_of(&row).map(|(place, _)| first.saturating_add(place.into()));
    indices.filter(|index| *index >= from).map(Ok).collect()
}

/// The indices of a block from `from` on, or the error in its place.
fn listed(block: Row, from: u64) -> Vec<Result<u64, sled::Error>> {
    let (key, bits) = match block {
        Ok(row) => row,
        Err(error) => return vec![Err(error)],
    };
    let first = number_at_end(&key).saturating_mul(BLOCK);
    let is_listed = |index: &u64| {
        let (byte, bit) = place(*index);
        *index >= from && bits.get(byte).is_some_and(|bits| bits & bit != 0)
    };
    (first..first.saturating_add(BLOCK))
        .filter(is_listed)
        .map(Ok)
        .collect()
}

/// In the length of a leaf: the body is gone.
const REDACTED: u32 = 1 << 31;

/// Leaves are some hundred bytes long.
fn leaf_len(leaf: &[u8]) -> u32 {
    u32::try_from(leaf.len()).unwrap_or(u32::MAX >> 1)
}

fn encode(entry: &Entry) -> Vec<u8> {
    let leaf_len = leaf_len(&entry.leaf).to_le_bytes();
    [leaf_len.as_slice(), &entry.salt, &entry.leaf, &entry.body].concat()
}

fn encode_redacted(redacted: &Redacted) -> Vec<u8> {
    let Redacted { leaf, gone, rest } = redacted;
    let leaf_len = (leaf_len(leaf) | REDACTED).to_le_bytes();
    // Record 0 is the genesis.
    let by = match gone {
        Gone::Erased { by } => *by,
        Gone::Archived => 0,
    };
    [&leaf_len[..], &by.to_le_bytes(), leaf, &rest.to_bytes()].concat()
}

fn decode(index: u64, bytes: &[u8]) -> Option<Stored> {
    let (leaf_len, rest) = bytes.split_first_chunk()?;
    let leaf_len = u32::from_le_bytes(*leaf_len);
    let kept = if leaf_len & REDACTED == 0 {
        let (salt, rest) = rest.split_first_chunk::<SALT_LEN>()?;
        let (leaf, body) = rest.split_at_checked(leaf_len as usize)?;
        Kept::Whole(Entry {
            leaf: leaf.to_vec(),
            salt: *salt,
            body: body.to_vec(),
        })
    } else {
        let (by, rest) = rest.split_first_chunk()?;
        let (leaf, rest) = rest.split_at_checked((leaf_len & !REDACTED) as usize)?;
        let gone = match u64::from_le_bytes(*by) {
            0 => Gone::Archived,
            by => Gone::Erased { by },
        };
        Kept::Redacted(Box::new(Redacted {
            leaf: leaf.to_vec(),
            gone,
            rest: Rest::from_bytes(rest)?,
        }))
    };
    Some(Stored { index, kept })
}

/// What a record can be found by.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) keys: Vec<String>,
    pub(super) principals: Vec<String>,
    pub(super) outcomes: Vec<String>,
    pub(super) subjects: Vec<String>,
    pub(super) tenants: Vec<String>,
    pub(super) kind: String,
    /// A signature left.
    is_released: bool,
}

impl Facts {
    /// `None` where the record cannot be read.
    pub(super) fn of_kept(kept: &Kept) -> Option<Self> {
        match kept {
            Kept::Whole(entry) => Self::of_whole(entry),
            Kept::Redacted(redacted) => Self::of_redacted(redacted),
        }
    }

    fn of_whole(entry: &Entry) -> Option<Self> {
        let record = serde_json::from_slice(&entry.body).ok()?;
        Some(Self::of(&record))
    }

    fn of_redacted(redacted: &Redacted) -> Option<Self> {
        Some(Self {
            tenants: vec![redacted.rest.tenant.to_string()],
            kind: Leaf::from_bytes(&redacted.leaf).ok()?.kind().to_owned(),
            ..Self::default()
        })
    }

    fn of(record: &Record) -> Self {
        let mut facts = Self {
            kind: record.event.kind().to_owned(),
            ..Self::default()
        };
        match &record.event {
            Event::Sign(sign) => {
                let further = sign.further_keys.iter().map(|used| &used.key);
                facts.keys = sign
                    .key
                    .iter()
                    .chain(further)
                    .map(ToString::to_string)
                    .collect();
                facts.principals.push(sign.principal.clone());
                facts.tenants.push(sign.tenant.to_string());
                facts.is_released = sign.outcome == Outcome::Signed;
                facts.subjects = digests(&sign.subjects);
                if let Ok(serde_json::Value::String(outcome)) = serde_json::to_value(sign.outcome) {
                    facts.outcomes.push(outcome);
                }
            }
            Event::SignIntended(intended) => {
                facts.keys = intended.keys.iter().map(|id| id.key.to_string()).collect();
                facts.principals.push(intended.principal.clone());
                facts.tenants.push(intended.tenant.to_string());
                facts.subjects = digests(&intended.subjects);
            }
            Event::KeyEnrolled(enrolled) => {
                facts.about_key(&enrolled.enrolment.key.key, &enrolled.by.principal)
            }
            Event::KeyInherited(inherited) => {
                let key = &inherited.enrolment.key.key;
                facts.keys.push(key.to_string());
                facts.tenants.push(key.tenant().to_string());
            }
            Event::KeyChanged(changed) => facts.about_key(&changed.key.key, &changed.by.principal),
            Event::KeyRotated(rotated) => facts.about_key(&rotated.to.key, &rotated.by.principal),
            Event::RotationScheduled(rotation) => {
                facts.about_key(&rotation.from.key, &rotation.by.principal)
            }
            Event::RotationCancelled(cancelled) => {
                facts.about_key(&cancelled.key, &cancelled.by.principal)
            }
            Event::KeyAttested(attested) => {
                facts.about_key(&attested.key.key, &attested.by.principal)
            }
            Event::KeyCompromised(compromised) => {
                facts.about_key(&compromised.key.key, &compromised.by.principal)
            }
            Event::CrlIssued(issued) => facts.about_key(&issued.issuer.key, &issued.by.principal),
            Event::KeyRevocation(revocation) => {
                facts.about_key(&revocation.key.key, &revocation.by.principal)
            }
            Event::TrustPublished(published) => {
                facts.about_key(&published.signed_by.key, &published.by.principal)
            }
            Event::KeyDestroyIntent(intent) => {
                facts.about_key(&intent.key.key, &intent.by.principal)
            }
            Event::KeyGenerateIntent(intent) => {
                facts.about_key(&intent.key.key, &intent.by.principal)
            }
            Event::ClockAccepted(accepted) => {
                facts.principals.push(accepted.by.principal.clone());
            }
            Event::NamesInherited(names) => {
                facts.keys.push(names.key.to_string());
                facts.tenants.push(names.key.tenant().to_string());
            }
            Event::FreezeSet(changed) | Event::FreezeLifted(changed) => {
                facts.about_freeze(&changed.scope, &changed.by.principal)
            }
            Event::FreezeInherited(freeze) => facts.about_freeze(&freeze.scope, &freeze.by),
            Event::ApprovalRequested(requested) => {
                facts.about_tenant(&requested.tenant, &requested.by.principal);
            }
            Event::ApprovalGranted(given) | Event::ApprovalDenied(given) => {
                facts.about_tenant(&given.tenant, &given.approver);
            }
            Event::DenialsSummarised(denials) => {
                facts.about_tenant(&denials.tenant, &denials.principal);
            }
            Event::AuditErased(erased) => facts.about_tenant(&erased.tenant, &erased.by.principal),
            Event::HoldInherited(hold) => facts.about_tenant(&hold.tenant, &hold.by),
            Event::HoldPlaced(hold) | Event::HoldLifted(hold) => {
                facts.about_tenant(&hold.tenant, &hold.by.principal)
            }
            _ => {}
        }
        facts
    }

    /// Whether it is about a signature that this caller got. A refusal's record says why, which is for operators and
    /// auditors.
    pub(super) fn is_released_to(&self, principal: &str) -> bool {
        self.is_released && self.principals.iter().any(|p| p == principal)
    }

    /// Records of no tenant (start-ups, policies, token marks) are for every auditor.
    pub(super) fn is_visible_to(&self, tenant: &str) -> bool {
        self.tenants.is_empty() || self.tenants.iter().any(|t| t == tenant)
    }

    fn about_key(&mut self, key: &KeyName, principal: &str) {
        self.keys.push(key.to_string());
        self.about_tenant(key.tenant(), principal);
    }

    fn about_tenant(&mut self, tenant: &Tenant, principal: &str) {
        self.tenants.push(tenant.to_string());
        self.principals.push(principal.to_owned());
    }

    fn about_freeze(&mut self, scope: &FreezeScope, principal: &str) {
        self.principals.push(principal.to_owned());
        if let FreezeScope::Tenant(tenant) = scope {
            self.tenants.push(tenant.to_string());
        }
    }
}

fn digests(subjects: &[Subject]) -> Vec<String> {
    let digests = subjects.iter().map(|subject| subject.digests.values());
    digests.flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn db() -> sled::Db {
        sled::Config::new().temporary(true).open().unwrap()
    }

    /// A record that lists itself under its kind alone.
    fn entry(seq: u64) -> Entry {
        let body = serde_json::json!({
            "v": 1, "seq": seq, "time": "2026-01-01T00:00:00.000Z", "kind": "policy.activated",
            "digest": Sha256Digest::of(&[b"policy"]),
        });
        let body = serde_json::to_vec(&body).unwrap();
        serde_json::from_slice::<Record>(&body).unwrap();
        Entry {
            leaf: b"leaf".to_vec(),
            salt: [7; SALT_LEN],
            body,
        }
    }

    fn store(db: &sled::Db, indices: impl IntoIterator<Item = u64>) {
        let mut rows = Rows::default();
        for index in indices {
            rows.add_whole(index, &entry(index));
        }
        rows.apply(db).unwrap();
    }

    fn found(db: &sled::Db, kind: Option<&str>, from: u64) -> Vec<u64> {
        let query = Query {
            from,
            kind: kind.map(str::to_owned),
            ..Query::default()
        };
        let found = candidates(db, &query).unwrap();
        found.map(Result::unwrap).collect()
    }

    #[test]
    fn a_list_is_read_in_order_from_any_place_in_a_block() {
        let (db, kind) = (db(), Some("policy.activated"));
        store(&db, [0, 3, BLOCK - 1, BLOCK, 5 * BLOCK + 1]);
        let all = [0, 3, BLOCK - 1, BLOCK, 5 * BLOCK + 1];
        assert_eq!(found(&db, kind, 0), all);
        assert_eq!(found(&db, None, 0), all);
        assert_eq!(found(&db, kind, 4), all[2..]);
        assert_eq!(found(&db, kind, BLOCK + 1), all[4..]);
        assert!(found(&db, kind, u64::MAX).is_empty());
        assert!(found(&db, Some("no.such"), 0).is_empty());
    }

    #[test]
    fn a_later_group_adds_to_block_and_chunk_and_takes_nothing_away() {
        let (db, kind) = (db(), Some("policy.activated"));
        store(&db, [1]);
        store(&db, [2, 3, 4]);
        store(&db, [5]);
        assert_eq!(found(&db, kind, 0), [1, 2, 3, 4, 5]);
        for index in 1..6 {
            let stored = record(&db, index).unwrap().unwrap();
            assert_eq!(stored.kept, Kept::Whole(entry(index)));
        }
        assert_eq!(record(&db, 0).unwrap(), None);
        assert_eq!(record(&db, 6).unwrap(), None);
    }
}
