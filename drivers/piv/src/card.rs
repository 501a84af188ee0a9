//! One conversation with the card: found by its serial number, ended when dropped.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use pcsc::{ReaderState, State};
use sealwright_driver_api::{DriverError, ErrorClass};
use sealwright_driver_host::Secret;
use yubikey::piv::{self, AlgorithmId, SlotId};
use yubikey::reader::Context;
use yubikey::{Error, MgmKey, Serial, Version, YubiKey};
use zeroize::Zeroizing;

use crate::fault::fault;
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

    /// Shows the PIN, unless the card is one wrong try from locking.
    pub(crate) fn show_pin(&mut self, pin: &Secret) -> Result<(), DriverError> {
        let what = format!("card {}: showing the PIN", self.serial);
        // Asked before any PIN was shown on this connection: after one the answer is always 0.
        let tries = self.card.get_pin_retries().map_err(|e| fault(&what, e))?;
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
        self.card
            .verify_pin(pin.as_bytes())
            .map_err(|e| fault(&what, e))
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
        let management = management_key(settings.management_key.as_deref(), &self.card)?;
        self.card.authenticate(&management).map_err(failed)?;
        let (pin, touch) = (settings.pin_policy, settings.touch_policy);
        piv::generate(&mut self.card, slot, algorithm, pin.into(), touch.into())
            .map(drop)
            .map_err(failed)
    }

    fn refuse_filled(&mut self, slot: SlotId) -> Result<(), DriverError> {
        let what = self.about("making a key in", slot);
        match piv::metadata(&mut self.card, slot) {
            Err(Error::NotFound) => Ok(()),
            Ok(_) => Err(DriverError::bad_request(format!(
                "{what}: it holds a key already, which would be destroyed; choose an empty slot"
            ))),
            Err(Error::NotSupported) => Err(DriverError::new(
                ErrorClass::Unsupported,
                "",
                format!(
                    "{what}: firmware {} cannot say whether the slot is empty; make the key with `ykman piv keys generate`",
                    self.firmware()
                ),
            )),
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

/// From the file, else the factory's for this firmware.
fn management_key(file: Option<&Path>, card: &YubiKey) -> Result<MgmKey, DriverError> {
    let Some(path) = file else {
        return MgmKey::get_default(card).map_err(|e| fault("the factory's management key", e));
    };
    let bad =
        |why: String| DriverError::config(format!("management key {}: {why}", path.display()));
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?);
    let bytes = hex::decode(text.trim()).map(Zeroizing::new);
    let bytes = bytes.map_err(|e| bad(format!("not hex digits: {e}")))?;
    let default = MgmKey::get_default(card).map_err(|e| fault("the management key's kind", e))?;
    MgmKey::from_bytes(&*bytes, Some(default.algorithm_id()))
        .map_err(|e| bad(format!("no {:?} key: {e}", default.algorithm_id())))
}
