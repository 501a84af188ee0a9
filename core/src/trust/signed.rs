//! A published trust document: an envelope of payload type [`PAYLOAD_TYPE`], signed by a key of the tenant.
//!
//! The verifier pins one key of the tenant. A document that this key signed is good, and so is one that a successor
//! signed to whom a chain of [succession statements](crate::succession) leads; the statements are in the document.
//! Nothing else in it is believed before that.

use super::{Document, DocumentError, Key, PAYLOAD_TYPE, Published, Version};
use crate::digest::Sha256Digest;
use crate::dsse::{Envelope, Options, TrustedKey};
use crate::json::JsonError;
use crate::key::Purpose;
use crate::name::KeyVersionId;
use crate::succession;
use crate::time::Timestamp;

/// A document that is as good as the pinned key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What it says.
    pub document: Document,
    /// What it says of itself.
    pub published: Published,
    /// The version that signed it.
    pub signed_by: KeyVersionId,
    /// SHA-256 of the document's text.
    pub sha256: Sha256Digest,
}

/// Why an envelope is no trust document to rely on.
#[derive(Debug, thiserror::Error)]
pub enum SignedError {
    /// Another payload.
    #[error("the envelope holds a payload of type {0:?}, no trust document ({PAYLOAD_TYPE})")]
    Payload(String),
    /// The payload is no document.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A document that was not made to be published.
    #[error("the document in the envelope has no tenant and serial: the daemon did not publish it")]
    Unpublished,
    /// Nothing leads from the pinned key to this document.
    #[error(
        "the pinned key {0} is none of the document's: another tenant's or log's, or another pin"
    )]
    UnknownPin(Sha256Digest),
    /// The signature is of nobody who may.
    #[error(
        "neither the pinned key nor a successor that it leads to signed the document: {candidates} could have"
    )]
    UnknownSigner {
        /// Who could have, as the document calls them.
        candidates: String,
    },
    /// A link of the way from the pinned key is compromised.
    #[error(
        "{0} is compromised by the document itself, so nothing that it signed leads on: pin a key that was handed to \
         you in another way"
    )]
    Compromised(KeyVersionId),
    /// Too old.
    #[error(
        "the document with serial {serial} was to be relied on until {valid_until}; get the newest one"
    )]
    Expired {
        /// Its number.
        serial: u64,
        /// Its end.
        valid_until: Timestamp,
    },
    /// Older than one that was seen.
    #[error(
        "the document has serial {serial}, and {least} or a later one was published already: get the newest one"
    )]
    Rollback {
        /// Its number.
        serial: u64,
        /// The smallest that is good.
        least: u64,
    },
}

/// Verifies `envelope` with the key whose SubjectPublicKeyInfo has this SHA-256.
///
/// # Errors
/// [`SignedError`]; neither `Expired` nor `Rollback`, which [`Signed::check_age`] finds.
pub fn verify(envelope: Envelope, pin: Sha256Digest) -> Result<Signed, SignedError> {
    if envelope.payload_type() != PAYLOAD_TYPE {
        return Err(SignedError::Payload(envelope.payload_type().to_owned()));
    }
    let document = Document::parse(envelope.pae().payload)?;
    let published = document.published().cloned();
    let published = published.ok_or(SignedError::Unpublished)?;
    let way = way_from(&document, pin).ok_or(SignedError::UnknownPin(pin))?;
    let keys: Vec<_> = way.iter().map(|step| step.key.clone()).collect();
    let verified = envelope.verify(&keys, 1, Options::default());
    let verified = verified.map_err(|_| SignedError::UnknownSigner {
        candidates: names(&way),
    })?;
    // The latest: its way has every step that any other signer's has.
    let signer = verified.signers.last().copied().unwrap_or_default();
    let steps = way.get(..=signer).unwrap_or_default();
    if let Some(bad) = steps.iter().find(|step| step.is_compromised) {
        return Err(SignedError::Compromised(bad.id.clone()));
    }
    let signed_by = steps.last().map(|step| step.id.clone());
    Ok(Signed {
        sha256: Sha256Digest::of(&[&verified.payload]),
        signed_by: signed_by.ok_or(SignedError::UnknownPin(pin))?,
        document,
        published,
    })
}

impl Signed {
    /// That it is neither older than `least` nor past its end.
    ///
    /// # Errors
    /// [`SignedError::Rollback`], [`SignedError::Expired`].
    pub fn check_age(&self, least: u64, now: Timestamp) -> Result<(), SignedError> {
        let serial = self.published.serial;
        if serial < least {
            return Err(SignedError::Rollback { serial, least });
        }
        match self.published.valid_until {
            Some(valid_until) if valid_until < now => Err(SignedError::Expired {
                serial,
                valid_until,
            }),
            _ => Ok(()),
        }
    }
}

/// A version to which the pinned key leads.
struct Step {
    id: KeyVersionId,
    key: TrustedKey,
    is_compromised: bool,
}

/// The pinned version and its successors, each named by the one before; `None` where the document has no such key.
fn way_from(document: &Document, pin: Sha256Digest) -> Option<Vec<Step>> {
    let is_pin =
        |version: &Version| version.purpose == Purpose::Dsse && version.spki.sha256() == pin;
    let key = document
        .keys()
        .iter()
        .find(|key| key.versions.iter().any(is_pin))?;
    let mut versions = key.versions.iter().skip_while(|version| !is_pin(version));
    let mut way = vec![step(key, versions.next()?)?];
    for version in versions {
        let from = way.last().map(|step| &step.key);
        if from.is_some_and(|from| names_successor(from, version)) {
            way.extend(step(key, version));
        }
    }
    Some(way)
}

fn step(key: &Key, version: &Version) -> Option<Step> {
    Some(Step {
        id: key.name.version(version.version),
        // Always: the document was checked.
        key: version.trusted().ok()?,
        is_compromised: version.compromise.is_some(),
    })
}

fn names_successor(from: &TrustedKey, version: &Version) -> bool {
    let link = version.succession.as_ref().and_then(|succession| {
        let text = serde_json::to_vec(succession).map_err(JsonError::Form);
        Envelope::parse(&text.ok()?).ok()
    });
    let chain = succession::follow(from, link);
    chain.is_ok_and(|chain| {
        chain
            .last()
            .is_some_and(|to| *to.key.spki() == version.spki)
    })
}

fn names(way: &[Step]) -> String {
    let names: Vec<_> = way.iter().map(|step| step.id.to_string()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::Signer as _;
    use p256::ecdsa::{DerSignature, SigningKey};
    use p256::pkcs8::EncodePublicKey as _;

    use super::super::Compromised;
    use super::*;
    use crate::dsse::{Pae, encode_envelope};
    use crate::key::{Enrolment, EvidenceGrade, KeyState};
    use crate::scheme::Scheme;
    use crate::spki::Spki;
    use crate::statement;

    const VKEY: &str = "wa.example.net/wlog+427208af+AQ5w8mni/7Hzo3pZqbC6ySe+3Cf2LziHAqyk8LdUwMPu";

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    fn pair(seed: u8) -> SigningKey {
        SigningKey::from_slice(&[seed; 32]).unwrap()
    }

    fn spki(seed: u8) -> Spki {
        let der = pair(seed).verifying_key().to_public_key_der().unwrap();
        Spki::from_der(der.into_vec())
    }

    fn pin(seed: u8) -> Sha256Digest {
        spki(seed).sha256()
    }

    fn sign(seed: u8, payload_type: &str, payload: &[u8]) -> Vec<u8> {
        let pae = Pae {
            payload_type,
            payload,
        };
        let signature: DerSignature = pair(seed).sign(&pae.to_vec());
        encode_envelope(
            payload_type,
            payload,
            &[(&spki(seed).keyid(), signature.as_bytes())],
        )
    }

    fn enrolment(seed: u8) -> Enrolment {
        Enrolment {
            key: format!("release#{seed}").parse().unwrap(),
            token: "hsm".to_owned(),
            uri: "pkcs11:object=release".parse().unwrap(),
            spki: spki(seed),
            scheme: Scheme::EcdsaP256Sha256,
            purpose: Purpose::Dsse,
            payload_types: vec![statement::PAYLOAD_TYPE.to_owned()],
            evidence: EvidenceGrade::None,
            certificate: None,
            certificate_chain: Vec::new(),
            attestation: None,
        }
    }

    /// The statement by which `from` names `to`, signed by `by`.
    fn link(from: u8, to: u8, by: u8) -> serde_json::Value {
        let text = succession::statement("log", &enrolment(from), &enrolment(to), at(1)).unwrap();
        serde_json::from_slice(&sign(by, statement::PAYLOAD_TYPE, &text)).unwrap()
    }

    /// Version `seed` of `release`; the last of `of` is active.
    fn version(seed: u8, is_last: bool, succession: Option<serde_json::Value>) -> Version {
        Version {
            version: seed.into(),
            state: if is_last {
                KeyState::Active
            } else {
                KeyState::Deactivated
            },
            purpose: Purpose::Dsse,
            scheme: Scheme::EcdsaP256Sha256,
            keyid: spki(seed).keyid(),
            spki: spki(seed),
            active_from: Some(at(1)),
            active_until: (!is_last).then(|| at(2)),
            compromise: None,
            succession,
        }
    }

    /// 1 named 2; nobody named 3.
    fn versions() -> [Version; 3] {
        [
            version(1, false, None),
            version(2, false, Some(link(1, 2, 1))),
            version(3, true, None),
        ]
    }

    fn published() -> Published {
        Published {
            tenant: "default".parse().unwrap(),
            serial: 4,
            valid_until: Some(at(100)),
        }
    }

    fn document(versions: impl IntoIterator<Item = Version>) -> Vec<u8> {
        let name = || "release".parse().unwrap();
        let versions = versions.into_iter().map(|version| (name(), version));
        let document =
            Document::with(at(9), Some(published()), VKEY, Vec::new(), versions).unwrap();
        document.to_json().unwrap().into_bytes()
    }

    fn check(signer: u8, document: &[u8], pinned: u8) -> Result<Signed, SignedError> {
        let envelope = sign(signer, PAYLOAD_TYPE, document);
        verify(Envelope::parse(&envelope).unwrap(), pin(pinned))
    }

    #[test]
    fn the_pinned_key_and_its_successors_vouch_for_a_document() {
        let text = document(versions());
        for (signer, pinned) in [(1, 1), (2, 1), (2, 2), (3, 3)] {
            let signed = check(signer, &text, pinned).unwrap();
            assert_eq!(signed.signed_by.version, u32::from(signer));
            assert_eq!(signed.published, published());
            assert_eq!(signed.sha256, Sha256Digest::of(&[&text]));
        }
        // Neither back along the chain, nor to a version that nobody named, nor by a stranger.
        for (signer, pinned) in [(1, 2), (3, 1), (2, 3), (9, 1)] {
            let error = check(signer, &text, pinned).unwrap_err();
            assert!(
                matches!(error, SignedError::UnknownSigner { .. }),
                "{error}"
            );
        }
        let error = check(1, &text, 9).unwrap_err();
        assert!(matches!(error, SignedError::UnknownPin(_)), "{error}");
    }

    #[test]
    fn a_link_that_another_key_signed_leads_nowhere() {
        let [first, mut second, _] = versions();
        second.state = KeyState::Active;
        second.active_until = None;
        second.succession = Some(link(1, 2, 2));
        let error = check(2, &document([first, second]), 1).unwrap_err();
        assert!(
            matches!(error, SignedError::UnknownSigner { .. }),
            "{error}"
        );
    }

    #[test]
    fn a_changed_byte_is_found() {
        let text = document(versions());
        let mut changed = text.clone();
        let place = changed
            .windows(9)
            .position(|w| w == br#""serial":"#)
            .unwrap()
            + 10;
        changed[place] = b'5';
        let envelope = sign(1, PAYLOAD_TYPE, &text);
        let envelope = Envelope::parse(&envelope).unwrap();
        let forged = encode_envelope(
            PAYLOAD_TYPE,
            &changed,
            &[("", envelope.signatures()[0].sig.as_deref().unwrap())],
        );
        let error = verify(Envelope::parse(&forged).unwrap(), pin(1)).unwrap_err();
        assert!(
            matches!(error, SignedError::UnknownSigner { .. }),
            "{error}"
        );
    }

    #[test]
    fn a_compromised_key_leads_to_nothing() {
        for bad in [1, 2] {
            let mut versions = versions();
            versions[bad - 1].compromise = Some(Compromised {
                effective_time: at(1),
                decided_index: 7,
                log: None,
            });
            let text = document(versions);
            let error = check(2, &text, 1).unwrap_err();
            assert!(matches!(error, SignedError::Compromised(_)), "{error}");
            check(3, &text, 3).unwrap();
        }
    }

    #[test]
    fn other_payloads_are_no_trust_documents() {
        let text = document(versions());
        let other = sign(1, statement::PAYLOAD_TYPE, &text);
        let error = verify(Envelope::parse(&other).unwrap(), pin(1)).unwrap_err();
        assert!(matches!(error, SignedError::Payload(_)), "{error}");
        let name = "release".parse().unwrap();
        let exported =
            Document::new(at(9), VKEY, Vec::new(), [(name, version(1, true, None))]).unwrap();
        let error = check(1, exported.to_json().unwrap().as_bytes(), 1).unwrap_err();
        assert!(matches!(error, SignedError::Unpublished), "{error}");
        let foreign = Document::with(
            at(9),
            Some(published()),
            VKEY,
            Vec::new(),
            [("other/release".parse().unwrap(), version(1, true, None))],
        );
        assert!(matches!(foreign, Err(DocumentError::OtherTenant { .. })));
    }

    #[test]
    fn an_old_serial_and_a_past_end_are_refused() {
        let signed = check(1, &document(versions()), 1).unwrap();
        signed.check_age(4, at(100)).unwrap();
        let rollback = signed.check_age(5, at(100)).unwrap_err();
        assert!(matches!(
            rollback,
            SignedError::Rollback {
                serial: 4,
                least: 5
            }
        ));
        let expired = signed.check_age(4, at(101)).unwrap_err();
        assert!(matches!(expired, SignedError::Expired { .. }));
    }
}
