//! The queryable audit log: sled, one thread, one atomic batch per commit.
//!
//! The journal is its write-ahead log. sled's flush is no fsync and its files have not survived every abrupt
//! stop, so it is believed only while its mark names a batch of this journal; otherwise, and after a panic
//! inside it, it is deleted and built anew from the journal while signing goes on. No decision is ever read
//! from it.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use sealwright_core::journal::Kept;
use sealwright_core::record::Leaf;
use sealwright_core::time::Timestamp;
use tokio::sync::watch;

use crate::panics;

use super::index_rows::{Facts, candidates, record};
use super::writer::Durable;

/// Longest list that one query returns.
pub const PAGE_MAX: usize = 1000;

/// Records that one query looks at; the answer then says where to go on.
pub const SCAN_MAX: usize = 50_000;

/// `None` while the index is (re)built. Locked for the clone of a handle only.
pub(super) type SharedDb = Arc<RwLock<Option<sled::Db>>>;

/// Lets readers have `db` from now on, or nothing.
///
/// sled may take its time to let go, and on a full disk never does: neither the lock nor a thread that has other
/// things to do waits for that.
pub(super) fn publish(shared: &SharedDb, db: Option<sled::Db>) {
    let mut current = shared.write().unwrap_or_else(PoisonError::into_inner);
    let old = std::mem::replace(&mut *current, db);
    drop(current);
    if let Some(old) = old {
        let letting_go = std::thread::Builder::new().name("sled-drop".to_owned());
        // Without a thread to spare it is dropped here.
        let _ = letting_go.spawn(move || drop(old));
    }
}

/// Why the index does not answer.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// It is being built anew.
    #[error("the audit index is being rebuilt from the journal; try again shortly")]
    Rebuilding,
    /// sled failed.
    #[error("the audit index failed: {0}; it is rebuilt at the next start")]
    Sled(#[from] sled::Error),
}

/// One record as it is read: what the log proof needs, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Index of the record.
    pub index: u64,
    /// What the journal has of it.
    pub kept: Kept,
}

/// Whose record it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belongs {
    /// The caller's own signature.
    Caller,
    /// Its tenant's, or nobody's: start-ups, policies, token marks.
    Tenant,
    /// Another tenant's.
    Others,
}

impl Stored {
    fn time(&self) -> Option<Timestamp> {
        Leaf::from_bytes(self.kept.leaf())
            .ok()
            .map(|leaf| leaf.time())
    }

    /// Whose record it is, as seen by `principal` of `tenant`.
    pub fn belongs_to(&self, principal: &str, tenant: &str) -> Belongs {
        let Some(facts) = Facts::of_kept(&self.kept) else {
            return Belongs::Others;
        };
        match facts.is_visible_to(tenant) {
            true if facts.is_released_to(principal) => Belongs::Caller,
            true => Belongs::Tenant,
            false => Belongs::Others,
        }
    }
}

/// What to look for. All given fields must match.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// First index to look at.
    pub from: u64,
    /// Index to stop before.
    pub until: Option<u64>,
    /// At most so many, up to [`PAGE_MAX`].
    pub limit: usize,
    /// `<tenant>/<key>`.
    pub key: Option<String>,
    /// A principal.
    pub principal: Option<String>,
    /// `signed`, `denied`, …
    pub outcome: Option<String>,
    /// Hex digest of a subject.
    pub subject: Option<String>,
    /// A record kind.
    pub kind: Option<String>,
    /// Only records that one of these tenants may see.
    pub tenants: Vec<String>,
}

/// A handle for readers.
#[derive(Clone)]
pub struct Index {
    db: SharedDb,
    applied: watch::Receiver<u64>,
    notes: Weak<Sender<Note>>,
}

/// What the index thread is told.
pub(super) enum Note {
    /// A batch became durable.
    Batch(Arc<Durable>),
    /// The journal has fewer bodies than the index; answered once the index has no more than it.
    Rebuild(Sender<()>),
}

impl Index {
    /// Reads from `db`, which has everything before `applied`; its thread ends once nobody else holds `notes`.
    pub(super) fn new(
        db: SharedDb,
        applied: watch::Receiver<u64>,
        notes: &Arc<Sender<Note>>,
    ) -> Self {
        Self {
            db,
            applied,
            notes: Arc::downgrade(notes),
        }
    }

    /// Has the index made anew from the journal, and waits for that. `false`: the daemon is stopping.
    pub fn rebuild(&self) -> bool {
        let (done, rebuilt) = channel();
        let sent = self
            .notes
            .upgrade()
            .is_some_and(|notes| notes.send(Note::Rebuild(done)).is_ok());
        sent && rebuilt.recv().is_ok()
    }

    /// Whether queries are answered now.
    pub fn is_ready(&self) -> bool {
        self.handle().is_ok()
    }

    fn handle(&self) -> Result<sled::Db, IndexError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        db.clone().ok_or(IndexError::Rebuilding)
    }

    /// Waits until everything before index `next` can be queried; `false` where that takes too long.
    pub async fn wait_for(&self, next: u64, limit: Duration) -> bool {
        let mut applied = self.applied.clone();
        let caught_up = applied.wait_for(|applied| *applied >= next);
        matches!(tokio::time::timeout(limit, caught_up).await, Ok(Ok(_)))
    }

    /// Index after the last record that can be queried.
    pub fn end(&self) -> u64 {
        *self.applied.borrow()
    }

    /// One record.
    pub fn get(&self, index: u64) -> Result<Option<Stored>, IndexError> {
        let db = self.handle()?;
        Ok(self.caught(|| record(&db, index))??)
    }

    /// Runs what reads sled. Where that panics, the index is out of use until its thread has made it anew.
    fn caught<T>(&self, read: impl FnOnce() -> T) -> Result<T, IndexError> {
        panics::caught(read).map_err(|_| {
            publish(&self.db, None);
            IndexError::Rebuilding
        })
    }

    /// The leaves of `count` records from `first` on, or `None` where one of them is not there.
    pub fn leaves(&self, first: u64, count: u32) -> Result<Option<Vec<Vec<u8>>>, IndexError> {
        let leaf = |index| Ok(self.get(index)?.map(|stored| stored.kept.leaf().to_vec()));
        (first..first.saturating_add(count.into()))
            .map(leaf)
            .collect()
    }

    /// Index of the first record at `time` or later; times in the log never go back.
    pub fn first_at(&self, time: Timestamp) -> Result<u64, IndexError> {
        let (mut low, mut high) = (0, self.end());
        while low < high {
            let middle = low + (high - low) / 2;
            let stored = self.get(middle)?;
            // A record that is not here any more is an old one.
            if stored.and_then(|stored| stored.time()) < Some(time) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Records that match, oldest first, and where to go on if there may be more.
    pub fn query(&self, query: &Query) -> Result<(Vec<Stored>, Option<u64>), IndexError> {
        let db = self.handle()?;
        self.caught(|| self.search(&db, query))?
    }

    fn search(
        &self,
        db: &sled::Db,
        query: &Query,
    ) -> Result<(Vec<Stored>, Option<u64>), IndexError> {
        let limit = query.limit.min(PAGE_MAX);
        let mut found = Vec::new();
        for (looked_at, index) in candidates(db, query)?.enumerate() {
            let index = index?;
            if query.until.is_some_and(|until| index >= until) {
                break;
            }
            if found.len() >= limit || looked_at >= SCAN_MAX {
                return Ok((found, Some(index)));
            }
            found.extend(self.get(index)?.filter(|stored| matches(query, stored)));
        }
        Ok((found, None))
    }
}

fn matches(query: &Query, stored: &Stored) -> bool {
    let Some(facts) = Facts::of_kept(&stored.kept) else {
        return false;
    };
    let is = |wanted: &Option<String>, have: &[String]| {
        wanted.as_ref().is_none_or(|wanted| have.contains(wanted))
    };
    is(&query.key, &facts.keys)
        && is(&query.principal, &facts.principals)
        && is(&query.outcome, &facts.outcomes)
        && is(&query.subject, &facts.subjects)
        && is(&query.kind, std::slice::from_ref(&facts.kind))
        && query
            .tenants
            .iter()
            .any(|tenant| facts.is_visible_to(tenant))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_panics_takes_the_index_out_of_use() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let (_applied, seen) = watch::channel(0);
        let (notes, _) = channel();
        let index = Index::new(Arc::new(RwLock::new(Some(db))), seen, &Arc::new(notes));
        assert!(index.is_ready());
        let read = index.caught(|| -> u8 { panic!("as sled does over its own files") });
        assert!(matches!(read, Err(IndexError::Rebuilding)));
        assert!(!index.is_ready());
        assert!(matches!(index.get(0), Err(IndexError::Rebuilding)));
    }
}
