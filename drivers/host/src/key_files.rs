//! The key folder: one file per key, under the key's name.
//!
//! A lost file is a lost key: what the device made of it is found by nothing else.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sealwright_driver_api::{DriverError, ErrorClass};

use crate::named::ObjectName;

/// Longest key file in bytes.
const FILE_MAX: u64 = 64 << 10;

/// `<state_dir>/keys`.
#[derive(Debug, Clone)]
pub struct KeyFiles {
    folder: PathBuf,
    extension: &'static str,
}

impl KeyFiles {
    /// Makes the folder where it is missing, for its owner only.
    ///
    /// # Errors
    /// `Config`
    pub fn open(state_dir: &Path, extension: &'static str) -> Result<Self, DriverError> {
        let folder = state_dir.join("keys");
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|e| {
                DriverError::config(format!(
                    "cannot make the key folder {}: {e}",
                    folder.display()
                ))
            })?;
        Ok(Self { folder, extension })
    }

    /// Reads a key's file as what `parse` makes of it.
    ///
    /// # Errors
    /// `KeyMissing`, also where the file is damaged: nothing can be signed with it.
    pub fn read<T, E: std::fmt::Display>(
        &self,
        object: &ObjectName,
        parse: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<T, DriverError> {
        let path = self.path(object);
        let missing = |detail| DriverError::new(ErrorClass::KeyMissing, "", detail);
        let bytes = read_bounded(&path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => missing(format!(
                "there is no key {:?}: {} does not exist",
                object.as_str(),
                path.display()
            )),
            _ => missing(format!("cannot read the key file {}: {e}", path.display())),
        })?;
        parse(&bytes).map_err(|e| {
            missing(format!(
                "{} is no usable key file: {e}; restore it from a backup",
                path.display()
            ))
        })
    }

    /// Refuses an object that has a file already.
    ///
    /// # Errors
    /// `BadRequest`
    pub fn refuse_existing(&self, object: &ObjectName) -> Result<(), DriverError> {
        match self.path(object).symlink_metadata() {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            _ => Err(self.exists(object)),
        }
    }

    /// Writes a new key's file and returns once it is on disk. An existing file is never replaced.
    ///
    /// # Errors
    /// `BadRequest` where there is one, else `Config`.
    pub fn add(&self, object: &ObjectName, bytes: &[u8]) -> Result<(), DriverError> {
        self.write_new(object, bytes).map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => self.exists(object),
            _ => DriverError::config(format!(
                "cannot write the key file {}: {e}",
                self.path(object).display()
            )),
        })
    }

    /// Overwrites and removes a key's file, and returns once that is on disk.
    ///
    /// # Errors
    /// `Config`
    pub fn remove(&self, object: &ObjectName) -> Result<(), DriverError> {
        let path = self.path(object);
        self.wipe(&path).map_err(|e| {
            DriverError::config(format!(
                "cannot remove the key file {}: {e}",
                path.display()
            ))
        })
    }

    /// Zeros first: a file system may keep the blocks of a file that is gone. It may also have copies elsewhere.
    fn wipe(&self, path: &Path) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let len = usize::try_from(file.metadata()?.len()).unwrap_or_default();
        file.write_all(&vec![0; len])?;
        file.sync_all()?;
        fs::remove_file(path)?;
        File::open(&self.folder)?.sync_all()
    }

    fn write_new(&self, object: &ObjectName, bytes: &[u8]) -> io::Result<()> {
        // Object names never begin with a dot, so this is nobody's key. One left over from a crash is void.
        let draft = self.folder.join(format!(".{}.new", object.as_str()));
        match fs::remove_file(&draft) {
            Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        // A link, unlike a rename, fails where the name is taken.
        let linked = fs::hard_link(&draft, self.path(object));
        fs::remove_file(&draft)?;
        linked?;
        File::open(&self.folder)?.sync_all()
    }

    fn path(&self, object: &ObjectName) -> PathBuf {
        let name = object.as_str();
        self.folder.join(format!("{name}.{}", self.extension))
    }

    fn exists(&self, object: &ObjectName) -> DriverError {
        DriverError::bad_request(format!(
            "there is a key {:?} already: {} exists; choose another name",
            object.as_str(),
            self.path(object).display()
        ))
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?
        .take(FILE_MAX + 1)
        .read_to_end(&mut text)?;
    if text.len() as u64 > FILE_MAX {
        return Err(io::Error::other(format!(
            "it has more than {FILE_MAX} bytes"
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn files() -> (tempfile::TempDir, KeyFiles) {
        let state = tempfile::tempdir().unwrap();
        let files = KeyFiles::open(state.path(), "pem").unwrap();
        (state, files)
    }

    fn name() -> ObjectName {
        ObjectName::new("release").unwrap()
    }

    fn read(files: &KeyFiles) -> Result<Vec<u8>, DriverError> {
        files.read(&name(), |bytes| match bytes {
            b"no key" => Err("no key in it"),
            _ => Ok(bytes.to_vec()),
        })
    }

    #[test]
    fn a_key_file_is_for_its_owner_only_and_leaves_no_draft() {
        let (state, files) = files();
        files.add(&name(), b"1").unwrap();
        assert_eq!(read(&files).unwrap(), b"1");
        let keys = state.path().join("keys");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&keys), mode(&keys.join("release.pem"))),
            (0o700, 0o600)
        );
        assert_eq!(fs::read_dir(keys).unwrap().count(), 1);
    }

    #[test]
    fn an_existing_key_is_never_replaced() {
        let (_state, files) = files();
        assert_eq!(files.refuse_existing(&name()), Ok(()));
        files.add(&name(), b"1").unwrap();
        let refused = files.refuse_existing(&name()).unwrap_err();
        assert_eq!(refused.class, ErrorClass::BadRequest);
        let refused = files.add(&name(), b"2").unwrap_err();
        assert_eq!(refused.class, ErrorClass::BadRequest);
        assert_eq!(read(&files).unwrap(), b"1");
    }

    #[test]
    fn a_removed_key_is_gone_and_its_name_is_free() {
        let (_state, files) = files();
        files.add(&name(), b"1").unwrap();
        files.remove(&name()).unwrap();
        assert_eq!(read(&files).unwrap_err().class, ErrorClass::KeyMissing);
        assert!(files.remove(&name()).is_err());
        files.add(&name(), b"2").unwrap();
    }

    #[test]
    fn a_draft_left_by_a_crash_stops_nobody() {
        let (state, files) = files();
        fs::write(state.path().join("keys/.release.new"), "half a k").unwrap();
        files.add(&name(), b"1").unwrap();
        assert_eq!(read(&files).unwrap(), b"1");
    }

    #[test]
    fn missing_damaged_and_endless_files_are_missing_keys_with_their_path() {
        let (state, files) = files();
        let path = state.path().join("keys/release.pem");
        let error = || read(&files).unwrap_err();
        assert!(error().detail.contains("does not exist"));
        fs::write(&path, "no key").unwrap();
        assert!(error().detail.contains("restore it from a backup"));
        fs::write(&path, vec![b'a'; 65 << 10]).unwrap();
        assert!(error().detail.contains("65536"));
        assert_eq!(error().class, ErrorClass::KeyMissing);
        assert!(error().detail.contains(path.to_str().unwrap()));
    }
}
