//! What a start continues from instead of reading the whole journal: the state, the chain and the tree's right edge
//! at some batch.
//!
//! Derived, and never believed against the journal: the batch that it names must be there, byte for byte; otherwise,
//! and where the file is lost, damaged or another program's, the whole journal is read. What lies before it is read
//! in the background by the code of `fsck`, which also folds the state up to it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::journal::{Chain, SegmentHeader, chain_after};
use sealwright_core::state::State;
use sealwright_core::tlog::{Frontier, Hash};
use serde::{Deserialize, Serialize};

use super::disk::Disk;
use super::reader::SegmentReader;
use super::recovery::{Recovered, segment_name};
use super::segments::Place;
use super::tree::Pending;
use super::writer::{Durable, Follower};

/// Records between two snapshots: about what a start reads.
pub const EVERY: u64 = 4096;
/// A log of fewer records has no snapshot: every start reads it whole.
pub const SMALLEST_LOG: u64 = 8192;

/// A snapshot; sound in itself, which says nothing about the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// A program that folds more out of the same records must not continue from it.
    program: String,
    place: Place,
    chain: Chain,
    /// Right edge of the tree as far as the tiles went.
    tree_size: u64,
    subtrees: Vec<Sha256Digest>,
    /// Base64 of the leaf hashes between the tiles and the chain's end.
    leaves: String,
    state: State,
}

impl Snapshot {
    /// Reads `path`; `None` where there is none that can be used.
    pub fn read(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        let (digest, json) = bytes.split_at_checked(32)?;
        if Sha256Digest::of(&[json]).0 != digest {
            return None;
        }
        let snapshot: Self = serde_json::from_slice(json).ok()?;
        let is_ours = snapshot.program == env!("CARGO_PKG_VERSION");
        let fits = snapshot.chain.index == snapshot.state.next_index();
        (is_ours && fits).then_some(snapshot)
    }

    /// If we crash before the rename, the one before stays.
    fn write(&self, path: &Path) -> io::Result<()> {
        let json = serde_json::to_vec(self)?;
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&Sha256Digest::of(&[&json]).0)?;
        file.write_all(&json)?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    }

    /// Whether the journal has, in its place, the very batch that the snapshot ends with.
    pub fn agrees(&self, disk: &dyn Disk) -> io::Result<bool> {
        let Place {
            segment,
            offset,
            len,
        } = self.place;
        let name = segment_name(segment);
        let Ok(header) = SegmentReader::header(disk, &name)? else {
            return Ok(false);
        };
        let SegmentHeader {
            segment: number,
            chain,
        } = header;
        let at = offset.checked_sub(len);
        let (Some(at), Ok(len)) = (at, usize::try_from(len)) else {
            return Ok(false);
        };
        let batch = disk.read(&name, at, len)?;
        let is_there = chain_after(&batch, segment) == Some(self.chain);
        Ok(is_there && number == segment && chain.index <= self.chain.index)
    }

    /// The right edge as far as the tiles went, and the leaves behind it.
    pub fn tree(&self) -> Option<(Frontier, Vec<Hash>)> {
        let subtrees = self.subtrees.iter().map(|digest| digest.0).collect();
        let frontier = Frontier::from_parts(self.tree_size, subtrees).ok()?;
        let bytes = STANDARD.decode(&self.leaves).ok()?;
        let (leaves, rest) = bytes.as_chunks::<{ size_of::<Hash>() }>();
        let fits = self.tree_size + leaves.len() as u64 == self.chain.index && rest.is_empty();
        fits.then(|| (frontier, leaves.to_vec()))
    }

    /// The root at its end, by its own account.
    pub fn root(&self) -> Option<Hash> {
        let (mut frontier, leaves) = self.tree()?;
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        Some(frontier.root())
    }

    /// Where it ends.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// The state at its end.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The end of the journal that it stands for.
    pub fn into_recovered(self) -> Recovered {
        Recovered {
            state: self.state,
            chain: self.chain,
            segment: Some(self.place.segment),
            offset: self.place.offset,
            last_len: self.place.len,
            torn: None,
        }
    }
}

/// The file, shared by those who write it and those who find that it must not be used.
#[derive(Debug, Clone)]
pub struct SnapshotFile {
    path: PathBuf,
    distrusted: Arc<AtomicBool>,
    /// What ends at or before this record is not kept.
    retired: Arc<AtomicU64>,
}

impl SnapshotFile {
    /// The one below `state_dir`.
    pub fn of(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join("snapshot"),
            distrusted: Arc::default(),
            retired: Arc::default(),
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, and keeps another from being written: the next start reads the whole journal.
    pub fn distrust(&self) {
        self.distrusted.store(true, Ordering::Release);
        // There may be none.
        let _ = std::fs::remove_file(&self.path);
    }

    /// Removes it where it ends at or before `record`, whose erasure it knows nothing of, and keeps another such one
    /// from being written.
    pub fn retire(&self, record: u64) {
        self.retired.fetch_max(record, Ordering::AcqRel);
        self.remove_retired();
    }

    fn remove_retired(&self) {
        let retired = self.retired.load(Ordering::Acquire);
        if Snapshot::read(&self.path).is_none_or(|snapshot| snapshot.chain.index <= retired) {
            // There may be none.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn put(&self, snapshot: &Snapshot) {
        if !self.distrusted.load(Ordering::Acquire)
            && let Err(error) = snapshot.write(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "no snapshot: the next start reads more of the journal");
        }
        // It may have been written at the moment it was removed.
        if self.distrusted.load(Ordering::Acquire) {
            self.distrust();
        } else if snapshot.chain.index <= self.retired.load(Ordering::Acquire) {
            self.remove_retired();
        }
    }
}

/// Follows the journal and makes snapshots; a thread of its own writes them.
pub struct SnapshotFollower {
    pending: Arc<Pending>,
    frontier: Frontier,
    /// Leaves behind the frontier: those that were not in the tiles when it was last looked.
    leaves: VecDeque<Hash>,
    last: Option<(Chain, Place)>,
    /// Index that the newest snapshot ends at.
    written: u64,
    file: SnapshotFile,
    sender: Option<Sender<Snapshot>>,
    thread: Option<JoinHandle<()>>,
}

impl SnapshotFollower {
    /// Goes on from a tree that `pending` has in its tiles, and a snapshot that ended at `written`.
    pub fn start(
        file: SnapshotFile,
        frontier: Frontier,
        pending: Arc<Pending>,
        written: u64,
    ) -> io::Result<Self> {
        let (sender, snapshots): (_, Receiver<Snapshot>) = channel();
        let thread = std::thread::Builder::new().name("snapshot".to_owned());
        let writing = file.clone();
        let write = move || snapshots.iter().for_each(|snapshot| writing.put(&snapshot));
        Ok(Self {
            file,
            pending,
            frontier,
            leaves: VecDeque::new(),
            last: None,
            written,
            sender: Some(sender),
            thread: Some(thread.spawn(write)?),
        })
    }

    fn make(&mut self, state: &State) {
        let Some((chain, place)) = self.last else {
            return;
        };
        let leaves: Vec<Hash> = self.leaves.iter().copied().collect();
        let subtrees = self.frontier.subtrees().iter().copied();
        let snapshot = Snapshot {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            place,
            chain,
            tree_size: self.frontier.size(),
            subtrees: subtrees.map(Sha256Digest).collect(),
            leaves: STANDARD.encode(leaves.as_flattened()),
            state: state.clone(),
        };
        self.written = chain.index;
        if let Some(sender) = &self.sender {
            // The thread ends with this follower.
            let _ = sender.send(snapshot);
        }
    }
}

impl Follower for SnapshotFollower {
    fn durable(&mut self, batch: Arc<Durable>, state: &State) {
        self.leaves
            .extend(batch.entries.iter().map(|(_, hash)| hash));
        while self.frontier.size() < self.pending.in_tiles()
            && let Some(leaf) = self.leaves.pop_front()
        {
            self.frontier.push(leaf);
        }
        self.last = Some((batch.chain, batch.end));
        let index = batch.chain.index;
        let is_retired = self.written <= self.file.retired.load(Ordering::Acquire);
        if index >= SMALLEST_LOG && (is_retired || index - self.written >= EVERY) {
            self.make(state);
        }
    }

    fn close(&mut self, state: &State) {
        // After a failed write the state is ahead of the journal.
        let is_durable = self
            .last
            .is_some_and(|(chain, _)| chain.index == state.next_index());
        if is_durable && state.next_index() >= SMALLEST_LOG {
            self.make(state);
        }
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            // It does nothing but write; whether it could, it has said.
            let _ = thread.join();
        }
    }
}
