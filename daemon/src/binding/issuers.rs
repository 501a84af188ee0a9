//! The issuers in force: key sets are read at start and on SIGHUP, and swapped whole.

use std::io;
use std::path::{Path, PathBuf};

use sealwright_core::digest::Sha256Digest;
use sealwright_core::jose::{JwkSet, JwkSetError};
use sealwright_core::token::Issuer;

use crate::config::security::{IssuerEntry, schemes};

/// An issuer's keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The file cannot be read.
    #[error("{path}: {source}; make it readable for the daemon")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no key set.
    #[error("{path}: {source}")]
    Keys {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: JwkSetError,
    },
}

/// Issuers with their keys, and the digest of the configuration with them.
#[derive(Debug)]
pub struct Known {
    issuers: Vec<Issuer>,
    config_digest: Sha256Digest,
}

impl Known {
    /// Reads the key sets. `base` is the digest of the files that are read at start only.
    pub fn read(entries: &[IssuerEntry], base: Sha256Digest) -> Result<Self, IssuerError> {
        let mut issuers = Vec::with_capacity(entries.len());
        let mut config_digest = base;
        for entry in entries {
            let text = read(&entry.jwks)?;
            let keys = JwkSet::parse(&text).map_err(|source| IssuerError::Keys {
                path: entry.jwks.clone(),
                source,
            })?;
            config_digest = Sha256Digest::of(&[&config_digest.0, &Sha256Digest::of(&[&text]).0]);
            issuers.push(Issuer {
                id: entry.id.clone(),
                keys,
                algorithms: schemes(&entry.algorithms),
                tenant: entry.tenant_of(),
            });
        }
        Ok(Self {
            issuers,
            config_digest,
        })
    }

    /// The issuers.
    pub fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// SHA-256 of the configuration with these keys.
    pub fn config_digest(&self) -> Sha256Digest {
        self.config_digest
    }
}

fn read(path: &Path) -> Result<Vec<u8>, IssuerError> {
    std::fs::read(path).map_err(|source| IssuerError::Read {
        path: path.to_owned(),
        source,
    })
}
