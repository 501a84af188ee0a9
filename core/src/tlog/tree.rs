//! Reading subtrees out of tiles, and making the tiles that an append adds.

use super::merkle::{Hash, node_hash};
use super::prove::HashReader;
use super::tile::{FULL_WIDTH, Tile, hashes_at};

/// Bytes of one hash in a tile.
const HASH_BYTES: usize = size_of::<Hash>();

/// Where the bytes of tiles come from.
pub trait TileSource {
    /// Why a tile cannot be had.
    type Error: std::error::Error;

    /// The bytes of `tile`: `width` hashes, or more where a partial tile was removed after the full one was
    /// written (it begins with the same hashes).
    ///
    /// # Errors
    /// The source's own.
    fn tile(&self, tile: Tile) -> Result<Vec<u8>, Self::Error>;
}

/// Why a subtree could not be read from tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError<E: std::error::Error> {
    /// The subtree has leaves beyond the end of the tree.
    #[error(
        "the subtree at level {level}, index {index} is not complete in a tree of {size} leaves"
    )]
    Incomplete {
        /// Height of the subtree: it has `1 << level` leaves.
        level: u32,
        /// Position within its level.
        index: u64,
        /// Leaves in the tree.
        size: u64,
    },
    /// The stored tile is not a whole number of hashes, or not enough of them.
    #[error("{path} has {found} bytes where {expected} are needed: rebuild it from the journal", path = tile.path())]
    Length {
        /// The tile that was asked for.
        tile: Tile,
        /// Bytes of a tile of its width.
        expected: usize,
        /// Bytes that were there.
        found: usize,
    },
    /// The source failed.
    #[error(transparent)]
    Source(#[from] E),
}

/// The complete subtrees of the first `size` leaves of a log, read from its tiles.
///
/// Tiles are believed as they are; see [`HashReader`].
#[derive(Debug, Clone)]
pub struct TileReader<S> {
    source: S,
    size: u64,
}

impl<S: TileSource> TileReader<S> {
    /// Reads tiles as wide as they are in a tree of `size` leaves.
    pub fn new(source: S, size: u64) -> Self {
        Self { source, size }
    }
}

impl<S: TileSource> HashReader for TileReader<S> {
    type Error = TreeError<S::Error>;

    fn hash(&self, level: u32, index: u64) -> Result<Hash, Self::Error> {
        let incomplete = TreeError::Incomplete {
            level,
            index,
            size: self.size,
        };
        let Some((tile, within)) = Tile::containing(level, index, self.size) else {
            return Err(incomplete);
        };
        let hashes = read(&self.source, tile)?;
        // `within` ends at the tile's width, which `read` has checked.
        hashes.get(within).and_then(subtree_root).ok_or(incomplete)
    }
}

/// A tile to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTile {
    /// Which one; its [`path`](Tile::path) is the file.
    pub tile: Tile,
    /// All of the file.
    pub bytes: Vec<u8>,
}

/// The tiles that a tree of `old` leaves gains by appending `leaves` (leaf hashes), level by level, left to
/// right. Write and sync all of them before the checkpoint that covers them is shown.
///
/// # Errors
/// [`TreeError`]: a partial tile of the old tree could not be read.
pub fn append<S: TileSource>(
    old: u64,
    leaves: &[Hash],
    source: &S,
) -> Result<Vec<NewTile>, TreeError<S::Error>> {
    let mut written = Vec::new();
    let mut new = leaves.to_vec();
    for level in 0.. {
        if new.is_empty() {
            break;
        }
        let first = hashes_at(level, old) / u64::from(FULL_WIDTH);
        let mut hashes = partial(level, old, source)?;
        hashes.append(&mut new);
        for (index, chunk) in (first..).zip(hashes.chunks(FULL_WIDTH as usize)) {
            if chunk.len() == FULL_WIDTH as usize {
                new.extend(subtree_root(chunk));
            }
            let tile = Tile {
                level,
                index,
                width: u32::try_from(chunk.len()).unwrap_or(FULL_WIDTH),
            };
            let bytes = chunk.concat();
            written.push(NewTile { tile, bytes });
        }
    }
    Ok(written)
}

/// The hashes of the partial tile at the right end of `level` in a tree of `size` leaves.
fn partial<S: TileSource>(
    level: u32,
    size: u64,
    source: &S,
) -> Result<Vec<Hash>, TreeError<S::Error>> {
    let hashes = hashes_at(level, size);
    let full = u64::from(FULL_WIDTH);
    match u32::try_from(hashes % full).unwrap_or(0) {
        0 => Ok(Vec::new()),
        width => read(
            source,
            Tile {
                level,
                index: hashes / full,
                width,
            },
        ),
    }
}

/// Exactly `tile.width` hashes.
fn read<S: TileSource>(source: &S, tile: Tile) -> Result<Vec<Hash>, TreeError<S::Error>> {
    let bytes = source.tile(tile)?;
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    let width = tile.width as usize;
    match hashes.get(..width) {
        Some(hashes) if rest.is_empty() => Ok(hashes.to_vec()),
        _ => Err(TreeError::Length {
            tile,
            expected: width * HASH_BYTES,
            found: bytes.len(),
        }),
    }
}

/// The root over a power of two of hashes; `None` for none.
fn subtree_root(hashes: &[Hash]) -> Option<Hash> {
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        let (pairs, _) = level.as_chunks::<2>();
        level = pairs
            .iter()
            .map(|[left, right]| node_hash(left, right))
            .collect();
    }
    level.first().copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::naive::{Leaves, leaves};
    use super::super::prove::{consistency_proof, inclusion_proof, root};
    use super::super::tile::new_tiles;
    use super::*;

    /// Files by path, as a log serves them.
    #[derive(Debug, Clone, Default)]
    struct Files(BTreeMap<String, Vec<u8>>);

    #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
    #[error("no file {0}")]
    struct NoFile(String);

    impl TileSource for &Files {
        type Error = NoFile;

        fn tile(&self, tile: Tile) -> Result<Vec<u8>, NoFile> {
            let path = tile.path();
            self.0.get(&path).cloned().ok_or(NoFile(path))
        }
    }

    impl Files {
        fn append(&mut self, old: usize, leaves: &[Hash]) -> Vec<Tile> {
            let tiles = append(old as u64, leaves, &&*self).expect("old tiles are there");
            for NewTile { tile, bytes } in &tiles {
                assert_eq!(bytes.len(), tile.width as usize * HASH_BYTES);
                let before = self.0.insert(tile.path(), bytes.clone());
                assert_eq!(before, None, "{} was written twice", tile.path());
            }
            tiles.into_iter().map(|new| new.tile).collect()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn proofs_from_tiles_equal_those_from_all_leaves(
            steps in prop::collection::vec(1_usize..300, 1..6), index: prop::sample::Index, old: prop::sample::Index,
        ) {
            let leaves = leaves(steps.iter().sum());
            let (mut files, mut size) = (Files::default(), 0);
            for step in steps {
                let new = files.append(size, &leaves[size..size + step]);
                let expected: Vec<_> = new_tiles(size as u64, (size + step) as u64).collect();
                prop_assert_eq!(new, expected);
                size += step;
                let tree = Leaves(&leaves[..size]);
                let reader = TileReader::new(&files, size as u64);
                prop_assert_eq!(root(size as u64, &reader).expect("root"), tree.root());
                let index = index.index(size);
                let proof = inclusion_proof(index as u64, size as u64, &reader).expect("inclusion");
                prop_assert_eq!(proof, tree.path(index));
                let old = old.index(size) + 1;
                let proof = consistency_proof(old as u64, size as u64, &reader).expect("consistency");
                prop_assert_eq!(proof, tree.subproof(old, true));
            }
        }
    }

    #[test]
    fn a_tree_across_two_tile_levels_keeps_its_root() {
        let leaves = leaves(66_000);
        let mut files = Files::default();
        files.append(0, &leaves[..65_000]);
        files.append(65_000, &leaves[65_000..]);
        assert!(files.0.contains_key("tile/1/000"));
        assert!(files.0.contains_key("tile/2/000.p/1"));
        let reader = TileReader::new(&files, 66_000);
        assert_eq!(root(66_000, &reader).expect("root"), Leaves(&leaves).root());
    }

    #[test]
    fn a_full_tile_stands_in_for_a_partial_one_that_was_removed() {
        let leaves = leaves(256);
        let mut files = Files::default();
        files.append(0, &leaves);
        let full = files.0["tile/0/000"].clone();
        files.0.insert("tile/0/000.p/100".into(), full);
        let reader = TileReader::new(&files, 100);
        assert_eq!(
            root(100, &reader).expect("root"),
            Leaves(&leaves[..100]).root()
        );
    }

    #[test]
    fn a_short_or_missing_tile_is_named() {
        let mut files = Files::default();
        files.append(0, &leaves(3));
        let path = "tile/0/000.p/3";
        for length in [0, 64, 95, 97] {
            files.0.insert(path.into(), vec![0; length]);
            let error = root(3, &TileReader::new(&files, 3)).expect_err("damaged");
            assert_eq!(
                error.to_string(),
                format!(
                    "{path} has {length} bytes where 96 are needed: rebuild it from the journal"
                )
            );
        }
        files.0.clear();
        let error = root(3, &TileReader::new(&files, 3)).expect_err("missing");
        assert_eq!(error, TreeError::Source(NoFile(path.into())));
    }

    #[test]
    fn a_node_beyond_the_tree_is_not_read() {
        let mut files = Files::default();
        files.append(0, &leaves(5));
        let reader = TileReader::new(&files, 5);
        for (level, index) in [(0, 5), (1, 2), (3, 0), (63, 0), (64, 0)] {
            let expected = TreeError::Incomplete {
                level,
                index,
                size: 5,
            };
            assert_eq!(reader.hash(level, index), Err(expected));
        }
    }
}
