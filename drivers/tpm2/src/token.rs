//! The token: a TPM that was found to be the pinned one.

use std::sync::{Arc, Mutex, PoisonError};

use sealwright_driver_api::{
    Descriptor, DriverError, EvidenceGrade, KeyDriver, Token, TokenConfig,
};

use sealwright_driver_host::Address;

use crate::KIND;
use crate::attest;
use crate::auth::Credential;
use crate::capability;
use crate::device::Device;
use crate::fault::Fault;
use crate::settings::Settings;
use crate::store::KeyStore;
use crate::worker::Worker;

/// What does not change while the process lives.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) address: Address,
    pub(crate) credential: Credential,
    pub(crate) store: KeyStore,
}

impl Shared {
    pub(crate) fn open_device(&self) -> Result<Device, Fault> {
        Device::open(&self.settings, &self.address.serial)
    }
}

/// A TPM.
pub(crate) struct Tpm {
    descriptor: Descriptor,
    shared: Arc<Shared>,
    // The connection the descriptor was read through, for the first worker. Two at once would sweep each other.
    first: Mutex<Option<Device>>,
}

impl Tpm {
    /// Connects and reads the descriptor.
    pub(crate) fn open(config: &TokenConfig, credential: Credential) -> Result<Self, DriverError> {
        let shared = Shared {
            settings: config.driver_section::<Settings>()?,
            address: Address::of(KIND, config),
            credential,
            store: KeyStore::open(&config.state_dir)?,
        };
        let mut device = shared.open_device().map_err(|fault| fault.error)?;
        let descriptor = describe(config, &mut device).map_err(|fault| fault.error)?;
        Ok(Self {
            descriptor,
            shared: Arc::new(shared),
            first: Mutex::new(Some(device)),
        })
    }
}

fn describe(config: &TokenConfig, device: &mut Device) -> Result<Descriptor, Fault> {
    let context = device.context();
    let can_attest = attest::ek_certificate(context)?.is_some();
    Ok(Descriptor {
        kind: KIND.to_owned(),
        label: config.label.clone(),
        // `Device::open` has compared it with the TPM's own.
        serial: config.serial.clone(),
        manufacturer: capability::manufacturer(context)?,
        model: capability::model(context)?,
        sessions: 1,
        schemes: capability::schemes(context)?,
        max_message: config.max_message,
        needs_touch: false,
        can_generate: true,
        can_attest,
        can_destroy: true,
        evidence: if can_attest {
            EvidenceGrade::Attested
        } else {
            EvidenceGrade::Claimed
        },
    })
}

impl Token for Tpm {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn open_worker(&self) -> Result<Box<dyn KeyDriver>, DriverError> {
        let first = self
            .first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Ok(Box::new(Worker::new(Arc::clone(&self.shared), first)))
    }
}
