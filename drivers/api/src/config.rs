//! `tokens/<name>.toml`: the part that daemon and driver share, and the driver's own section.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{DEFAULT_MAX_MESSAGE, DriverError};

/// One configured token. The file's stem is the token's name; relative paths begin at the file's folder.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// The file's stem; how people, records and metrics name the token.
    #[serde(skip)]
    pub name: String,
    /// The URI scheme of its keys; `Hello` must say the same.
    pub kind: String,
    /// Where the driver listens.
    pub socket: PathBuf,
    /// The token's label; with the serial it selects exactly one token.
    pub label: String,
    /// The token's serial number.
    pub serial: String,
    /// Sessions to open, 1 to 64. Default 2; devices that are serial by nature use 1 whatever stands here.
    #[serde(default = "default_sessions")]
    pub sessions: u16,
    /// Longest message for schemes without a prehash. Default 1 MiB.
    #[serde(default = "default_max_message")]
    pub max_message: u32,
    /// Development only: a file of mode 0600 with the PIN. Without it, systemd's credential `pin` is read.
    #[serde(default)]
    pub credential: Option<PathBuf>,
    /// Where the driver keeps its marks and wrapped keys.
    pub state_dir: PathBuf,
    /// What only this kind of driver knows; it parses and checks the section itself.
    #[serde(default)]
    pub driver: toml::Table,
}

fn default_sessions() -> u16 {
    2
}

fn default_max_message() -> u32 {
    DEFAULT_MAX_MESSAGE
}

/// Why a token's configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not what it should be.
    #[error("{path}: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line where TOML knows it.
        reason: String,
    },
}

impl TokenConfig {
    /// Reads `tokens/<name>.toml`.
    pub fn read(path: &Path) -> Result<Self, TokenConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| TokenConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let invalid = |reason: String| TokenConfigError::Invalid {
            path: path.to_owned(),
            reason,
        };
        let mut config: Self = toml::from_str(&text).map_err(|e| invalid(e.to_string()))?;
        config.name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        config.make_absolute(path.parent().unwrap_or(Path::new(".")));
        config.check().map_err(invalid)?;
        Ok(config)
    }

    /// The driver's own section.
    pub fn driver_section<T: DeserializeOwned>(&self) -> Result<T, DriverError> {
        let read = self.driver.clone().try_into();
        let name = &self.name;
        read.map_err(|e| DriverError::config(format!("tokens/{name}.toml, section [driver]: {e}")))
    }

    fn make_absolute(&mut self, base: &Path) {
        let paths = [&mut self.socket, &mut self.state_dir];
        for path in paths.into_iter().chain(&mut self.credential) {
            // Joining an absolute path gives that path.
            *path = base.join(&path);
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.name.parse::<sealwright_core::name::Tenant>().is_err() {
            return Err(format!(
                "a token's name is a label of a-z, 0-9, '.', '_' and '-', not {:?}",
                self.name
            ));
        }
        if !(1..=64).contains(&self.sessions) {
            return Err(format!(
                "sessions = {} is not between 1 and 64",
                self.sessions
            ));
        }
        if self.max_message == 0 || self.max_message > 64 << 20 {
            return Err(format!(
                "max_message = {} is not between 1 and 64 MiB",
                self.max_message
            ));
        }
        // 108 bytes is sockaddr_un's room, one of them for the final NUL.
        if self.socket.as_os_str().len() > 107 {
            return Err(format!(
                "socket path {} is longer than 107 bytes",
                self.socket.display()
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "kind = 'pkcs11'\nsocket = '/run/t.sock'\nlabel = 'a'\nserial = 'b'\nstate_dir = '/var/lib/t'\n";

    fn parse(text: &str) -> Result<TokenConfig, String> {
        let mut config: TokenConfig = toml::from_str(text).map_err(|e| e.to_string())?;
        config.name = "t".into();
        config.check().map(|()| config)
    }

    #[test]
    fn defaults_are_two_sessions_and_one_mebibyte() {
        let config = parse(GOOD).unwrap();
        assert_eq!((config.sessions, config.max_message), (2, 1 << 20));
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_refused() {
        assert!(
            parse(&format!("{GOOD}pin = '1234'\n"))
                .unwrap_err()
                .contains("pin")
        );
        assert!(
            parse(&format!("{GOOD}sessions = 0\n"))
                .unwrap_err()
                .contains("sessions")
        );
        assert!(
            parse(&format!("{GOOD}max_message = 0\n"))
                .unwrap_err()
                .contains("max_message")
        );
        assert!(
            parse(&GOOD.replace("/run/t.sock", &"x".repeat(108)))
                .unwrap_err()
                .contains("107")
        );
    }
}
