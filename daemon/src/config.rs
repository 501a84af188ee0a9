//! `sealwright.toml`: every key with its default; unknown keys are refused.

pub mod canary;
mod destruction;
pub mod dual_control;
mod evidence;
pub mod rotation;
pub mod security;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::identity::Role;
use sealwright_core::journal::SEGMENT_MIN;
use sealwright_core::name::Tenant;
use sealwright_core::time::Timestamp;
use sealwright_core::tlog::Quorum;
use sealwright_core::tlog::quorum::QuorumError;
use sealwright_driver_api::{TokenConfig, TokenConfigError};
use serde::Deserialize;

pub use self::canary::Canary;
pub use self::destruction::Destruction;
pub use self::dual_control::DualControl;
pub use self::evidence::Evidence;
pub use self::rotation::Rotation;
pub use self::security::Security;

/// The whole configuration, with paths made absolute.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where clients connect.
    pub api: Api,
    /// Where monitoring connects; without it there is none.
    #[serde(default)]
    pub monitor: Option<Monitor>,
    /// Where the daemon keeps what must survive.
    pub state: StateDir,
    /// Checkpoints.
    #[serde(default)]
    pub log: Log,
    /// Who may do what.
    #[serde(default)]
    pub policy: Policy,
    /// How long records keep their bodies, by tenant; where there is none, nothing is proposed for erasure.
    #[serde(default)]
    pub retention: Vec<Retention>,
    /// How approvals are asked for.
    #[serde(default)]
    pub dual_control: DualControl,
    /// When a key may be destroyed.
    #[serde(default)]
    pub destruction: Destruction,
    /// What evidence of a key's origin is judged by.
    #[serde(default)]
    pub evidence: Evidence,
    /// How often tokens show that they sign.
    #[serde(default)]
    pub canary: Canary,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
    /// Trust domains; at least one.
    #[serde(rename = "domain")]
    pub domains: Vec<Domain>,
    /// Known callers.
    #[serde(default, rename = "principal")]
    pub principals: Vec<PrincipalEntry>,
    /// When keys are due for a successor.
    #[serde(default, rename = "rotation")]
    pub rotations: Vec<Rotation>,
    /// Access tokens.
    #[serde(default)]
    pub security: Security,
    /// Development only.
    #[serde(default)]
    pub dev: Dev,
    /// Read from `tokens/*.toml`.
    #[serde(skip)]
    pub tokens: Vec<TokenConfig>,
    /// Where it was read.
    #[serde(skip)]
    pub path: PathBuf,
    /// SHA-256 over this file and all token files with their names.
    #[serde(skip)]
    pub digest: Sha256Digest,
}

/// `[api]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Socket path, at most 107 bytes. A listener passed by systemd under the name `api` wins.
    pub socket: PathBuf,
    /// The daemon's certificate chain, PEM, for the name `sealwright.localhost`.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The keys that no caller may use, see [`sealwright_core::deny`]; read anew on SIGHUP. Default `deny-spki`; where
    /// there is no such file, none is denied.
    #[serde(default = "default_deny_spki")]
    pub deny_spki: PathBuf,
    /// Status, metrics and doctor show certificates that run out within so many days. Default 14.
    #[serde(default = "default_expires_soon_days")]
    pub expires_soon_days: u32,
}

fn default_deny_spki() -> PathBuf {
    "deny-spki".into()
}

fn default_expires_soon_days() -> u32 {
    14
}

/// `[monitor]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Monitor {
    /// Socket path. No TLS: the file's group decides who may look.
    pub socket: PathBuf,
    /// Rows per metric; those beyond it are counted together. Default 256.
    #[serde(default = "default_max_series")]
    pub max_series: usize,
}

fn default_max_series() -> usize {
    256
}

/// `[state]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateDir {
    /// `/var/lib/sealwright`.
    pub dir: PathBuf,
    /// Bytes of one journal segment. Default 64 MiB, at least 4 MiB.
    #[serde(default = "default_segment_bytes")]
    pub segment_bytes: u64,
    /// Work is refused while the disk has less than this free. Default 16 MiB.
    #[serde(default = "default_low_water_bytes")]
    pub low_water_bytes: u64,
}

fn default_segment_bytes() -> u64 {
    64 << 20
}

fn default_low_water_bytes() -> u64 {
    16 << 20
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Least time between two checkpoints. Default 1000 ms.
    pub checkpoint_interval_ms: u64,
    /// How long signing goes on while the log token is down. Default 3600 s.
    pub max_checkpoint_lag_s: u64,
    /// Verifier keys (C2SP, `cosignature/v1`) of the witnesses that this log relies on. Default none.
    pub witnesses: Vec<String>,
    /// How many of them make a quorum.
    pub quorum: usize,
    /// What happens when the newest quorum is too old. Default nothing.
    pub anchor: Anchor,
    /// How old it may be. Default 3600 s.
    pub max_anchor_age_s: u64,
}

/// `anchor`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Anchor {
    /// Nothing.
    #[default]
    None,
    /// Status and log say so.
    Warn,
    /// Signing is refused, too.
    Require,
}

impl Anchor {
    /// As in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Warn => "warn",
            Self::Require => "require",
        }
    }
}

impl Log {
    /// The witnesses' quorum.
    pub fn quorum(&self) -> Result<Quorum, QuorumError> {
        Quorum::new(&self.witnesses, self.quorum)
    }

    fn check(&self) -> Result<(), String> {
        self.quorum().map_err(|e| format!("[log] {e}"))?;
        if self.anchor != Anchor::None && self.witnesses.is_empty() {
            let anchor = self.anchor.as_str();
            return Err(format!(
                "[log] anchor = {anchor:?} needs witnesses and a quorum"
            ));
        }
        Ok(())
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            checkpoint_interval_ms: 1000,
            max_checkpoint_lag_s: 3600,
            witnesses: Vec::new(),
            quorum: 0,
            anchor: Anchor::None,
            max_anchor_age_s: 3600,
        }
    }
}

/// `[policy]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// The Cedar file. Default `policy.cedar` beside this file.
    pub file: PathBuf,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            file: "policy.cedar".into(),
        }
    }
}

/// `[[retention]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Whose records.
    pub tenant: Tenant,
    /// For how many days no body of theirs is erased, at least 1.
    pub days: u32,
}

impl Retention {
    /// Records before this are due.
    pub fn due_before(&self, now: Timestamp) -> Timestamp {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        Timestamp::from_unix_millis(now.unix_millis() - i64::from(self.days) * DAY_MS)
    }
}

/// `[limits]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at a time; the next is closed at accept and counted. Default 1024.
    pub max_connections: usize,
    /// Time for a TLS handshake. Default 5000 ms.
    pub handshake_ms: u64,
    /// Time a connection may be without a request. Default 60 000 ms.
    pub idle_ms: u64,
    /// Time for a whole body to arrive. Default 30 000 ms.
    pub body_ms: u64,
    /// Bytes of one body. Default 16 MiB.
    pub max_body: usize,
    /// Bytes of all bodies in memory. Default 256 MiB.
    pub body_budget: usize,
    /// Time for a request where the client names none. Default 30 000 ms.
    pub request_ms: u64,
    /// Requests that may wait for one token. Default 1024.
    pub queue: usize,
    /// Denials per principal and minute that get a record of their own. Default 60.
    pub denials_per_minute: u32,
    /// Time for requests in flight when the daemon is told to stop. Default 10 000 ms.
    pub drain_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            handshake_ms: 5000,
            idle_ms: 60_000,
            body_ms: 30_000,
            max_body: 16 << 20,
            body_budget: 256 << 20,
            request_ms: 30_000,
            queue: 1024,
            denials_per_minute: 60,
            drain_ms: 10_000,
        }
    }
}

impl Limits {
    /// Time for a TLS handshake.
    pub fn handshake(&self) -> Duration {
        Duration::from_millis(self.handshake_ms)
    }

    /// Time between two requests.
    pub fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms)
    }

    /// Time for a body.
    pub fn body(&self) -> Duration {
        Duration::from_millis(self.body_ms)
    }
}

/// `[[domain]]`: a certificate counts only under its own domain's roots.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    /// Its name, for logs.
    pub name: String,
    /// PEM file with its roots.
    pub ca: PathBuf,
    /// The tenant of its callers. Default `default`.
    #[serde(default)]
    pub tenant: Tenant,
    /// Whether a certificate may name its holder by DNS SAN. Default no.
    #[serde(default)]
    pub dns_identities: bool,
    /// SHA-256 (hex) of certificates that are refused although they are valid.
    #[serde(default)]
    pub deny: Vec<Sha256Digest>,
}

/// `[[principal]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrincipalEntry {
    /// The identity in its certificate.
    pub id: String,
    /// What it may be used for.
    pub roles: Vec<Role>,
    /// The user its process must run as, a further condition beside the certificate.
    #[serde(default)]
    pub uid: Option<u32>,
    /// The domain whose certificates may name it. Default: the first one.
    #[serde(default)]
    pub domain: Option<String>,
    /// Its tenant where that is not its domain's.
    #[serde(default)]
    pub tenant: Option<Tenant>,
}

impl PrincipalEntry {
    /// Its domain among `domains`; `None` where it names one that is not there.
    pub fn domain_of<'d>(&self, domains: &'d [Domain]) -> Option<&'d Domain> {
        match &self.domain {
            None => domains.first(),
            Some(name) => domains.iter().find(|domain| domain.name == *name),
        }
    }
}

/// `[dev]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dev {
    /// Allow the daemon to run as root.
    pub allow_root: bool,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
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
        /// What is wrong.
        reason: String,
    },
    /// A token file.
    #[error(transparent)]
    Token(#[from] TokenConfigError),
}

impl Config {
    /// Reads `sealwright.toml` and the token files beside it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path)?;
        let invalid = |reason: String| ConfigError::Invalid {
            path: path.to_owned(),
            reason,
        };
        let mut config: Self = toml::from_str(&text).map_err(|e| invalid(e.to_string()))?;
        let base = path.parent().unwrap_or(Path::new("."));
        config.path = path.to_owned();
        config.make_absolute(base);
        let mut files = vec![(String::new(), text)];
        for path in token_files(&base.join("tokens"))? {
            let token = TokenConfig::read(&path)?;
            files.push((token.name.clone(), read_text(&path)?));
            config.tokens.push(token);
        }
        config.digest = digest_of(&files);
        config.check().map_err(invalid)?;
        Ok(config)
    }

    /// `[monitor] max_series`, also where there is no such table.
    pub fn monitor_series(&self) -> usize {
        let monitor = self.monitor.as_ref();
        monitor.map_or_else(default_max_series, |monitor| monitor.max_series)
    }

    fn make_absolute(&mut self, base: &Path) {
        let paths = [
            &mut self.api.socket,
            &mut self.api.certificate,
            &mut self.api.key,
            &mut self.api.deny_spki,
        ];
        let paths = paths
            .into_iter()
            .chain([&mut self.state.dir, &mut self.policy.file]);
        let paths = paths.chain(self.monitor.iter_mut().map(|monitor| &mut monitor.socket));
        let paths = paths.chain(&mut self.evidence.roots);
        for path in paths.chain(self.domains.iter_mut().map(|domain| &mut domain.ca)) {
            // Joining an absolute path gives that path.
            *path = base.join(&path);
        }
        self.security.make_absolute(base);
    }

    fn check(&self) -> Result<(), String> {
        let limits = &self.limits;
        if self.domains.is_empty() {
            return Err("no [[domain]]: nobody could connect".to_owned());
        }
        if self.state.segment_bytes < SEGMENT_MIN {
            return Err(format!("state.segment_bytes is below {SEGMENT_MIN}"));
        }
        if limits.max_body == 0 || limits.max_body > limits.body_budget {
            return Err("limits.max_body must be between 1 and limits.body_budget".to_owned());
        }
        if limits.max_connections == 0 || limits.queue == 0 {
            return Err("limits.max_connections and limits.queue must be at least 1".to_owned());
        }
        if self.monitor_series() == 0 {
            return Err("monitor.max_series must be at least 1".to_owned());
        }
        let sockets = [
            Some(&self.api.socket),
            self.monitor.as_ref().map(|monitor| &monitor.socket),
        ];
        if let Some(long) = sockets
            .into_iter()
            .flatten()
            .find(|path| path.as_os_str().len() > 107)
        {
            return Err(format!(
                "socket path {} is longer than 107 bytes",
                long.display()
            ));
        }
        self.log.check()?;
        self.dual_control.check()?;
        self.canary.check()?;
        rotation::check(&self.rotations)?;
        self.security.check()?;
        self.check_names()
    }

    fn check_names(&self) -> Result<(), String> {
        if let Some(name) = twice(self.domains.iter().map(|domain| domain.name.as_str())) {
            return Err(format!("domain {name} stands twice"));
        }
        if let Some(tenant) = twice(self.retention.iter().map(|kept| kept.tenant.as_str())) {
            return Err(format!("[[retention]] of tenant {tenant} stands twice"));
        }
        if let Some(kept) = self.retention.iter().find(|kept| kept.days == 0) {
            return Err(format!(
                "[[retention]] of tenant {}: days is at least 1",
                kept.tenant
            ));
        }
        if let Some(id) = twice(self.principals.iter().map(|p| p.id.as_str())) {
            return Err(format!("principal {id} stands twice"));
        }
        let lost = self
            .principals
            .iter()
            .find(|p| p.domain_of(&self.domains).is_none());
        lost.map_or(Ok(()), |p| {
            let domain = p.domain.as_deref().unwrap_or_default();
            Err(format!("principal {}: there is no domain {domain}", p.id))
        })
    }
}

/// SHA-256 over the digests of name and text of each file, so that no text can pass for two.
fn digest_of(files: &[(String, String)]) -> Sha256Digest {
    let parts: Vec<[u8; 32]> = files
        .iter()
        .flat_map(|(name, text)| [name, text])
        .map(|part| Sha256Digest::of(&[part.as_bytes()]).0)
        .collect();
    Sha256Digest::of(&[parts.as_flattened()])
}

fn twice<'n>(names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names
        .windows(2)
        .find(|pair| pair[0] == pair[1])
        .map(|pair| pair[0])
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })
}

fn token_files(folder: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let read = |source| ConfigError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[api]\nsocket='s'\ncertificate='c'\nkey='k'\n[state]\ndir='/v'\n[[domain]]\nname='d'\nca='ca.pem'\n";

    fn read(text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("tokens")).unwrap();
        let path = folder.path().join("sealwright.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_the_documented_ones_and_paths_are_relative_to_the_file() {
        let config = read(GOOD).unwrap();
        assert_eq!(config.limits.max_connections, 1024);
        assert_eq!(
            (config.limits.handshake_ms, config.limits.idle_ms),
            (5000, 60_000)
        );
        assert_eq!(config.state.segment_bytes, 64 << 20);
        assert!(config.policy.file.is_absolute() && config.policy.file.ends_with("policy.cedar"));
        assert!(!config.dev.allow_root);
        assert_eq!(config.destruction.after_days, 90);
        assert_eq!(config.monitor_series(), 256);
    }

    #[test]
    fn records_are_due_once_they_are_older_than_their_days() {
        let config = read(&format!("{GOOD}[[retention]]\ntenant='t'\ndays=2\n")).unwrap();
        let now: Timestamp = "2026-03-01T12:00:00.000Z".parse().unwrap();
        let due = config.retention[0].due_before(now);
        assert_eq!(due.to_string(), "2026-02-27T12:00:00.000Z");
        assert_eq!(
            config.retention[0].due_before(Timestamp::default()),
            Timestamp::default()
        );
    }

    #[test]
    fn each_mistake_is_named() {
        let error = |more: &str| read(&format!("{GOOD}{more}")).unwrap_err();
        assert!(error("[limits]\nmax_conections=3\n").contains("max_conections"));
        assert!(error("[limits]\nmax_body=0\n").contains("max_body"));
        assert!(error("[canary]\ninterval_s=0\n").contains("canary.interval_s"));
        assert!(error("[monitor]\nsocket='m'\nmax_series=0\n").contains("max_series"));
        assert!(error("[log]\nwitnesses=['w']\nquorum=1\n").contains("witness \"w\""));
        assert!(error("[log]\nquorum=1\n").contains("quorum"));
        assert!(error("[log]\nanchor='require'\n").contains("needs witnesses"));
        assert!(error("[log]\nanchor='maybe'\n").contains("maybe"));
        assert!(error("[[retention]]\ntenant='t'\ndays=0\n").contains("at least 1"));
        let twice = "[[retention]]\ntenant='t'\ndays=1\n".repeat(2);
        assert!(error(&twice).contains("retention"));
        assert!(
            error("[[principal]]\nid='a'\nroles=['client']\n[[principal]]\nid='a'\nroles=[]\n")
                .contains("stands twice")
        );
        assert!(error("[[principal]]\nid='a'\nroles=['root']\n").contains("root"));
        let elsewhere = "[[principal]]\nid='a'\nroles=[]\ndomain='e'\n";
        assert!(error(elsewhere).contains("no domain e"));
        assert!(error("[[domain]]\nname='d'\nca='ca.pem'\n").contains("stands twice"));
        assert!(
            read(&GOOD.replace("'/v'", "'/v'\nsegment_bytes=4096"))
                .unwrap_err()
                .contains("segment_bytes")
        );
        assert!(
            read(&GOOD.replace("'s'", &format!("'{}'", "x".repeat(120))))
                .unwrap_err()
                .contains("107")
        );
    }
}
