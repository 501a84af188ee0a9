//! The `[driver]` section of a security key's configuration.

use std::path::PathBuf;

use sealwright_driver_api::DriverError;
use sealwright_driver_host::pem_chain;
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
    /// The makers' roots.
    pub(crate) fn roots(&self) -> Result<Vec<Certificate>, DriverError> {
        let mut roots = Vec::new();
        for path in &self.makers {
            roots.extend(pem_chain("makers:", path)?);
        }
        Ok(roots)
    }
}
