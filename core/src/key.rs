//! Key life (NIST SP 800-57 part 1): which state a key version may enter from which.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::evidence::{Exclusive, Finding};
use crate::name::KeyVersionId;
use crate::scheme::Scheme;
use crate::spki::Spki;
use crate::time::Timestamp;
use crate::uri::KeyUri;

/// What a key is for; a key has exactly one purpose for its whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Signs DSSE envelopes for clients.
    Dsse,
    /// Signs checkpoints of the audit log.
    Log,
    /// Signs tokens.
    Token,
    /// Signs DPoP proofs.
    Dpop,
    /// Signs approvals.
    Approval,
    /// Signs certificates.
    X509,
    /// Shows that its token signs, see [`crate::canary`].
    Canary,
}

impl Purpose {
    /// The name used in configuration, policy and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dsse => "dsse",
            Self::Log => "log",
            Self::Token => "token",
            Self::Dpop => "dpop",
            Self::Approval => "approval",
            Self::X509 => "x509",
            Self::Canary => "canary",
        }
    }
}

/// Where a key version stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyState {
    /// Enrolled, not yet signing.
    PreActive,
    /// The one version that signs.
    Active,
    /// Taken out of use for a while.
    Suspended,
    /// Verifies old signatures, signs no more.
    Deactivated,
    /// Its private part is gone.
    Destroyed,
}

/// What can happen to a key version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyEvent {
    /// Begins to sign.
    Activate,
    /// Stops for a while.
    Suspend,
    /// Signs again.
    Resume,
    /// Stops for good.
    Deactivate,
    /// Its private part was destroyed.
    Destroy,
}

/// The event is not possible in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key that is {from:?} cannot {event:?}")]
pub struct IllegalTransition {
    /// The state it is in.
    pub from: KeyState,
    /// The event that was asked for.
    pub event: KeyEvent,
}

impl KeyState {
    /// The state after `event`.
    pub const fn after(self, event: KeyEvent) -> Result<Self, IllegalTransition> {
        use KeyEvent::{Activate, Deactivate, Destroy, Resume, Suspend};
        match (self, event) {
            (Self::PreActive, Activate) | (Self::Suspended, Resume) => Ok(Self::Active),
            (Self::Active, Suspend) => Ok(Self::Suspended),
            (Self::Active | Self::Suspended, Deactivate) => Ok(Self::Deactivated),
            (Self::PreActive | Self::Deactivated, Destroy) => Ok(Self::Destroyed),
            _ => Err(IllegalTransition { from: self, event }),
        }
    }
}

impl KeyState {
    /// Whether a version in this state has begun to sign, and ended for good. The clock of the host may have been set
    /// back between two records, so the order of the times says nothing.
    pub const fn fits(self, has_begun: bool, has_ended: bool) -> bool {
        match self {
            Self::PreActive => !has_begun && !has_ended,
            Self::Active | Self::Suspended => has_begun && !has_ended,
            Self::Deactivated => has_begun && has_ended,
            Self::Destroyed => has_begun == has_ended,
        }
    }
}

/// How far a key's origin in hardware is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceGrade {
    /// Nothing is known.
    None,
    /// The module says so; a software token makes the same claim.
    Claimed,
    /// A statement by the device that verifies to its maker's root.
    Attested,
}

/// Evidence of a key's origin that the daemon judged and keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// SHA-256 of the evidence document.
    pub evidence_sha256: Sha256Digest,
    /// What it is worth.
    #[serde(flatten)]
    pub finding: Finding,
}

/// Everything that is fixed about a key version when it is enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// The version's name.
    pub key: KeyVersionId,
    /// The configured token it lies on.
    pub token: String,
    /// Its address inside the token.
    pub uri: KeyUri,
    /// The public key that every signature is verified against.
    pub spki: Spki,
    /// The scheme it signs with.
    pub scheme: Scheme,
    /// What it is for.
    pub purpose: Purpose,
    /// The DSSE payload types it signs; exact, case-sensitive text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payload_types: Vec<String>,
    /// What is known of its origin.
    pub evidence: EvidenceGrade,
    /// The evidence of it that was kept then; absent where the token gave none, or none that can be judged here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<Attestation>,
    /// A certificate for the public key, DER in base64, to go into bundles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Those that lead from it to its authority's own, each issued by the next; likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate_chain: Vec<String>,
}

/// A key version as the fold over the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyVersion {
    /// What was enrolled.
    pub enrolment: Enrolment,
    /// Where it stands.
    pub state: KeyState,
    /// Index of the record that brought it into `state`.
    pub state_index: u64,
    /// When it was enrolled.
    pub enrolled_at: Timestamp,
    /// When it began to sign, if it ever did.
    pub active_from: Option<Timestamp>,
    /// When it stopped for good.
    pub active_until: Option<Timestamp>,
    /// Set once it may be in other hands.
    pub compromise: Option<Compromise>,
    /// The succession statement by which its predecessor named it: a DSSE envelope as JSON text.
    pub succession: Option<String>,
    /// Signatures of it that were released.
    pub signatures: u64,
    /// The newest evidence of its origin that was kept.
    #[serde(default)]
    pub attestation: Option<Attestation>,
    /// Index of the record since which its private part is being destroyed.
    #[serde(default)]
    pub destroy_intent: Option<u64>,
}

impl KeyVersion {
    /// How far its origin is proved: by the newest evidence, else as it was enrolled.
    pub fn evidence(&self) -> EvidenceGrade {
        let newest = self.attestation.map(|newest| newest.finding.grade);
        newest.unwrap_or(self.enrolment.evidence)
    }

    /// Whether it can sign on its token only. What nothing speaks for is not so.
    pub fn exclusive(&self) -> Exclusive {
        let newest = self.attestation.map(|newest| newest.finding.exclusive);
        newest.unwrap_or(Exclusive::No)
    }
}

/// That a key may be in other hands. Never taken back; a later finding can only move it to an earlier time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compromise {
    /// Since when its signatures are not to be trusted by themselves.
    pub effective_time: Timestamp,
    /// Index of the record that says so.
    pub decided_index: u64,
    /// Origin of the log that `decided_index` counts in, where it is an earlier one than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Time of that record; absent where an earlier log did not hand it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

impl Compromise {
    /// The record that says so, in words.
    pub fn record(&self) -> String {
        let index = self.decided_index;
        match &self.log {
            None => format!("record {index}"),
            Some(log) => format!("record {index} of {log}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use KeyEvent::*;
    use KeyState::*;

    #[test]
    fn every_pair_of_state_and_event_is_decided() {
        let states = [PreActive, Active, Suspended, Deactivated, Destroyed];
        let events = [Activate, Suspend, Resume, Deactivate, Destroy];
        let legal = [
            (PreActive, Activate, Active),
            (PreActive, Destroy, Destroyed),
            (Active, Suspend, Suspended),
            (Active, Deactivate, Deactivated),
            (Suspended, Resume, Active),
            (Suspended, Deactivate, Deactivated),
            (Deactivated, Destroy, Destroyed),
        ];
        for from in states {
            for event in events {
                let expected = legal
                    .iter()
                    .find(|(state, e, _)| (*state, *e) == (from, event))
                    .map(|(_, _, to)| *to)
                    .ok_or(IllegalTransition { from, event });
                assert_eq!(from.after(event), expected, "{from:?} {event:?}");
            }
        }
    }
}
