//! Asking a driver binary about its token, without a daemon.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sealwright_core::scheme::Scheme;
use sealwright_core::spki::Spki;
use sealwright_core::uri::KeyUri;
use sealwright_driver_api::TokenConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::owner::Owner;
use crate::{child, credential};

/// Why a driver gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriverError {
    #[error(
        "there is no {0} beside this program or in PATH; install it, or name it with --log-driver"
    )]
    NotFound(String),
    #[error("cannot run {path}: {source}")]
    Run {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} failed for token configuration {config}: {reason}")]
    Failed {
        path: PathBuf,
        config: PathBuf,
        reason: String,
    },
    #[error("{path} answered something else than the JSON of a driver: {reason}")]
    Answer { path: PathBuf, reason: String },
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        Self::local(error)
    }
}

/// A driver binary for one token.
#[derive(Debug, Clone)]
pub(crate) struct DriverProgram {
    /// The binary.
    pub(crate) path: PathBuf,
    /// `tokens/<name>.toml`.
    pub(crate) config: PathBuf,
    /// Whom it runs as, where this process may change that.
    pub(crate) user: Option<Owner>,
}

/// A key as the driver describes it.
#[derive(Debug, Deserialize)]
pub(crate) struct DriverKey {
    pub(crate) uri: KeyUri,
    pub(crate) spki_der: Spki,
    pub(crate) schemes: Vec<Scheme>,
}

/// A signature of an approval.
#[derive(Debug, Deserialize)]
pub(crate) struct Approved {
    pub(crate) scheme: Scheme,
    /// Base64.
    pub(crate) signature: String,
}

/// What `check` found.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    pub(crate) findings: Vec<ReportedFinding>,
}

/// One thing the driver looked at.
#[derive(Debug, Deserialize)]
pub(crate) struct ReportedFinding {
    pub(crate) check: String,
    pub(crate) ok: bool,
    /// The device's own code, if any.
    #[serde(default)]
    pub(crate) code: String,
    pub(crate) detail: String,
}

/// Finds the binary for a kind of token: beside this program, else in PATH.
pub(crate) fn find(kind: &str) -> Result<PathBuf, DriverError> {
    let name = format!("sealwright-driver-{kind}");
    program(&name).ok_or(DriverError::NotFound(name))
}

/// Finds one of our programs: beside this one, else in PATH.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let here = std::env::current_exe().ok();
    let beside = here.and_then(|here| Some(here.parent()?.to_owned()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

impl DriverProgram {
    /// Finds one key.
    pub(crate) fn describe(&self, uri: &KeyUri) -> Result<DriverKey, DriverError> {
        self.key(&["describe", &uri.to_string()])
    }

    /// Makes a key.
    pub(crate) fn generate(&self, uri: &KeyUri, scheme: Scheme) -> Result<DriverKey, DriverError> {
        self.key(&["generate", "--scheme", scheme.as_str(), &uri.to_string()])
    }

    /// Has a key sign an approver's word, which may take a touch.
    pub(crate) fn approve(&self, uri: &KeyUri, statement: &[u8]) -> Result<Approved, DriverError> {
        let mut command = self.command(&["approve", &uri.to_string()]);
        let output = child::fed(&mut command, statement);
        self.answer(&output.map_err(|source| self.not_run(source))?)
    }

    /// Looks for what would keep the token from signing.
    pub(crate) fn check(&self) -> Result<Report, DriverError> {
        let output = self.run(&["check"])?;
        // Exit code 1 with a report means findings; a driver that could not even start prints none.
        serde_json::from_slice(&output.stdout).map_err(|_| self.failed(&output))
    }

    fn key(&self, args: &[&str]) -> Result<DriverKey, DriverError> {
        self.answer(&self.run(args)?)
    }

    fn answer<T: DeserializeOwned>(&self, output: &Output) -> Result<T, DriverError> {
        if !output.status.success() {
            return Err(self.failed(output));
        }
        serde_json::from_slice(&output.stdout).map_err(|e| DriverError::Answer {
            path: self.path.clone(),
            reason: e.to_string(),
        })
    }

    fn run(&self, args: &[&str]) -> Result<Output, DriverError> {
        let output = self.command(args).output();
        output.map_err(|source| self.not_run(source))
    }

    fn command(&self, args: &[&str]) -> Command {
        // A configuration that cannot be read is the driver's to complain about.
        let token = TokenConfig::read(&self.config).ok();
        let unit = token.and_then(|token| credential::as_unit(&token, self.user, &self.path));
        let mut command = unit.unwrap_or_else(|| self.directly());
        command.arg("--config").arg(&self.config).args(args);
        command
    }

    fn not_run(&self, source: std::io::Error) -> DriverError {
        match source.kind() {
            ErrorKind::NotFound => DriverError::NotFound(self.path.display().to_string()),
            _ => DriverError::Run {
                path: self.path.clone(),
                source,
            },
        }
    }

    fn directly(&self) -> Command {
        let mut command = Command::new(&self.path);
        if let Some(Owner { uid, gid }) = self.user {
            // The standard library drops root's further groups with this.
            command.uid(uid).gid(gid);
        }
        command
    }

    fn failed(&self, output: &Output) -> DriverError {
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().rfind(|line| !line.trim().is_empty());
        let reason = last.map_or_else(|| output.status.to_string(), str::to_owned);
        DriverError::Failed {
            path: self.path.clone(),
            config: self.config.clone(),
            reason,
        }
    }
}

/// `tokens/<name>.toml` beside a configuration.
pub(crate) fn token_config(config_dir: &Path, token: &str) -> PathBuf {
    config_dir.join("tokens").join(format!("{token}.toml"))
}
