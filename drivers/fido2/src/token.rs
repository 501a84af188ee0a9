//! The token: a security key that was there when the process began.

use std::sync::Arc;

use sealwright_driver_api::{
    Descriptor, DriverError, EvidenceGrade, KeyDriver, Scheme, Token, TokenConfig,
};
use sealwright_driver_host::{Address, KeyFiles, Secrets};
use x509_cert::Certificate;

use crate::KIND;
use crate::device::Device;
use crate::settings::Settings;
use crate::worker::Worker;

/// What does not change while the process lives.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) address: Address,
    pub(crate) files: KeyFiles,
    pub(crate) roots: Vec<Certificate>,
    pub(crate) secrets: Secrets,
    pub(crate) schemes: Vec<Scheme>,
    pub(crate) max_message: u32,
}

/// A security key.
pub(crate) struct SecurityKey {
    descriptor: Descriptor,
    shared: Arc<Shared>,
}

impl SecurityKey {
    /// Finds the security key and reads the descriptor. Shows no PIN.
    pub(crate) fn open(config: &TokenConfig, secrets: Secrets) -> Result<Self, DriverError> {
        let roots = config.driver_section::<Settings>()?.roots()?;
        let device = Device::find(&config.serial)?;
        let mut schemes = vec![Scheme::WebAuthnP256Sha256];
        if secrets.is_configured() {
            schemes.insert(0, Scheme::WebAuthnP256Sha256Uv);
        }
        let descriptor = Descriptor {
            kind: KIND.to_owned(),
            label: config.label.clone(),
            serial: config.serial.clone(),
            manufacturer: device.manufacturer,
            model: device.product,
            sessions: 1,
            schemes: schemes.clone(),
            max_message: config.max_message,
            needs_touch: true,
            can_generate: true,
            can_attest: false,
            can_destroy: false,
            evidence: EvidenceGrade::Claimed,
        };
        let shared = Arc::new(Shared {
            address: Address::of(KIND, config),
            files: KeyFiles::open(&config.state_dir, "json")?,
            roots,
            secrets,
            schemes,
            max_message: config.max_message,
        });
        Ok(Self { descriptor, shared })
    }
}

impl Token for SecurityKey {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn open_worker(&self) -> Result<Box<dyn KeyDriver>, DriverError> {
        Ok(Box::new(Worker::new(Arc::clone(&self.shared))))
    }
}
