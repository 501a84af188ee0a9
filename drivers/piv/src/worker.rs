//! The one worker of a card: looks for it anew for every request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sealwright_core::verify::der_to_raw;
use sealwright_driver_api::{
    Attest, Certificates, DriverError, ErrorClass, Generate, KeyDescription, KeyDriver, KeySpec,
    KeyUri, Nonce, Progress, RawEvidence, Scheme, SignContext, SignInput, SignRequest, Signature,
};
use yubikey::Error;

use crate::attest;
use crate::card::Card;
use crate::certificate;
use crate::fault::fault;
use crate::kind::{algorithm_for, modulus_len};
use crate::pkcs1::padded_sha256;
use crate::slot::SlotKey;
use crate::token::Shared;

/// A card waits 15 s for a touch and then answers as if the PIN were missing. Whoever has waited that long for the
/// answer was not refused, but not touched.
const TOUCH_WAIT: Duration = Duration::from_secs(14);

/// Works on one request at a time.
pub(crate) struct Worker {
    shared: Arc<Shared>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn find_card(&self) -> Result<Card, DriverError> {
        Card::find(self.shared.serial)
    }

    fn describe_key(&self, key: &SlotKey) -> Result<KeyDescription, DriverError> {
        Ok(KeyDescription {
            uri: self.shared.address.uri(key.id)?,
            spki_der: key.spki_der.clone(),
            schemes: vec![key.scheme],
            evidence: key.evidence(),
            claims: key.claims(),
        })
    }

    /// What goes wrong while the card signs, told apart from a touch that did not come.
    fn sign_on_card(
        &self,
        card: &mut Card,
        key: &SlotKey,
        input: &[u8],
        ctx: &SignContext<'_>,
    ) -> Result<Vec<u8>, DriverError> {
        if key.wants_touch() {
            ctx.progress(Progress::Touch);
        }
        let begun = Instant::now();
        let slot = u8::from(key.id);
        card.sign(key, input).map_err(|error| {
            let waited = key.wants_touch() && begun.elapsed() >= TOUCH_WAIT;
            let what = format!("card {}: signing in slot {slot:02x}", self.shared.serial);
            match error {
                Error::AuthenticationError if waited => DriverError::new(
                    ErrorClass::TouchTimeout,
                    "",
                    format!("{what}: nobody touched the card within 15 s"),
                ),
                error => fault(&what, error),
            }
        })
    }
}

impl KeyDriver for Worker {
    fn health(&mut self) -> Result<(), DriverError> {
        self.find_card().map(drop)
    }

    fn may_show_pin(&mut self) -> Result<(), DriverError> {
        self.find_card()?.pin_tries().map(drop)
    }

    fn describe(&mut self, uri: &KeyUri) -> Result<KeyDescription, DriverError> {
        let slot = self.shared.address.slot(uri)?;
        let key = self.find_card()?.key(slot)?;
        self.describe_key(&key)
    }

    fn sign(
        &mut self,
        request: &SignRequest,
        ctx: &SignContext<'_>,
    ) -> Result<Signature, DriverError> {
        // Every scheme here takes a digest, so there is no message whose length could matter.
        request.check(0)?;
        let slot = self.shared.address.slot(&request.key)?;
        let mut card = self.find_card()?;
        let key = card.key(slot)?;
        let input = input_for(&key, request)?;
        if key.wants_pin() {
            let tries = card.pin_tries()?;
            let secrets = &self.shared.secrets;
            secrets.login_with_tries(tries, |pin| card.show_pin(pin, tries))?;
        }
        let signature = self.sign_on_card(&mut card, &key, &input, ctx)?;
        let raw = match key.scheme {
            Scheme::RsaPkcs1Sha256 => Ok(signature),
            scheme => der_to_raw(scheme, &signature),
        };
        raw.map(Signature::Raw).map_err(|error| {
            let detail = format!("the card answered with no signature: {error}");
            DriverError::new(ErrorClass::Transient, "", detail)
        })
    }

    fn certificates(&mut self) -> Option<&mut dyn Certificates> {
        Some(self)
    }

    fn attester(&mut self) -> Option<&mut dyn Attest> {
        Some(self)
    }

    fn generator(&mut self) -> Option<&mut dyn Generate> {
        Some(self)
    }
}

impl Certificates for Worker {
    fn certificate(&mut self, key: &KeyUri) -> Result<Vec<u8>, DriverError> {
        let slot = self.shared.address.slot(key)?;
        certificate::in_object(&self.find_card()?.certificate_object(slot)?)
    }

    fn install_certificate(&mut self, key: &KeyUri, der: &[u8]) -> Result<(), DriverError> {
        let slot = self.shared.address.slot(key)?;
        let mut card = self.find_card()?;
        let key = card.key(slot)?;
        let certificate = certificate::for_key(&key, der)?;
        card.write_certificate(slot, &certificate, &self.shared.settings)
    }
}

impl Attest for Worker {
    fn attest(&mut self, key: &KeyUri, nonce: &Nonce) -> Result<RawEvidence, DriverError> {
        let slot = self.shared.address.slot(key)?;
        attest::attest(&mut self.find_card()?, slot, &self.shared, nonce)
    }
}

impl Generate for Worker {
    fn generate(
        &mut self,
        spec: &KeySpec,
        _: &SignContext<'_>,
    ) -> Result<KeyDescription, DriverError> {
        let slot = self.shared.address.slot(&spec.uri)?;
        let mut card = self.find_card()?;
        let firmware = card.firmware();
        let algorithm = algorithm_for(spec, firmware).ok_or_else(|| {
            let detail = format!(
                "firmware {firmware} makes no {} keys (RSA: {} bits)",
                spec.scheme, spec.rsa_bits
            );
            DriverError::unsupported(detail)
        })?;
        card.generate(slot, algorithm, &self.shared.settings)?;
        let key = card.key(slot)?;
        self.describe_key(&key)
    }
}

/// What the card is given to sign.
fn input_for(key: &SlotKey, request: &SignRequest) -> Result<Vec<u8>, DriverError> {
    let refuse = |why: String| {
        let detail = format!("the key in slot {:02x} {why}", u8::from(key.id));
        Err(DriverError::bad_request(detail))
    };
    if request.scheme != key.scheme {
        return refuse(format!("does not sign with {}", request.scheme));
    }
    let SignInput::Digest { bytes, .. } = &request.input else {
        return refuse("signs digests, not messages".to_owned());
    };
    let padded = modulus_len(key.algorithm).map(|len| padded_sha256(bytes, len));
    Ok(padded.unwrap_or_else(|| bytes.clone()))
}
