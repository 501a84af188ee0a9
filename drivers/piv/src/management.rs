//! The management key: who shows it may make keys and write certificates.

use std::path::Path;

use sealwright_driver_api::{DriverError, ErrorClass};
use yubikey::mgm::MgmAlgorithmId;
use yubikey::piv::{self, ManagementSlotId, SlotAlgorithmId, SlotId};
use yubikey::{Error, MgmKey, YubiKey};
use zeroize::Zeroizing;

use crate::fault::fault;

/// Shows the key of a file, else the factory's for this firmware.
pub(crate) fn authenticate(card: &mut YubiKey, file: Option<&Path>) -> Result<(), DriverError> {
    let key = match file {
        Some(path) => from_file(path, card)?,
        None => MgmKey::get_default(card).map_err(|e| fault("the factory's management key", e))?,
    };
    card.authenticate(&key).map_err(|error| {
        let what = format!("card {}: showing the management key", card.serial());
        match error {
            // All that the crate tells, also of an answer that was lost. No tries are counted.
            Error::AuthenticationError => DriverError::new(
                ErrorClass::Auth,
                error.name().unwrap_or_default(),
                format!("{what}: it is another one, or the card's answer was lost"),
            ),
            error => fault(&what, error),
        }
    })
}

fn from_file(path: &Path, card: &mut YubiKey) -> Result<MgmKey, DriverError> {
    let bad =
        |why: String| DriverError::config(format!("management key {}: {why}", path.display()));
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?);
    let bytes = hex::decode(text.trim()).map(Zeroizing::new);
    let bytes = bytes.map_err(|e| bad(format!("not hex digits: {e}")))?;
    let algorithm = algorithm(card)?;
    MgmKey::from_bytes(&*bytes, Some(algorithm))
        .map_err(|e| bad(format!("no {algorithm:?} key, which the card has: {e}")))
}

/// The kind of key that the card has, which may have been changed. Firmware before 5.3 does not tell and knows 3DES only.
fn algorithm(card: &mut YubiKey) -> Result<MgmAlgorithmId, DriverError> {
    let slot = SlotId::Management(ManagementSlotId::Management);
    match piv::metadata(card, slot).map(|metadata| metadata.algorithm) {
        Ok(SlotAlgorithmId::Management(algorithm)) => Ok(algorithm),
        Err(Error::NotSupported) => Ok(MgmAlgorithmId::ThreeDes),
        Ok(_) => Err(fault("the management key's kind", Error::InvalidObject)),
        Err(error) => Err(fault("the management key's kind", error)),
    }
}
