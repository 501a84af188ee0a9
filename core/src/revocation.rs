//! Revocation statements: another key of the tenant says that a key may be in other hands.
//!
//! An in-toto statement of predicate type [`PREDICATE_TYPE`] (shape in `docs/predicates.md`) whose subject is the public
//! key that is revoked. It goes to those who have the key and no trust document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dsse::{Envelope, ThresholdError, TrustedKey};
use crate::json::JsonError;
use crate::key::{Compromise, Enrolment};
use crate::statement::{self, StatementError, Subject, Unfit};
use crate::succession::End;
use crate::time::Timestamp;

/// Of a revocation statement.
pub const PREDICATE_TYPE: &str = "https://sealwright.dev/revocation/v1";

/// Why a key is revoked, as RFC 5280 section 5.3.1 calls it. The operator's own words stay in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// It may be in other hands.
    KeyCompromise,
}

/// What the predicate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Predicate {
    /// Origin of the log in which it was decided.
    pub log: String,
    /// Index of the record there.
    pub decided_index: u64,
    /// The key that is revoked.
    pub key: End,
    /// Since when its signatures are not to be trusted by themselves.
    pub effective_time: Timestamp,
    /// Why.
    pub reason: Reason,
    /// The key that signs this statement.
    pub signed_by: End,
    /// When the statement was made, by the host's clock.
    pub time: Timestamp,
}

/// The statement's text: `by` says that `revoked` is compromised; `log` is the origin of the log at hand.
///
/// # Errors
/// [`StatementError`]: a name is longer than a statement allows.
pub fn statement(
    log: &str,
    revoked: (&Enrolment, &Compromise),
    by: &Enrolment,
    time: Timestamp,
) -> Result<Vec<u8>, StatementError> {
    let (enrolment, compromise) = revoked;
    let predicate = Predicate {
        log: compromise.log.clone().unwrap_or_else(|| log.to_owned()),
        decided_index: compromise.decided_index,
        key: End::of(enrolment),
        effective_time: compromise.effective_time,
        reason: Reason::KeyCompromise,
        signed_by: End::of(by),
        time,
    };
    let subject = Subject {
        name: Some(enrolment.key.to_string()),
        digests: BTreeMap::from([("sha256".to_owned(), enrolment.spki.sha256().to_string())]),
    };
    let predicate = serde_json::to_vec(&predicate).map_err(JsonError::Form)?;
    statement::build(&[subject], PREDICATE_TYPE, &predicate)
}

/// Why an envelope is no revocation to act on.
#[derive(Debug, thiserror::Error)]
pub enum BadRevocation {
    /// Not signed by the key at hand.
    #[error("the key at hand did not sign it: {0}")]
    Envelope(#[from] ThresholdError),
    /// No statement, or none that makes sense.
    #[error("the signed text is no revocation statement: {0}")]
    Statement(#[from] StatementError),
    /// Another kind of payload or statement.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Subject or signer are not those of the predicate.
    #[error("subject, revoked key and signer do not agree")]
    Contradiction,
}

/// What `by` says in `envelope`.
///
/// # Errors
/// [`BadRevocation`].
pub fn verify(envelope: Envelope, by: &TrustedKey) -> Result<Predicate, BadRevocation> {
    let (summary, predicate) =
        statement::signed::<Predicate, BadRevocation>(envelope, by, PREDICATE_TYPE)?;
    let is_subject = summary.has_digest("sha256", &predicate.key.spki_sha256.to_string());
    if is_subject && predicate.signed_by.spki_sha256 == by.spki().sha256() {
        Ok(predicate)
    } else {
        Err(BadRevocation::Contradiction)
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::Signer as _;
    use p256::ecdsa::{DerSignature, SigningKey};
    use p256::pkcs8::EncodePublicKey as _;

    use super::*;
    use crate::dsse::{Pae, encode_envelope};
    use crate::key::{EvidenceGrade, Purpose};
    use crate::scheme::Scheme;
    use crate::spki::Spki;
    use crate::statement::PAYLOAD_TYPE;

    fn pair(seed: u8) -> SigningKey {
        SigningKey::from_slice(&[seed; 32]).unwrap()
    }

    fn enrolment(seed: u8) -> Enrolment {
        let der = pair(seed).verifying_key().to_public_key_der().unwrap();
        Enrolment {
            key: format!("default/release#{seed}").parse().unwrap(),
            token: "hsm".to_owned(),
            uri: "pkcs11:object=release".parse().unwrap(),
            spki: Spki::from_der(der.into_vec()),
            scheme: Scheme::EcdsaP256Sha256,
            purpose: Purpose::Dsse,
            payload_types: vec![PAYLOAD_TYPE.to_owned()],
            evidence: EvidenceGrade::None,
            certificate: None,
            certificate_chain: Vec::new(),
            attestation: None,
        }
    }

    fn trusted(seed: u8) -> TrustedKey {
        TrustedKey::with_default_scheme(enrolment(seed).spki).unwrap()
    }

    fn text() -> String {
        let compromise = Compromise {
            effective_time: Timestamp::from_unix_millis(5),
            decided_index: 7,
            log: None,
            decided_at: None,
            reason: "found on a pastebin".to_owned(),
        };
        let revoked = (&enrolment(1), &compromise);
        let text = statement("test/log", revoked, &enrolment(2), Timestamp::default()).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn signed(payload_type: &str, payload: &str) -> Envelope {
        let payload = payload.as_bytes();
        let pae = Pae {
            payload_type,
            payload,
        };
        let signature: DerSignature = pair(2).sign(&pae.to_vec());
        let bytes = encode_envelope(payload_type, payload, &[("", signature.as_bytes())]);
        Envelope::parse(&bytes).unwrap()
    }

    #[test]
    fn a_statement_says_what_was_decided_and_keeps_the_operators_words() {
        assert!(!text().contains("pastebin"));
        let predicate = verify(signed(PAYLOAD_TYPE, &text()), &trusted(2)).unwrap();
        assert_eq!(predicate.key.key.to_string(), "default/release#1");
        assert_eq!(predicate.decided_index, 7);
        assert_eq!(predicate.effective_time, Timestamp::from_unix_millis(5));
    }

    #[test]
    fn what_is_no_revocation_by_the_key_at_hand_is_refused_by_name() {
        let of = |payload_type: &str, what: &str, with: &str| {
            let changed = text().replace(what, with);
            verify(signed(payload_type, &changed), &trusted(2)).unwrap_err()
        };
        let stranger = verify(signed(PAYLOAD_TYPE, &text()), &trusted(1)).unwrap_err();
        assert!(matches!(stranger, BadRevocation::Envelope(_)));
        assert!(matches!(
            of("text/plain", "", ""),
            BadRevocation::Unfit(Unfit::Payload(_))
        ));
        let other = of(PAYLOAD_TYPE, PREDICATE_TYPE, "https://e/other");
        assert!(matches!(other, BadRevocation::Unfit(Unfit::Type { .. })));
        let lacks = of(PAYLOAD_TYPE, "\"decidedIndex\"", "\"decided\"");
        assert!(matches!(lacks, BadRevocation::Unfit(Unfit::Predicate(_))));
        for seed in [1, 2] {
            let digest = enrolment(seed).spki.sha256().to_string();
            let wrong = text().replacen(&digest, &"0".repeat(64), 1);
            let error = verify(signed(PAYLOAD_TYPE, &wrong), &trusted(2)).unwrap_err();
            assert!(matches!(error, BadRevocation::Contradiction), "{error}");
        }
    }
}
