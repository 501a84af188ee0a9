//! What a log asks a witness, and how a witness decides (C2SP `tlog-witness` v1.0.0, `add-checkpoint`).

use std::fmt;
use std::str::FromStr;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::merkle::{EMPTY_ROOT, Hash, ProofError, verify_consistency};
use super::note::{Note, NoteError};
use super::text;
use super::vkey::VerifierKey;

/// The most consistency proof lines of a request: what any log below 2^63 entries needs.
pub const MAX_PROOF_LINES: usize = 63;

/// The longest request: 64 signatures of the longest kind, ML-DSA-44, and the proof.
pub const MAX_REQUEST_BYTES: usize = 256 * 1024;

/// The media type of a 409, whose body is the size that the witness stores.
pub const SIZE_MEDIA_TYPE: &str = "text/x.tlog.size";

/// A log's request to cosign a checkpoint. Its [`Display`](fmt::Display) is the body of the request;
/// [`FromStr`] reads it back and believes nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    old: u64,
    proof: Vec<Hash>,
    note: Note,
    checkpoint: Checkpoint,
}

/// Why a text is no request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Longer than [`MAX_REQUEST_BYTES`].
    #[error("an add-checkpoint request has at most {MAX_REQUEST_BYTES} bytes, not {0}")]
    TooLong(usize),
    /// The first line is another.
    #[error(
        "an add-checkpoint request begins with `old <size>`, a decimal below 2^64 without sign or leading zero"
    )]
    Old,
    /// A proof line is not 32 bytes.
    #[error("proof line {0} must be 32 bytes in standard base64")]
    Hash(usize),
    /// More than [`MAX_PROOF_LINES`].
    #[error("a consistency proof has at most {MAX_PROOF_LINES} lines")]
    TooManyHashes,
    /// No empty line with the checkpoint after it.
    #[error("the proof must be followed by an empty line and the signed checkpoint")]
    NoCheckpoint,
    /// The checkpoint is no signed note.
    #[error("the checkpoint is no signed note: {0}")]
    Note(NoteError),
    /// The signed text is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// What a witness stores of a log: the tree of the newest checkpoint that it cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Leaves.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Hash,
}

/// Why a witness does not cosign; the text is the body of its answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessRefusal {
    /// The request cannot be read.
    #[error("{0}")]
    Malformed(#[from] RequestError),
    /// The older tree is larger than the newer one.
    #[error("old size {old} is more than the checkpoint's {size}")]
    OldBeyondCheckpoint {
        /// Size in the `old` line.
        old: u64,
        /// Size of the checkpoint.
        size: u64,
    },
    /// No log of this origin is configured.
    #[error("this witness knows no log called {0:?}")]
    UnknownOrigin(String),
    /// No known key of the log signed, or one's signature fails.
    #[error("the checkpoint is not signed by its log: {0}")]
    Unsigned(NoteError),
    /// The witness stores another size than the `old` line says.
    #[error("{stored}")]
    Conflict {
        /// The size that it stores; 0 where it has seen nothing.
        stored: u64,
    },
    /// The new tree is not shown to be a continuation of the stored one.
    #[error("the checkpoint does not continue the tree of {stored} leaves: {error}")]
    Inconsistent {
        /// The size that the witness stores.
        stored: u64,
        /// What is wrong with the proof.
        error: ProofError,
    },
    /// A proof from the empty tree shows nothing, and the standard wants none.
    #[error("a request with old size 0 has no proof lines")]
    ProofFromNothing,
    /// The empty tree has one root only.
    #[error("the root of a checkpoint of size 0 is not that of the empty tree")]
    EmptyRoot,
}

impl AddCheckpoint {
    /// A request to cosign `note`, with the proof that the tree of the first `old` leaves is a prefix of its
    /// tree; no proof where `old` is 0 or the checkpoint's own size.
    ///
    /// # Errors
    /// [`RequestError`]: the note is no checkpoint, or the proof is too long.
    pub fn new(old: u64, proof: Vec<Hash>, note: Note) -> Result<Self, RequestError> {
        if proof.len() > MAX_PROOF_LINES {
            return Err(RequestError::TooManyHashes);
        }
        let request = Self {
            old,
            proof,
            checkpoint: note.text().parse()?,
            note,
        };
        match request.to_string().len() {
            length if length > MAX_REQUEST_BYTES => Err(RequestError::TooLong(length)),
            _ => Ok(request),
        }
    }

    /// The size that the log believes the witness to store.
    pub fn old(&self) -> u64 {
        self.old
    }

    /// The consistency proof from [`Self::old`] to the checkpoint.
    pub fn proof(&self) -> &[Hash] {
        &self.proof
    }

    /// The signed checkpoint.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// What the note says, signed or not.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The decision of a witness that knows `keys` for the request's origin (none: it does not know the log)
    /// and stores `seen` of it. Ok is what must be stored, durably, before the cosignature leaves.
    ///
    /// # Errors
    /// [`WitnessRefusal`], in the standard's order; nothing may be stored.
    pub fn judge(&self, keys: &[VerifierKey], seen: Option<&Seen>) -> Result<Seen, WitnessRefusal> {
        let (old, size) = (self.old, self.checkpoint.size());
        if keys.is_empty() {
            let origin = self.checkpoint.origin().to_owned();
            return Err(WitnessRefusal::UnknownOrigin(origin));
        }
        self.note.verify(keys).map_err(WitnessRefusal::Unsigned)?;
        if old > size {
            return Err(WitnessRefusal::OldBeyondCheckpoint { old, size });
        }
        let stored = seen.map_or(0, |seen| seen.size);
        if old != stored {
            return Err(WitnessRefusal::Conflict { stored });
        }
        self.check_growth(seen)?;
        let root = *self.checkpoint.root();
        Ok(Seen { size, root })
    }

    fn check_growth(&self, seen: Option<&Seen>) -> Result<(), WitnessRefusal> {
        let (size, root) = (self.checkpoint.size(), self.checkpoint.root());
        if size == 0 && *root != EMPTY_ROOT {
            return Err(WitnessRefusal::EmptyRoot);
        }
        match seen.filter(|seen| seen.size > 0) {
            None if self.proof.is_empty() => Ok(()),
            None => Err(WitnessRefusal::ProofFromNothing),
            Some(seen) => verify_consistency(seen.size, size, &seen.root, root, &self.proof)
                .map_err(|error| WitnessRefusal::Inconsistent {
                    stored: seen.size,
                    error,
                }),
        }
    }
}

impl FromStr for AddCheckpoint {
    type Err = RequestError;

    fn from_str(body: &str) -> Result<Self, RequestError> {
        if body.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLong(body.len()));
        }
        let (old, mut rest) = body.split_once('\n').ok_or(RequestError::Old)?;
        let old = old.strip_prefix("old ").and_then(text::decimal);
        let old = old.ok_or(RequestError::Old)?;
        let mut proof = Vec::new();
        loop {
            let (line, after) = rest.split_once('\n').ok_or(RequestError::NoCheckpoint)?;
            rest = after;
            if line.is_empty() {
                break;
            }
            if proof.len() == MAX_PROOF_LINES {
                return Err(RequestError::TooManyHashes);
            }
            let number = proof.len() + 1;
            proof.push(text::hash(line).ok_or(RequestError::Hash(number))?);
        }
        Self::new(old, proof, Note::parse(rest).map_err(RequestError::Note)?)
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(f, "{}", text::encode(hash))?;
        }
        write!(f, "\n{}", self.note)
    }
}

impl WitnessRefusal {
    /// The HTTP status that the standard gives it.
    pub fn status(&self) -> u16 {
        match self {
            // Text of no signature, or of one that cannot be read, is text that the log did not sign.
            Self::Malformed(RequestError::Note(
                NoteError::SignatureLine(_) | NoteError::Unsigned,
            )) => 403,
            Self::Malformed(_) | Self::OldBeyondCheckpoint { .. } => 400,
            Self::Unsigned(_) => 403,
            Self::UnknownOrigin(_) => 404,
            Self::Conflict { .. } => 409,
            Self::Inconsistent { .. } | Self::ProofFromNothing | Self::EmptyRoot => 422,
        }
    }

    /// The media type of the answer.
    pub fn media_type(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => SIZE_MEDIA_TYPE,
            _ => "text/plain; charset=utf-8",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::naive::{Leaves, leaves};
    use super::super::signers::{TestKey, signed};
    use super::*;

    fn request(old: usize, size: usize) -> AddCheckpoint {
        let leaves = leaves(size);
        let tree = Leaves(&leaves);
        let proof = match old {
            0 => Vec::new(),
            old if old > size => Vec::new(),
            old => tree.subproof(old, true),
        };
        let body = Checkpoint::new("log.example", size as u64, tree.root()).expect("good");
        let note = signed(&body.to_string(), [&TestKey::log("log.example", 1)]);
        AddCheckpoint::new(old as u64, proof, note).expect("a good request")
    }

    fn seen(size: usize) -> Seen {
        let root = Leaves(&leaves(size)).root();
        let size = size as u64;
        Seen { size, root }
    }

    fn judge(request: &AddCheckpoint, seen: Option<Seen>) -> Result<Seen, WitnessRefusal> {
        request.judge(&[TestKey::log("log.example", 1).public], seen.as_ref())
    }

    fn refused(request: &AddCheckpoint, seen: Option<Seen>) -> WitnessRefusal {
        judge(request, seen).expect_err("must be refused")
    }

    #[test]
    fn a_witness_follows_a_log_that_grows_and_cosigns_the_same_again() {
        assert_eq!(judge(&request(0, 7), None), Ok(seen(7)));
        assert_eq!(judge(&request(7, 20), Some(seen(7))), Ok(seen(20)));
        assert_eq!(judge(&request(20, 20), Some(seen(20))), Ok(seen(20)));
        assert_eq!(judge(&request(0, 0), None), Ok(seen(0)));
        assert_eq!(judge(&request(0, 3), Some(seen(0))), Ok(seen(3)));
    }

    #[test]
    fn an_unknown_log_comes_before_its_signature_and_both_before_the_sizes() {
        let other = TestKey::log("log.example", 2).public;
        let mut bad = request(9, 7);
        let unknown = bad.judge(&[], None).expect_err("no such log");
        assert_eq!(unknown.status(), 404);
        assert_eq!(
            bad.judge(&[other], None).expect_err("unsigned").status(),
            403
        );
        assert_eq!(refused(&bad, None).status(), 400);
        bad.note = signed("log.example\n7\n", [&TestKey::log("log.example", 1)]);
        let forged = Note::new(bad.checkpoint.to_string(), bad.note.signatures().to_vec());
        bad.note = forged.expect("well-formed");
        assert_eq!(refused(&bad, None).status(), 403);
    }

    #[test]
    fn another_old_size_is_answered_with_the_stored_one_alone() {
        let refusal = refused(&request(7, 20), Some(seen(9)));
        assert_eq!(
            (refusal.status(), refusal.media_type()),
            (409, SIZE_MEDIA_TYPE)
        );
        assert_eq!(refusal.to_string(), "9");
        assert_eq!(refused(&request(7, 20), None).to_string(), "0");
    }

    #[test]
    fn what_does_not_continue_the_stored_tree_is_unprocessable() {
        let mut other_root = seen(7);
        other_root.root = [0; 32];
        let unprocessable =
            |request: &AddCheckpoint, seen| assert_eq!(refused(request, seen).status(), 422);
        unprocessable(&request(7, 20), Some(other_root));
        unprocessable(&request(7, 7), Some(other_root));
        let mut with_proof = request(0, 7);
        with_proof.proof = vec![[1; 32]];
        unprocessable(&with_proof, None);
        let mut same_with_proof = request(7, 7);
        same_with_proof.proof = vec![[1; 32]];
        unprocessable(&same_with_proof, Some(seen(7)));
        let body = Checkpoint::new("log.example", 0, [1; 32]).expect("good");
        let note = signed(&body.to_string(), [&TestKey::log("log.example", 1)]);
        unprocessable(
            &AddCheckpoint::new(0, vec![], note).expect("well-formed"),
            None,
        );
    }

    #[test]
    fn each_malformed_request_has_its_error() {
        let good = request(7, 20).to_string();
        let error = |body: &str| body.parse::<AddCheckpoint>().expect_err("refused");
        assert_eq!(error(""), RequestError::Old);
        assert_eq!(error(&good.replace("old 7", "old 07")), RequestError::Old);
        assert_eq!(error(&good.replace("old 7", "new 7")), RequestError::Old);
        assert_eq!(error(&good.replacen("=\n", "\n", 1)), RequestError::Hash(1));
        assert_eq!(error("old 7\n"), RequestError::NoCheckpoint);
        assert!(matches!(error("old 7\n\nx\n"), RequestError::Note(_)));
        let no_checkpoint = signed("log.example\n", [&TestKey::log("log.example", 1)]);
        let body = format!("old 0\n\n{no_checkpoint}");
        assert_eq!(
            error(&body),
            RequestError::Checkpoint(CheckpointError::Lines)
        );
    }

    #[test]
    fn a_signature_that_cannot_be_read_is_no_signature() {
        let good = request(0, 7).to_string();
        let status = |body: &str| match body.parse::<AddCheckpoint>() {
            Ok(request) => panic!("{request} is malformed"),
            Err(error) => WitnessRefusal::from(error).status(),
        };
        assert_eq!(status(good.trim_end_matches("=\n")), 403);
        assert_eq!(status("old 0\n\nlog.example\n7\n"), 403);
        assert_eq!(status("old x\n"), 400);
    }

    #[test]
    fn proof_lines_and_bytes_are_bounded() {
        let note = request(0, 1).note;
        let with = |lines| AddCheckpoint::new(1, vec![[1; 32]; lines], note.clone());
        let longest = with(MAX_PROOF_LINES).expect("the most");
        assert_eq!(longest.to_string().parse(), Ok(longest));
        assert_eq!(with(MAX_PROOF_LINES + 1), Err(RequestError::TooManyHashes));
        let line = format!("{}\n", text::encode(&[1; 32]));
        let body = format!("old 1\n{}\n{note}", line.repeat(MAX_PROOF_LINES + 1));
        assert_eq!(
            body.parse::<AddCheckpoint>(),
            Err(RequestError::TooManyHashes)
        );
        let long = "x".repeat(MAX_REQUEST_BYTES + 1);
        assert_eq!(
            long.parse::<AddCheckpoint>(),
            Err(RequestError::TooLong(MAX_REQUEST_BYTES + 1))
        );
    }

    proptest! {
        #[test]
        fn a_request_is_read_back_as_it_was_written(old in 0_usize..40, more in 0_usize..40) {
            let request = request(old, old + more);
            prop_assert_eq!(request.to_string().parse(), Ok(request));
        }

        #[test]
        fn a_witness_cosigns_exactly_continuations_of_what_it_stores(
            stored in 0_usize..40, old in 0_usize..40, size in 0_usize..40,
        ) {
            let answer = judge(&request(old, size), (stored > 0).then(|| seen(stored)));
            match answer {
                Ok(new) => prop_assert!(old == stored && size >= stored && new == seen(size)),
                Err(refusal) if old > size => prop_assert_eq!(refusal.status(), 400),
                Err(refusal) => prop_assert!(old != stored && refusal.status() == 409),
            }
        }

        #[test]
        fn a_changed_root_is_never_cosigned_over_another(size in 1_usize..40, more in 0_usize..40, bit in 0_usize..256) {
            let mut other = seen(size);
            other.root[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(refused(&request(size, size + more), Some(other)).status(), 422);
        }

        #[test]
        fn any_text_is_refused_or_keeps_its_spelling(body in "old [0-9]{1,2}\\n([A-Za-z+/]{42}[A-Z]=\\n){0,2}\\n[a-z]{1,3}\\n[0-9]{1,3}\\n[A-Za-z+/]{42}[A-Z]=\\n\\n\u{2014} [a-z]{1,2} [A-Za-z+/]{8}\\n") {
            if let Ok(parsed) = body.parse::<AddCheckpoint>() {
                prop_assert_eq!(parsed.to_string(), body);
            }
        }
    }
}
