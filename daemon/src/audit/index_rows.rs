//! How the index lies in sled: one tree, keys tagged by what they list, so that one batch is one transaction.
//!
//! | key | value |
//! |---|---|
//! | `m` | index and SHA-256 of the last batch applied |
//! | `r` index | leaf length, salt, leaf, body |
//! | `k`, `p`, `o`, `s`, `t` with SHA-256 of key, principal, outcome, subject digest, kind; index | nothing |

use sealwright_core::digest::Sha256Digest;
use sealwright_core::journal::{Chain, Entry};
use sealwright_core::name::KeyName;
use sealwright_core::record::{Event, Record, SALT_LEN};

use super::index::Query;
use super::index::Stored;

pub(super) const MARK: &[u8] = b"m";

pub(super) fn index_at_end(key: &[u8]) -> u64 {
    key.last_chunk()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

pub(super) fn record_key(index: u64) -> Vec<u8> {
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

pub(super) type Indices = Box<dyn Iterator<Item = Result<u64, sled::Error>>>;

/// Indices to look at, by the narrowest list that the query names.
pub(super) fn candidates(db: &sled::Db, query: &Query) -> Indices {
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

pub(super) fn mark_value(chain: Chain) -> Vec<u8> {
    [chain.index.to_le_bytes().as_slice(), &chain.last.0].concat()
}

pub(super) fn mark(batch: &mut sled::Batch, chain: Chain) {
    batch.insert(MARK, mark_value(chain));
}

pub(super) fn insert(batch: &mut sled::Batch, index: u64, entry: &Entry) {
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

pub(super) fn decode(index: u64, bytes: &[u8]) -> Option<Stored> {
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
/// What a record can be found by.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) keys: Vec<String>,
    pub(super) principals: Vec<String>,
    pub(super) outcomes: Vec<String>,
    pub(super) subjects: Vec<String>,
    pub(super) tenants: Vec<String>,
}

impl Facts {
    pub(super) fn of(record: &Record) -> Self {
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
    pub(super) fn is_visible_to(&self, tenant: &str) -> bool {
        self.tenants.is_empty() || self.tenants.iter().any(|t| t == tenant)
    }

    fn about_key(&mut self, key: &KeyName, principal: &str) {
        self.keys.push(key.to_string());
        self.tenants.push(key.tenant().to_string());
        self.principals.push(principal.to_owned());
    }
}
