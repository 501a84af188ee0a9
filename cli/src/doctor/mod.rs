//! What can keep a host from signing, one check after another.
//!
//! A check looks at one thing and finds at most what is wrong with that thing; what depends on it is left
//! out, so that one cause gives one finding.

pub(crate) mod bundle;
mod cards;
mod daemon;
mod holders;
mod live;
mod nodes;
mod site;
mod tls;
mod tokens;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::{ConfigError, Site};
use crate::connect::Connection;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Stable, for scripts and runbooks: `token.module-missing`.
    pub(crate) id: &'static str,
    /// The file, token or socket it is about.
    pub(crate) subject: String,
    /// What is wrong with it.
    pub(crate) problem: String,
    /// What to do.
    pub(crate) next: String,
}

/// Where to look.
#[derive(Debug)]
pub(crate) struct Where {
    pub(crate) config: PathBuf,
    pub(crate) ask_drivers: bool,
    pub(crate) driver_dir: Option<PathBuf>,
}

/// Looks at everything.
pub(crate) fn examine(place: &Where, connection: Connection) -> Vec<Finding> {
    let mut findings = match Site::read(&place.config) {
        Ok(site) => examine_site(place, &site),
        Err(error) => vec![unreadable(&place.config, &error)],
    };
    if connection.has_identity() {
        findings.extend(live::examine(connection));
    }
    findings
}

fn examine_site(place: &Where, site: &Site) -> Vec<Finding> {
    let mut findings = site::examine(site);
    findings.extend(tls::examine(site));
    findings.extend(tokens::examine(place));
    // With something found, the daemon would only say the same in other words.
    if findings.is_empty() {
        findings.extend(daemon::examine(place));
    }
    findings
}

fn unreadable(path: &Path, error: &ConfigError) -> Finding {
    let (id, next) = match error {
        ConfigError::File(_) => (
            "config.unreadable",
            "name the configuration with --config, or make one with `sealwright init`",
        ),
        ConfigError::Invalid { .. } => (
            "config.invalid",
            "correct that line; `sealwrightd --check-config` checks it all",
        ),
    };
    Finding::about_path(id, path, error.to_string(), next)
}

impl Finding {
    fn new(
        id: &'static str,
        subject: impl Into<String>,
        problem: impl ToString,
        next: impl Into<String>,
    ) -> Self {
        Self {
            id,
            subject: subject.into(),
            problem: problem.to_string(),
            next: next.into(),
        }
    }

    fn about_path(
        id: &'static str,
        path: &Path,
        problem: impl ToString,
        next: impl Into<String>,
    ) -> Self {
        Self::new(id, path.display().to_string(), problem, next)
    }
}
