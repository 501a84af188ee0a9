//! What is left of a record whose body is gone.

use serde::{Deserialize, Serialize};

use super::{Event, Outcome, ReceiptLink, Reserves, Settled, SignRecord};
use crate::digest::Sha256Digest;
use crate::name::{KeyVersionId, Tenant};

/// What a `sign` record means to the fold, or a `sign.intent`, and all of it. Whoever lets the fold take more of such a
/// record adds it here: it is then kept where the body is erased or lies in the archive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lasting {
    /// A retry of the request is to be recognised. Forgotten when the body is erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The key versions that a released signature counts for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signed: Vec<KeyVersionId>,
    /// The operation whose approvals a released signature used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<u64>,
    /// The names that it reserved or freed, where its keys sign each name once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub once: Option<Settled>,
    /// The receipt that was released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Box<ReceiptLink>>,
    /// The names that an intent reserved. Kept for ever: a name that was forgotten could be signed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserves: Option<Reserves>,
}

/// By what a retry is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// SHA-256 of principal ‖ digest of the Idempotency-Key.
    pub key: Sha256Digest,
    /// The PAE that was signed.
    pub pae_sha256: Sha256Digest,
}

impl Retry {
    /// The key under which requests of `principal` with that Idempotency-Key are remembered.
    pub fn key(principal: &str, idempotency: &Sha256Digest) -> Sha256Digest {
        Sha256Digest::of(&[principal.as_bytes(), &idempotency.0])
    }

    fn of(sign: &SignRecord) -> Option<Self> {
        let counts = matches!(sign.outcome, Outcome::Signed | Outcome::OutcomeUnknown);
        let (idempotency, pae_sha256) = (sign.idempotency_sha256?, sign.pae_sha256?);
        counts.then(|| Self {
            key: Self::key(&sign.principal, &idempotency),
            pae_sha256,
        })
    }
}

impl Lasting {
    /// Of a `sign` record.
    pub fn of(sign: &SignRecord) -> Self {
        Self {
            retry: Retry::of(sign),
            signed: signed(sign),
            approval: sign.approval.filter(|_| sign.outcome == Outcome::Signed),
            once: Settled::of(sign),
            receipt: ReceiptLink::of(sign).map(Box::new),
            reserves: None,
        }
    }
}

fn signed(sign: &SignRecord) -> Vec<KeyVersionId> {
    if sign.outcome != Outcome::Signed {
        return Vec::new();
    }
    let first = sign.key.iter().zip(sign.key_version);
    let further = sign.further_keys.iter();
    let further = further.map(|used| (&used.key, used.key_version));
    let all = first.chain(further);
    all.map(|(key, version)| key.version(version)).collect()
}

/// The kinds whose bodies may go: nothing that keys, policy or holds follow from.
const KINDS: [&str; 3] = ["sign", "sign.intent", "denials.summarised"];

/// Whether the body of a record of this kind may go.
pub fn may_go(kind: &str) -> bool {
    KINDS.contains(&kind)
}

/// What stands in the journal in the place of a body that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rest {
    /// Whose record it was: who may see its leaf.
    pub tenant: Tenant,
    /// What the fold takes from it.
    #[serde(default)]
    pub lasting: Lasting,
}

impl Rest {
    /// Of a record whose body goes into the archive; `None` where it must stay.
    pub fn of_archived(event: &Event) -> Option<Self> {
        match event {
            Event::Sign(sign) => Some(Self {
                tenant: sign.tenant.clone(),
                lasting: Lasting::of(sign),
            }),
            Event::SignIntended(intended) => Some(Self {
                tenant: intended.tenant.clone(),
                lasting: Lasting {
                    reserves: Some(Reserves::of(intended)),
                    ..Lasting::default()
                },
            }),
            Event::DenialsSummarised(denials) => Some(Self {
                tenant: denials.tenant.clone(),
                lasting: Lasting::default(),
            }),
            _ => None,
        }
    }

    /// Of a record whose body is destroyed; `None` where it must stay.
    pub fn of_erased(event: &Event) -> Option<Self> {
        Self::of_archived(event).map(Self::erased)
    }

    /// Without what is forgotten together with the body.
    pub fn erased(mut self) -> Self {
        self.lasting.retry = None;
        self
    }

    /// Its bytes in the journal.
    pub fn to_bytes(&self) -> Vec<u8> {
        // A label and digests: there is nothing that does not serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads them; `None` where they are another program's, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// An intent, or the record that closes it, over so many subjects with the shortest names.
    fn once(kind: &str, subjects: usize) -> Event {
        let digest = |n: usize| Sha256Digest::of(&[&n.to_le_bytes()]).to_string();
        let subject =
            |n: usize| json!({ "name": n.to_string(), "digest": { "sha256": digest(n) } });
        let subjects: Vec<_> = (0..subjects).map(subject).collect();
        let mut event = json!({
            "kind": kind, "request_id": "r", "tenant": "default", "principal": "p",
            "peer": { "uid": 1, "gid": 1, "pid": 1 }, "pae_sha256": digest(0), "subjects": subjects,
            "policy_digest": digest(0), "config_digest": digest(0),
        });
        match kind {
            "sign.intent" => event["keys"] = json!(["default/release#1"]),
            _ => {
                event["outcome"] = json!("signed");
                event["key"] = json!("default/release");
                event["key_version"] = json!(1);
                event["once"] = json!(true);
                event["intent"] = json!(7);
            }
        }
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn what_is_left_of_a_record_takes_no_more_room_than_its_body_and_is_read_back() {
        for kind in ["sign.intent", "sign"] {
            for subjects in [1, 2, 256] {
                let event = once(kind, subjects);
                let rest = Rest::of_erased(&event).unwrap();
                let body = serde_json::to_vec(&event).unwrap();
                let bytes = rest.to_bytes();
                assert!(
                    bytes.len() <= body.len(),
                    "{kind} with {subjects}: {}",
                    bytes.len()
                );
                assert_eq!(Rest::from_bytes(&bytes), Some(rest));
            }
        }
    }
}
