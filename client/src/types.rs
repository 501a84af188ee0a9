//! What the API answers and takes besides signatures.

use sealwright_core::digest::Sha256Digest;
use sealwright_core::evidence::{Exclusive, Finding};
use sealwright_core::key::{Compromise, EvidenceGrade, KeyState, Purpose};
use sealwright_core::name::{KeyVersionId, Tenant};
use sealwright_core::record::{FormerLog, FreezeScope};
use sealwright_core::rotation::RotationDue;
use sealwright_core::scheme::Scheme;
use sealwright_core::time::Timestamp;
use sealwright_core::uri::KeyUri;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// How the daemon is. Members that a newer daemon adds are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// The log's origin.
    pub origin: String,
    /// The log whose place it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predecessor: Option<PredecessorStatus>,
    /// Whom the daemon takes the caller for.
    pub principal: PrincipalStatus,
    /// The audit log.
    pub log: LogStatus,
    /// SHA-256 of the policy in force.
    pub policy_digest: Sha256Digest,
    /// SHA-256 of the configuration in force.
    pub config_digest: Sha256Digest,
    /// Every configured token.
    pub tokens: Vec<TokenStatus>,
    /// Freezes in force that concern the caller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freezes: Vec<FreezeStatus>,
    /// Why the host's clock is not believed, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<String>,
    /// A policy file that needs approvals before it decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_waiting: Option<Sha256Digest>,
    /// What waits for approvals.
    #[serde(default)]
    pub approvals: Approvals,
    /// Keys that are due for rotation, or soon will be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotations: Vec<RotationAhead>,
    /// Certificates that have run out or soon will, for operators of the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<ExpiringCertificate>,
    /// How many keys no caller may use, for the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied_keys: Option<u64>,
}

/// A certificate that has run out or soon will.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpiringCertificate {
    /// `server`, `ca` or `caller`.
    #[serde(rename = "use")]
    pub kind: String,
    /// The daemon's file, or the caller's identity.
    pub name: String,
    /// When it runs out.
    pub not_after: Timestamp,
}

/// A rotation ahead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationAhead {
    /// The version that signs.
    pub key: KeyVersionId,
    /// What its rule says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_due: Option<RotationDue>,
    /// What was put off to a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_scheduled: Option<ScheduledRotation>,
}

/// A rotation that was put off to a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledRotation {
    /// The version that takes over.
    pub to: KeyVersionId,
    /// When.
    pub at: Timestamp,
    /// The record that says so.
    pub record: u64,
    /// In whose name.
    pub by: String,
    /// Why it was not done although its time has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Dual control at a glance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approvals {
    /// How many a step of a key's life needs; 0: none.
    pub required: u32,
    /// Requests that wait for them.
    pub waiting: u64,
    /// What was done by break-glass and has yet to be approved.
    pub owed: u64,
}

/// That a clock in doubt was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockAccepted {
    /// What it said.
    pub wall: Timestamp,
    /// The record that says so.
    pub record: u64,
}

/// A freeze in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeStatus {
    /// What is frozen.
    pub scope: FreezeScope,
    /// Since when.
    pub since: Timestamp,
    /// The record that says so.
    pub record: u64,
    /// Why; for those who may lift it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who set it; for those who may lift it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// That a freeze was set or lifted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeChange {
    /// What is concerned.
    pub scope: FreezeScope,
    /// Whether it is frozen now.
    pub frozen: bool,
    /// The record that says so.
    pub record: u64,
}

/// A log whose place the daemon's took; its genesis record says more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredecessorStatus {
    /// Its origin.
    pub origin: String,
    /// Its key, a C2SP vkey line.
    pub vkey: String,
    /// Records of it that the new log stands on.
    pub size: u64,
    /// Root of its tree of that size.
    pub root: Sha256Digest,
    /// Why it was not taken over whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// The logs before it, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<FormerLog>,
}

/// The caller, as the daemon knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrincipalStatus {
    /// The identity in its certificate.
    pub id: String,
    /// Its tenant.
    pub tenant: Tenant,
    /// Its roles, by name.
    pub roles: Vec<String>,
}

/// How the audit log is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    /// Records so far.
    pub size: u64,
    /// Records covered by the newest checkpoint.
    pub checkpoint_size: u64,
    /// `ok`, or the code with which signing is refused now.
    pub state: String,
    /// What each witness vouched for.
    #[serde(default)]
    pub witnesses: Vec<WitnessStatus>,
    /// What all of them together did.
    #[serde(default)]
    pub anchor: AnchorStatus,
    /// `audit.erased` records whose bodies are still being destroyed.
    #[serde(default)]
    pub erasing: Vec<u64>,
    /// Why they could not be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erasing_failed: Option<String>,
}

/// What a witness vouched for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessStatus {
    /// The name of its key.
    pub name: String,
    /// Records that it vouched for; `None` where it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Seconds since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_s: Option<u64>,
}

/// What the witnesses' quorum vouched for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorStatus {
    /// `none`, `warn` or `require`.
    pub mode: String,
    /// How many witnesses are enough.
    pub quorum: u64,
    /// How many cosigned the newest checkpoint.
    pub newest_cosigned: u64,
    /// Records that a quorum vouched for.
    pub size: u64,
    /// Seconds since then; `None` where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_s: Option<u64>,
    /// Whether that is longer ago than the daemon's configuration allows.
    pub stale: bool,
}

/// What became of cosignatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CosignaturesTaken {
    /// The checkpoint.
    pub size: u64,
    /// Witnesses whose cosignature of it is stored.
    pub witnesses: Vec<String>,
    /// Whether they are enough.
    pub quorum: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Consistency {
    pub(crate) hashes: Vec<String>,
}

/// How a token is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenStatus {
    /// Its name in the configuration.
    pub name: String,
    /// `ready`, `connecting` or `out-of-service`.
    pub state: String,
    /// Why it is out of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it returned something that did not verify, and nobody cleared it.
    pub suspect: bool,
    /// Requests that wait.
    pub queued: u64,
    /// Requests at the device.
    pub in_flight: u64,
    /// The driver's kind; known once it was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The token's label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The token's serial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
}

/// An enrolled key version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its name: `default/release#1`.
    pub key: KeyVersionId,
    /// Where it stands in its life.
    pub state: KeyState,
    /// When it was enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolled_at: Option<Timestamp>,
    /// When it began to sign, if it ever did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_from: Option<Timestamp>,
    /// When it stopped for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_until: Option<Timestamp>,
    /// Set once it may be in other hands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compromise: Option<Compromise>,
    /// Signatures of it that were released.
    #[serde(default)]
    pub signatures: u64,
    /// What its rule of rotation says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_due: Option<RotationDue>,
    /// Which version takes its place, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_scheduled: Option<ScheduledRotation>,
    /// The token it lies on.
    pub token: String,
    /// Its address there.
    pub uri: KeyUri,
    /// What it signs with.
    pub scheme: Scheme,
    /// What it is for.
    pub purpose: Purpose,
    /// The payload types it signs.
    #[serde(default)]
    pub payload_types: Vec<String>,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki_sha256: Sha256Digest,
    /// DSSE keyid and bundle hint.
    pub keyid: String,
    /// `PUBLIC KEY` PEM.
    pub public_key_pem: String,
    /// What is known of its origin.
    pub evidence: EvidenceGrade,
    /// Whether it can sign on its token only.
    pub exclusive: Exclusive,
    /// SHA-256 of the newest evidence of its origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence_sha256: Option<Sha256Digest>,
    /// From when on it may be destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroy_from: Option<Timestamp>,
    /// The record since which it is being destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroy_intent: Option<u64>,
    /// Its certificate, base64 of DER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Those that lead from it to its authority's, each issued by the next; likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate_chain: Vec<String>,
    /// The succession statement by which its predecessor named it, a DSSE envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succession: Option<serde_json::Value>,
}

/// A rotation that was done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rotated {
    /// The version that signed until now.
    pub from: KeyVersionId,
    /// The version that signs now.
    pub to: Key,
    /// The succession statement, a DSSE envelope.
    pub succession: Box<RawValue>,
}

/// A revocation statement that was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Revocation {
    /// The version that is revoked.
    pub key: KeyVersionId,
    /// The version that says so.
    pub signed_by: KeyVersionId,
    /// The statement, a DSSE envelope.
    pub statement: Box<RawValue>,
}

/// Evidence of a key's origin, as the daemon judged it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attested {
    /// The version.
    pub key: KeyVersionId,
    /// SHA-256 of `document`.
    pub evidence_sha256: Sha256Digest,
    /// What it is worth.
    pub finding: Finding,
    /// The evidence document, byte for byte as the daemon keeps it.
    pub document: Box<RawValue>,
}

/// A certificate revocation list that was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crl {
    /// The authority's key.
    pub issuer: KeyVersionId,
    /// CRL number.
    pub number: u64,
    /// How many certificates it lists.
    pub entries: u64,
    /// When there will be a newer list at the latest.
    pub next_update: Timestamp,
    /// The list, PEM.
    pub crl: String,
}

/// A trust document that was published.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PublishedTrust {
    /// Its number.
    pub serial: u64,
    /// The version that signed it.
    pub signed_by: KeyVersionId,
    /// SHA-256 of the document, the envelope's payload.
    pub document_sha256: Sha256Digest,
    /// The document in its DSSE envelope.
    pub envelope: Box<RawValue>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct KeyList {
    pub(crate) keys: Vec<Key>,
}

/// A key as its token describes it; not enrolled by that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribedKey {
    /// Its address, as precisely as the driver knows it.
    pub uri: KeyUri,
    /// SHA-256 of its SubjectPublicKeyInfo: what an operator confirms.
    pub spki_sha256: Sha256Digest,
    /// DSSE keyid.
    pub keyid: String,
    /// `PUBLIC KEY` PEM.
    pub public_key_pem: String,
    /// Schemes it can sign with, the preferred one first.
    pub schemes: Vec<Scheme>,
    /// Grade of the evidence for its origin.
    pub evidence: EvidenceGrade,
    /// What the grade rests on.
    pub claims: Vec<(String, String)>,
}

/// A key to be made on a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Generate {
    /// The name it will be enrolled under.
    pub key: String,
    /// The configured token.
    pub token: String,
    /// Where it shall be; no key may be there yet.
    pub uri: KeyUri,
    /// What it shall sign with.
    pub scheme: Scheme,
    /// Modulus length for RSA schemes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rsa_bits: Option<u16>,
}

/// A key to be enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Enrol {
    /// Its name, with or without tenant.
    pub key: String,
    /// The configured token.
    pub token: String,
    /// Its address there.
    pub uri: KeyUri,
    /// The fingerprint that the operator confirmed.
    pub spki_sha256: Sha256Digest,
    /// The scheme; the key's preferred one where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// What it is for.
    pub purpose: Purpose,
    /// The payload types it signs; in-toto statements where none are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_types: Option<Vec<String>>,
    /// A certificate for it, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Whether it signs from now on.
    pub activate: bool,
}

/// Which records to list; `None` leaves a condition out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RecordQuery {
    /// First index.
    pub from: Option<u64>,
    /// Most records; the daemon has a limit of its own.
    pub limit: Option<usize>,
    /// Records of this key.
    pub key: Option<String>,
    /// Records of this caller.
    pub principal: Option<String>,
    /// `signed`, `denied`, `failed`, `discarded` or `outcome_unknown`.
    pub outcome: Option<String>,
    /// Records with this subject, by SHA-256 in hex.
    pub subject: Option<String>,
    /// Records of this kind, such as `sign` or `key.enrolled`.
    pub kind: Option<String>,
    /// Records of this time (RFC 3339, UTC) or later.
    pub since: Option<String>,
    /// Records before this time.
    pub before: Option<String>,
    /// Records of this tenant instead of the caller's own.
    pub tenant: Option<String>,
    /// Whether to wait for a record at `from` or later.
    pub wait: bool,
}

/// Some records, and where the next ones begin.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecordPage {
    /// In the order of the log.
    pub records: Vec<RecordView>,
    /// The index to go on from; `None` at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// Without `next`: every record before this index was looked at.
    pub end: u64,
}

/// One record with what ties it to the log.
#[derive(Debug, Serialize, Deserialize)]
pub struct RecordView {
    /// Its index.
    pub index: u64,
    /// The bytes that are hashed into the tree, as text.
    pub leaf: String,
    /// The salt, base64; absent where the body is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// The body, byte for byte as the leaf commits to it (`docs/audit-record.md`); absent where it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Box<RawValue>>,
    /// The body was destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<ErasedBody>,
    /// The body is in the archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<ArchivedBody>,
}

impl RecordView {
    /// The body's text; empty where it is gone.
    pub fn body(&self) -> &str {
        self.record.as_ref().map_or("", |record| record.get())
    }
}

/// Why a body is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedBody {
    /// The `audit.erased` record that says so.
    pub by: u64,
}

/// Where a body is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedBody {
    /// The file of the archive that holds its segment.
    pub file: String,
}
