//! The `[driver]` section.

use std::path::PathBuf;

use sealwright_driver_api::{DriverError, TokenConfig};
use sealwright_driver_host::Sandbox;
use serde::Deserialize;

use crate::fault::Fault;
use crate::keys::Algorithm;

/// See the crate's text.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) keys: Vec<Algorithm>,
    pub(crate) delay_ms: u32,
    pub(crate) needs_touch: bool,
    pub(crate) fault: Fault,
    pub(crate) fault_after: u32,
    pub(crate) fault_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keys: vec![Algorithm::P256, Algorithm::Ed25519],
            delay_ms: 0,
            needs_touch: false,
            fault: Fault::None,
            fault_after: 0,
            fault_file: None,
        }
    }
}

impl Settings {
    pub(crate) fn of(config: &TokenConfig) -> Result<Self, DriverError> {
        Self::deserialize(config.driver.clone()).map_err(|error| {
            DriverError::config(format!("[driver] of token {}: {error}", config.name))
        })
    }
}

/// The fault file is replaced by renaming, so its folder has to be readable.
pub(crate) fn paths(config: &TokenConfig) -> Result<Sandbox, DriverError> {
    let file = Settings::of(config)?.fault_file;
    let read = file.and_then(|file| Some(file.parent()?.to_owned()));
    Ok(Sandbox {
        read: read.into_iter().collect(),
        write: Vec::new(),
    })
}
