//! The key files: `NAME.p8` in `state_dir`, PKCS#8 DER.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealwright_driver_api::{DriverError, ErrorClass, KeyUri};

use crate::keys::{Algorithm, SoftKey};

/// The token's keys by object name.
pub(crate) struct Store {
    dir: PathBuf,
    keys: Mutex<BTreeMap<String, Arc<SoftKey>>>,
}

impl Store {
    /// Loads the keys in `dir` and makes those of `wanted` that are missing.
    pub(crate) fn open(dir: &Path, wanted: &[Algorithm]) -> Result<Self, DriverError> {
        let store = Self {
            dir: dir.to_owned(),
            keys: Mutex::default(),
        };
        fs::create_dir_all(dir).map_err(|e| file_error(dir, &e))?;
        for entry in fs::read_dir(dir).map_err(|e| file_error(dir, &e))? {
            let path = entry.map_err(|e| file_error(dir, &e))?.path();
            if path.extension().is_some_and(|extension| extension == "p8") {
                store.load(&path)?;
            }
        }
        for algorithm in wanted {
            if !store.lock().contains_key(algorithm.as_str()) {
                store.make(algorithm.as_str(), *algorithm)?;
            }
        }
        Ok(store)
    }

    /// The one key that `uri` matches, with its name.
    pub(crate) fn find(&self, uri: &KeyUri) -> Result<(String, Arc<SoftKey>), DriverError> {
        if uri.kind() != "scripted" {
            return Err(DriverError::bad_request(format!(
                "{uri} is no key of a scripted token"
            )));
        }
        let keys = self.lock();
        let named = |name: &String| {
            uri.attribute("object")
                .is_none_or(|wanted| wanted == name.as_bytes())
        };
        let mut matches = keys.iter().filter(|(name, _)| named(name));
        match (matches.next(), matches.next()) {
            (Some((name, key)), None) => Ok((name.clone(), Arc::clone(key))),
            (None, _) => Err(DriverError::new(
                ErrorClass::KeyMissing,
                "",
                format!("no key is {uri}"),
            )),
            (Some(_), Some(_)) => {
                let detail = format!("several keys are {uri}; name one with object=");
                Err(DriverError::new(ErrorClass::KeyAmbiguous, "", detail))
            }
        }
    }

    /// Makes a key called `name`.
    pub(crate) fn make(&self, name: &str, algorithm: Algorithm) -> Result<(), DriverError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return Err(DriverError::bad_request(format!(
                "{name:?} is no object name: letters, digits, - and _"
            )));
        }
        let path = self.dir.join(name).with_extension("p8");
        let der = algorithm.make()?;
        // create_new: a key that another process made meanwhile stays.
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| file_error(&path, &e))?;
        file.write_all(&der)
            .and_then(|()| file.sync_all())
            .map_err(|e| file_error(&path, &e))?;
        self.load(&path)
    }

    /// Removes a key and its file.
    pub(crate) fn remove(&self, name: &str) -> Result<(), DriverError> {
        let path = self.dir.join(name).with_extension("p8");
        fs::remove_file(&path)
            .and_then(|()| fs::File::open(&self.dir)?.sync_all())
            .map_err(|e| file_error(&path, &e))?;
        self.lock().remove(name);
        Ok(())
    }

    fn load(&self, path: &Path) -> Result<(), DriverError> {
        let der = fs::read(path).map_err(|e| file_error(path, &e))?;
        let key = SoftKey::from_pkcs8(&der)
            .ok_or_else(|| DriverError::config(format!("{} is no PKCS#8 key", path.display())))?;
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        self.lock().insert(name, Arc::new(key));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<SoftKey>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn file_error(path: &Path, error: &io::Error) -> DriverError {
    if error.kind() == io::ErrorKind::AlreadyExists {
        return DriverError::bad_request(format!("{} exists already", path.display()));
    }
    DriverError::config(format!("{}: {error}", path.display()))
}
