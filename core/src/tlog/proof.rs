//! Proofs of logging that are checked offline (C2SP `tlog-proof`).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::merkle::{Hash, MAX_PROOF_HASHES, ProofError, verify_inclusion};
use super::note::MAX_NOTE_BYTES;
use super::policy::Policy;
use super::text;
use super::witnessed::{WitnessedCheckpoint, WitnessedError};

/// The longest proof: a checkpoint of the longest kind, and as much again for the extra data and the hashes.
pub const MAX_PROOF_BYTES: usize = 2 * MAX_NOTE_BYTES;

/// The extension of files that hold a proof, with its dot.
pub const FILE_EXTENSION: &str = ".tlog-proof";

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// The inclusion proof of one entry with the checkpoint it leads to.
///
/// Its [`Display`](fmt::Display) is the file; [`FromStr`] reads the framing and leaves the checkpoint as it
/// is. Nothing in it is to be believed before [`TlogProof::verify`], and `extra` not even then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Bytes for the application, which the proof does not authenticate.
    pub extra: Option<Vec<u8>>,
    /// Zero-based position of the entry in the log.
    pub index: u64,
    /// The inclusion proof, the leaf's sibling first; at most [`MAX_PROOF_HASHES`].
    pub hashes: Vec<Hash>,
    /// The signed note, verbatim.
    pub checkpoint: String,
}

/// An entry shown to be in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedProof {
    /// Zero-based position of the entry in the log.
    pub index: u64,
    /// The checkpoint whose tree holds it, and who cosigned that.
    pub witnessed: WitnessedCheckpoint,
}

/// Why a text is no proof, or shows nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// Longer than [`MAX_PROOF_BYTES`].
    #[error("a log proof has at most {MAX_PROOF_BYTES} bytes, not {0}")]
    TooLong(usize),
    /// The first line is another.
    #[error("a log proof begins with the line {HEADER}: this is another file or version")]
    Header,
    /// The extra line is not base64.
    #[error("the extra line of a log proof must be standard base64")]
    Extra,
    /// The index line is missing or no number in its only spelling.
    #[error(
        "a log proof needs the line `index <n>`, a decimal below 2^64 without sign or leading zero"
    )]
    Index,
    /// A hash line is not 32 bytes.
    #[error("hash line {0} of a log proof must be 32 bytes in standard base64")]
    Hash(usize),
    /// More hash lines than any tree needs.
    #[error("a log proof has at most {MAX_PROOF_HASHES} hash lines")]
    TooManyHashes,
    /// No empty line with the checkpoint after it.
    #[error("a log proof ends with an empty line and the signed checkpoint: the file is cut short")]
    NoCheckpoint,
    /// The checkpoint is not accepted.
    #[error("the checkpoint of the log proof is not accepted: {0}")]
    Checkpoint(#[from] WitnessedError),
    /// The hashes do not lead from the entry to the checkpoint.
    #[error("the entry is not at index {index} of the checkpoint's tree: {error}")]
    Inclusion {
        /// The index of the proof.
        index: u64,
        /// What is wrong with the way to the root.
        error: ProofError,
    },
}

impl TlogProof {
    /// Checks that the entry with the hash `leaf` ([`super::merkle::leaf_hash`] of its bytes) is in a log
    /// that `policy` knows, in a tree that its quorum has seen.
    ///
    /// # Errors
    /// [`TlogProofError::Checkpoint`] or [`TlogProofError::Inclusion`].
    pub fn verify(&self, leaf: &Hash, policy: &Policy) -> Result<VerifiedProof, TlogProofError> {
        let index = self.index;
        let witnessed = policy.accept(&self.checkpoint)?;
        let tree = &witnessed.checkpoint;
        verify_inclusion(leaf, index, tree.size(), &self.hashes, tree.root())
            .map_err(|error| TlogProofError::Inclusion { index, error })?;
        Ok(VerifiedProof { index, witnessed })
    }
}

impl FromStr for TlogProof {
    type Err = TlogProofError;

    fn from_str(proof: &str) -> Result<Self, TlogProofError> {
        if proof.len() > MAX_PROOF_BYTES {
            return Err(TlogProofError::TooLong(proof.len()));
        }
        let (header, rest) = line(proof).ok_or(TlogProofError::Header)?;
        if header != HEADER {
            return Err(TlogProofError::Header);
        }
        let (extra, rest) = parse_extra(rest)?;
        let (index, rest) = line(rest).ok_or(TlogProofError::Index)?;
        let index = index.strip_prefix("index ").and_then(text::decimal);
        let index = index.ok_or(TlogProofError::Index)?;
        let (hashes, checkpoint) = parse_hashes(rest)?;
        if checkpoint.is_empty() {
            return Err(TlogProofError::NoCheckpoint);
        }
        Ok(Self {
            extra,
            index,
            hashes,
            checkpoint: checkpoint.to_owned(),
        })
    }
}

/// The first line without its line feed, and what follows.
fn line(text: &str) -> Option<(&str, &str)> {
    text.split_once('\n')
}

fn parse_extra(rest: &str) -> Result<(Option<Vec<u8>>, &str), TlogProofError> {
    let Some(extra) = rest.strip_prefix("extra ") else {
        return Ok((None, rest));
    };
    let (extra, rest) = line(extra).ok_or(TlogProofError::Extra)?;
    let extra = STANDARD.decode(extra).map_err(|_| TlogProofError::Extra)?;
    Ok((Some(extra), rest))
}

/// The hash lines up to the empty line, and what follows that.
fn parse_hashes(mut rest: &str) -> Result<(Vec<Hash>, &str), TlogProofError> {
    let mut hashes = Vec::new();
    loop {
        let (hash, after) = line(rest).ok_or(TlogProofError::NoCheckpoint)?;
        rest = after;
        if hash.is_empty() {
            return Ok((hashes, rest));
        }
        if hashes.len() == MAX_PROOF_HASHES {
            return Err(TlogProofError::TooManyHashes);
        }
        let number = hashes.len() + 1;
        hashes.push(text::hash(hash).ok_or(TlogProofError::Hash(number))?);
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{}", text::encode(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::checkpoint::Checkpoint;
    use super::super::naive::{Leaves, leaves};
    use super::super::signers::{TestKey, signed};
    use super::*;

    /// A log of `size` leaves, its checkpoint cosigned by one witness, and the proof of leaf `index`.
    fn proved(index: usize, size: usize) -> (TlogProof, Hash, Policy) {
        let (log, witness) = (TestKey::log("log.example", 1), TestKey::witness("w", 2));
        let leaves = leaves(size);
        let tree = Leaves(&leaves);
        let body = Checkpoint::new("log.example", size as u64, tree.root()).expect("good");
        let proof = TlogProof {
            extra: Some(b"body and salt".to_vec()),
            index: index as u64,
            hashes: tree.path(index),
            checkpoint: signed(&body.to_string(), [&log, &witness]).to_string(),
        };
        let policy = format!(
            "log {}\nwitness w {}\nquorum w\n",
            log.public, witness.public
        );
        (proof, leaves[index], policy.parse().expect("good"))
    }

    fn refused(text: &str) -> TlogProofError {
        text.parse::<TlogProof>().expect_err("must be refused")
    }

    #[test]
    fn a_proof_verifies_for_its_leaf_and_tells_index_tree_and_cosigners() {
        let (proof, leaf, policy) = proved(5, 11);
        let verified = proof.verify(&leaf, &policy).expect("verifies");
        assert_eq!(verified.index, 5);
        assert_eq!(verified.witnessed.checkpoint.origin(), "log.example");
        assert_eq!(verified.witnessed.checkpoint.size(), 11);
        assert_eq!(verified.witnessed.cosigners[0].time, 2);
    }

    #[test]
    fn another_leaf_index_or_length_is_refused() {
        let (proof, leaf, policy) = proved(5, 11);
        let error = |proof: &TlogProof, leaf: &Hash| match proof.verify(leaf, &policy) {
            Err(TlogProofError::Inclusion { error, .. }) => error,
            other => panic!("expected an inclusion error, not {other:?}"),
        };
        assert_eq!(error(&proof, &[0; 32]), ProofError::RootMismatch);
        let (index, size) = (11, 11);
        let beyond = TlogProof {
            index,
            ..proof.clone()
        };
        assert_eq!(
            error(&beyond, &leaf),
            ProofError::IndexOutOfTree { index, size }
        );
        let mut short = proof.clone();
        short.hashes.pop();
        assert_eq!(error(&short, &leaf), ProofError::TooShort);
        let mut long = proof;
        long.hashes.push([0; 32]);
        assert_eq!(error(&long, &leaf), ProofError::TooLong);
    }

    #[test]
    fn an_unknown_log_or_a_missing_quorum_is_refused() {
        let (proof, leaf, _) = proved(0, 1);
        for policy in [
            Policy::of_log(TestKey::log("log.example", 9).public),
            format!(
                "log {}\nwitness v {}\nquorum v\n",
                TestKey::log("log.example", 1).public,
                TestKey::witness("v", 8).public
            )
            .parse()
            .expect("good"),
        ] {
            let verdict = proof.verify(&leaf, &policy);
            assert!(
                matches!(verdict, Err(TlogProofError::Checkpoint(_))),
                "{verdict:?}"
            );
        }
    }

    #[test]
    fn each_malformed_line_has_an_error_of_its_own() {
        let hash = text::encode(&[7; 32]);
        let good = format!("{HEADER}\nextra AA==\nindex 0\n{hash}\n\nnote\n");
        assert!(good.parse::<TlogProof>().is_ok());
        let changed = |from: &str, to: &str| {
            assert!(good.contains(from));
            refused(&good.replacen(from, to, 1))
        };
        assert_eq!(changed("@v1", "@v2"), TlogProofError::Header);
        assert_eq!(changed("@v1\n", "@v1\r\n"), TlogProofError::Header);
        assert_eq!(changed("AA==", "AA"), TlogProofError::Extra);
        assert_eq!(changed("AA==", "A-=="), TlogProofError::Extra);
        assert_eq!(changed("extra AA==", "extra"), TlogProofError::Index);
        assert_eq!(
            changed("extra AA==", "extra AA==\nextra AA=="),
            TlogProofError::Index
        );
        assert_eq!(changed("index 0", "index 00"), TlogProofError::Index);
        assert_eq!(changed("index 0", "index -5"), TlogProofError::Index);
        assert_eq!(changed("index 0\n", ""), TlogProofError::Index);
        assert_eq!(changed(&hash, &hash[1..]), TlogProofError::Hash(1));
        assert_eq!(changed("\n\nnote", "\nnote"), TlogProofError::Hash(2));
        assert_eq!(changed("\nnote\n", ""), TlogProofError::NoCheckpoint);
        assert_eq!(changed("note\n", ""), TlogProofError::NoCheckpoint);
        assert_eq!(refused(""), TlogProofError::Header);
        assert_eq!(refused(&format!("{HEADER}\n")), TlogProofError::Index);
    }

    #[test]
    fn hashes_and_bytes_at_the_limit_are_read_and_one_more_is_not() {
        let hash = text::encode(&[7; 32]) + "\n";
        let with = |count| format!("{HEADER}\nindex 0\n{}\nnote\n", hash.repeat(count));
        assert!(with(MAX_PROOF_HASHES).parse::<TlogProof>().is_ok());
        assert_eq!(
            refused(&with(MAX_PROOF_HASHES + 1)),
            TlogProofError::TooManyHashes
        );
        let short = with(0);
        let full = format!("{short}{}", "x".repeat(MAX_PROOF_BYTES - short.len()));
        assert!(full.parse::<TlogProof>().is_ok());
        let over = TlogProofError::TooLong(MAX_PROOF_BYTES + 1);
        assert_eq!(refused(&format!("{full}x")), over);
    }

    proptest! {
        #[test]
        fn a_proof_is_read_back_as_it_was_written(
            extra: Option<Vec<u8>>, index: u64, hashes in prop::collection::vec(any::<Hash>(), 0..9),
            checkpoint in "[a-z\\n]{1,20}",
        ) {
            let proof = TlogProof { extra, index, hashes, checkpoint };
            prop_assert_eq!(proof.to_string().parse(), Ok(proof));
        }

        #[test]
        fn a_proof_with_any_changed_byte_but_its_extra_is_refused(
            size in 1_usize..40, index: prop::sample::Index, at: prop::sample::Index, to: u8,
        ) {
            let (mut proof, leaf, policy) = proved(index.index(size), size);
            proof.extra = None;
            let mut bytes = proof.to_string().into_bytes();
            let at = at.index(bytes.len());
            prop_assume!(bytes[at] != to);
            bytes[at] = to;
            if let Ok(changed) = String::from_utf8(bytes) {
                let verdict = changed.parse::<TlogProof>().and_then(|p| p.verify(&leaf, &policy));
                prop_assert!(verdict.is_err(), "{changed}");
            }
        }
    }
}
