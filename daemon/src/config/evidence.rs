//! `[evidence]`: by whose word evidence of a key's origin is judged.

use std::path::PathBuf;

use serde::Deserialize;

/// `[evidence]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Certificates of device makers, PEM; read at start. Without it no device is believed.
    #[serde(default)]
    pub roots: Option<PathBuf>,
}
