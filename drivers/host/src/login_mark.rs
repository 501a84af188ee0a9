//! The mark that stands on disk while a credential is tried, so that no respawn tries a wrong PIN again.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sealwright_driver_api::{DriverError, ErrorClass, TokenConfig};
use sha2::{Digest as _, Sha256};

use crate::secrets::Secret;

/// The mark's name in `state_dir`.
pub const LOGIN_MARK: &str = "login-pending";

/// Begins the line with the tries that the device had left.
const TRIES: &str = "tries ";

/// Where the mark lies and what it is salted with.
#[derive(Debug)]
pub(crate) struct LoginMark {
    path: PathBuf,
    salt: String,
}

impl LoginMark {
    pub(crate) fn new(config: &TokenConfig) -> Self {
        let salt = format!(
            "sealwright login mark\0{}\0{}\0",
            config.label, config.serial
        );
        Self {
            path: config.state_dir.join(LOGIN_MARK),
            salt,
        }
    }

    /// Refuses if a mark for this credential is left over. `tries` is how many the device has left, where it tells.
    pub(crate) fn check(&self, secret: &Secret, tries: Option<u8>) -> Result<(), DriverError> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) if !text.starts_with(&self.line(secret)) && text.ends_with('\n') => Ok(()),
            // Cut off, but not refused: that would have cost a try.
            Ok(text) if text.ends_with('\n') && are_all_left(&text, tries) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // A mark that cannot be read or is cut off forbids, because it may be for this credential.
            _ => Err(DriverError::new(
                ErrorClass::Auth,
                "",
                format!(
                    "an earlier login with this credential failed or was cut off; it is not tried again: \
                     change the credential or remove {}",
                    self.path.display()
                ),
            )),
        }
    }

    /// Checks, then puts the mark on disk. It is synced before this returns: a crash during the login finds it.
    pub(crate) fn set(&self, secret: &Secret, tries: Option<u8>) -> Result<(), DriverError> {
        self.check(secret, tries)?;
        self.write(secret, tries)
    }

    /// The device refused: from now on the number of tries excuses nothing. Where that cannot be written it does no
    /// harm, as one try is missing.
    pub(crate) fn refused(&self, secret: &Secret) {
        if let Err(error) = self.write(secret, None) {
            tracing::error!(%error, "the login mark cannot be written again");
        }
    }

    fn write(&self, secret: &Secret, tries: Option<u8>) -> Result<(), DriverError> {
        let tries = tries.map_or_else(String::new, |tries| format!("{TRIES}{tries}\n"));
        let text = format!(
            "{}{tries}Written before a login and removed after it. While this file stands, the credential it was \
             written for is not tried again.\n",
            self.line(secret)
        );
        write_synced(&self.path, text.as_bytes()).map_err(|e| {
            DriverError::config(format!(
                "{} cannot be written, so no login: {e}",
                self.path.display()
            ))
        })
    }

    /// Removes the mark. If that fails the next login is refused, which is safe and says what to do.
    pub(crate) fn clear(&self) {
        let removed = std::fs::remove_file(&self.path).and_then(|()| sync_parent(&self.path));
        if let Err(error) = removed {
            tracing::error!(path = %self.path.display(), %error, "the login mark cannot be removed");
        }
    }

    /// First line: one byte of a hash. Enough to tell a changed credential in 255 of 256 cases, and useless
    /// to whoever finds the disk and would like to search all PINs for the one that fits.
    fn line(&self, secret: &Secret) -> String {
        let hash = Sha256::new()
            .chain_update(&self.salt)
            .chain_update(secret.as_bytes())
            .finalize();
        format!("v1 {}\n", hex::encode(&hash[..1]))
    }
}

/// Whether the device has as many tries left as before the login that the mark speaks of.
fn are_all_left(text: &str, tries: Option<u8>) -> bool {
    let before = text
        .lines()
        .nth(1)
        .and_then(|line| line.strip_prefix(TRIES));
    let before = before.and_then(|number| number.parse::<u8>().ok());
    before.zip(tries).is_some_and(|(before, now)| now >= before)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}
