//! One conversation with the card: found by its serial number, ended when dropped.

use std::collections::BTreeSet;
use std::time::Duration;

use pcsc::{ReaderState, State};
use sealwright_driver_api::{DriverError, ErrorClass};
use sealwright_driver_host::Secret;
use yubikey::certificate::CertInfo;
use yubikey::piv::{self, AlgorithmId, SlotId};
use yubikey::reader::Context;
use yubikey::{Certificate, Error, ObjectId, Serial, Version, YubiKey};

use crate::certificate;
use crate::fault::fault;
use crate::management;
use crate::settings::Settings;
use crate::slot::SlotKey;

/// A card counts down from three; the last try is the owner's.
const TRIES_KEPT: u8 = 1;

/// The card. Whatever was shown to it is forgotten with it.
pub(crate) struct Card {
    card: YubiKey,
    serial: u32,
}

impl Card {
    /// Looks through all readers for the card with this serial number.
    pub(crate) fn find(serial: u32) -> Result<Self, DriverError> {
        let what = format!("looking for card {serial}");
        let failed = |error| fault(&what, error);
        let occupied = occupied_readers().map_err(|e| failed(e.into()))?;
        let mut context = Context::open().map_err(failed)?;
        let readers = context.iter().map_err(failed)?;
        let mut found = Vec::new();
        let mut taken = None;
        for reader in readers.filter(|reader| occupied.contains(&*reader.name())) {
            match reader.open() {
                Ok(card) if card.serial() == Serial(serial) => found.push(card),
                Ok(_) => {}
                // It may be the one, held by somebody else.
                Err(
                    error @ Error::PcscError {
                        inner: Some(pcsc::Error::SharingViolation),
                    },
                ) => {
                    taken = Some(error);
                }
                Err(_) => {}
            }
        }
        match (found.pop(), found.is_empty(), taken) {
            (Some(card), true, _) => Ok(Self { card, serial }),
            (Some(_), false, _) => Err(DriverError::config(format!(
                "several cards have serial number {serial}: take out all but one"
            ))),
            (None, _, Some(error)) => Err(failed(error)),
            (None, _, None) => Err(DriverError::new(
                ErrorClass::Transient,
                "",
                format!(
                    "no YubiKey with serial number {serial} is in a reader: plug it in; `ykman list` shows what is there"
                ),
            )),
        }
    }

    pub(crate) fn firmware(&self) -> Version {
        self.card.version()
    }

    /// What is in a slot. Firmware that does not tell is asked for the certificate there.
    pub(crate) fn key(&mut self, slot: SlotId) -> Result<SlotKey, DriverError> {
        let what = self.about("looking at", slot);
        let metadata = piv::metadata(&mut self.card, slot).map_err(|e| fault(&what, e))?;
        SlotKey::of(slot, metadata)
    }

    /// How many wrong PINs the card still takes; an error where the next one would lock it.
    pub(crate) fn pin_tries(&mut self) -> Result<u8, DriverError> {
        let what = format!("card {}: asking for the PIN's tries", self.serial);
        let failed = |error| fault(&what, error);
        let mut tries = self.card.get_pin_retries().map_err(failed)?;
        if tries == 0 {
            // Locked, or another program has shown it the PIN, which a reset makes it forget.
            self.card.reconnect().map_err(failed)?;
            tries = self.card.get_pin_retries().map_err(failed)?;
        }
        if tries <= TRIES_KEPT {
            let (class, detail) = match tries {
                0 => (
                    ErrorClass::LockedOut,
                    "it is locked; unblock it with the PUK: `ykman piv access unblock-pin`"
                        .to_owned(),
                ),
                _ => (
                    ErrorClass::Auth,
                    format!(
                        "{tries} try is left before it locks, and stays yours: show the right PIN once with `ykman piv access verify-pin`"
                    ),
                ),
            };
            return Err(DriverError::new(class, "", format!("{what}: {detail}")));
        }
        Ok(tries)
    }

    /// Shows the PIN; `tries` is how many were left.
    pub(crate) fn show_pin(&mut self, pin: &Secret, tries: u8) -> Result<(), DriverError> {
        let what = format!("card {}: showing the PIN", self.serial);
        let shown = self.card.verify_pin(pin.as_bytes());
        shown.map_err(|error| match error {
            // A refusal costs a try.
            Error::WrongPin { tries: left } if left >= tries => {
                let detail = format!("{what}: the answer belongs to another command");
                DriverError::new(ErrorClass::Transient, "", detail)
            }
            error => fault(&what, error),
        })
    }

    /// A signature over a prepared block or digest, as the card gives it (ECDSA: DER).
    pub(crate) fn sign(&mut self, key: &SlotKey, input: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = piv::sign_data(&mut self.card, input, key.algorithm, key.id)?;
        Ok(signature.to_vec())
    }

    /// Makes a key; the slot has to be empty.
    pub(crate) fn generate(
        &mut self,
        slot: SlotId,
        algorithm: AlgorithmId,
        settings: &Settings,
    ) -> Result<(), DriverError> {
        let what = self.about("making a key in", slot);
        let failed = |error| fault(&what, error);
        self.refuse_filled(slot)?;
        management::authenticate(&mut self.card, settings.management_key.as_deref())?;
        let (pin, touch) = (settings.pin_policy, settings.touch_policy);
        piv::generate(&mut self.card, slot, algorithm, pin.into(), touch.into())
            .map(drop)
            .map_err(failed)
    }

    /// The card's certificate for a key that it made, DER.
    pub(crate) fn attestation(&mut self, slot: SlotId) -> Result<Vec<u8>, DriverError> {
        let what = self.about("asking for an attestation of", slot);
        let certificate = piv::attest(&mut self.card, slot).map_err(|e| fault(&what, e))?;
        Ok(certificate.to_vec())
    }

    /// The data object with the certificate of a slot.
    pub(crate) fn certificate_object(&mut self, slot: SlotId) -> Result<Vec<u8>, DriverError> {
        let what = format!("reading the certificate of slot {:02x}", u8::from(slot));
        self.object(&what, certificate::object_of(slot))
    }

    /// Puts a certificate there, in the place of an older one.
    pub(crate) fn write_certificate(
        &mut self,
        slot: SlotId,
        certificate: &Certificate,
        settings: &Settings,
    ) -> Result<(), DriverError> {
        management::authenticate(&mut self.card, settings.management_key.as_deref())?;
        let what = self.about("writing the certificate of", slot);
        let written = certificate.write(&mut self.card, slot, CertInfo::Uncompressed);
        written.map_err(|error| match error {
            // All that the crate tells of a full memory.
            Error::GenericError | Error::SizeError => DriverError::unsupported(format!(
                "{what}: the card does not take it; it may be too long, or there is no room: delete certificates that nobody needs"
            )),
            error => fault(&what, error),
        })
    }

    /// What lies in a data object; an empty one is as good as none.
    pub(crate) fn object(&mut self, what: &str, id: ObjectId) -> Result<Vec<u8>, DriverError> {
        let what = format!("card {}: {what}", self.serial);
        let object = self.card.fetch_object(id).map_err(|e| fault(&what, e))?;
        Ok(object.to_vec())
    }

    fn refuse_filled(&mut self, slot: SlotId) -> Result<(), DriverError> {
        let what = self.about("making a key in", slot);
        match piv::metadata(&mut self.card, slot) {
            Err(Error::NotFound) => Ok(()),
            Ok(_) => Err(DriverError::bad_request(format!(
                "{what}: it holds a key already, which would be destroyed; choose an empty slot"
            ))),
            Err(Error::NotSupported) => Err(DriverError::unsupported(format!(
                "{what}: firmware {} cannot say whether the slot is empty; make the key with `ykman piv keys generate`",
                self.firmware()
            ))),
            Err(error) => Err(fault(&what, error)),
        }
    }

    fn about(&self, doing: &str, slot: SlotId) -> String {
        format!("card {}: {doing} slot {:02x}", self.serial, u8::from(slot))
    }
}

/// Names of the readers with a card in them: an attempt at an empty one costs more than a tenth of a second.
fn occupied_readers() -> Result<BTreeSet<String>, pcsc::Error> {
    let context = pcsc::Context::establish(pcsc::Scope::User)?;
    let names = match context.list_readers_owned() {
        Err(pcsc::Error::NoReadersAvailable) => Vec::new(),
        names => names?,
    };
    let unknown = |name| ReaderState::new(name, State::UNAWARE);
    let mut states: Vec<ReaderState> = names.into_iter().map(unknown).collect();
    if !states.is_empty() {
        context.get_status_change(Duration::ZERO, &mut states)?;
    }
    let occupied = states
        .iter()
        .filter(|state| state.event_state().contains(State::PRESENT));
    Ok(occupied
        .map(|state| state.name().to_string_lossy().into_owned())
        .collect())
}
