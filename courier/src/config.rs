//! `courier.toml`: unknown keys are refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use rustls::ClientConfig;
use sealwright_client::Settings;
use sealwright_core::tlog::Quorum;
use serde::Deserialize;

use crate::http::{self, Tls};

/// The authorities of https witnesses where none are configured: the system's.
const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The configuration, with paths made absolute.
#[derive(Debug)]
pub(crate) struct Config {
    /// How to reach the daemon.
    pub(crate) daemon: Settings,
    /// Time between two rounds.
    pub(crate) interval: Duration,
    /// A checkpoint that did not change is cosigned again after this time, so that the quorum stays young.
    pub(crate) refresh: Duration,
    pub(crate) witnesses: Vec<Arc<Witness>>,
}

/// A witness.
#[derive(Debug)]
pub(crate) struct Witness {
    /// Its one key.
    pub(crate) key: Quorum,
    /// The name in its key.
    pub(crate) name: String,
    /// Where checkpoints are submitted; `add-checkpoint` is appended.
    pub(crate) url: Uri,
    /// Where its newest checkpoint of each log can be read.
    pub(crate) monitoring: Uri,
    /// Time for one request, from connecting to the last byte.
    pub(crate) timeout: Duration,
    /// For https.
    pub(crate) tls: Tls,
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
    daemon: Daemon,
    /// Default 10 s.
    #[serde(default = "default_interval")]
    interval_s: u64,
    /// Default 300 s: well below the daemon's `max_anchor_age_s`.
    #[serde(default = "default_refresh")]
    refresh_s: u64,
    #[serde(rename = "witness")]
    witnesses: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Daemon {
    socket: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: String,
    url: String,
    /// Default: the same as `url`.
    monitoring_url: Option<String>,
    /// Default 10 000 ms.
    #[serde(default = "default_timeout")]
    timeout_ms: u64,
    /// PEM file with the authorities of an https URL. Default: the system's.
    ca: Option<PathBuf>,
}

fn default_interval() -> u64 {
    10
}

fn default_refresh() -> u64 {
    300
}

fn default_timeout() -> u64 {
    10_000
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
        if file.witnesses.is_empty() {
            return Err("no [[witness]]: there is nowhere to go".to_owned());
        }
        // All keys together: the daemon would refuse two witnesses with one key pair, too.
        let keys: Vec<_> = file.witnesses.iter().map(|w| w.key.clone()).collect();
        Quorum::new(&keys, keys.len()).map_err(|e| e.to_string())?;
        let Daemon {
            socket,
            certificate,
            key,
            ca,
        } = file.daemon;
        let [socket, certificate, key, ca] =
            [socket, certificate, key, ca].map(|path| Some(base.join(path)));
        let daemon = Settings::new(socket, certificate, key, ca).map_err(|e| e.to_string())?;
        let witnesses = file.witnesses.iter();
        let witnesses = witnesses.map(|entry| entry.witness(base).map(Arc::new));
        Ok(Self {
            daemon,
            interval: Duration::from_secs(file.interval_s.max(1)),
            refresh: Duration::from_secs(file.refresh_s),
            witnesses: witnesses.collect::<Result<_, _>>()?,
        })
    }
}

impl Entry {
    fn witness(&self, base: &Path) -> Result<Witness, String> {
        let key = std::slice::from_ref(&self.key);
        let key = Quorum::new(key, 1).map_err(|e| e.to_string())?;
        let names = key.witnesses().iter().map(|key| key.name().to_owned());
        let name: String = names.collect();
        let url = parse_url(&self.url)?;
        let monitoring = match &self.monitoring_url {
            Some(url) => parse_url(url)?,
            None => url.clone(),
        };
        let https = [&url, &monitoring];
        let https = https.iter().any(|url| url.scheme_str() == Some("https"));
        Ok(Witness {
            tls: self.tls(https, base)?,
            key,
            name,
            url,
            monitoring,
            timeout: Duration::from_millis(self.timeout_ms.max(1)),
        })
    }

    fn tls(&self, needed: bool, base: &Path) -> Result<Tls, String> {
        if !needed {
            return Ok(None);
        }
        let ca = self.ca.as_deref().unwrap_or(Path::new(SYSTEM_CA));
        let config: ClientConfig = http::tls_config(&base.join(ca))?;
        Ok(Some(Arc::new(config)))
    }
}

fn parse_url(text: &str) -> Result<Uri, String> {
    let bad = || format!("url = {text:?}: expected http://<host>[:<port>][/<path>], or https");
    let url: Uri = text.parse().map_err(|_| bad())?;
    let known = matches!(url.scheme_str(), Some("http" | "https"));
    if known && url.host().is_some_and(|host| !host.is_empty()) && url.query().is_none() {
        Ok(url)
    } else {
        Err(bad())
    }
}

#[cfg(test)]
mod tests {
    use sealwright_core::tlog::VerifierKey;
    use sealwright_core::tlog::vkey::KeyType;

    use super::*;

    const DAEMON: &str = "[daemon]\nsocket = 's'\ncertificate = 'c'\nkey = 'k'\nca = 'a'\n";

    fn key() -> String {
        // The base point of Ed25519: a public key like any other.
        let mut point = [0x66; 32];
        point[0] = 0x58;
        let key = VerifierKey::new("w", KeyType::CosignatureV1, &point);
        key.unwrap().to_string()
    }

    fn parse(more: &str) -> Result<Config, String> {
        Config::parse(&format!("{DAEMON}{more}"), Path::new("/etc/c"))
    }

    fn witness(url: &str) -> String {
        format!("[[witness]]\nkey = '{}'\nurl = '{url}'\n", key())
    }

    #[test]
    fn defaults_are_the_documented_ones_and_paths_are_relative_to_the_file() {
        let config = parse(&witness("http://w.example:7380/a")).unwrap();
        assert_eq!(config.interval, Duration::from_secs(10));
        assert_eq!(config.refresh, Duration::from_secs(300));
        assert_eq!(config.daemon.cert, Path::new("/etc/c/c"));
        let witness = &config.witnesses[0];
        assert_eq!(witness.timeout, Duration::from_secs(10));
        assert_eq!((&*witness.name, &witness.monitoring), ("w", &witness.url));
    }

    #[test]
    fn each_mistake_is_named() {
        let error = |more: &str| parse(more).unwrap_err();
        assert!(error("witness = []").contains("witness"));
        assert!(error(&witness("ftp://w")).contains("ftp://w"));
        assert!(error(&witness("/w")).contains("expected http"));
        assert!(error(&witness("http://w?a=b")).contains("expected http"));
        let one = witness("http://w");
        assert!(error(&format!("{one}{one}")).contains("earlier one"));
        assert!(error(&format!("{one}colour = 1\n")).contains("colour"));
        let https = format!("{}ca = 'missing.pem'\n", witness("https://w"));
        assert!(error(&https).contains("/etc/c/missing.pem"));
    }
}
