//! The right edge of a growing tree: all that an append-only log needs to know its root.

use super::merkle::{EMPTY_ROOT, Hash, node_hash};
use super::prove::HashReader;

/// The roots of the complete subtrees that a tree of `size` leaves falls into: one per set bit of `size`,
/// the widest first. At most 64 hashes, whatever the size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Hash>,
}

/// The number of subtree roots does not belong to the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a tree of {size} leaves has {expected} complete subtrees, not {found}: rebuild it from the leaves"
)]
pub struct FrontierError {
    /// Leaves of the tree.
    pub size: u64,
    /// How many subtree roots belong to that size.
    pub expected: usize,
    /// How many were given.
    pub found: usize,
}

impl Frontier {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up a tree where a snapshot left it: its size and its [`subtrees`](Self::subtrees).
    ///
    /// # Errors
    /// [`FrontierError`]: the number of hashes is not that of the set bits of `size`.
    pub fn from_parts(size: u64, subtrees: Vec<Hash>) -> Result<Self, FrontierError> {
        let expected = size.count_ones() as usize;
        if subtrees.len() != expected {
            let found = subtrees.len();
            return Err(FrontierError {
                size,
                expected,
                found,
            });
        }
        Ok(Self { size, subtrees })
    }

    /// Takes up the tree of `size` leaves whose complete subtrees `reader` knows.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn read<R: HashReader>(size: u64, reader: &R) -> Result<Self, R::Error> {
        let mut subtrees = Vec::new();
        let mut start = 0;
        for level in (0..64).rev().filter(|level| size >> level & 1 == 1) {
            subtrees.push(reader.hash(level, start >> level)?);
            start += 1 << level;
        }
        Ok(Self { size, subtrees })
    }

    /// Appends one leaf, by its [`leaf_hash`](super::merkle::leaf_hash).
    pub fn push(&mut self, leaf: Hash) {
        // As in a binary counter, each trailing one is a subtree that the new leaf completes into a wider one.
        let merged = self.size.trailing_ones() as usize;
        let keep = self.subtrees.len().saturating_sub(merged);
        let node = self
            .subtrees
            .drain(keep..)
            .rfold(leaf, |right, left| node_hash(&left, &right));
        self.subtrees.push(node);
        self.size += 1;
    }

    /// Leaves in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree; [`EMPTY_ROOT`] where it has no leaf.
    pub fn root(&self) -> Hash {
        self.subtrees
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or(EMPTY_ROOT)
    }

    /// The roots of the complete subtrees, the widest first: with the size, all of a snapshot.
    pub fn subtrees(&self) -> &[Hash] {
        &self.subtrees
    }
}

#[cfg(test)]
mod tests {
    use super::super::naive::{Leaves, leaves};
    use super::*;

    #[test]
    fn the_root_is_that_of_the_recursive_definition_at_every_size() {
        let leaves = leaves(300);
        let mut frontier = Frontier::new();
        assert_eq!(frontier.root(), EMPTY_ROOT);
        for (size, leaf) in (1..).zip(&leaves) {
            frontier.push(*leaf);
            assert_eq!(frontier.size(), size as u64);
            assert_eq!(frontier.root(), Leaves(&leaves[..size]).root());
        }
    }

    #[test]
    fn a_snapshot_and_a_reader_take_up_the_same_tree() {
        let leaves = leaves(70);
        let mut frontier = Frontier::new();
        for (size, leaf) in leaves.iter().enumerate() {
            let read = Frontier::read(size as u64, &Leaves(&leaves)).expect("all leaves are there");
            assert_eq!(read, frontier);
            let parts = frontier.subtrees().to_vec();
            assert_eq!(Frontier::from_parts(size as u64, parts), Ok(read));
            frontier.push(*leaf);
        }
    }

    #[test]
    fn a_snapshot_with_a_lost_hash_is_refused() {
        let error = Frontier::from_parts(6, vec![[0; 32]]);
        assert_eq!(
            error,
            Err(FrontierError {
                size: 6,
                expected: 2,
                found: 1
            })
        );
    }
}
