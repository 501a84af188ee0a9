//! The Merkle tree over the journal's leaves, as C2SP tiles in flat files.
//!
//! Tiles are derived: a start that reads the whole journal makes them anew, and one that continues from a snapshot
//! proves their right edge, so they need no sync of their own. They are brought up to date once per checkpoint, not per record.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealwright_core::state::State;
use sealwright_core::tlog::merkle::{ProofError, verify_consistency, verify_inclusion};
use sealwright_core::tlog::prove::{self, ProveError};
use sealwright_core::tlog::tile::FULL_WIDTH;
use sealwright_core::tlog::tree::{self, TileReader, TileSource, TreeError};
use sealwright_core::tlog::{Frontier, Hash, Tile};

use super::writer::{Durable, Follower};

/// Why a proof or a tile cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TileError {
    /// A tile file cannot be read or written.
    #[error("tile {path}: {source}; a restart makes the tiles anew from the journal")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The tiles are not those of the journal.
    #[error(
        "the tiles do not lead from {0} records to the journal's; a restart makes them anew from the journal"
    )]
    Wrong(u64),
}

/// Durable records that no checkpoint covers yet.
#[derive(Debug, Default)]
pub struct Pending {
    waiting: Mutex<Waiting>,
    in_tiles: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Leaf hashes that are not in the tiles yet.
    leaves: Vec<Hash>,
    /// When the oldest record that no checkpoint covers became durable.
    since: Option<Instant>,
    /// When this run's newest checkpoint was signed.
    signed: Option<Instant>,
}

impl Pending {
    /// How long ago this run's newest checkpoint was signed.
    pub fn age(&self) -> Option<Duration> {
        self.lock().signed.map(|signed| signed.elapsed())
    }

    /// How long a record has been waiting for a checkpoint; zero where none waits.
    pub fn lag(&self) -> Duration {
        self.lock()
            .since
            .map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// A checkpoint covers everything that was taken into the tree at `taken`.
    pub fn covered(&self, taken: Instant) {
        let mut waiting = self.lock();
        waiting.since = (!waiting.leaves.is_empty()).then_some(taken);
        waiting.signed = Some(Instant::now());
    }

    /// Records whose leaves are in the tiles.
    pub fn in_tiles(&self) -> u64 {
        self.in_tiles.load(Ordering::Acquire)
    }

    /// The tiles hold so many now.
    pub(super) fn set_in_tiles(&self, size: u64) {
        self.in_tiles.store(size, Ordering::Release);
    }

    fn add(&self, leaves: impl Iterator<Item = Hash>) {
        let mut waiting = self.lock();
        waiting.leaves.extend(leaves);
        waiting.since.get_or_insert_with(Instant::now);
    }

    fn take(&self) -> Vec<Hash> {
        std::mem::take(&mut self.lock().leaves)
    }

    /// Puts leaves back in front of those that came since.
    fn put_back(&self, mut leaves: Vec<Hash>) {
        let mut waiting = self.lock();
        leaves.append(&mut waiting.leaves);
        waiting.leaves = leaves;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Collects leaf hashes behind the writer.
pub struct PendingFollower(pub Arc<Pending>);

impl Follower for PendingFollower {
    fn durable(&mut self, batch: Arc<Durable>, _: &State) {
        self.0.add(batch.entries.iter().map(|(_, hash)| *hash));
    }
}

/// The folder that holds `tile/…`.
#[derive(Debug, Clone)]
pub struct TileFolder(PathBuf);

impl TileFolder {
    /// The bytes of the tile at `path` (as C2SP spells it), if it is there.
    pub fn read(&self, tile: &Tile) -> Result<Vec<u8>, TileError> {
        let path = self.0.join(tile.path());
        match std::fs::read(&path) {
            // A partial tile is removed once the full one stands; the full one begins with the same hashes.
            Err(e) if e.kind() == io::ErrorKind::NotFound && tile.width < FULL_WIDTH => {
                let full = Tile {
                    width: FULL_WIDTH,
                    ..*tile
                };
                let mut bytes = self.read(&full)?;
                bytes.truncate(tile.width as usize * size_of::<Hash>());
                Ok(bytes)
            }
            result => result.map_err(|source| TileError::Io { path, source }),
        }
    }

    fn write(&self, tile: &Tile, bytes: &[u8]) -> Result<(), TileError> {
        let path = self.0.join(tile.path());
        let run = || -> io::Result<()> {
            if std::fs::read(&path).is_ok_and(|old| old == bytes) {
                return Ok(());
            }
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let new = path.with_extension("new");
            std::fs::write(&new, bytes)?;
            std::fs::rename(&new, &path)
        };
        run().map_err(|source| TileError::Io {
            path: path.clone(),
            source,
        })?;
        if tile.width == FULL_WIDTH {
            let partials = path.with_extension("p");
            // Gone already, or still there for a reader: either way the full tile answers from now on.
            let _ = std::fs::remove_dir_all(partials);
        }
        Ok(())
    }
}

impl TileSource for TileFolder {
    type Error = TileError;

    fn tile(&self, tile: Tile) -> Result<Vec<u8>, TileError> {
        self.read(&tile)
    }
}

/// The tree as far as its tiles go.
pub struct Tree {
    tiles: TileFolder,
    frontier: Frontier,
}

impl Tree {
    /// Makes the tiles for `leaves`, all of the journal's leaf hashes, where they are missing or differ.
    pub fn rebuild(folder: &Path, leaves: &[Hash]) -> Result<Self, TreeError<TileError>> {
        let mut this = Self {
            tiles: TileFolder(folder.to_owned()),
            frontier: Frontier::new(),
        };
        this.append(leaves)?;
        Ok(this)
    }

    /// The tiles, for readers.
    pub fn tiles(&self) -> TileFolder {
        self.tiles.clone()
    }

    /// Takes in what became durable since the last call; returns size and root.
    ///
    /// If a tile cannot be written the leaves wait for the next call: a tree that skipped one would be signed
    /// and contradict the journal for ever.
    pub fn advance(&mut self, pending: &Pending) -> Result<(u64, Hash), TreeError<TileError>> {
        let leaves = pending.take();
        if let Err(error) = self.append(&leaves) {
            pending.put_back(leaves);
            return Err(error);
        }
        pending.set_in_tiles(self.frontier.size());
        Ok((self.frontier.size(), self.frontier.root()))
    }

    /// Takes up the tiles where a snapshot left them, if their right edge is `frontier`'s, and adds `leaves`.
    pub fn resume(
        folder: &Path,
        frontier: Frontier,
        leaves: &[Hash],
    ) -> Result<Self, TreeError<TileError>> {
        let tiles = TileFolder(folder.to_owned());
        let size = frontier.size();
        if Frontier::read(size, &TileReader::new(tiles.clone(), size))? != frontier {
            return Err(TileError::Wrong(size).into());
        }
        let mut this = Self { tiles, frontier };
        this.append(leaves)?;
        Ok(this)
    }

    /// Its right edge.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Records in it.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The root that the tree had at `size`, proved to be that of a prefix of this one; `None` where it never was
    /// that large.
    pub fn root_at(&self, size: u64) -> Result<Option<Hash>, TreeError<TileError>> {
        let newest = self.frontier.size();
        if size > newest {
            return Ok(None);
        }
        let reader = TileReader::new(self.tiles(), newest);
        let root = prove::root(size, &reader)?;
        if size == 0 {
            return Ok(Some(root));
        }
        let proof = match prove::consistency_proof(size, newest, &reader) {
            Ok(proof) => proof,
            Err(ProveError::Read(error)) => return Err(error),
            Err(_) => return Err(TileError::Wrong(size).into()),
        };
        match verify_consistency(size, newest, &root, &self.frontier.root(), &proof) {
            Ok(()) => Ok(Some(root)),
            Err(_) => Err(TileError::Wrong(size).into()),
        }
    }

    fn append(&mut self, leaves: &[Hash]) -> Result<(), TreeError<TileError>> {
        for new in tree::append(self.frontier.size(), leaves, &self.tiles)? {
            self.tiles.write(&new.tile, &new.bytes)?;
        }
        leaves.iter().for_each(|leaf| self.frontier.push(*leaf));
        Ok(())
    }
}

/// Why no proof was made.
#[derive(Debug, thiserror::Error)]
pub enum InclusionError {
    /// The tiles do not give one.
    #[error(transparent)]
    Prove(#[from] ProveError<TreeError<TileError>>),
    /// The tiles give one that does not verify.
    #[error(
        "the tiles do not lead from record {0} to the signed root; a restart makes them anew from the journal"
    )]
    Wrong(u64),
}

/// Why no consistency proof was made.
#[derive(Debug, thiserror::Error)]
pub enum ConsistencyError {
    /// The tiles do not give one.
    #[error(transparent)]
    Prove(#[from] ProveError<TreeError<TileError>>),
    /// A root cannot be made from the tiles.
    #[error(transparent)]
    Tree(#[from] TreeError<TileError>),
    /// The tiles contradict themselves.
    #[error(
        "the tiles do not lead from {from} to {to} records: {error}; a restart makes them anew from the journal"
    )]
    Wrong {
        /// Size of the older tree.
        from: u64,
        /// Size of the newer tree.
        to: u64,
        /// What is wrong.
        error: ProofError,
    },
}

/// The consistency proof between two sizes, in O(log n) tiles, checked before it is handed out.
pub fn consistency(tiles: TileFolder, from: u64, to: u64) -> Result<Vec<Hash>, ConsistencyError> {
    let reader = TileReader::new(tiles, to);
    let hashes = prove::consistency_proof(from, to, &reader)?;
    let (old, new) = (prove::root(from, &reader)?, prove::root(to, &reader)?);
    match verify_consistency(from, to, &old, &new, &hashes) {
        Ok(()) => Ok(hashes),
        Err(error) => Err(ConsistencyError::Wrong { from, to, error }),
    }
}

/// The inclusion proof of `leaf` at `index` under a signed root, checked before it is handed out.
pub fn inclusion(
    tiles: TileFolder,
    leaf: &Hash,
    index: u64,
    size: u64,
    root: &Hash,
) -> Result<Vec<Hash>, InclusionError> {
    let hashes = prove::inclusion_proof(index, size, &TileReader::new(tiles, size))?;
    match verify_inclusion(leaf, index, size, &hashes, root) {
        Ok(()) => Ok(hashes),
        Err(_) => Err(InclusionError::Wrong(index)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(n: usize) -> Vec<Hash> {
        (0..n)
            .map(|i| sealwright_core::tlog::merkle::leaf_hash(&i.to_le_bytes()))
            .collect()
    }

    #[test]
    fn a_tree_grown_in_steps_equals_one_made_at_once_and_proves_every_record() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let all = leaves(700);
        let mut grown = Tree::rebuild(a.path(), &all[..3]).unwrap();
        let pending = Pending::default();
        for step in [3..250, 250..512, 512..700] {
            pending.add(all[step].iter().copied());
            grown.advance(&pending).unwrap();
        }
        let once = Tree::rebuild(b.path(), &all).unwrap();
        let root = once.frontier.root();
        assert_eq!(grown.frontier, once.frontier);
        for index in [0, 255, 256, 511, 512, 699] {
            let leaf = &all[usize::try_from(index).unwrap()];
            inclusion(grown.tiles(), leaf, index, 700, &root).unwrap();
            inclusion(once.tiles(), leaf, index, 700, &root).unwrap();
        }
        let early = grown.root_at(300).unwrap();
        assert_eq!(
            early,
            Tree::rebuild(b.path(), &all[..300])
                .map(|t| t.frontier.root())
                .ok()
        );
        assert_eq!(grown.root_at(701).unwrap(), None);
    }

    #[test]
    fn a_tile_that_cannot_be_written_loses_no_leaf() {
        let folder = tempfile::tempdir().unwrap();
        let all = leaves(10);
        let mut tree = Tree::rebuild(folder.path(), &all[..4]).unwrap();
        let pending = Pending::default();
        pending.add(all[4..7].iter().copied());
        let (tiles, away) = (folder.path().join("tile"), folder.path().join("away"));
        std::fs::rename(&tiles, &away).unwrap();
        std::fs::write(&tiles, b"in the way").unwrap();
        assert!(tree.advance(&pending).is_err());
        std::fs::remove_file(&tiles).unwrap();
        std::fs::rename(&away, &tiles).unwrap();
        pending.add(all[7..].iter().copied());
        let other = tempfile::tempdir().unwrap();
        let whole = Tree::rebuild(other.path(), &all).unwrap();
        assert_eq!(tree.advance(&pending).unwrap(), (10, whole.frontier.root()));
    }

    #[test]
    fn records_wait_from_the_oldest_that_no_checkpoint_covers() {
        let pending = Pending::default();
        assert_eq!(pending.lag(), Duration::ZERO);
        pending.add(leaves(1).into_iter());
        let taken = Instant::now();
        let _ = pending.take();
        assert!(
            pending.lag() > Duration::ZERO,
            "taken into the tree, but not covered yet"
        );
        pending.add(leaves(1).into_iter());
        pending.covered(taken);
        assert!(pending.lag() > Duration::ZERO, "a later one still waits");
        let _ = pending.take();
        pending.covered(Instant::now());
        assert_eq!(pending.lag(), Duration::ZERO);
    }

    #[test]
    fn a_damaged_tile_gives_no_proof() {
        let folder = tempfile::tempdir().unwrap();
        let all = leaves(300);
        let tree = Tree::rebuild(folder.path(), &all).unwrap();
        let path = folder.path().join("tile/0/000");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[40] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let result = inclusion(tree.tiles(), &all[0], 0, 300, &tree.frontier.root());
        assert!(matches!(result, Err(InclusionError::Wrong(0))));
    }
}
