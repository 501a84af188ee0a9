//! The key folder: one PEM file per key, wrapped by the TPM. The files hold no secret in clear.

use std::path::Path;

use sealwright_driver_api::DriverError;
use sealwright_driver_host::{KeyFiles, ObjectName};

use crate::blob::Blob;

/// See the module's text.
#[derive(Debug, Clone)]
pub(crate) struct KeyStore(KeyFiles);

impl KeyStore {
    pub(crate) fn open(state_dir: &Path) -> Result<Self, DriverError> {
        KeyFiles::open(state_dir, "pem").map(Self)
    }

    /// Reads a key's file.
    pub(crate) fn read(&self, object: &ObjectName) -> Result<Blob, DriverError> {
        self.0.read(object, Blob::from_pem)
    }

    /// Refuses an object that has a file already.
    pub(crate) fn refuse_existing(&self, object: &ObjectName) -> Result<(), DriverError> {
        self.0.refuse_existing(object)
    }

    /// Writes a new key's file and returns once it is on disk.
    pub(crate) fn add(&self, object: &ObjectName, blob: &Blob) -> Result<(), DriverError> {
        let name = object.as_str();
        let pem = blob.to_pem().map_err(|e| {
            DriverError::config(format!("the key {name:?} cannot be written as PEM: {e}"))
        })?;
        self.0.add(object, pem.as_bytes())
    }

    /// Overwrites and removes a key's file, and returns once that is on disk.
    pub(crate) fn remove(&self, object: &ObjectName) -> Result<(), DriverError> {
        self.0.remove(object)
    }
}
