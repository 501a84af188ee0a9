//! What a card says of the key in a slot.

use sealwright_driver_api::{DriverError, EvidenceGrade, Scheme};
use spki::der::Encode as _;
use yubikey::piv::{AlgorithmId, Origin, SlotAlgorithmId, SlotId, SlotMetadata};
use yubikey::{PinPolicy, TouchPolicy};

use crate::kind::scheme_of;

/// A key that can sign.
#[derive(Debug)]
pub(crate) struct SlotKey {
    pub(crate) id: SlotId,
    pub(crate) algorithm: AlgorithmId,
    pub(crate) scheme: Scheme,
    pub(crate) spki_der: Vec<u8>,
    policy: Option<(PinPolicy, TouchPolicy)>,
    origin: Option<Origin>,
}

impl SlotKey {
    /// Reads the card's description.
    pub(crate) fn of(id: SlotId, metadata: SlotMetadata) -> Result<Self, DriverError> {
        let unusable = |why: String| {
            let detail = format!("the key in slot {:02x} {why}", u8::from(id));
            DriverError::unsupported(detail)
        };
        let SlotAlgorithmId::Asymmetric(algorithm) = metadata.algorithm else {
            return Err(unusable("is no key pair".to_owned()));
        };
        let scheme = scheme_of(algorithm);
        let scheme =
            scheme.ok_or_else(|| unusable(format!("is {algorithm:?}, which signs nothing")))?;
        let spki = metadata.public.as_ref().and_then(|spki| spki.to_der().ok());
        Ok(Self {
            id,
            algorithm,
            scheme,
            spki_der: spki.ok_or_else(|| unusable("has no public half".to_owned()))?,
            policy: metadata.policy,
            origin: metadata.origin,
        })
    }

    /// Whether a signature waits for a touch.
    pub(crate) fn wants_touch(&self) -> bool {
        self.policy
            .is_some_and(|(_, touch)| !matches!(touch, TouchPolicy::Never | TouchPolicy::Default))
    }

    /// Whether a signature needs the PIN. Slot 9e does not by default; where the card says nothing, it does.
    pub(crate) fn wants_pin(&self) -> bool {
        self.policy
            .is_none_or(|(pin, _)| !matches!(pin, PinPolicy::Never))
    }

    /// Whether the card says that it did not make the key.
    pub(crate) fn was_imported(&self) -> bool {
        self.origin == Some(Origin::Imported)
    }

    /// Only a key that the card made itself has never been elsewhere.
    pub(crate) fn evidence(&self) -> EvidenceGrade {
        match self.origin {
            Some(Origin::Generated) => EvidenceGrade::Claimed,
            _ => EvidenceGrade::None,
        }
    }

    /// What the grade rests on, for people.
    pub(crate) fn claims(&self) -> Vec<(String, String)> {
        let told = |claim: Option<String>| claim.unwrap_or_else(|| "unknown".to_owned());
        let lower = |value: String| value.to_ascii_lowercase();
        let policy = self.policy;
        [
            (
                "origin",
                told(self.origin.as_ref().map(|o| lower(format!("{o:?}")))),
            ),
            (
                "pin_policy",
                told(policy.map(|(pin, _)| lower(format!("{pin:?}")))),
            ),
            (
                "touch_policy",
                told(policy.map(|(_, touch)| lower(format!("{touch:?}")))),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}
