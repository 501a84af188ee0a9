//! Making proofs out of the roots of complete subtrees, in O(log n) reads.

use super::merkle::{EMPTY_ROOT, Hash, node_hash};

/// Knows the roots of complete subtrees of one log.
///
/// What a reader says is believed here, so a proof made from damaged storage does not verify. Whoever hands
/// a proof out checks it first against the signed root ([`super::merkle::verify_inclusion`]).
pub trait HashReader {
    /// Why a hash cannot be had.
    type Error: std::error::Error;

    /// The root of the subtree over the leaves `index << level .. (index + 1) << level`; level 0 is the leaf
    /// hash itself.
    ///
    /// # Errors
    /// The reader's own; a subtree that is not complete is one of them.
    fn hash(&self, level: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// Why no proof was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProveError<E: std::error::Error> {
    /// No leaf of this index is in the tree.
    #[error("leaf {index} is not in a tree of {size} leaves: wait for a newer checkpoint")]
    IndexOutOfTree {
        /// Zero-based position of the leaf.
        index: u64,
        /// Leaves in the tree.
        size: u64,
    },
    /// The older tree is empty or larger than the newer one.
    #[error(
        "no proof leads from a tree of {size1} leaves to one of {size2}: the first must be from 1 to the second"
    )]
    SizesOutOfOrder {
        /// Leaves of the older tree.
        size1: u64,
        /// Leaves of the newer tree.
        size2: u64,
    },
    /// The reader failed.
    #[error(transparent)]
    Read(#[from] E),
}

/// The root of the tree of the first `size` leaves.
///
/// # Errors
/// Those of the reader.
pub fn root<R: HashReader>(size: u64, reader: &R) -> Result<Hash, R::Error> {
    Range { start: 0, size }.root(reader)
}

/// The inclusion proof of leaf `index` in the tree of the first `size` leaves, the leaf's sibling first
/// (RFC 9162 section 2.1.3.1).
///
/// # Errors
/// [`ProveError`]: `index` is not below `size`, or the reader failed.
pub fn inclusion_proof<R: HashReader>(
    index: u64,
    size: u64,
    reader: &R,
) -> Result<Vec<Hash>, ProveError<R::Error>> {
    if index >= size {
        return Err(ProveError::IndexOutOfTree { index, size });
    }
    let mut range = Range { start: 0, size };
    let mut proof = Vec::new();
    while range.size > 1 {
        let (left, right) = range.halves();
        let (inside, beside) = if index < right.start {
            (left, right)
        } else {
            (right, left)
        };
        proof.push(beside.root(reader)?);
        range = inside;
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of the first `size1` leaves is a prefix of that of the first `size2`
/// (RFC 9162 section 2.1.4.1); empty where the sizes are equal.
///
/// # Errors
/// [`ProveError`]: `size1` is 0 or more than `size2`, or the reader failed.
pub fn consistency_proof<R: HashReader>(
    size1: u64,
    size2: u64,
    reader: &R,
) -> Result<Vec<Hash>, ProveError<R::Error>> {
    if size1 == 0 || size1 > size2 {
        return Err(ProveError::SizesOutOfOrder { size1, size2 });
    }
    let mut range = Range {
        start: 0,
        size: size2,
    };
    let mut proof = Vec::new();
    while range.end() != size1 {
        let (left, right) = range.halves();
        let (inside, beside) = if size1 <= right.start {
            (left, right)
        } else {
            (right, left)
        };
        proof.push(beside.root(reader)?);
        range = inside;
    }
    // A range that begins the log is the older tree itself, whose root the verifier already has.
    if range.start != 0 {
        proof.push(range.root(reader)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The leaves `start .. start + size`, a node of some tree: `start` is a multiple of the largest power of two
/// that is at most `size`.
#[derive(Clone, Copy)]
struct Range {
    start: u64,
    size: u64,
}

impl Range {
    fn end(self) -> u64 {
        self.start + self.size
    }

    /// Splits at the largest power of two below the size, which must be at least 2.
    fn halves(self) -> (Self, Self) {
        let left = 1 << (self.size - 1).ilog2();
        (
            Self {
                start: self.start,
                size: left,
            },
            Self {
                start: self.start + left,
                size: self.size - left,
            },
        )
    }

    /// Combines the complete subtrees of the range, from the narrowest at its right end to the widest.
    fn root<R: HashReader>(self, reader: &R) -> Result<Hash, R::Error> {
        let mut root = None;
        let mut rest = self.size;
        while rest != 0 {
            let level = rest.trailing_zeros();
            rest &= rest - 1;
            let left = reader.hash(level, (self.start + rest) >> level)?;
            root = Some(root.map_or(left, |right| node_hash(&left, &right)));
        }
        Ok(root.unwrap_or(EMPTY_ROOT))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tlog_tiles::tlog;

    use super::super::naive::{Leaves, leaves};
    use super::*;
    use crate::tlog::merkle::{ProofError, verify_consistency, verify_inclusion};

    #[test]
    fn inclusion_proofs_are_those_of_the_definition_and_verify_at_every_index_and_size() {
        let leaves = leaves(70);
        for size in 1..=leaves.len() {
            let tree = Leaves(&leaves[..size]);
            let root = root(size as u64, &tree).expect("complete");
            assert_eq!(root, tree.root());
            for (index, leaf) in tree.0.iter().enumerate() {
                let proof = inclusion_proof(index as u64, size as u64, &tree).expect("complete");
                assert_eq!(proof, tree.path(index));
                verify_inclusion(leaf, index as u64, size as u64, &proof, &root).expect("verifies");
            }
        }
    }

    #[test]
    fn consistency_proofs_are_those_of_the_definition_and_verify_between_any_two_sizes() {
        let leaves = leaves(70);
        let root_at = |size: usize| Leaves(&leaves[..size]).root();
        for size2 in 1..=leaves.len() {
            let tree = Leaves(&leaves[..size2]);
            for size1 in 1..=size2 {
                let proof = consistency_proof(size1 as u64, size2 as u64, &tree).expect("complete");
                assert_eq!(proof, tree.subproof(size1, true), "{size1} to {size2}");
                let (old, new) = (root_at(size1), root_at(size2));
                verify_consistency(size1 as u64, size2 as u64, &old, &new, &proof)
                    .expect("verifies");
            }
        }
    }

    #[test]
    fn no_proof_is_made_for_what_is_not_in_the_tree() {
        let leaves = leaves(4);
        let tree = Leaves(&leaves);
        assert_eq!(
            inclusion_proof(3, 3, &tree),
            Err(ProveError::IndexOutOfTree { index: 3, size: 3 })
        );
        for (size1, size2) in [(0, 3), (4, 3)] {
            assert_eq!(
                consistency_proof(size1, size2, &tree),
                Err(ProveError::SizesOutOfOrder { size1, size2 })
            );
        }
        assert!(matches!(
            inclusion_proof(0, 5, &tree),
            Err(ProveError::Read(_))
        ));
    }

    #[test]
    fn a_proof_in_the_largest_tree_reads_at_most_two_hashes_per_level() {
        struct Counting(std::cell::Cell<u32>);
        impl HashReader for Counting {
            type Error = std::convert::Infallible;
            fn hash(&self, level: u32, index: u64) -> Result<Hash, Self::Error> {
                self.0.set(self.0.get() + 1);
                assert!(u128::from(index + 1) << level <= u128::from(u64::MAX));
                Ok([0; 32])
            }
        }
        let reader = Counting(std::cell::Cell::new(0));
        for index in [0, 1 << 40, u64::MAX / 2, u64::MAX - 1] {
            inclusion_proof(index, u64::MAX, &reader).expect("in the tree");
            assert!(reader.0.take() <= 128);
            consistency_proof(index + 1, u64::MAX, &reader).expect("in order");
            assert!(reader.0.take() <= 128);
        }
    }

    proptest! {
        #[test]
        fn any_flipped_bit_of_an_inclusion_proof_is_found(
            size in 2_usize..400, index: prop::sample::Index, hash: prop::sample::Index, bit in 0_usize..256,
        ) {
            let leaves = leaves(size);
            let tree = Leaves(&leaves);
            let index = index.index(size);
            let mut proof = tree.path(index);
            let at = hash.index(proof.len());
            proof[at][bit / 8] ^= 1 << (bit % 8);
            let verdict = verify_inclusion(&leaves[index], index as u64, size as u64, &proof, &tree.root());
            prop_assert_eq!(verdict, Err(ProofError::RootMismatch));
        }

        #[test]
        fn any_flipped_bit_of_a_consistency_proof_is_found(
            size1 in 1_usize..200, more in 1_usize..200, hash: prop::sample::Index, bit in 0_usize..256,
        ) {
            let leaves = leaves(size1 + more);
            let (old, new) = (Leaves(&leaves[..size1]), Leaves(&leaves));
            let mut proof = new.subproof(size1, true);
            let at = hash.index(proof.len());
            proof[at][bit / 8] ^= 1 << (bit % 8);
            let verdict = verify_consistency(
                size1 as u64, (size1 + more) as u64, &old.root(), &new.root(), &proof,
            );
            prop_assert_eq!(verdict, Err(ProofError::RootMismatch));
        }

        #[test]
        fn another_implementation_makes_and_accepts_the_same_proofs(
            size in 1_usize..300, index: prop::sample::Index, old: prop::sample::Index,
        ) {
            let leaves = leaves(size);
            let (index, old) = (index.index(size), old.index(size) + 1);
            let tree = Leaves(&leaves);
            let theirs = Oracle::of(&leaves);
            let ours = inclusion_proof(index as u64, size as u64, &tree).expect("complete");
            let proof = tlog::prove_record(size as u64, index as u64, &theirs).expect("theirs");
            prop_assert_eq!(&ours, &proof.iter().map(|hash| hash.0).collect::<Vec<_>>());
            let ours = consistency_proof(old as u64, size as u64, &tree).expect("complete");
            let proof = tlog::prove_tree(size as u64, old as u64, &theirs).expect("theirs");
            prop_assert_eq!(&ours, &proof.iter().map(|hash| hash.0).collect::<Vec<_>>());
        }
    }

    /// The hash storage of another implementation, filled with our leaves.
    struct Oracle(Vec<tlog::Hash>);

    impl Oracle {
        fn of(leaves: &[Hash]) -> Self {
            let mut oracle = Self(Vec::new());
            for (n, leaf) in (0..).zip(leaves) {
                let new = tlog::stored_hashes_for_record_hash(n, tlog::Hash(*leaf), &oracle)
                    .expect("all earlier hashes are stored");
                oracle.0.extend(new);
            }
            oracle
        }
    }

    impl tlog::HashReader for Oracle {
        fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog_tiles::Error> {
            Ok(indexes
                .iter()
                .map(|&i| self.0[usize::try_from(i).expect("small")])
                .collect())
        }
    }
}
