//! What the audit log says: record bodies (schema in `docs/audit-record.md`) and the leaf that commits to one.

mod approvals;
mod clock;
mod erasure;
mod freeze;
mod keys;
mod lasting;
mod once;
mod publications;
mod receipt;
mod schedule;
mod shard;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::error::Code;
use crate::identity::PeerCred;
use crate::name::{KeyName, Tenant};
use crate::scheme::Scheme;
use crate::spki::Spki;
use crate::statement::Subject;
use crate::time::Timestamp;
use crate::token::TokenFacts;
use crate::uri::KeyUri;

pub use self::approvals::{ApprovalGiven, ApprovalRequested};
pub use self::clock::{ClockAccepted, ClockBelieved, ClockDoubted, SinceBoot};
pub use self::erasure::{AuditErased, ErasureDone, Hold, HoldInherited, SELECTION_SPAN, Selection};
pub use self::freeze::{FreezeChanged, FreezeScope};
pub use self::keys::{
    KeyAttested, KeyChanged, KeyCompromised, KeyDestroyIntent, KeyEnrolled, KeyGenerateIntent,
    KeyRotated,
};
pub use self::lasting::{Lasting, Rest, Retry, may_go};
pub use self::once::{NamesInherited, OnceName, Reserves, Settled, SignIntended};
pub use self::publications::{CrlIssued, KeyRevocation, TrustPublished};
pub use self::receipt::{ReceiptIssued, ReceiptLink};
pub use self::schedule::{RotationCancelled, RotationScheduled};
pub use self::shard::{
    BECAUSE_MAX, FormerLog, FreezeInherited, KeyInherited, Predecessor, PredecessorError,
};

/// Version of the body schema that this code writes.
pub const SCHEMA_VERSION: u32 = 1;

/// Subjects carried in a record; more are counted and covered by `subjects_sha256`.
pub const INLINE_SUBJECTS_MAX: usize = 256;

/// One record as it is written: position, time and what happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA_VERSION`].
    pub v: u32,
    /// Index in the log, from 0; also the leaf's index.
    pub seq: u64,
    /// Never earlier than that of the record before.
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened; `kind` in the JSON names the variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind")]
#[non_exhaustive]
pub enum Event {
    /// The first record of a log.
    #[serde(rename = "genesis")]
    Genesis(Genesis),
    /// A daemon began to write.
    #[serde(rename = "daemon.started")]
    DaemonStarted(DaemonStarted),
    /// A torn last batch was cut off.
    #[serde(rename = "log.recovered")]
    LogRecovered(LogRecovered),
    /// A policy came into force.
    #[serde(rename = "policy.activated")]
    PolicyActivated(PolicyActivated),
    /// A configuration came into force.
    #[serde(rename = "config.activated")]
    ConfigActivated(Activated),
    /// See [`SignIntended`].
    #[serde(rename = "sign.intent")]
    SignIntended(Box<SignIntended>),
    /// A signing request ended, one way or the other.
    #[serde(rename = "sign")]
    Sign(Box<SignRecord>),
    /// A key version came under the daemon's care.
    #[serde(rename = "key.enrolled")]
    KeyEnrolled(KeyEnrolled),
    /// A key version came from the log before this one. See [`KeyInherited`].
    #[serde(rename = "key.inherited")]
    KeyInherited(Box<KeyInherited>),
    /// See [`NamesInherited`].
    #[serde(rename = "names.inherited")]
    NamesInherited(NamesInherited),
    /// A key version changed its state.
    #[serde(rename = "key.state")]
    KeyChanged(KeyChanged),
    /// A key is about to be made on a token.
    #[serde(rename = "key.generate-intent")]
    KeyGenerateIntent(KeyGenerateIntent),
    /// See [`KeyDestroyIntent`].
    #[serde(rename = "key.destroy-intent")]
    KeyDestroyIntent(KeyDestroyIntent),
    /// See [`KeyRotated`].
    #[serde(rename = "key.rotated")]
    KeyRotated(Box<KeyRotated>),
    /// See [`ClockDoubted`].
    #[serde(rename = "clock.doubted")]
    ClockDoubted(ClockDoubted),
    /// See [`ClockBelieved`].
    #[serde(rename = "clock.believed")]
    ClockBelieved(ClockBelieved),
    /// See [`ClockAccepted`].
    #[serde(rename = "clock.accepted")]
    ClockAccepted(ClockAccepted),
    /// See [`RotationScheduled`].
    #[serde(rename = "key.rotation-scheduled")]
    RotationScheduled(RotationScheduled),
    /// See [`RotationCancelled`].
    #[serde(rename = "key.rotation-cancelled")]
    RotationCancelled(RotationCancelled),
    /// See [`KeyAttested`].
    #[serde(rename = "key.attested")]
    KeyAttested(KeyAttested),
    /// See [`KeyCompromised`].
    #[serde(rename = "key.compromised")]
    KeyCompromised(KeyCompromised),
    /// See [`CrlIssued`].
    #[serde(rename = "crl.issued")]
    CrlIssued(CrlIssued),
    /// See [`KeyRevocation`].
    #[serde(rename = "key.revocation")]
    KeyRevocation(Box<KeyRevocation>),
    /// See [`TrustPublished`].
    #[serde(rename = "trust.published")]
    TrustPublished(TrustPublished),
    /// Signing stopped, for a tenant or altogether.
    #[serde(rename = "freeze.set")]
    FreezeSet(FreezeChanged),
    /// A freeze came from the log before this one.
    #[serde(rename = "freeze.inherited")]
    FreezeInherited(FreezeInherited),
    /// A freeze ended.
    #[serde(rename = "freeze.lifted")]
    FreezeLifted(FreezeChanged),
    /// See [`ApprovalRequested`].
    #[serde(rename = "approval.requested")]
    ApprovalRequested(ApprovalRequested),
    /// An approver said yes.
    #[serde(rename = "approval.granted")]
    ApprovalGranted(ApprovalGiven),
    /// An approver said no.
    #[serde(rename = "approval.denied")]
    ApprovalDenied(ApprovalGiven),
    /// A token answered with something that does not verify.
    #[serde(rename = "token.suspect")]
    TokenSuspect(TokenMark),
    /// An operator cleared a token's mark.
    #[serde(rename = "token.cleared")]
    TokenCleared(TokenMark),
    /// Denials beyond the rate per principal, counted.
    #[serde(rename = "denials.summarised")]
    DenialsSummarised(DenialsSummarised),
    /// See [`AuditErased`].
    #[serde(rename = "audit.erased")]
    AuditErased(AuditErased),
    /// See [`ErasureDone`].
    #[serde(rename = "audit.erasure-done")]
    ErasureDone(ErasureDone),
    /// See [`Hold`].
    #[serde(rename = "hold.placed")]
    HoldPlaced(Hold),
    /// A hold came from the log before this one.
    #[serde(rename = "hold.inherited")]
    HoldInherited(HoldInherited),
    /// The hold is over.
    #[serde(rename = "hold.lifted")]
    HoldLifted(Hold),
}

impl Event {
    /// The `kind` in leaf and body.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Genesis(_) => "genesis",
            Self::DaemonStarted(_) => "daemon.started",
            Self::LogRecovered(_) => "log.recovered",
            Self::PolicyActivated(_) => "policy.activated",
            Self::ConfigActivated(_) => "config.activated",
            Self::SignIntended(_) => "sign.intent",
            Self::Sign(_) => "sign",
            Self::KeyEnrolled(_) => "key.enrolled",
            Self::KeyInherited(_) => "key.inherited",
            Self::NamesInherited(_) => "names.inherited",
            Self::KeyChanged(_) => "key.state",
            Self::KeyGenerateIntent(_) => "key.generate-intent",
            Self::KeyDestroyIntent(_) => "key.destroy-intent",
            Self::KeyRotated(_) => "key.rotated",
            Self::ClockDoubted(_) => "clock.doubted",
            Self::ClockBelieved(_) => "clock.believed",
            Self::ClockAccepted(_) => "clock.accepted",
            Self::RotationScheduled(_) => "key.rotation-scheduled",
            Self::RotationCancelled(_) => "key.rotation-cancelled",
            Self::KeyAttested(_) => "key.attested",
            Self::KeyCompromised(_) => "key.compromised",
            Self::CrlIssued(_) => "crl.issued",
            Self::KeyRevocation(_) => "key.revocation",
            Self::TrustPublished(_) => "trust.published",
            Self::FreezeSet(_) => "freeze.set",
            Self::FreezeInherited(_) => "freeze.inherited",
            Self::FreezeLifted(_) => "freeze.lifted",
            Self::ApprovalRequested(_) => "approval.requested",
            Self::ApprovalGranted(_) => "approval.granted",
            Self::ApprovalDenied(_) => "approval.denied",
            Self::TokenSuspect(_) => "token.suspect",
            Self::TokenCleared(_) => "token.cleared",
            Self::DenialsSummarised(_) => "denials.summarised",
            Self::AuditErased(_) => "audit.erased",
            Self::ErasureDone(_) => "audit.erasure-done",
            Self::HoldPlaced(_) => "hold.placed",
            Self::HoldInherited(_) => "hold.inherited",
            Self::HoldLifted(_) => "hold.lifted",
        }
    }
}

/// Who stands behind an operator's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The principal.
    pub principal: String,
    /// The process it used.
    pub peer: PeerCred,
}

/// Made once by `sealwright init`: what the log is and who may run it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// C2SP origin of the log, also the log key's name.
    pub origin: String,
    /// The log key.
    pub log_key: LogKey,
    /// Identities that may operate.
    pub operators: Vec<String>,
    /// Identities that may approve.
    #[serde(default)]
    pub approvers: Vec<String>,
    /// How many approvals an action needs.
    #[serde(default)]
    pub approvals_required: u32,
    /// SHA-256 of the policy text at that time.
    pub policy_digest: Sha256Digest,
    /// The log that this one takes the place of; `None` for a first log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<Box<Predecessor>>,
}

/// The key that signs checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogKey {
    /// The configured token it lies on.
    pub token: String,
    /// Its address inside the token.
    pub uri: KeyUri,
    /// Its public key.
    pub spki: Spki,
    /// Ed25519, or ECDSA P-256 (which witnesses do not cosign).
    pub scheme: Scheme,
}

/// A daemon began to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStarted {
    /// Fresh for every start.
    pub run_id: String,
    /// CLOCK_BOOTTIME in milliseconds, to tell clock steps from downtime.
    pub boottime_ms: u64,
    /// The kernel's name for the boot since which that counts; `None` where it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// What the wall clock said; a record's time may be later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wall: Option<Timestamp>,
    /// Version of the program.
    pub version: String,
    /// The `sign.intent` records that no record of the run before closed: a device may hold their signatures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open_intents: Vec<u64>,
}

/// A torn last batch was cut off: it was never acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecovered {
    /// Number of the segment.
    pub segment: u64,
    /// Byte offset of the batch in the segment file.
    pub offset: u64,
    /// Bytes that were not zero.
    pub bytes: u64,
}

/// Something with a digest came into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activated {
    /// SHA-256 of its text.
    pub digest: Sha256Digest,
}

/// A policy came into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyActivated {
    /// SHA-256 of its text.
    pub digest: Sha256Digest,
    /// Who did it, where somebody asked for it by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
    /// By which approvals.
    #[serde(flatten)]
    pub warrant: Warrant,
}

/// By which approvals something was done that needs them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warrant {
    /// Index of the `approval.requested` record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<u64>,
    /// Why it was done before it was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<String>,
}

/// A token was marked or cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenMark {
    /// The configured token.
    pub token: String,
    /// What was seen, or why it was cleared.
    pub reason: String,
}

/// Denials and failures beyond the rate, counted instead of recorded one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenialsSummarised {
    /// Who was refused.
    pub principal: String,
    /// The principal's tenant.
    pub tenant: Tenant,
    /// How often.
    pub count: u64,
    /// Since when.
    pub since: Timestamp,
}

/// How a signing request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Released to the caller.
    Signed,
    /// Refused before a key was used.
    Denied,
    /// No signature came about.
    Failed,
    /// A signature was made and thrown away.
    Discarded,
    /// The driver was lost; a signature may exist in the device's memory, none was released.
    OutcomeUnknown,
}

/// One signing request. Fields are absent where the request did not get far enough to have them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignRecord {
    /// How it ended.
    pub outcome: Outcome,
    /// What the caller was told; absent for `signed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Why, for operators; never sent to the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The request's id, also in the answer and the log.
    pub request_id: String,
    /// The caller's tenant.
    pub tenant: Tenant,
    /// The caller.
    pub principal: String,
    /// The process behind the socket.
    pub peer: PeerCred,
    /// The key that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyName>,
    /// The version that signed or would have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_version: Option<u32>,
    /// SHA-256 of its SPKI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spki_sha256: Option<Sha256Digest>,
    /// SHA-256 of the newest evidence of its origin, where there is some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence_sha256: Option<Sha256Digest>,
    /// Its scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// The further keys of an envelope with several, in the order of `signature_sha256`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_keys: Vec<UsedKey>,
    /// DSSE payloadType.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_type: Option<String>,
    /// predicateType of a statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate_type: Option<String>,
    /// SHA-256 of the payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_sha256: Option<Sha256Digest>,
    /// SHA-256 of the PAE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pae_sha256: Option<Sha256Digest>,
    /// SHA-256 of the DSSE envelope's JCS bytes, also where it was returned inside a bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope_sha256: Option<Sha256Digest>,
    /// SHA-256 of each signature as it stands in the envelope (ECDSA: DER).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signature_sha256: Vec<Sha256Digest>,
    /// At most [`INLINE_SUBJECTS_MAX`] subjects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Subject>,
    /// How many subjects the statement has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_count: Option<u64>,
    /// SHA-256 over all subjects, see `docs/audit-record.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subjects_sha256: Option<Sha256Digest>,
    /// SHA-256 of the client's Idempotency-Key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_sha256: Option<Sha256Digest>,
    /// An earlier record of the same request, where this is a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<u64>,
    /// The policy has each subject signed once: a release reserves their names.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
    /// The [`SignIntended`] record that this one closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<u64>,
    /// The approval by which names that stood for other digests were signed once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amends: Option<u64>,
    /// Index of the `approval.requested` record whose approvals it used, where policy asks for some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<u64>,
    /// The receipt that was asked for, where it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Box<ReceiptIssued>>,
    /// Of whom the access token is that was shown, once its issuer's signature was verified; never the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Box<TokenFacts>>,
    /// The policy that decided.
    pub policy_digest: Sha256Digest,
    /// The configuration it ran under.
    pub config_digest: Sha256Digest,
}

/// A further key of an envelope with several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedKey {
    /// The key.
    pub key: KeyName,
    /// Its version.
    pub key_version: u32,
    /// SHA-256 of its SPKI.
    pub spki_sha256: Sha256Digest,
    /// SHA-256 of the newest evidence of its origin, where there is some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence_sha256: Option<Sha256Digest>,
    /// Its scheme.
    pub scheme: Scheme,
}

/// Version of the leaf format.
const LEAF_VERSION: u32 = 1;

/// Salt in front of a body: without it, a proof that leaves the body out would still let others guess it.
pub const SALT_LEN: usize = 32;

/// What the Merkle tree commits to: JCS of `{v, i, t, kind, body}`, with `body` = SHA-256(salt ‖ body bytes).
///
/// Small and the same for every tenant; a body can be erased without breaking a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    // Members in JCS order, so that serialising needs no sorting.
    body: Sha256Digest,
    i: u64,
    kind: String,
    t: Timestamp,
    v: u32,
}

/// A leaf that is not one, or not canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the leaf is not the canonical JSON of {{v, i, t, kind, body}}, version {LEAF_VERSION}")]
pub struct BadLeaf;

impl Leaf {
    /// The leaf for `body_bytes` under `salt`.
    pub fn new(
        index: u64,
        time: Timestamp,
        kind: &str,
        salt: &[u8; SALT_LEN],
        body_bytes: &[u8],
    ) -> Self {
        Self {
            body: body_digest(salt, body_bytes),
            i: index,
            kind: kind.to_owned(),
            t: time,
            v: LEAF_VERSION,
        }
    }

    /// Its canonical bytes: what is hashed into the tree.
    pub fn to_bytes(&self) -> Vec<u8> {
        // All members are ASCII without characters to escape, so serde_json's text is the JCS text.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads canonical bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadLeaf> {
        let leaf: Self = serde_json::from_slice(bytes).map_err(|_| BadLeaf)?;
        let kind_ok = leaf
            .kind
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b == b'.' || b == b'-');
        if leaf.v == LEAF_VERSION && kind_ok && leaf.to_bytes() == bytes {
            Ok(leaf)
        } else {
            Err(BadLeaf)
        }
    }

    /// Index in the log.
    pub fn index(&self) -> u64 {
        self.i
    }

    /// The record's kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The record's time.
    pub fn time(&self) -> Timestamp {
        self.t
    }

    /// Whether it commits to this body under this salt.
    pub fn commits_to(&self, salt: &[u8; SALT_LEN], body_bytes: &[u8]) -> bool {
        self.body == body_digest(salt, body_bytes)
    }
}

fn body_digest(salt: &[u8; SALT_LEN], body_bytes: &[u8]) -> Sha256Digest {
    Sha256Digest::of(&[salt, body_bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_is_canonical_json() {
        let leaf = Leaf::new(
            7,
            Timestamp::from_unix_millis(0),
            "sign",
            &[1; SALT_LEN],
            b"{}",
        );
        let bytes = leaf.to_bytes();
        assert_eq!(serde_json_canonicalizer::to_vec(&leaf).unwrap(), bytes);
        assert_eq!(Leaf::from_bytes(&bytes), Ok(leaf.clone()));
        assert!(leaf.commits_to(&[1; SALT_LEN], b"{}"));
        assert!(!leaf.commits_to(&[2; SALT_LEN], b"{}"));
        let spaced = String::from_utf8(bytes).unwrap().replace(":", ": ");
        assert_eq!(Leaf::from_bytes(spaced.as_bytes()), Err(BadLeaf));
    }
}
