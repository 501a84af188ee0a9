//! Logs without signatures: records as the daemon writes them, put into a journal by its own code.

use std::io;
use std::path::Path;
use std::sync::Arc;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::journal::Entry;
use sealwright_core::record::{Event, Genesis, Leaf, Record, SALT_LEN, SCHEMA_VERSION, SignRecord};
use sealwright_core::time::Timestamp;
use sealwrightd::audit::disk::{Disk, RealDisk};
use sealwrightd::audit::recovery::recover;
use sealwrightd::audit::segments::{Segments, Space};
use sealwrightd::audit::snapshot::{SnapshotFile, SnapshotFollower};
use sealwrightd::audit::tree::{Pending, PendingFollower, Tree};
use sealwrightd::audit::writer::{Follower, Journal};
use sealwrightd::clock::SystemClock;
use sealwrightd::failpoints::Failpoints;
use serde_json::json;

/// Bytes of a segment, the daemon's default.
const SEGMENT_BYTES: u64 = 64 << 20;
/// Records that are sent at a time: about a batch.
const GROUP: u16 = 512;
/// Records between two checkpoints: about a second of a busy log.
const CHECKPOINT: u64 = 2048;

/// A journal that is open for writing.
pub struct Open {
    /// The writer.
    pub journal: Journal,
    thread: std::thread::JoinHandle<()>,
}

impl Open {
    /// The journal in `folder/journal`, with `followers`.
    pub fn journal(folder: &Path, followers: Vec<Box<dyn Follower>>) -> io::Result<Self> {
        let folder = folder.join("journal");
        std::fs::create_dir_all(&folder)?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&folder));
        let found = recover(disk.as_ref(), &folder, &mut |_, _| {}).map_err(io::Error::other)?;
        let space = Arc::new(Space::default());
        let segments = Segments::open(disk, SEGMENT_BYTES, space, &found)?;
        let (clock, failpoints) = (Arc::new(SystemClock), Arc::new(Failpoints::default()));
        let (journal, thread) =
            Journal::start(segments, found.state, clock, failpoints, followers)?;
        Ok(Self { journal, thread })
    }

    /// Waits until everything is written.
    pub fn close(self) -> io::Result<()> {
        self.journal.close();
        let ended = self.thread.join();
        ended.map_err(|_| io::Error::other("the journal's writer panicked"))
    }
}

/// What a record of a signature has of its own: subject and Idempotency-Key; all of `like` else.
pub fn another(like: &SignRecord, number: u64) -> Event {
    let mut sign = like.clone();
    let digest = Sha256Digest::of(&[&number.to_le_bytes()]);
    sign.idempotency_sha256 = Some(digest);
    for subject in &mut sign.subjects {
        for hex in subject.digests.values_mut() {
            *hex = digest.to_string();
        }
    }
    Event::Sign(Box::new(sign))
}

/// A log of `records` below `folder`, with tiles and snapshot and without index and checkpoints.
pub async fn log(folder: &Path, records: u64) -> io::Result<Tree> {
    let mut tree = Tree::rebuild(&folder.join("tiles"), &[]).map_err(io::Error::other)?;
    let pending = Arc::new(Pending::default());
    let snapshots = SnapshotFollower::start(
        SnapshotFile::of(folder),
        tree.frontier().clone(),
        Arc::clone(&pending),
        0,
    )?;
    let leaves = PendingFollower(Arc::clone(&pending));
    let open = Open::journal(folder, vec![Box::new(leaves), Box::new(snapshots)])?;
    add(&open.journal, genesis()?).await?;
    for first in (1..records).step_by(usize::from(GROUP)) {
        let group: Vec<_> = (first..records.min(first + u64::from(GROUP)))
            .map(|number| {
                let (journal, event) = (open.journal.clone(), signature(number));
                tokio::spawn(async move { add(&journal, event?).await })
            })
            .collect();
        for added in group {
            added.await.map_err(io::Error::other)??;
        }
        if first % CHECKPOINT < u64::from(GROUP) {
            tree.advance(&pending).map_err(io::Error::other)?;
        }
    }
    open.close()?;
    tree.advance(&pending).map_err(io::Error::other)?;
    Ok(tree)
}

/// Adds one record.
pub async fn add(journal: &Journal, event: Event) -> io::Result<()> {
    journal
        .record(event)
        .await
        .map(drop)
        .map_err(io::Error::other)
}

/// The first record.
pub fn genesis() -> io::Result<Event> {
    // The Ed25519 key is the curve's base point (RFC 8410, RFC 8032).
    let genesis: Genesis = serde_json::from_value(json!({
        "origin": "sealwright.bench/log",
        "log_key": {
            "token": "log",
            "uri": "pkcs11:object=log",
            "spki": "MCowBQYDK2VwAyEAWGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY=",
            "scheme": "ed25519",
        },
        "operators": [],
        "policy_digest": "00".repeat(32),
    }))?;
    Ok(Event::Genesis(genesis))
}

/// The same as it lies in a batch.
pub fn entry(number: u64) -> io::Result<Entry> {
    let record = Record {
        v: SCHEMA_VERSION,
        seq: number,
        time: Timestamp::default(),
        event: signature(number)?,
    };
    let (body, salt) = (serde_json::to_vec(&record)?, [7; SALT_LEN]);
    let leaf = Leaf::new(number, record.time, record.event.kind(), &salt, &body).to_bytes();
    Ok(Entry { leaf, salt, body })
}

/// The record of a signature over a statement with one subject, each with another one.
pub fn signature(number: u64) -> io::Result<Event> {
    let digest =
        |what: u64| format!("{:016x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ what).repeat(4);
    let record: Record = serde_json::from_value(json!({
        "v": 1, "seq": number, "time": "2026-01-01T00:00:00.000Z", "kind": "sign",
        "outcome": "signed",
        "request_id": format!("019ab3f0-7c7b-7000-8000-{number:012}"),
        "tenant": "default",
        "principal": "spiffe://sealwright.bench/ci",
        "peer": {"uid": 64010, "gid": 64010, "pid": 4711},
        "key": "default/release", "key_version": 1,
        "spki_sha256": digest(1), "scheme": "ecdsa-p256-sha256",
        "payload_type": "application/vnd.in-toto+json",
        "predicate_type": "https://slsa.dev/provenance/v1",
        "payload_sha256": digest(2), "pae_sha256": digest(3), "envelope_sha256": digest(4),
        "signature_sha256": [digest(5)],
        "subjects": [{"name": format!("app-{number}.tar.gz"), "digest": {"sha256": digest(6)}}],
        "subject_count": 1, "subjects_sha256": digest(7),
        "idempotency_sha256": digest(8),
        "policy_digest": digest(0), "config_digest": digest(0),
    }))?;
    Ok(record.event)
}
