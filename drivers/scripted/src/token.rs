//! The token.

use std::sync::Arc;

use sealwright_driver_api::{
    Descriptor, DriverError, EvidenceGrade, KeyDriver, Scheme, Token, TokenConfig, TokenIdentity,
};
use sealwright_driver_host::Secrets;

use crate::TOUCH;
use crate::fault::Switch;
use crate::settings::Settings;
use crate::store::Store;
use crate::worker::Worker;

struct Scripted {
    descriptor: Descriptor,
    worker: Worker,
}

/// Opens the scripted token of a configuration. It needs no credential.
pub fn open(config: &TokenConfig, _: &Secrets) -> Result<Box<dyn Token>, DriverError> {
    let settings = Settings::of(config)?;
    let descriptor = Descriptor {
        kind: "scripted".to_owned(),
        label: config.label.clone(),
        serial: config.serial.clone(),
        manufacturer: "Sealwright".to_owned(),
        model: "scripted".to_owned(),
        sessions: config.sessions,
        schemes: Scheme::PLAIN.to_vec(),
        max_message: config.max_message,
        needs_touch: settings.needs_touch,
        can_generate: true,
        can_attest: true,
        can_destroy: true,
        evidence: EvidenceGrade::None,
    };
    let identity = TokenIdentity {
        kind: descriptor.kind.clone(),
        label: descriptor.label.clone(),
        serial: descriptor.serial.clone(),
        manufacturer: descriptor.manufacturer.clone(),
        model: descriptor.model.clone(),
        firmware: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let worker = Worker {
        identity,
        store: Arc::new(Store::open(&config.state_dir, &settings.keys)?),
        delay: std::time::Duration::from_millis(settings.delay_ms.into()),
        needs_touch: settings.needs_touch,
        touch: config.state_dir.join(TOUCH),
        max_message: config.max_message,
        switch: Arc::new(Switch::new(settings)),
    };
    Ok(Box::new(Scripted { descriptor, worker }))
}

impl Token for Scripted {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn open_worker(&self) -> Result<Box<dyn KeyDriver>, DriverError> {
        // The default of 50 µs would make every short delay one per cent longer. Fails on no kernel we know.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        Ok(Box::new(self.worker.clone()))
    }
}
