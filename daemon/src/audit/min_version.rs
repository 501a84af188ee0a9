//! The oldest version that may open this state directory.
//!
//! An upgrade can be taken back as long as nothing was written that the older version does not know. `sealwright
//! finalize-upgrade` gives that up: it names the running version here, and an older one then refuses instead of reading a
//! log that it only half understands.

use std::cmp::Ordering;
use std::io;
use std::path::{Path, PathBuf};

/// Its name in the state directory.
pub const MIN_VERSION: &str = "min-version";

/// Why this version does not open the state directory.
#[derive(Debug, thiserror::Error)]
pub enum MinVersionError {
    /// It is older than what the log was finalised for.
    #[error(
        "{path}: the log was finalised for sealwrightd {needed} or newer, and this is {own}: install {needed} again \
         (docs/runbooks/upgrade.md); nothing was changed"
    )]
    TooOld {
        /// The file.
        path: PathBuf,
        /// What it names.
        needed: String,
        /// This program's version.
        own: &'static str,
    },
    /// It names no version.
    #[error("{path}: {text:?} is no version such as 1.2.3; restore the file from a backup")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What it says.
        text: String,
    },
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Refuses where the state directory was finalised for a version newer than `own`.
pub fn check(state_dir: &Path, own: &'static str) -> Result<(), MinVersionError> {
    let path = state_dir.join(MIN_VERSION);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(MinVersionError::Read { path, source }),
    };
    let needed = text.trim().to_owned();
    match compare(own, &needed) {
        None => Err(MinVersionError::Invalid { path, text: needed }),
        Some(Ordering::Less) => Err(MinVersionError::TooOld { path, needed, own }),
        Some(_) => Ok(()),
    }
}

/// By number, part for part; `None` where one is no version.
fn compare(left: &str, right: &str) -> Option<Ordering> {
    Some(parts(left)?.cmp(&parts(right)?))
}

fn parts(version: &str) -> Option<[u32; 3]> {
    let parts: Vec<u32> = version
        .splitn(3, '.')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    parts.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_without_a_finalised_upgrade_is_open_to_every_version() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check(dir.path(), "0.1.0").is_ok());
    }

    #[test]
    fn an_older_version_is_refused_by_name_and_the_same_or_a_newer_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(MIN_VERSION), "0.10.0\n").unwrap();
        let refused = check(dir.path(), "0.9.1").unwrap_err().to_string();
        assert!(
            refused.contains("0.10.0 or newer, and this is 0.9.1"),
            "{refused}"
        );
        assert!(check(dir.path(), "0.10.0").is_ok());
        assert!(check(dir.path(), "1.0.0").is_ok());
    }

    #[test]
    fn what_is_no_version_is_refused_with_the_file() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "1", "1.2", "1.2.x", "1.2.3.4", "-1.0.0"] {
            std::fs::write(dir.path().join(MIN_VERSION), text).unwrap();
            let refused = check(dir.path(), "1.0.0").unwrap_err().to_string();
            assert!(
                refused.contains("min-version") && refused.contains("no version"),
                "{refused}"
            );
        }
    }
}
