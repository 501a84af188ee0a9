//! The recursive definitions of RFC 9162 section 2.1 over all leaves, for tests to compare with.

use super::merkle::{EMPTY_ROOT, Hash, leaf_hash, node_hash};
use super::prove::HashReader;

/// `count` different leaf hashes.
pub(super) fn leaves(count: usize) -> Vec<Hash> {
    (0..count)
        .map(|i| leaf_hash(format!("leaf {i}").as_bytes()))
        .collect()
}

/// All leaf hashes of a log.
pub(super) struct Leaves<'a>(pub(super) &'a [Hash]);

/// The subtree has leaves that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no complete subtree at level {level}, index {index}")]
pub(super) struct Missing {
    level: u32,
    index: u64,
}

impl<'a> Leaves<'a> {
    /// MTH(D[n]).
    pub(super) fn root(&self) -> Hash {
        match self.0 {
            [] => EMPTY_ROOT,
            [leaf] => *leaf,
            _ => {
                let (left, right, _) = self.halves();
                node_hash(&left.root(), &right.root())
            }
        }
    }

    /// PATH(m, D[n]).
    pub(super) fn path(&self, m: usize) -> Vec<Hash> {
        if self.0.len() == 1 {
            return Vec::new();
        }
        let (left, right, split) = self.halves();
        let (mut path, beside) = if m < split {
            (left.path(m), right)
        } else {
            (right.path(m - split), left)
        };
        path.push(beside.root());
        path
    }

    /// SUBPROOF(m, D[n], whole).
    pub(super) fn subproof(&self, m: usize, whole: bool) -> Vec<Hash> {
        if m == self.0.len() {
            return if whole { Vec::new() } else { vec![self.root()] };
        }
        let (left, right, split) = self.halves();
        let (mut proof, beside) = if m <= split {
            (left.subproof(m, whole), right)
        } else {
            (right.subproof(m - split, false), left)
        };
        proof.push(beside.root());
        proof
    }

    fn halves(&self) -> (Leaves<'a>, Leaves<'a>, usize) {
        let split = self.0.len().next_power_of_two() / 2;
        let (left, right) = self.0.split_at(split);
        (Leaves(left), Leaves(right), split)
    }
}

impl HashReader for Leaves<'_> {
    type Error = Missing;

    fn hash(&self, level: u32, index: u64) -> Result<Hash, Missing> {
        let start = usize::try_from(index << level).expect("a small test tree");
        let range = start..start + (1 << level);
        let leaves = self.0.get(range).ok_or(Missing { level, index })?;
        Ok(Leaves(leaves).root())
    }
}
