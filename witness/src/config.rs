//! `witness.toml`: unknown keys are refused.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sealwright_core::tlog::VerifierKey;
use sealwright_core::tlog::vkey::{KeyType, VkeyError};
use serde::Deserialize;

/// The configuration, with paths made absolute.
#[derive(Debug)]
pub(crate) struct Config {
    /// Where logs connect.
    pub(crate) listen: Address,
    /// What `keygen` made.
    pub(crate) key_file: PathBuf,
    /// One file per log. A witness that loses it forgets what it has seen.
    pub(crate) state_dir: PathBuf,
    /// The logs it cosigns for.
    pub(crate) logs: Vec<KnownLog>,
}

/// A log by its origin, with every key that may sign its checkpoints.
#[derive(Debug)]
pub(crate) struct KnownLog {
    pub(crate) origin: String,
    pub(crate) keys: Vec<VerifierKey>,
}

/// Where to listen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// `127.0.0.1:7380`
    Tcp(std::net::SocketAddr),
    /// `unix:/run/sealwright-witness/http.sock`
    Unix(PathBuf),
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read {path}: {source}; name another file with --config")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}: {reason}")]
    Invalid { path: PathBuf, reason: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: String,
    key_file: PathBuf,
    state_dir: PathBuf,
    #[serde(rename = "log")]
    logs: Vec<LogEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogEntry {
    origin: String,
    keys: Vec<String>,
}

impl Config {
    /// Reads the file; paths in it are relative to its folder.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let base = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, base).map_err(|reason| ConfigError::Invalid {
            path: path.to_owned(),
            reason,
        })
    }

    fn parse(text: &str, base: &Path) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
        let mut origins = BTreeSet::new();
        for log in &file.logs {
            if !origins.insert(log.origin.as_str()) {
                return Err(format!("log {:?} stands twice", log.origin));
            }
        }
        if origins.is_empty() {
            return Err("no [[log]]: there is nothing to cosign".to_owned());
        }
        let logs = file.logs.iter().map(LogEntry::known);
        Ok(Self {
            listen: address(&file.listen, base)?,
            key_file: base.join(&file.key_file),
            state_dir: base.join(&file.state_dir),
            logs: logs.collect::<Result<_, _>>()?,
        })
    }
}

impl LogEntry {
    fn known(&self) -> Result<KnownLog, String> {
        let at = |reason: String| format!("log {:?}: {reason}", self.origin);
        let keys = self.keys.iter().map(|key| key.parse::<VerifierKey>());
        let keys = keys.collect::<Result<Vec<_>, VkeyError>>();
        let keys = keys.map_err(|e| at(e.to_string()))?;
        if keys.is_empty() {
            return Err(at("keys is empty: add the log's verifier key".to_owned()));
        }
        if keys.iter().any(|key| key.kind() == KeyType::CosignatureV1) {
            return Err(at(
                "a cosignature key is a witness's, not a log's".to_owned()
            ));
        }
        Ok(KnownLog {
            origin: self.origin.clone(),
            keys,
        })
    }
}

fn address(text: &str, base: &Path) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Address::Unix(base.join(path)));
    }
    let bad = |_| format!("listen = {text:?}: expected <ip>:<port> or unix:<path>");
    text.parse().map(Address::Tcp).map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "wa.example.net/wlog+427208af+AQ5w8mni/7Hzo3pZqbC6ySe+3Cf2LziHAqyk8LdUwMPu";

    fn text(listen: &str, logs: &str) -> String {
        format!("listen = '{listen}'\nkey_file = 'k'\nstate_dir = 's'\n{logs}")
    }

    fn log(origin: &str, keys: &str) -> String {
        format!("[[log]]\norigin = '{origin}'\nkeys = [{keys}]\n")
    }

    #[test]
    fn paths_are_relative_to_the_file_and_addresses_are_of_two_kinds() {
        let base = Path::new("/etc/w");
        let one = log("a", &format!("'{LOG}'"));
        let config = Config::parse(&text("127.0.0.1:0", &one), base).unwrap();
        assert_eq!(config.listen, Address::Tcp("127.0.0.1:0".parse().unwrap()));
        assert_eq!(config.key_file, Path::new("/etc/w/k"));
        let config = Config::parse(&text("unix:run/s", &one), base).unwrap();
        assert_eq!(config.listen, Address::Unix("/etc/w/run/s".into()));
    }

    #[test]
    fn each_mistake_is_named() {
        let one = log("a", &format!("'{LOG}'"));
        let error = |text: &str| Config::parse(text, Path::new("/")).unwrap_err();
        assert!(error(&text("localhost", &one)).contains("localhost"));
        assert!(error(&text("unix:s", &format!("{one}{one}"))).contains("stands twice"));
        assert!(error(&text("unix:s", &log("a", ""))).contains("keys is empty"));
        assert!(error(&text("unix:s", &log("a", "'x'"))).contains("not a verifier key"));
        assert!(error(&text("unix:s", "log = []")).contains("nothing to cosign"));
        assert!(error(&text("unix:s", &format!("{one}colour = 1\n"))).contains("colour"));
    }
}
