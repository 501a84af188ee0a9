//! The denied keys in force: read at start and on SIGHUP, asked for every request.

use std::io;
use std::path::Path;

use sealwright_core::deny::{DenyError, DenyList};
use sealwright_core::digest::Sha256Digest;

/// The list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DenyFileError {
    /// It is there and cannot be read.
    #[error("{path}: {source}; make it readable for the daemon")]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no list.
    #[error("{path}: {source}")]
    Parse {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: DenyError,
    },
}

/// A list, and the digest of the configuration with it.
#[derive(Debug)]
pub struct Denied {
    list: DenyList,
    config_digest: Sha256Digest,
}

impl Denied {
    /// Reads `path`; where there is no file nobody is denied. `base` is the digest of the files that are read at
    /// start only.
    pub fn read(path: &Path, base: Sha256Digest) -> Result<Self, DenyFileError> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text.map_err(|source| DenyFileError::Read {
                path: path.to_owned(),
                source,
            })?,
        };
        let list = DenyList::parse(&text).map_err(|source| DenyFileError::Parse {
            path: path.to_owned(),
            source,
        })?;
        let config_digest = match text.is_empty() {
            true => base,
            false => Sha256Digest::of(&[&base.0, text.as_bytes()]),
        };
        Ok(Self {
            list,
            config_digest,
        })
    }

    /// Whether the key with this SPKI is denied.
    pub fn contains(&self, spki_sha256: &Sha256Digest) -> bool {
        self.list.contains(spki_sha256)
    }

    /// How many keys are denied.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// SHA-256 of the configuration in force.
    pub fn config_digest(&self) -> Sha256Digest {
        self.config_digest
    }
}
