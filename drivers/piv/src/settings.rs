//! The `[driver]` section of a YubiKey's configuration.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use yubikey::{PinPolicy, TouchPolicy};

/// `[driver]` in `tokens/<name>.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// When a key made here wants the PIN.
    #[serde(default)]
    pub(crate) pin_policy: Pin,
    /// When a key made here wants to be touched.
    #[serde(default)]
    pub(crate) touch_policy: Touch,
    /// A file with the management key, which making a key needs.
    #[serde(default)]
    pub(crate) management_key: Option<PathBuf>,
    /// Certificates that lead from the card's own to its maker's, PEM; they go into evidence.
    #[serde(default)]
    pub(crate) maker_chain: Option<PathBuf>,
}

/// When the card wants its PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pin {
    /// Before every signature: no other program can use a PIN that we have shown.
    #[default]
    Always,
    /// Once, until the card is reset.
    Once,
    /// Not at all.
    Never,
}

/// When the card wants to be touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Touch {
    /// Not at all.
    #[default]
    Never,
    /// For every signature.
    Always,
    /// For every signature, but once is enough for 15 seconds.
    Cached,
}

impl Settings {
    /// The files it names.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let files = [&self.management_key, &self.maker_chain];
        files.into_iter().flatten().map(PathBuf::as_path)
    }
}

impl From<Pin> for PinPolicy {
    fn from(pin: Pin) -> Self {
        match pin {
            Pin::Always => Self::Always,
            Pin::Once => Self::Once,
            Pin::Never => Self::Never,
        }
    }
}

impl From<Touch> for TouchPolicy {
    fn from(touch: Touch) -> Self {
        match touch {
            Touch::Never => Self::Never,
            Touch::Always => Self::Always,
            Touch::Cached => Self::Cached,
        }
    }
}
