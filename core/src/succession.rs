//! Succession statements: the key that signed until now says which key signs from now on.
//!
//! An in-toto statement of predicate type [`PREDICATE_TYPE`] (shape in `docs/predicates.md`) whose subject is the
//! successor's public key. Whoever trusts the first key of a chain gets from it to the last one offline.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::dsse::{Envelope, ThresholdError, TrustedKey};
use crate::json::JsonError;
use crate::key::Enrolment;
use crate::name::KeyVersionId;
use crate::scheme::Scheme;
use crate::spki::Spki;
use crate::statement::{self, StatementError, Subject, Unfit};
use crate::time::Timestamp;

/// Of a succession statement.
pub const PREDICATE_TYPE: &str = "https://sealwright.dev/succession/v1";

/// A key version as statements name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// The version's name.
    pub key: KeyVersionId,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki_sha256: Sha256Digest,
}

impl End {
    /// The version that was enrolled.
    pub fn of(enrolment: &Enrolment) -> Self {
        Self {
            key: enrolment.key.clone(),
            spki_sha256: enrolment.spki.sha256(),
        }
    }
}

/// What the predicate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Predicate {
    /// Origin of the log in which the rotation is recorded.
    pub log: String,
    /// The key that signs this statement.
    pub from: End,
    /// Its successor.
    pub to: End,
    /// The successor's SubjectPublicKeyInfo, DER in base64.
    pub public_key: String,
    /// The scheme it signs with.
    pub scheme: Scheme,
    /// When the statement was made, by the host's clock.
    pub time: Timestamp,
}

/// The statement's text: `from` names `to`.
///
/// # Errors
/// [`StatementError`]: a name is longer than a statement allows.
pub fn statement(
    log: &str,
    from: &Enrolment,
    to: &Enrolment,
    time: Timestamp,
) -> Result<Vec<u8>, StatementError> {
    let predicate = Predicate {
        log: log.to_owned(),
        from: End::of(from),
        to: End::of(to),
        public_key: STANDARD.encode(to.spki.der()),
        scheme: to.scheme,
        time,
    };
    let subject = Subject {
        name: Some(to.key.to_string()),
        digests: BTreeMap::from([("sha256".to_owned(), to.spki.sha256().to_string())]),
    };
    let predicate = serde_json::to_vec(&predicate).map_err(JsonError::Form)?;
    statement::build(&[subject], PREDICATE_TYPE, &predicate)
}

/// Why a chain does not lead from its first key to another one.
#[derive(Debug, thiserror::Error)]
#[error("link {link}: {reason}")]
pub struct ChainError {
    /// Position in the chain, from 1.
    pub link: usize,
    /// What is wrong with it.
    pub reason: BadLink,
}

/// Why a succession statement does not lead from the key at hand to the next.
#[derive(Debug, thiserror::Error)]
pub enum BadLink {
    /// Not signed by the key at hand.
    #[error("the key that it should come from did not sign it: {0}")]
    Envelope(#[from] ThresholdError),
    /// No statement, or none that makes sense.
    #[error("the signed text is no succession statement: {0}")]
    Statement(#[from] StatementError),
    /// Another kind of payload or statement.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// It speaks of another predecessor than the one that signed.
    #[error("it is about a successor of {0}, which did not sign it")]
    OtherPredecessor(KeyVersionId),
    /// Subject, digest and public key do not agree.
    #[error("subject, fingerprint and public key of the successor do not agree")]
    Contradiction,
    /// The scheme does not go with the key.
    #[error("the successor's public key cannot be used: {0}")]
    Key(String),
}

/// A key that a chain leads to.
#[derive(Debug, Clone)]
pub struct Successor {
    /// What the predecessor said.
    pub predicate: Predicate,
    /// The key, trusted as far as the first key of the chain is.
    pub key: TrustedKey,
}

/// Follows `links`, oldest first, from `first`. The successors in order; none for no link.
///
/// # Errors
/// [`ChainError`]: the first link that does not hold.
pub fn follow(
    first: &TrustedKey,
    links: impl IntoIterator<Item = Envelope>,
) -> Result<Vec<Successor>, ChainError> {
    let mut successors: Vec<Successor> = Vec::new();
    for (link, envelope) in (1..).zip(links) {
        let from = successors.last().map_or(first, |last| &last.key);
        let next = next(from, envelope).map_err(|reason| ChainError { link, reason })?;
        successors.push(next);
    }
    Ok(successors)
}

fn next(from: &TrustedKey, envelope: Envelope) -> Result<Successor, BadLink> {
    let (summary, predicate) =
        statement::signed::<Predicate, BadLink>(envelope, from, PREDICATE_TYPE)?;
    if predicate.from.spki_sha256 != from.spki().sha256() {
        return Err(BadLink::OtherPredecessor(predicate.from.key));
    }
    let spki = STANDARD.decode(&predicate.public_key).map(Spki::from_der);
    let spki = spki.map_err(|_| BadLink::Contradiction)?;
    let digest = spki.sha256();
    let is_subject = summary.has_digest("sha256", &digest.to_string());
    if digest != predicate.to.spki_sha256 || !is_subject {
        return Err(BadLink::Contradiction);
    }
    let key = TrustedKey::new(spki, predicate.scheme).map_err(|e| BadLink::Key(e.to_string()))?;
    Ok(Successor { predicate, key })
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::Signer as _;
    use p256::ecdsa::{DerSignature, SigningKey};
    use p256::pkcs8::EncodePublicKey as _;

    use super::*;
    use crate::dsse::{Pae, encode_envelope};
    use crate::key::{EvidenceGrade, Purpose};
    use crate::statement::PAYLOAD_TYPE;

    struct Key(SigningKey, Enrolment);

    fn key(version: u32) -> Key {
        let pair = SigningKey::from_slice(&[u8::try_from(version).unwrap(); 32]).unwrap();
        let der = pair.verifying_key().to_public_key_der().unwrap();
        let enrolment = Enrolment {
            key: format!("default/release#{version}").parse().unwrap(),
            token: "hsm".to_owned(),
            uri: "pkcs11:object=release".parse().unwrap(),
            spki: Spki::from_der(der.as_bytes().to_vec()),
            scheme: Scheme::EcdsaP256Sha256,
            purpose: Purpose::Dsse,
            payload_types: vec![PAYLOAD_TYPE.to_owned()],
            evidence: EvidenceGrade::None,
            certificate: None,
            certificate_chain: Vec::new(),
            attestation: None,
        };
        Key(pair, enrolment)
    }

    fn sign(key: &Key, payload_type: &str, payload: &[u8]) -> Envelope {
        let pae = Pae {
            payload_type,
            payload,
        };
        let message = [&pae.prefix()[..], payload].concat();
        let signature: DerSignature = key.0.sign(&message);
        let keyid = key.1.spki.keyid();
        let bytes = encode_envelope(payload_type, payload, &[(&keyid, signature.as_bytes())]);
        Envelope::parse(&bytes).unwrap()
    }

    fn link(from: &Key, to: &Key) -> Envelope {
        let text = statement("test/log", &from.1, &to.1, Timestamp::default()).unwrap();
        sign(from, PAYLOAD_TYPE, &text)
    }

    fn trusted(key: &Key) -> TrustedKey {
        TrustedKey::with_default_scheme(key.1.spki.clone()).unwrap()
    }

    #[test]
    fn a_chain_leads_from_the_first_key_to_the_last() {
        let [a, b, c] = [1, 2, 3].map(key);
        let chain = follow(&trusted(&a), [link(&a, &b), link(&b, &c)]).unwrap();
        let last = chain.last().unwrap();
        assert_eq!(last.key, trusted(&c));
        assert_eq!(last.predicate.to.key.to_string(), "default/release#3");
        assert!(follow(&trusted(&a), []).unwrap().is_empty());
    }

    #[test]
    fn a_link_by_another_key_than_the_one_at_hand_leads_nowhere() {
        let [a, b, c] = [1, 2, 3].map(key);
        let error = follow(&trusted(&a), [link(&a, &b), link(&a, &c)]).unwrap_err();
        assert_eq!(error.link, 2);
        assert!(matches!(error.reason, BadLink::Envelope(_)), "{error}");
        let error = follow(&trusted(&a), [link(&b, &c)]).unwrap_err();
        assert_eq!(error.link, 1);
    }

    #[test]
    fn a_statement_that_contradicts_itself_leads_nowhere() {
        let [a, b, c] = [1, 2, 3].map(key);
        let text = statement("test/log", &a.1, &b.1, Timestamp::default()).unwrap();
        let text = String::from_utf8(text).unwrap();
        let other = |what: &str, with: &str| {
            let changed = text.replace(what, with);
            assert_ne!(changed, text);
            let envelope = sign(&a, PAYLOAD_TYPE, changed.as_bytes());
            follow(&trusted(&a), [envelope]).unwrap_err().reason
        };
        let [of_a, of_b, of_c] = [&a, &b, &c].map(|key| {
            (
                key.1.spki.sha256().to_string(),
                STANDARD.encode(key.1.spki.der()),
            )
        });
        assert!(matches!(other(&of_b.1, &of_c.1), BadLink::Contradiction));
        assert!(matches!(other(&of_b.1, "!"), BadLink::Contradiction));
        assert!(matches!(
            other(&of_a.0, &of_c.0),
            BadLink::OtherPredecessor(_)
        ));
        assert!(matches!(
            other(PREDICATE_TYPE, "https://e/other"),
            BadLink::Unfit(Unfit::Type { .. })
        ));
        assert!(matches!(
            other("\"publicKey\"", "\"public\""),
            BadLink::Unfit(Unfit::Predicate(_))
        ));
        let envelope = sign(&a, "text/plain", text.as_bytes());
        let error = follow(&trusted(&a), [envelope]).unwrap_err();
        assert!(
            matches!(error.reason, BadLink::Unfit(Unfit::Payload(_))),
            "{error}"
        );
    }
}
