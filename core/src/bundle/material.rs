//! What a bundle carries beside the signature.

use serde::Deserialize;

use super::proto::{Base64, Unsigned};
use super::{BundleError, PROOFS_MAX, Version};

/// Verification material, decoded but not believed.
#[derive(Debug, Clone, PartialEq)]
pub struct VerificationMaterial {
    /// Which key signed.
    pub key: KeyMaterial,
    /// Entries of transparency logs.
    pub log_entries: Vec<LogEntry>,
    /// RFC 3161 time stamp responses, DER.
    pub timestamps: Vec<Vec<u8>>,
}

/// Which key signed, as far as the bundle says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyMaterial {
    /// A key that the verifier has to know, and a hint at which.
    Hint(String),
    /// Certificates in DER, the signer's first.
    Certificates(Vec<Vec<u8>>),
}

/// An entry of a transparency log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// Index in the log.
    pub log_index: u64,
    /// Id of the log's key.
    pub log_id: Vec<u8>,
    /// Kind and version, as in `("hashedrekord", "0.0.2")`.
    pub kind: (String, String),
    /// Unix seconds at which the log says it took the entry; means something only with a promise.
    pub integrated_time: Option<u64>,
    /// The log's signed promise (Rekor v1).
    pub signed_entry_timestamp: Option<Vec<u8>>,
    /// The proof that the entry is in the tree.
    pub inclusion_proof: Option<InclusionProof>,
    /// The leaf.
    pub canonicalized_body: Vec<u8>,
}

/// An inclusion proof. Size and root are taken from the checkpoint, not from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    /// Index in the tree (Rekor v1 has several trees).
    pub log_index: u64,
    /// Hashes, the leaf's sibling first.
    pub hashes: Vec<Vec<u8>>,
    /// The signed checkpoint.
    pub checkpoint: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MaterialJson {
    public_key: Option<PublicKeyJson>,
    certificate: Option<RawBytesJson>,
    x509_certificate_chain: Option<ChainJson>,
    tlog_entries: Option<Vec<EntryJson>>,
    timestamp_verification_data: Option<TimestampsJson>,
}

#[derive(Deserialize)]
struct PublicKeyJson {
    #[serde(default)]
    hint: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBytesJson {
    raw_bytes: Base64,
}

#[derive(Deserialize)]
struct ChainJson {
    certificates: Vec<RawBytesJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimestampsJson {
    rfc3161_timestamps: Option<Vec<TimestampJson>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimestampJson {
    signed_timestamp: Base64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryJson {
    log_index: Option<Unsigned>,
    log_id: LogIdJson,
    kind_version: KindJson,
    integrated_time: Option<Unsigned>,
    inclusion_promise: Option<PromiseJson>,
    inclusion_proof: Option<ProofJson>,
    canonicalized_body: Base64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogIdJson {
    key_id: Base64,
}

#[derive(Deserialize)]
struct KindJson {
    kind: String,
    version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromiseJson {
    signed_entry_timestamp: Base64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProofJson {
    log_index: Option<Unsigned>,
    hashes: Option<Vec<Base64>>,
    checkpoint: Option<CheckpointJson>,
}

#[derive(Deserialize)]
struct CheckpointJson {
    envelope: String,
}

impl VerificationMaterial {
    pub(super) fn from_json(json: MaterialJson, version: Version) -> Result<Self, BundleError> {
        let entries = json.tlog_entries.unwrap_or_default();
        let timestamps = json
            .timestamp_verification_data
            .and_then(|t| t.rfc3161_timestamps)
            .unwrap_or_default();
        let most = entries.len().max(timestamps.len());
        if most > PROOFS_MAX {
            return Err(BundleError::TooManyProofs(most));
        }
        if version > Version::V01 && entries.iter().any(|entry| entry.inclusion_proof.is_none()) {
            return Err(BundleError::NoInclusionProof);
        }
        Ok(Self {
            key: key_material(
                json.public_key,
                json.certificate,
                json.x509_certificate_chain,
                version,
            )?,
            log_entries: entries.into_iter().map(LogEntry::from).collect(),
            timestamps: timestamps
                .into_iter()
                .map(|t| t.signed_timestamp.0)
                .collect(),
        })
    }
}

fn key_material(
    public_key: Option<PublicKeyJson>,
    certificate: Option<RawBytesJson>,
    chain: Option<ChainJson>,
    version: Version,
) -> Result<KeyMaterial, BundleError> {
    match (public_key, certificate, chain) {
        (Some(key), None, None) => Ok(KeyMaterial::Hint(key.hint)),
        (None, Some(certificate), None) => {
            Ok(KeyMaterial::Certificates(vec![certificate.raw_bytes.0]))
        }
        (None, None, Some(_)) if version == Version::V03 => Err(BundleError::Chain),
        (None, None, Some(chain)) => {
            let certificates = chain.certificates.into_iter().map(|c| c.raw_bytes.0);
            Ok(KeyMaterial::Certificates(certificates.collect()))
        }
        _ => Err(BundleError::KeyMaterial),
    }
}

impl From<EntryJson> for LogEntry {
    fn from(json: EntryJson) -> Self {
        // proto3 JSON leaves out a 0.
        let index = |value: Option<Unsigned>| value.map_or(0, |n| n.0);
        Self {
            log_index: index(json.log_index),
            log_id: json.log_id.key_id.0,
            kind: (json.kind_version.kind, json.kind_version.version),
            integrated_time: json
                .integrated_time
                .map(|n| n.0)
                .filter(|seconds| *seconds != 0),
            signed_entry_timestamp: json.inclusion_promise.map(|p| p.signed_entry_timestamp.0),
            inclusion_proof: json.inclusion_proof.map(|proof| InclusionProof {
                log_index: index(proof.log_index),
                hashes: proof
                    .hashes
                    .unwrap_or_default()
                    .into_iter()
                    .map(|hash| hash.0)
                    .collect(),
                checkpoint: proof.checkpoint.map(|checkpoint| checkpoint.envelope),
            }),
            canonicalized_body: json.canonicalized_body.0,
        }
    }
}
