//! The `[driver]` section of a security key's configuration.

use std::path::PathBuf;

use sealwright_driver_api::{DriverError, TokenConfig};
use serde::Deserialize;
use x509_cert::Certificate;

/// `[driver]` in `tokens/<name>.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Files with the roots of makers.
    #[serde(default)]
    pub(crate) makers: Vec<PathBuf>,
}

impl Settings {
    /// Reads and checks the section.
    pub(crate) fn from_config(config: &TokenConfig) -> Result<Self, DriverError> {
        let read: Result<Self, _> = config.driver.clone().try_into();
        let name = &config.name;
        read.map_err(|e| DriverError::config(format!("tokens/{name}.toml, section [driver]: {e}")))
    }

    /// The makers' roots.
    pub(crate) fn roots(&self) -> Result<Vec<Certificate>, DriverError> {
        let mut roots = Vec::new();
        for path in &self.makers {
            let bad =
                |why: String| DriverError::config(format!("makers: {}: {why}", path.display()));
            let pem = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
            let chain = Certificate::load_pem_chain(&pem).map_err(|e| bad(e.to_string()))?;
            roots.extend(chain);
        }
        Ok(roots)
    }
}
