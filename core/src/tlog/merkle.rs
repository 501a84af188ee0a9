//! Merkle tree hashing and the checking of proofs (RFC 6962 section 2.1, RFC 9162 section 2.1).

use crate::digest::Sha256Digest;

/// The SHA-256 of a leaf, of an inner node, or of a whole tree (its root).
pub type Hash = [u8; 32];

/// The root of the tree without leaves: SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// The most hashes a proof for any tree below 2^64 leaves can have, of either kind.
pub const MAX_PROOF_HASHES: usize = 65;

/// Why a proof does not show what it claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// No leaf of this index is in the tree.
    #[error("leaf {index} is not in a tree of {size} leaves: ask for a proof in a newer tree")]
    IndexOutOfTree {
        /// Zero-based position of the leaf.
        index: u64,
        /// Leaves in the tree.
        size: u64,
    },
    /// A consistency proof from the empty tree shows nothing.
    #[error(
        "every tree is consistent with the empty one: compare with a tree of at least one leaf"
    )]
    FromEmptyTree,
    /// The tree that should be newer is smaller.
    #[error("a tree of {size1} leaves cannot have grown into one of {size2}")]
    Shrunk {
        /// Leaves of the older tree.
        size1: u64,
        /// Leaves of the newer tree.
        size2: u64,
    },
    /// Hashes are missing at the end.
    #[error("the proof ends too early for these tree sizes")]
    TooShort,
    /// Hashes are left over at the end.
    #[error("the proof has more hashes than these tree sizes need")]
    TooLong,
    /// The hashes lead to another root.
    #[error(
        "the proof leads to another root: the data, the proof or the root is not what it claims"
    )]
    RootMismatch,
}

/// `SHA-256(0x00 ‖ data)`.
pub fn leaf_hash(data: &[u8]) -> Hash {
    Sha256Digest::of(&[&[0], data]).0
}

/// `SHA-256(0x01 ‖ left ‖ right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256Digest::of(&[&[1], left, right]).0
}

/// Checks that the leaf with hash `leaf` stands at `index` in the tree of `size` leaves whose root is `root`.
///
/// `proof` starts with the leaf's sibling (RFC 9162 section 2.1.3.2).
///
/// # Errors
/// [`ProofError`]: the index is not in the tree, the proof has the wrong length, or it leads to another root.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutOfTree { index, size });
    }
    let mut walk = Walk::new(index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        hash = match walk.up()? {
            Side::Left => node_hash(sibling, &hash),
            Side::Right => node_hash(&hash, sibling),
        };
    }
    walk.end()?;
    same_root(&hash, root)
}

/// Checks that the tree of `size1` leaves with `root1` is a prefix of the one of `size2` leaves with `root2`
/// (RFC 9162 section 2.1.4.2).
///
/// # Errors
/// [`ProofError`]: `size1` is 0 or more than `size2`, the proof has the wrong length, or it leads to other roots.
pub fn verify_consistency(
    size1: u64,
    size2: u64,
    root1: &Hash,
    root2: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if size1 == 0 {
        return Err(ProofError::FromEmptyTree);
    }
    if size1 > size2 {
        return Err(ProofError::Shrunk { size1, size2 });
    }
    if size1 == size2 {
        return if proof.is_empty() {
            same_root(root1, root2)
        } else {
            Err(ProofError::TooLong)
        };
    }
    // A complete older tree is a node of the newer one, so the proof leaves its hash out.
    let (first, rest) = if size1.is_power_of_two() {
        (root1, proof)
    } else {
        proof.split_first().ok_or(ProofError::TooShort)?
    };
    let complete = (size1 - 1).trailing_ones();
    let mut walk = Walk::new((size1 - 1) >> complete, (size2 - 1) >> complete);
    let (mut old, mut new) = (*first, *first);
    for sibling in rest {
        match walk.up()? {
            Side::Left => {
                old = node_hash(sibling, &old);
                new = node_hash(sibling, &new);
            }
            Side::Right => new = node_hash(&new, sibling),
        }
    }
    walk.end()?;
    same_root(&old, root1)?;
    same_root(&new, root2)
}

fn same_root(found: &Hash, root: &Hash) -> Result<(), ProofError> {
    if found == root {
        Ok(())
    } else {
        Err(ProofError::RootMismatch)
    }
}

/// The way from a node up to the root. `node` and `last` are positions within one level, `last` that of the
/// level's rightmost node; at the root both are 0.
struct Walk {
    node: u64,
    last: u64,
}

/// Where a node's sibling is.
enum Side {
    Left,
    Right,
}

impl Walk {
    fn new(node: u64, last: u64) -> Self {
        Self { node, last }
    }

    /// Goes to the parent and says on which side the sibling was.
    fn up(&mut self) -> Result<Side, ProofError> {
        if self.last == 0 {
            return Err(ProofError::TooLong);
        }
        let side = if self.node & 1 == 1 || self.node == self.last {
            // The rightmost node has no sibling on levels where it is a left child: it moves up unchanged.
            let alone = self.node.trailing_zeros();
            self.shift(alone);
            Side::Left
        } else {
            Side::Right
        };
        self.shift(1);
        Ok(side)
    }

    fn shift(&mut self, levels: u32) {
        self.node = self.node.checked_shr(levels).unwrap_or(0);
        self.last = self.last.checked_shr(levels).unwrap_or(0);
    }

    fn end(&self) -> Result<(), ProofError> {
        if self.last == 0 {
            Ok(())
        } else {
            Err(ProofError::TooShort)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(text: &str) -> Hash {
        leaf_hash(text.as_bytes())
    }

    /// The tree of the leaves a, b, c: a and b have a parent, c stands alone.
    fn three() -> (Hash, Hash) {
        let left = node_hash(&leaf("a"), &leaf("b"));
        (left, node_hash(&left, &leaf("c")))
    }

    #[test]
    fn leaf_and_node_hashes_are_those_of_the_certificate_transparency_reference_tree() {
        let hex = |hash: &Hash| hex::encode(hash);
        assert_eq!(
            hex(&leaf_hash(b"")),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        assert_eq!(
            hex(&node_hash(&leaf_hash(b""), &leaf_hash(&[0]))),
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
        );
        assert_eq!(EMPTY_ROOT, Sha256Digest::of(&[]).0);
    }

    #[test]
    fn a_leaf_that_stands_alone_is_proved_by_the_node_beside_it() {
        let (left, root) = three();
        assert_eq!(verify_inclusion(&leaf("c"), 2, 3, &[left], &root), Ok(()));
        let path = [leaf("b"), leaf("c")];
        assert_eq!(verify_inclusion(&leaf("a"), 0, 3, &path, &root), Ok(()));
    }

    #[test]
    fn the_only_leaf_is_the_root() {
        let only = leaf("a");
        assert_eq!(verify_inclusion(&only, 0, 1, &[], &only), Ok(()));
        assert_eq!(
            verify_inclusion(&only, 0, 1, &[only], &only),
            Err(ProofError::TooLong)
        );
    }

    #[test]
    fn an_index_at_the_size_is_refused() {
        let (_, root) = three();
        let refused = |index, size| verify_inclusion(&root, index, size, &[], &root);
        let expected = |index, size| Err(ProofError::IndexOutOfTree { index, size });
        assert_eq!(refused(0, 0), expected(0, 0));
        assert_eq!(refused(3, 3), expected(3, 3));
        assert_eq!(refused(u64::MAX, u64::MAX), expected(u64::MAX, u64::MAX));
    }

    #[test]
    fn missing_and_trailing_hashes_have_errors_of_their_own() {
        let (left, root) = three();
        let check = |proof: &[Hash]| verify_inclusion(&leaf("a"), 0, 3, proof, &root);
        assert_eq!(check(&[leaf("b")]), Err(ProofError::TooShort));
        assert_eq!(
            check(&[leaf("b"), leaf("c"), root]),
            Err(ProofError::TooLong)
        );
        assert_eq!(check(&[left, leaf("c")]), Err(ProofError::RootMismatch));
    }

    #[test]
    fn equal_trees_need_equal_roots_and_an_empty_proof() {
        let (left, root) = three();
        assert_eq!(verify_consistency(3, 3, &root, &root, &[]), Ok(()));
        assert_eq!(
            verify_consistency(3, 3, &root, &left, &[]),
            Err(ProofError::RootMismatch)
        );
        assert_eq!(
            verify_consistency(3, 3, &root, &root, &[root]),
            Err(ProofError::TooLong)
        );
    }

    #[test]
    fn the_empty_tree_and_a_shrunken_tree_are_refused() {
        let (left, root) = three();
        for size2 in [0, 1, 3] {
            assert_eq!(
                verify_consistency(0, size2, &EMPTY_ROOT, &EMPTY_ROOT, &[]),
                Err(ProofError::FromEmptyTree)
            );
        }
        assert_eq!(
            verify_consistency(3, 2, &root, &left, &[]),
            Err(ProofError::Shrunk { size1: 3, size2: 2 })
        );
    }

    #[test]
    fn a_complete_older_tree_is_its_own_first_hash() {
        let (left, root) = three();
        assert_eq!(verify_consistency(2, 3, &left, &root, &[leaf("c")]), Ok(()));
        assert_eq!(
            verify_consistency(2, 3, &left, &root, &[left, leaf("c")]),
            Err(ProofError::TooLong)
        );
        assert_eq!(
            verify_consistency(2, 3, &left, &root, &[]),
            Err(ProofError::TooShort)
        );
    }

    #[test]
    fn the_largest_sizes_neither_overflow_nor_pass() {
        let hash = leaf("a");
        let proof = [hash; MAX_PROOF_HASHES];
        let max = u64::MAX;
        for used in 0..=MAX_PROOF_HASHES {
            let proof = &proof[..used];
            for (a, b) in [(0, max), (max - 1, max), (1 << 63, max), (max / 2, max)] {
                assert!(verify_inclusion(&hash, a, b, proof, &hash).is_err());
                assert!(verify_consistency(a, b, &hash, &hash, proof).is_err());
            }
        }
    }
}
