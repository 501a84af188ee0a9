//! The queryable audit log: sled, one thread, one atomic batch per commit.
//!
//! The journal is its write-ahead log. sled's flush is no fsync and its files have not survived every abrupt
//! stop, so it is believed only while its mark names a batch of this journal; otherwise, and after a panic
//! inside it, it is deleted and built anew from the journal while signing goes on. No decision is ever read
//! from it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::journal::{Chain, Entry};
use sealwright_core::record::{Event, Outcome, Record, SALT_LEN};

use tokio::sync::watch;

use super::disk::Disk;
use super::recovery::{RecoveryError, replay};
use super::writer::{Durable, Follower};

/// Longest list that one query returns.
pub const PAGE_MAX: usize = 1000;

/// Records that one query looks at; the answer then says where to go on.
pub const SCAN_MAX: usize = 50_000;
/// First and longest pause before the index is built anew.
const REBUILD_PAUSE_MIN: Duration = Duration::from_millis(100);
const REBUILD_PAUSE_MAX: Duration = Duration::from_secs(60);

const MARK: &[u8] = b"m";

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
    /// The entry.
    pub entry: Entry,
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
    /// Whose record it is, as seen by `principal` of `tenant`.
    pub fn belongs_to(&self, principal: &str, tenant: &str) -> Belongs {
        let Ok(record) = serde_json::from_slice::<Record>(&self.entry.body) else {
            return Belongs::Others;
        };
        let facts = Facts::of(&record);
        // A refusal's record says why, which is for operators and auditors.
        let is_own = match &record.event {
            Event::Sign(sign) => sign.principal == principal && sign.outcome == Outcome::Signed,
            _ => false,
        };
        match facts.is_visible_to(tenant) {
            true if is_own => Belongs::Caller,
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
    /// Only this tenant's records.
    pub tenant: Option<String>,
}

/// A handle for readers.
#[derive(Clone)]
pub struct Index {
    // `None` while it is (re)built. Locked for the clone of a handle only.
    db: Arc<RwLock<Option<sled::Db>>>,
    applied: watch::Receiver<u64>,
}

/// What the index thread is told.
enum Note {
    Batch(Arc<Durable>),
}

/// Hands batches to the index thread.
pub struct IndexFollower(Sender<Note>);

impl Follower for IndexFollower {
    fn durable(&mut self, batch: Arc<Durable>) {
        // The thread only ends with the process.
        let _ = self.0.send(Note::Batch(batch));
    }
}

impl Index {
    /// Starts the index thread for the journal on `disk`, whose end is `chain`.
    pub fn start(
        folder: &Path,
        disk: Arc<dyn Disk>,
        journal_folder: &Path,
    ) -> std::io::Result<(Self, IndexFollower)> {
        let (sender, notes) = channel();
        let (applied, seen) = watch::channel(0);
        let index = Self {
            db: Arc::default(),
            applied: seen,
        };
        let keeper = Keeper {
            applied,
            folder: folder.to_owned(),
            disk,
            journal_folder: journal_folder.to_owned(),
            db: Arc::clone(&index.db),
        };
        std::thread::Builder::new()
            .name("index".to_owned())
            .spawn(move || keeper.run(&notes))?;
        Ok((index, IndexFollower(sender)))
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

    /// One record.
    pub fn get(&self, index: u64) -> Result<Option<Stored>, IndexError> {
        let value = self.handle()?.get(record_key(index))?;
        Ok(value.and_then(|bytes| decode(index, &bytes)))
    }

    /// Records that match, oldest first, and where to go on if there may be more.
    pub fn query(&self, query: &Query) -> Result<(Vec<Stored>, Option<u64>), IndexError> {
        let db = self.handle()?;
        let limit = query.limit.min(PAGE_MAX);
        let mut found = Vec::new();
        for (looked_at, index) in candidates(&db, query).enumerate() {
            let index = index?;
            if found.len() >= limit || looked_at >= SCAN_MAX {
                return Ok((found, Some(index)));
            }
            found.extend(self.get(index)?.filter(|stored| matches(query, stored)));
        }
        Ok((found, None))
    }
}

type Indices = Box<dyn Iterator<Item = Result<u64, sled::Error>>>;

/// Indices to look at, by the narrowest list that the query names.
fn candidates(db: &sled::Db, query: &Query) -> Indices {
    let lists = [
        (b's', &query.subject),
        (b'k', &query.key),
        (b'p', &query.principal),
        (b'o', &query.outcome),
        (b't', &query.kind),
    ];
    let prefix = match lists
        .into_iter()
        .find_map(|(tag, value)| Some((tag, value.as_deref()?)))
    {
        Some((tag, value)) => list_prefix(tag, value),
        None => vec![b'r'],
    };
    let mut start = prefix.clone();
    start.extend(query.from.to_be_bytes());
    let keys = db.range(start..).keys();
    let inside =
        keys.take_while(move |key| key.as_ref().map_or(true, |key| key.starts_with(&prefix)));
    Box::new(inside.map(|key| key.map(|key| index_at_end(&key))))
}

fn index_at_end(key: &[u8]) -> u64 {
    key.last_chunk()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn record_key(index: u64) -> Vec<u8> {
    list_key(vec![b'r'], index)
}

/// `tag ‖ SHA-256(value)`: fixed width, so that one value cannot be the prefix of another.
fn list_prefix(tag: u8, value: &str) -> Vec<u8> {
    let mut prefix = vec![tag];
    prefix.extend(Sha256Digest::of(&[value.as_bytes()]).0);
    prefix
}

fn list_key(mut prefix: Vec<u8>, index: u64) -> Vec<u8> {
    prefix.extend(index.to_be_bytes());
    prefix
}

fn matches(query: &Query, stored: &Stored) -> bool {
    let Ok(record) = serde_json::from_slice::<Record>(&stored.entry.body) else {
        return false;
    };
    let facts = Facts::of(&record);
    let is = |wanted: &Option<String>, have: &[String]| {
        wanted.as_ref().is_none_or(|wanted| have.contains(wanted))
    };
    is(&query.key, &facts.keys)
        && is(&query.principal, &facts.principals)
        && is(&query.outcome, &facts.outcomes)
        && is(&query.subject, &facts.subjects)
        && is(&query.kind, &[record.event.kind().to_owned()])
        && query
            .tenant
            .as_ref()
            .is_none_or(|tenant| facts.is_visible_to(tenant))
}

/// What a record can be found by.
#[derive(Default)]
struct Facts {
    keys: Vec<String>,
    principals: Vec<String>,
    outcomes: Vec<String>,
    subjects: Vec<String>,
    tenants: Vec<String>,
}

impl Facts {
    fn of(record: &Record) -> Self {
        let mut facts = Self::default();
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
                facts.subjects = sign
                    .subjects
                    .iter()
                    .flat_map(|s| s.digests.values().cloned())
                    .collect();
                if let Ok(serde_json::Value::String(outcome)) = serde_json::to_value(sign.outcome) {
                    facts.outcomes.push(outcome);
                }
            }
            Event::KeyEnrolled(enrolled) => {
                facts.about_key(&enrolled.enrolment.key.key, &enrolled.by.principal)
            }
            Event::KeyChanged(changed) => facts.about_key(&changed.key.key, &changed.by.principal),
            Event::KeyGenerateIntent(intent) => {
                facts.about_key(&intent.key.key, &intent.by.principal)
            }
            Event::DenialsSummarised(denials) => {
                facts.principals.push(denials.principal.clone());
                facts.tenants.push(denials.tenant.to_string());
            }
            _ => {}
        }
        facts
    }

    /// Records of no tenant (start-ups, policies, token marks) are for every auditor.
    fn is_visible_to(&self, tenant: &str) -> bool {
        self.tenants.is_empty() || self.tenants.iter().any(|t| t == tenant)
    }

    fn about_key(&mut self, key: &sealwright_core::name::KeyName, principal: &str) {
        self.keys.push(key.to_string());
        self.tenants.push(key.tenant().to_string());
        self.principals.push(principal.to_owned());
    }
}

/// Owns sled: the only one who writes to it.
struct Keeper {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    journal_folder: PathBuf,
    db: Arc<RwLock<Option<sled::Db>>>,
    applied: watch::Sender<u64>,
}

/// Why a round of the keeper ended.
#[derive(Debug, thiserror::Error)]
enum KeeperError {
    #[error(transparent)]
    Sled(#[from] sled::Error),
    #[error(transparent)]
    Journal(#[from] RecoveryError),
    #[error("sled panicked")]
    Panic,
}

impl Keeper {
    fn run(self, notes: &Receiver<Note>) {
        let mut trusted = true;
        let mut pause = REBUILD_PAUSE_MIN;
        loop {
            let round = catch_unwind(AssertUnwindSafe(|| self.round(notes, trusted)));
            self.publish(None);
            match round.unwrap_or(Err(KeeperError::Panic)) {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "the audit index is rebuilt from the journal"),
            }
            trusted = false;
            // A disk that refuses sled now will not have changed its mind at once.
            std::thread::sleep(pause);
            pause = (pause * 2).min(REBUILD_PAUSE_MAX);
        }
    }

    /// Opens or rebuilds sled, then follows the journal until the daemon ends.
    fn round(&self, notes: &Receiver<Note>, trusted: bool) -> Result<(), KeeperError> {
        let (db, mut next) = self.open(trusted)?;
        next = self.catch_up(&db, next)?;
        self.publish(Some(db.clone()));
        self.applied.send_replace(next);
        while let Ok(Note::Batch(batch)) = notes.recv() {
            // Batches that became durable while the journal was replayed come a second time.
            if batch.first >= next {
                let mut sled_batch = sled::Batch::default();
                for (index, (entry, _)) in (batch.first..).zip(&batch.entries) {
                    insert(&mut sled_batch, index, entry);
                }
                next = batch.chain.index;
                mark(&mut sled_batch, batch.chain);
                db.apply_batch(sled_batch)?;
                self.applied.send_replace(next);
            }
        }
        Ok(())
    }

    fn publish(&self, db: Option<sled::Db>) {
        *self.db.write().unwrap_or_else(PoisonError::into_inner) = db;
    }

    /// The database and the index it has applied everything before.
    fn open(&self, trusted: bool) -> Result<(sled::Db, u64), KeeperError> {
        if trusted && let Ok(db) = open_sled(&self.folder) {
            if let Some(next) = self.check_mark(&db)? {
                return Ok((db, next));
            }
            drop(db);
        }
        // The folder may be missing altogether; only a failure to make a new one counts.
        let _ = std::fs::remove_dir_all(&self.folder);
        Ok((open_sled(&self.folder)?, 0))
    }

    /// `Some` if the mark names a batch of this journal.
    fn check_mark(&self, db: &sled::Db) -> Result<Option<u64>, KeeperError> {
        let Some(stored) = db.get(MARK)? else {
            return Ok(None);
        };
        let mut found = None;
        let Some(next) = stored.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)) else {
            return Ok(None);
        };
        replay(
            self.disk.as_ref(),
            &self.journal_folder,
            next.saturating_sub(1),
            &mut |index, _, chain| {
                if index + 1 == next && mark_value(chain) == *stored {
                    found = Some(next);
                }
            },
        )?;
        Ok(found)
    }

    fn catch_up(&self, db: &sled::Db, from: u64) -> Result<u64, KeeperError> {
        let mut next = from;
        let mut batch = sled::Batch::default();
        let mut open_chain: Option<Chain> = None;
        let mut failure = None;
        replay(
            self.disk.as_ref(),
            &self.journal_folder,
            from,
            &mut |index, entry, chain| {
                if let Some(before) = open_chain.filter(|before| before.batch != chain.batch) {
                    mark(&mut batch, before);
                    failure = db
                        .apply_batch(std::mem::take(&mut batch))
                        .err()
                        .or(failure.take());
                }
                insert(&mut batch, index, entry);
                open_chain = Some(chain);
                next = index + 1;
            },
        )?;
        if let Some(chain) = open_chain {
            mark(&mut batch, chain);
            db.apply_batch(batch)?;
        }
        failure.map_or(Ok(next), |error| Err(error.into()))
    }
}

fn open_sled(folder: &Path) -> Result<sled::Db, sled::Error> {
    let config = sled::Config::new()
        .path(folder)
        .cache_capacity(8 << 20)
        .flush_every_ms(Some(1000));
    config.open()
}

fn mark_value(chain: Chain) -> Vec<u8> {
    [chain.index.to_le_bytes().as_slice(), &chain.last.0].concat()
}

fn mark(batch: &mut sled::Batch, chain: Chain) {
    batch.insert(MARK, mark_value(chain));
}

fn insert(batch: &mut sled::Batch, index: u64, entry: &Entry) {
    batch.insert(record_key(index), encode(entry));
    let Ok(record) = serde_json::from_slice::<Record>(&entry.body) else {
        return;
    };
    let facts = Facts::of(&record);
    let lists = [
        (b'k', facts.keys),
        (b'p', facts.principals),
        (b'o', facts.outcomes),
        (b's', facts.subjects),
        (b't', vec![record.event.kind().to_owned()]),
    ];
    for (tag, values) in lists {
        for value in values {
            batch.insert(list_key(list_prefix(tag, &value), index), &[]);
        }
    }
}

fn encode(entry: &Entry) -> Vec<u8> {
    let leaf_len = u32::try_from(entry.leaf.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    [leaf_len.as_slice(), &entry.salt, &entry.leaf, &entry.body].concat()
}

fn decode(index: u64, bytes: &[u8]) -> Option<Stored> {
    let (leaf_len, rest) = bytes.split_first_chunk()?;
    let (salt, rest) = rest.split_first_chunk::<SALT_LEN>()?;
    let (leaf, body) = rest.split_at_checked(u32::from_le_bytes(*leaf_len) as usize)?;
    let entry = Entry {
        leaf: leaf.to_vec(),
        salt: *salt,
        body: body.to_vec(),
    };
    Some(Stored { index, entry })
}
