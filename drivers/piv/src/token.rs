//! The token: a card that was there when the process began.

use std::sync::Arc;

use sealwright_driver_api::{
    Bytes, Descriptor, DriverError, EvidenceGrade, KeyDriver, Token, TokenConfig,
};
use sealwright_driver_host::Secrets;

use crate::address::{Address, KIND};
use crate::attest;
use crate::card::Card;
use crate::kind::SCHEMES;
use crate::settings::{Settings, Touch};
use crate::worker::Worker;

/// What does not change while the process lives.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) address: Address,
    pub(crate) serial: u32,
    pub(crate) secrets: Secrets,
    /// Certificates behind the card's own, DER.
    pub(crate) maker_chain: Vec<Bytes>,
}

/// A YubiKey.
pub(crate) struct YubiKeyToken {
    descriptor: Descriptor,
    shared: Arc<Shared>,
}

impl YubiKeyToken {
    /// Finds the card and reads the descriptor. Shows no PIN.
    pub(crate) fn open(config: &TokenConfig, secrets: Secrets) -> Result<Self, DriverError> {
        let settings = config.driver_section::<Settings>()?;
        let serial: u32 = config.serial.parse().map_err(|_| {
            DriverError::config(format!(
                "tokens/{}.toml: serial = {:?} is no number of a YubiKey; `ykman list` shows it",
                config.name, config.serial
            ))
        })?;
        let maker_chain = attest::maker_chain(settings.maker_chain.as_deref())?;
        let card = Card::find(serial)?;
        let can_attest = card.firmware() >= attest::SINCE;
        let descriptor = Descriptor {
            kind: KIND.to_owned(),
            label: config.label.clone(),
            serial: config.serial.clone(),
            manufacturer: "Yubico".to_owned(),
            model: format!("YubiKey PIV {}", card.firmware()),
            sessions: 1,
            schemes: SCHEMES.to_vec(),
            max_message: config.max_message,
            needs_touch: settings.touch_policy != Touch::Never,
            can_generate: true,
            can_attest,
            // A slot's key cannot be taken out; it ends when another one is made over it.
            can_destroy: false,
            evidence: if can_attest {
                EvidenceGrade::Attested
            } else {
                EvidenceGrade::Claimed
            },
        };
        let address = Address {
            label: config.label.clone(),
            serial: config.serial.clone(),
        };
        let shared = Arc::new(Shared {
            settings,
            address,
            serial,
            secrets,
            maker_chain,
        });
        Ok(Self { descriptor, shared })
    }
}

impl Token for YubiKeyToken {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn open_worker(&self) -> Result<Box<dyn KeyDriver>, DriverError> {
        Ok(Box::new(Worker::new(Arc::clone(&self.shared))))
    }
}
