//! Which records name a subject digest. Almost every record has one of its own, so that a row for each would be as many
//! rows as there are records; they go into buckets by their hash instead, whose rows are cut where they are full.
//!
//! | key | value |
//! |---|---|
//! | `s` bucket first | for each entry of the bucket from index `first` on, in order: distance of its index from `first` (4 bytes, little-endian), 8 bytes of the hash |
//!
//! Where a row ends depends on the entries before it alone, and not on how many of them were written together. A hash that
//! two digests share costs a look at one more record: whoever reads a list looks at the records on it.

use std::collections::BTreeMap;

use sealwright_core::digest::Sha256Digest;

use super::index_rows::{Indices, KeyValue, Row, number_at_end, rows_from, with_number};

const TAG: u8 = b's';
/// Its first byte is the bucket.
type Hash = [u8; 8];

/// Entries of a full row. A record that has more in one bucket makes a longer one: they all have its index.
const FULL: usize = 64;
/// Bytes of an entry.
const ENTRY: usize = size_of::<u32>() + size_of::<Hash>();

/// What is added to the buckets, in the order of the records.
#[derive(Default)]
pub(super) struct Subjects(BTreeMap<u8, Vec<(u64, Hash)>>);

impl Subjects {
    /// The digests of one record, behind those of all records before it.
    pub(super) fn add(&mut self, index: u64, digests: &[String]) {
        let mut hashes: Vec<Hash> = digests.iter().map(|digest| hash(digest)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        for hash in hashes {
            self.0.entry(hash[0]).or_default().push((index, hash));
        }
    }

    /// Writes them behind what each bucket has already.
    pub(super) fn apply(self, db: &sled::Db, batch: &mut sled::Batch) -> Result<(), sled::Error> {
        for (bucket, entries) in self.0 {
            let mut tail = Tail::read(db, bucket)?;
            for (index, hash) in entries {
                if let Some((key, row)) = tail.push(bucket, index, hash) {
                    batch.insert(key, row);
                }
            }
            let (key, row) = tail.into_row(bucket);
            batch.insert(key, row);
        }
        Ok(())
    }
}

/// The last row of each bucket while the whole log is gone through from its beginning.
#[derive(Default)]
pub(super) struct Tails(BTreeMap<u8, Tail>);

impl Tails {
    /// The rows that `subjects` fill.
    pub(super) fn fill(&mut self, subjects: Subjects) -> Vec<KeyValue> {
        let mut full = Vec::new();
        for (bucket, entries) in subjects.0 {
            let tail = self.0.entry(bucket).or_default();
            let rows = entries
                .into_iter()
                .filter_map(|(index, hash)| tail.push(bucket, index, hash));
            full.extend(rows);
        }
        full
    }

    /// The rows that were not full.
    pub(super) fn into_rows(self) -> impl Iterator<Item = KeyValue> {
        let tails = self.0.into_iter();
        tails.map(|(bucket, tail)| tail.into_row(bucket))
    }
}

/// The last row of a bucket. One without entries has no `first` yet.
#[derive(Default)]
struct Tail {
    first: u64,
    row: Vec<u8>,
}

impl Tail {
    fn read(db: &sled::Db, bucket: u8) -> Result<Self, sled::Error> {
        let last = db.scan_prefix(prefix(bucket)).next_back().transpose()?;
        Ok(last.map_or_else(Self::default, |(key, row)| Self {
            first: number_at_end(&key),
            row: row.to_vec(),
        }))
    }

    /// Returns the row before, if this entry begins another.
    fn push(&mut self, bucket: u8, index: u64, hash: Hash) -> Option<KeyValue> {
        let ends = self.ends_before(index);
        let before = ends.then(|| std::mem::take(self).into_row(bucket));
        if self.row.is_empty() {
            self.first = index;
        }
        let distance = u32::try_from(index.saturating_sub(self.first));
        // No row goes on that far.
        self.row.extend(distance.unwrap_or_default().to_le_bytes());
        self.row.extend(hash);
        before
    }

    /// Whether an entry of `index` begins another row, because this one is full or its first record too far away. One
    /// without entries takes any.
    fn ends_before(&self, index: u64) -> bool {
        let distance = index.saturating_sub(self.first);
        let is_full = self.row.len() >= FULL * ENTRY && distance > 0;
        is_full || (!self.row.is_empty() && distance > u64::from(u32::MAX))
    }

    fn into_row(self, bucket: u8) -> KeyValue {
        (with_number(prefix(bucket), self.first), self.row)
    }
}

/// The indices from `from` on of records that name `digest`, and now and then of one that does not.
pub(super) fn listed(db: &sled::Db, digest: &str, from: u64) -> Result<Indices, sled::Error> {
    let hash = hash(digest);
    let prefix = prefix(hash[0]);
    let mut up_to = db.range(prefix.clone()..=with_number(prefix.clone(), from));
    // The row before may reach beyond `from`.
    let first = up_to.next_back().transpose()?;
    let first = first.map_or(from, |(key, _)| number_at_end(&key));
    let rows = rows_from(db, prefix, first);
    Ok(Box::new(rows.flat_map(move |row| entries(row, hash, from))))
}

/// The indices in one row, or the error in its place.
fn entries(row: Row, wanted: Hash, from: u64) -> Vec<Result<u64, sled::Error>> {
    let (key, row) = match row {
        Ok(row) => row,
        Err(error) => return vec![Err(error)],
    };
    let first = number_at_end(&key);
    let (entries, _) = row.as_chunks::<ENTRY>();
    let indices = entries.iter().filter_map(|entry| {
        let (distance, hash) = entry.split_first_chunk()?;
        let index = first.saturating_add(u32::from_le_bytes(*distance).into());
        (hash == wanted && index >= from).then_some(Ok(index))
    });
    indices.collect()
}

fn prefix(bucket: u8) -> Vec<u8> {
    vec![TAG, bucket]
}

fn hash(digest: &str) -> Hash {
    let whole = Sha256Digest::of(&[digest.as_bytes()]).0;
    whole.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn db() -> sled::Db {
        sled::Config::new().temporary(true).open().unwrap()
    }

    /// One record each for these numbers of subjects, with `name(record, number)`, written so many records at a time.
    fn store(db: &sled::Db, group: usize, records: &[(u64, Vec<String>)]) {
        for records in records.chunks(group) {
            let (mut subjects, mut batch) = (Subjects::default(), sled::Batch::default());
            for (index, digests) in records {
                subjects.add(*index, digests);
            }
            subjects.apply(db, &mut batch).unwrap();
            db.apply_batch(batch).unwrap();
        }
    }

    fn found(db: &sled::Db, digest: &str, from: u64) -> Vec<u64> {
        listed(db, digest, from)
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    fn rows(db: &sled::Db) -> Vec<KeyValue> {
        let rows = db.iter().map(Result::unwrap);
        rows.map(|(key, row)| (key.to_vec(), row.to_vec()))
            .collect()
    }

    /// Enough for several rows in each bucket; every third names `common` as well.
    fn many() -> Vec<(u64, Vec<String>)> {
        let digests = |index: u64| {
            let own = vec![format!("own {index}"), format!("own {index}")];
            own.into_iter()
                .chain(index.is_multiple_of(3).then(|| "common".to_owned()))
                .collect()
        };
        (0..40_000).map(|index| (index, digests(index))).collect()
    }

    #[test]
    fn a_digest_leads_to_every_record_that_names_it_once_and_from_any_place_on() {
        let db = db();
        store(&db, 5_000, &many());
        for index in [0, 1, 777, 39_999] {
            assert_eq!(found(&db, &format!("own {index}"), 0), [index]);
            assert_eq!(found(&db, &format!("own {index}"), index), [index]);
            assert!(found(&db, &format!("own {index}"), index + 1).is_empty());
        }
        let thirds: Vec<u64> = (0..40_000).step_by(3).collect();
        assert_eq!(found(&db, "common", 0), thirds);
        let from = thirds.partition_point(|index| *index < 20_002);
        assert_eq!(found(&db, "common", 20_002), thirds[from..]);
        assert!(found(&db, "nobody's", 0).is_empty());
    }

    #[test]
    fn the_rows_are_the_same_however_many_records_were_written_together() {
        let (all, some, one) = (db(), db(), db());
        let records = &many()[..3_000];
        store(&all, records.len(), records);
        store(&some, 7, records);
        store(&one, 1, records);
        assert_eq!(rows(&all), rows(&some));
        assert_eq!(rows(&all), rows(&one));
        let mut tails = Tails::default();
        let mut gone_through = Vec::new();
        for (index, digests) in records {
            let mut subjects = Subjects::default();
            subjects.add(*index, digests);
            gone_through.extend(tails.fill(subjects));
        }
        gone_through.extend(tails.into_rows());
        gone_through.sort();
        assert_eq!(gone_through, rows(&all));
    }

    #[test]
    fn a_record_with_more_subjects_than_a_row_holds_is_found_by_each() {
        let db = db();
        // All in one bucket, as somebody could choose them.
        let digests = (0..).map(|n| format!("chosen {n}"));
        let digests: Vec<String> = digests.filter(|d| hash(d)[0] == 7).take(3 * FULL).collect();
        store(&db, 2, &[(4, digests.clone()), (5, digests.clone())]);
        for digest in &digests {
            assert_eq!(found(&db, digest, 0), [4, 5]);
        }
        assert_eq!(rows(&db).len(), 2);
    }

    #[test]
    fn a_record_that_is_too_far_from_the_last_begins_a_row() {
        let db = db();
        let far = u64::from(u32::MAX) + 9;
        for index in [3, far] {
            store(&db, 1, &[(index, vec!["the same".to_owned()])]);
        }
        assert_eq!(found(&db, "the same", 0), [3, far]);
        assert_eq!(found(&db, "the same", 4), [far]);
    }
}
