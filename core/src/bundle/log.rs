//! Log entries: that a trusted log holds this very signature by this very key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::material::{InclusionProof, LogEntry};
use super::rekor;
use super::trusted_root::{TrustedLog, TrustedRoot};
use super::{Artifact, Bundle};
use crate::dsse::TrustedKey;
use crate::time::Timestamp;
use crate::tlog::merkle::{Hash, ProofError, leaf_hash, verify_inclusion};
use crate::tlog::{Checkpoint, Note};
use crate::verify::EcdsaForm;

/// Bytes of a log's full key id that stand in front of its note signatures.
const NOTE_KEY_ID_LEN: usize = 4;

/// Why a log entry proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// By no log of the trusted root.
    #[error("a log entry is by no log of the trusted root")]
    UnknownLog,
    /// A kind or version that is not implemented.
    #[error(
        "a log entry is of a kind other than hashedrekord 0.0.1 and 0.0.2, dsse 0.0.1 and intoto 0.0.2"
    )]
    Kind,
    /// The leaf is not of its kind.
    #[error("a log entry's body is not of the form its kind has")]
    Body,
    /// The leaf is about another signature, key or content.
    #[error("a log entry is about another {0} than the bundle's")]
    Other(&'static str),
    /// Neither promise nor proof.
    #[error("a log entry carries neither an inclusion proof nor a signed promise")]
    Unproved,
    /// The promise fails.
    #[error("a log's signed promise does not verify")]
    Promise,
    /// The checkpoint is missing, malformed or not signed by the log.
    #[error("a log's checkpoint is missing, malformed or not signed by the log")]
    Checkpoint,
    /// The proof fails.
    #[error("an inclusion proof fails: {0}")]
    Proof(#[from] ProofError),
    /// A hash of the proof has not 32 bytes.
    #[error("an inclusion proof has a hash of another length than 32 bytes")]
    ProofHash,
    /// Taken when the log was not valid.
    #[error("a log entry is from a time outside the validity of its log's key")]
    NotValidThen,
}

/// What an entry proves.
pub(super) struct Proved<'r> {
    pub(super) log: &'r TrustedLog,
    /// When the log took the entry, where it signed that.
    pub(super) time: Option<Timestamp>,
}

/// Verifies one entry of `bundle` against the trusted logs.
pub(super) fn verify<'r>(
    entry: &LogEntry,
    bundle: &Bundle,
    key: &TrustedKey,
    artifact: Artifact<'_>,
    root: &'r TrustedRoot,
) -> Result<Proved<'r>, LogError> {
    let log = root
        .logs
        .iter()
        .find(|log| log.id == entry.log_id)
        .ok_or(LogError::UnknownLog)?;
    rekor::check_body(entry, bundle, key, artifact)?;
    if entry.signed_entry_timestamp.is_none() && entry.inclusion_proof.is_none() {
        return Err(LogError::Unproved);
    }
    if let Some(proof) = &entry.inclusion_proof {
        verify_proof(entry, proof, log)?;
    }
    let time = match &entry.signed_entry_timestamp {
        Some(promise) => Some(verify_promise(entry, promise, log)?),
        None => None,
    };
    Ok(Proved { log, time })
}

/// Rekor v1: a signature over the canonical JSON of body, time, log id and index.
fn verify_promise(
    entry: &LogEntry,
    promise: &[u8],
    log: &TrustedLog,
) -> Result<Timestamp, LogError> {
    let seconds = entry.integrated_time.ok_or(LogError::Promise)?;
    let message = format!(
        r#"{{"body":"{}","integratedTime":{seconds},"logID":"{}","logIndex":{}}}"#,
        STANDARD.encode(&entry.canonicalized_body),
        hex::encode(&entry.log_id),
        entry.log_index,
    );
    is_by(log, message.as_bytes(), promise)
        .then_some(())
        .ok_or(LogError::Promise)?;
    let millis = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| seconds.checked_mul(1000));
    Ok(Timestamp::from_unix_millis(
        millis.ok_or(LogError::Promise)?,
    ))
}

/// Size and root are those of the checkpoint that the log signed, not those the bundle repeats.
fn verify_proof(
    entry: &LogEntry,
    proof: &InclusionProof,
    log: &TrustedLog,
) -> Result<(), LogError> {
    let note = proof.checkpoint.as_deref().ok_or(LogError::Checkpoint)?;
    let checkpoint = signed_checkpoint(note, log).ok_or(LogError::Checkpoint)?;
    let hashes: Result<Vec<Hash>, _> = proof
        .hashes
        .iter()
        .map(|hash| hash.as_slice().try_into())
        .collect();
    let hashes = hashes.map_err(|_| LogError::ProofHash)?;
    let leaf = leaf_hash(&entry.canonicalized_body);
    Ok(verify_inclusion(
        &leaf,
        proof.log_index,
        checkpoint.size(),
        &hashes,
        checkpoint.root(),
    )?)
}

/// The log's line is found by key id: Rekor v1 signs under a name that is not its checkpoint's origin.
fn signed_checkpoint(note: &str, log: &TrustedLog) -> Option<Checkpoint> {
    let note = Note::parse(note).ok()?;
    let id = log.id.get(..NOTE_KEY_ID_LEN)?;
    let mut lines = note
        .signatures()
        .iter()
        .filter(|line| line.key_id().as_slice() == id)
        .peekable();
    lines.peek()?;
    lines
        .all(|line| is_by(log, note.text().as_bytes(), line.signature()))
        .then_some(())?;
    note.text().parse().ok()
}

fn is_by(log: &TrustedLog, message: &[u8], signature: &[u8]) -> bool {
    log.key
        .verify(
            log.key.default_scheme(),
            &[message],
            signature,
            EcdsaForm::Der,
        )
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Content;
    use crate::bundle::logged::tests::{bundle, key, root};
    use p256::ecdsa::signature::Signer as _;
    use p256::pkcs8::EncodePublicKey as _;

    fn answer(entry: &LogEntry, root: &TrustedRoot) -> Result<Option<Timestamp>, LogError> {
        verify(entry, &bundle(), &key(), Artifact::Sha256([0; 32]), root).map(|proved| proved.time)
    }

    fn entry() -> LogEntry {
        bundle().material.log_entries.remove(0)
    }

    #[test]
    fn an_entry_is_proved_by_the_checkpoint_its_log_signed() {
        assert_eq!(answer(&entry(), &root()), Ok(None));
        let mut nobodys = root();
        nobodys.logs.clear();
        assert_eq!(answer(&entry(), &nobodys), Err(LogError::UnknownLog));

        let mut altered = entry();
        let proof = altered.inclusion_proof.as_mut().unwrap();
        proof.checkpoint = proof
            .checkpoint
            .take()
            .map(|note| note.replacen("\n37\n", "\n38\n", 1));
        assert_eq!(answer(&altered, &root()), Err(LogError::Checkpoint));

        let mut elsewhere = entry();
        elsewhere.inclusion_proof.as_mut().unwrap().log_index += 1;
        assert_eq!(
            answer(&elsewhere, &root()),
            Err(LogError::Proof(ProofError::RootMismatch))
        );

        let mut short = entry();
        short.inclusion_proof.as_mut().unwrap().hashes[0].pop();
        assert_eq!(answer(&short, &root()), Err(LogError::ProofHash));
    }

    /// A Rekor v1 log of one key, and the fixture's entry with that log's promise instead of a proof.
    fn promised() -> (LogEntry, TrustedRoot) {
        let log_key = p256::ecdsa::SigningKey::from_slice(&[9; 32]).unwrap();
        let der = log_key
            .verifying_key()
            .to_public_key_der()
            .unwrap()
            .into_vec();
        let mut root = root();
        root.logs[0].key = crate::verify::PublicKey::from_spki_der(&der).unwrap();
        let mut entry = entry();
        entry.inclusion_proof = None;
        entry.integrated_time = Some(1_795_400_000);
        let message = format!(
            "{{\"body\":\"{}\",\"integratedTime\":1795400000,\"logID\":\"{}\",\"logIndex\":22}}",
            STANDARD.encode(&entry.canonicalized_body),
            hex::encode(&entry.log_id)
        );
        let promise: p256::ecdsa::DerSignature = log_key.sign(message.as_bytes());
        entry.signed_entry_timestamp = Some(promise.as_bytes().to_vec());
        (entry, root)
    }

    #[test]
    fn a_signed_promise_tells_the_time() {
        let (entry, root) = promised();
        assert_eq!(
            answer(&entry, &root),
            Ok(Some(Timestamp::from_unix_millis(1_795_400_000_000)))
        );
        for change in [
            (|e| e.log_index += 1) as fn(&mut LogEntry),
            |e| e.integrated_time = Some(1_795_400_001),
            |e| e.integrated_time = None,
        ] {
            let mut changed = entry.clone();
            change(&mut changed);
            assert_eq!(answer(&changed, &root), Err(LogError::Promise));
        }
        let mut bare = entry;
        bare.signed_entry_timestamp = None;
        assert_eq!(answer(&bare, &root), Err(LogError::Unproved));
    }

    #[test]
    fn an_entry_of_another_signature_content_or_key_is_refused() {
        let other = |needle: &str, change: fn(&str) -> String| {
            let mut entry = entry();
            let body = String::from_utf8(entry.canonicalized_body).unwrap();
            let (before, value) = body.split_once(needle).unwrap();
            let (value, after) = value.split_once('"').unwrap();
            entry.canonicalized_body =
                format!("{before}{needle}{}\"{after}", change(value)).into_bytes();
            answer(&entry, &root())
        };
        let zeros = |_: &str| STANDARD.encode([0; 32]);
        assert_eq!(
            other("\"content\":\"", zeros),
            Err(LogError::Other("signature"))
        );
        assert_eq!(
            other("\"digest\":\"", zeros),
            Err(LogError::Other("content"))
        );
        assert_eq!(other("\"rawBytes\":\"", zeros), Err(LogError::Other("key")));
        assert_eq!(
            other("\"apiVersion\":\"", |_| "0.0.1".into()),
            Err(LogError::Body)
        );
        let mut unknown = entry();
        unknown.kind.1 = "0.0.3".into();
        assert_eq!(answer(&unknown, &root()), Err(LogError::Kind));
    }

    #[test]
    fn every_kind_of_leaf_is_held_against_the_bundle() {
        let Content::Dsse(envelope) = bundle().content else {
            panic!("the fixture is an envelope")
        };
        let sig = STANDARD.encode(envelope.signatures()[0].sig.as_deref().unwrap());
        let payload = crate::digest::Sha256Digest::of(&[envelope.pae().payload]);
        let pem = STANDARD.encode(key().spki().to_pem());
        let hash = format!(r#""payloadHash":{{"algorithm":"sha256","value":"{payload}"}}"#);
        let leaves = [
            (
                "dsse",
                "0.0.1",
                format!(r#"{{{hash},"signatures":[{{"signature":"{sig}","verifier":"{pem}"}}]}}"#),
            ),
            (
                "intoto",
                "0.0.2",
                format!(
                    r#"{{"content":{{"envelope":{{"signatures":[{{"sig":"{}","publicKey":"{pem}"}}]}},{hash}}}}}"#,
                    STANDARD.encode(&sig)
                ),
            ),
        ];
        for (kind, version, spec) in leaves {
            let check = |spec: &str| {
                let mut entry = entry();
                entry.kind = (kind.into(), version.into());
                let body = format!(r#"{{"apiVersion":"{version}","kind":"{kind}","spec":{spec}}}"#);
                entry.canonicalized_body = body.into_bytes();
                rekor::check_body(&entry, &bundle(), &key(), Artifact::Sha256([0; 32]))
            };
            assert_eq!(check(&spec), Ok(()), "{kind}");
            let other = check(&spec.replace(&payload.to_string(), &"0".repeat(64)));
            assert_eq!(other, Err(LogError::Other("content")), "{kind}");
            let other = check(&spec.replace(&pem, &STANDARD.encode("no PEM")));
            assert_eq!(other, Err(LogError::Other("key")), "{kind}");
        }
    }
}
