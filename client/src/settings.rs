//! Where the daemon listens, and who the caller is.

use std::path::PathBuf;

use crate::token::TokenFiles;

/// The daemon's socket where nothing else is said.
pub const DEFAULT_SOCKET: &str = "/run/sealwright/api.sock";

/// The name in the daemon's certificate, also the HTTP host.
pub const SERVER_NAME: &str = "sealwright.localhost";

/// Paths of everything a connection needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The daemon's Unix socket (`SEALWRIGHT_SOCKET`, default [`DEFAULT_SOCKET`]).
    pub socket: PathBuf,
    /// The caller's certificate chain, PEM (`SEALWRIGHT_CERT`).
    pub cert: PathBuf,
    /// Its private key, PEM (`SEALWRIGHT_KEY`).
    pub key: PathBuf,
    /// The roots that the daemon's certificate must lead to, PEM (`SEALWRIGHT_CA`).
    pub ca: PathBuf,
    /// An access token that goes along, if any (`SEALWRIGHT_TOKEN_FILE`, `SEALWRIGHT_DPOP_KEY`).
    pub token: TokenFiles,
}

/// Something that a connection needs is not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {what}: set {variable} (or {flag}) to a PEM file")]
pub struct SettingsError {
    /// What is missing.
    pub what: &'static str,
    /// The environment variable that sets it.
    pub variable: &'static str,
    /// The flag of `sealwright` that sets it.
    pub flag: &'static str,
}

impl Settings {
    /// Reads `SEALWRIGHT_SOCKET`, `SEALWRIGHT_CERT`, `SEALWRIGHT_KEY` and `SEALWRIGHT_CA`, and for an access token
    /// `SEALWRIGHT_TOKEN_FILE` and `SEALWRIGHT_DPOP_KEY`.
    pub fn from_env() -> Result<Self, SettingsError> {
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        let settings = Self::new(
            path("SEALWRIGHT_SOCKET"),
            path("SEALWRIGHT_CERT"),
            path("SEALWRIGHT_KEY"),
            path("SEALWRIGHT_CA"),
        )?;
        Ok(settings.with_token(TokenFiles {
            token: path("SEALWRIGHT_TOKEN_FILE"),
            dpop_key: path("SEALWRIGHT_DPOP_KEY"),
        }))
    }

    /// With an access token. An empty path counts as not given.
    #[must_use]
    pub fn with_token(self, files: TokenFiles) -> Self {
        Self {
            token: TokenFiles {
                token: given(files.token),
                dpop_key: given(files.dpop_key),
            },
            ..self
        }
    }

    /// Takes what is given; only the socket has a default. An empty path counts as not given.
    pub fn new(
        socket: Option<PathBuf>,
        cert: Option<PathBuf>,
        key: Option<PathBuf>,
        ca: Option<PathBuf>,
    ) -> Result<Self, SettingsError> {
        let missing = |what, variable, flag| SettingsError {
            what,
            variable,
            flag,
        };
        Ok(Self {
            socket: given(socket).unwrap_or_else(|| DEFAULT_SOCKET.into()),
            cert: given(cert).ok_or(missing("client certificate", "SEALWRIGHT_CERT", "--cert"))?,
            key: given(key).ok_or(missing("client key", "SEALWRIGHT_KEY", "--client-key"))?,
            ca: given(ca).ok_or(missing("CA bundle", "SEALWRIGHT_CA", "--ca"))?,
            token: TokenFiles::default(),
        })
    }
}

fn given(path: Option<PathBuf>) -> Option<PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_socket_has_a_default_and_what_is_missing_is_named() {
        let some = |text: &str| Some(PathBuf::from(text));
        let full = Settings::new(None, some("c"), some("k"), some("a")).unwrap();
        assert_eq!(full.socket, PathBuf::from(DEFAULT_SOCKET));
        let error = |cert, key, ca| {
            Settings::new(some("s"), cert, key, ca)
                .unwrap_err()
                .to_string()
        };
        assert!(error(None, some("k"), some("a")).contains("SEALWRIGHT_CERT"));
        assert!(error(some("c"), some(""), some("a")).contains("SEALWRIGHT_KEY"));
        assert!(error(some("c"), some("k"), None).contains("SEALWRIGHT_CA"));
    }
}
