//! The token: a TPM that was found to be the pinned one.

use std::sync::{Arc, Mutex, PoisonError};

use sealwright_driver_api::{
    Descriptor, DriverError, EvidenceGrade, KeyDriver, Scheme, Token, TokenConfig, TokenIdentity,
};

use sealwright_driver_host::Address;
use tss_esapi::Context;

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
    pub(crate) known: Known,
}

/// What the TPM said of itself when the process began.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) identity: TokenIdentity,
    pub(crate) ek_certificate: Option<Vec<u8>>,
    schemes: Vec<Scheme>,
}

impl Known {
    fn read(config: &TokenConfig, context: &mut Context) -> Result<Self, Fault> {
        let ek_certificate = attest::ek_certificate(context)?;
        let identity = TokenIdentity {
            kind: KIND.to_owned(),
            label: config.label.clone(),
            // `Device::open` has compared it with the TPM's own.
            serial: config.serial.clone(),
            manufacturer: capability::manufacturer(context)?,
            model: capability::model(context)?,
            firmware: capability::firmware(context)?,
        };
        Ok(Self {
            identity,
            ek_certificate,
            schemes: capability::schemes(context)?,
        })
    }
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
        let settings: Settings = config.driver_section()?;
        let store = KeyStore::open(&config.state_dir)?;
        let mut device = Device::open(&settings, &config.serial).map_err(|fault| fault.error)?;
        let known = Known::read(config, device.context()).map_err(|fault| fault.error)?;
        let descriptor = describe(config, &known);
        let shared = Shared {
            settings,
            address: Address::of(KIND, config),
            credential,
            store,
            known,
        };
        Ok(Self {
            descriptor,
            shared: Arc::new(shared),
            first: Mutex::new(Some(device)),
        })
    }
}

fn describe(config: &TokenConfig, known: &Known) -> Descriptor {
    let identity = known.identity.clone();
    let can_attest = known.ek_certificate.is_some();
    Descriptor {
        kind: identity.kind,
        label: identity.label,
        serial: identity.serial,
        manufacturer: identity.manufacturer,
        model: identity.model,
        sessions: 1,
        schemes: known.schemes.clone(),
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
    }
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
