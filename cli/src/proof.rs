//! Whether a log proof speaks of the very envelope at hand.
//!
//! A C2SP `tlog-proof` shows that a leaf is in the log. Its `extra` line carries the salt and the record's
//! body; from these the leaf is derived, so nothing in `extra` has to be believed. The body then names the
//! envelope by the SHA-256 of its canonical JSON.

use sealwright_core::digest::Sha256Digest;
use sealwright_core::json::{self, JsonError};
use sealwright_core::record::{Event, Leaf, Outcome, Record, SALT_LEN, SignRecord};
use sealwright_core::time::Timestamp;
use sealwright_core::tlog::merkle::leaf_hash;
use sealwright_core::tlog::proof::{TlogProofError, VerifiedProof};
use sealwright_core::tlog::witnessed::WitnessedCheckpoint;
use sealwright_core::tlog::{Hash, Policy, TlogProof};
use serde::Serialize;

/// Why a proof does not show that the envelope was recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProofError {
    #[error(transparent)]
    Proof(#[from] TlogProofError),
    #[error(
        "the proof carries no record: the body was erased or is in the archive, so that nothing shows which envelope it is about. A proof that was fetched before still does; `sealwright audit show {0}` says what became of the body"
    )]
    NoBody(u64),
    #[error(
        "the proof carries no record: its extra line needs a salt of {SALT_LEN} bytes and a body"
    )]
    NoRecord,
    #[error("the record in the proof is not one: {0}")]
    BadRecord(JsonError),
    #[error("the record says it is number {body}, the proof is for number {proof}")]
    OtherIndex { body: u64, proof: u64 },
    #[error("record {0} is not about a signature")]
    NoSignature(u64),
    #[error("record {index} is of another envelope: {recorded}, not {given}")]
    OtherEnvelope {
        index: u64,
        recorded: String,
        given: Sha256Digest,
    },
}

/// A signature shown to be in the log.
#[derive(Debug, Serialize)]
pub(crate) struct Recorded {
    /// Index of the record.
    pub(crate) index: u64,
    /// The log.
    pub(crate) origin: String,
    /// Size of the tree that was signed.
    pub(crate) tree_size: u64,
    /// When it was recorded, by the host's clock.
    pub(crate) time: Timestamp,
    /// Who asked for the signature.
    pub(crate) principal: String,
    /// Witnesses that cosigned.
    pub(crate) cosigners: Vec<String>,
    /// When the policy's quorum had cosigned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) witnessed: Option<Timestamp>,
}

/// Checks `proof` under `policy`, and that its record is of the envelope with this digest.
pub(crate) fn check(
    proof: &str,
    policy: &Policy,
    envelope: Sha256Digest,
) -> Result<Recorded, ProofError> {
    let proof: TlogProof = proof.parse()?;
    let (record, leaf) = record(&proof)?;
    let VerifiedProof { index, witnessed } = proof.verify(&leaf, policy)?;
    if record.seq != index {
        return Err(ProofError::OtherIndex {
            body: record.seq,
            proof: index,
        });
    }
    let signed = signature(&record)?;
    if signed.envelope_sha256 != Some(envelope) {
        let recorded = signed.envelope_sha256;
        return Err(ProofError::OtherEnvelope {
            index,
            recorded: recorded.map_or("none".to_owned(), |digest| digest.to_string()),
            given: envelope,
        });
    }
    Ok(recorded(&record, signed, &witnessed, policy))
}

/// What `record`, which is in the tree of `witnessed` as `policy` accepted it, says of a signature.
pub(crate) fn recorded(
    record: &Record,
    signed: &SignRecord,
    witnessed: &WitnessedCheckpoint,
    policy: &Policy,
) -> Recorded {
    let cosigners = witnessed.cosigners.iter();
    Recorded {
        index: record.seq,
        origin: witnessed.checkpoint.origin().to_owned(),
        tree_size: witnessed.checkpoint.size(),
        time: record.time,
        principal: signed.principal.clone(),
        cosigners: cosigners.map(|cosigner| cosigner.name.clone()).collect(),
        witnessed: policy.quorum_time(&witnessed.cosigners),
    }
}

/// The record in the `extra` line, and the hash of the leaf that would commit to it.
fn record(proof: &TlogProof) -> Result<(Record, Hash), ProofError> {
    let extra = proof.extra.as_deref();
    let extra = extra.ok_or(ProofError::NoBody(proof.index))?;
    let parts = extra.split_first_chunk::<SALT_LEN>();
    let (salt, body) = parts.ok_or(ProofError::NoRecord)?;
    let record: Record = json::from_slice(body).map_err(ProofError::BadRecord)?;
    let leaf = Leaf::new(record.seq, record.time, record.event.kind(), salt, body);
    Ok((record, leaf_hash(&leaf.to_bytes())))
}

/// The released signature that a record is about.
pub(crate) fn signature(record: &Record) -> Result<&SignRecord, ProofError> {
    match &record.event {
        Event::Sign(signed) if signed.outcome == Outcome::Signed => Ok(signed),
        _ => Err(ProofError::NoSignature(record.seq)),
    }
}
