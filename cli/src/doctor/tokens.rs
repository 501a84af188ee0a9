//! Each configured token: its file, module, credential, socket and driver.

use std::collections::BTreeSet;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sealwright_driver_api::TokenConfig;

use super::nodes::{self, Devices};
use super::{Finding, Where, cards};
use crate::config::token_files;
use crate::driver::{self, DriverError, DriverProgram, ReportedFinding};

/// Kinds of tokens that other programs reach, too.
const CARD: &str = "piv";
const SECURITY_KEY: &str = "fido2";

pub(super) fn examine(place: &Where) -> Vec<Finding> {
    let files = match token_files(&place.config) {
        Ok(files) => files,
        Err(error) => {
            let next = "make the folder and put a NAME.toml per token there";
            return vec![Finding::new("tokens.none", "tokens/", error, next)];
        }
    };
    if files.is_empty() {
        let next = "put a NAME.toml per token there";
        let problem = "no token is configured";
        return vec![Finding::new("tokens.none", "tokens/", problem, next)];
    }
    let (mut findings, mut kinds) = (Vec::new(), BTreeSet::new());
    for file in &files {
        match TokenConfig::read(file) {
            Ok(config) => {
                findings.extend(token(place, file, &config));
                kinds.insert(config.kind);
            }
            Err(error) => {
                let next = "correct that line";
                findings.push(Finding::about_path("token.config", file, error, next));
            }
        }
    }
    findings.extend(around(&kinds));
    findings
}

/// What a kind of token needs of the host, whatever the number of such tokens.
fn around(kinds: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if kinds.contains(CARD) {
        findings.extend(cards::service());
    }
    if kinds.contains(SECURITY_KEY) {
        findings.extend(nodes::examine(&Devices::default()));
    }
    findings
}

fn token(place: &Where, file: &Path, config: &TokenConfig) -> Vec<Finding> {
    let mut findings: Vec<Finding> = [module(config), credential(config)]
        .into_iter()
        .flatten()
        .collect();
    findings.extend(socket(config));
    // With the module or PIN file missing, the driver would only say the same in other words.
    if findings
        .iter()
        .all(|finding| finding.id.starts_with("token.socket"))
        && place.ask_drivers
    {
        findings.extend(ask_driver(place, file, config));
    }
    findings
}

fn subject(config: &TokenConfig, path: &Path) -> String {
    format!("token {}, {}", config.name, path.display())
}

fn module(config: &TokenConfig) -> Option<Finding> {
    let module = PathBuf::from(config.driver.get("module")?.as_str()?);
    let error = std::fs::File::open(&module).err()?;
    let next = "install the vendor's package, or correct `module` under [driver]";
    let problem = format!("the PKCS#11 module cannot be read: {error}");
    Some(Finding::new(
        "token.module-missing",
        subject(config, &module),
        problem,
        next,
    ))
}

fn credential(config: &TokenConfig) -> Option<Finding> {
    let path = config.credential.as_ref()?;
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            let problem = format!("the PIN file cannot be looked at: {error}");
            let next = "write the PIN into it, mode 0600, owned by the driver's user; or use a systemd credential";
            return Some(Finding::new(
                "token.credential-missing",
                subject(config, path),
                problem,
                next,
            ));
        }
    };
    if metadata.mode() & 0o077 == 0 {
        return None;
    }
    let problem = format!(
        "the PIN file has mode {:04o}: others can read it",
        metadata.mode() & 0o777
    );
    let next = "chmod 0600, and change the PIN if others had access";
    Some(Finding::new(
        "token.credential-permission",
        subject(config, path),
        problem,
        next,
    ))
}

fn socket(config: &TokenConfig) -> Option<Finding> {
    let path = &config.socket;
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => None,
        Ok(_) => {
            let next = "move it away, or set `socket` to another path";
            Some(Finding::new(
                "token.socket-not-a-socket",
                subject(config, path),
                "is no socket",
                next,
            ))
        }
        Err(error) => {
            let next = format!(
                "start its activator: systemctl start sealwright-driver-{}@{}.socket",
                config.kind, config.name
            );
            let problem = format!("the driver's socket: {error}");
            Some(Finding::new(
                "token.socket-missing",
                subject(config, path),
                problem,
                next,
            ))
        }
    }
}

fn ask_driver(place: &Where, file: &Path, config: &TokenConfig) -> Vec<Finding> {
    let found = match &place.driver_dir {
        Some(folder) => Ok(folder.join(format!("sealwright-driver-{}", config.kind))),
        None => driver::find(&config.kind),
    };
    let report = found.and_then(|path| {
        let config = file.to_owned();
        let user = None;
        DriverProgram { path, config, user }.check()
    });
    match report {
        Ok(report) => {
            let wrong = report.findings.iter().filter(|finding| !finding.ok);
            wrong.map(|finding| reported(config, finding)).collect()
        }
        Err(error) => vec![no_report(config, &error)],
    }
}

fn no_report(config: &TokenConfig, error: &DriverError) -> Finding {
    let (id, next) = match error {
        DriverError::NotFound(_) | DriverError::Run { .. } => ("token.driver-missing", INSTALL),
        DriverError::Failed { .. } | DriverError::Answer { .. } => {
            let next = "run the driver's `check` by hand, as the driver's user";
            ("token.driver-failed", next)
        }
    };
    Finding::new(id, format!("token {}", config.name), error, next)
}

const INSTALL: &str = "install the driver's package, or name its folder with --driver-dir";

/// A driver's own finding: what it looked at is its, the ids are ours.
fn reported(config: &TokenConfig, finding: &ReportedFinding) -> Finding {
    if config.kind == CARD
        && finding.check == "token"
        && let Some(rival) = cards::rival(&config.name, &finding.code)
    {
        return rival;
    }
    let (id, next) = match finding.check.as_str() {
        "pin" => (
            "token.pin-at-risk",
            "do as the message says; nothing is signed with it before",
        ),
        "credential" => (
            "token.credential-refused",
            "write the right PIN; after a refused one, also clear the mark as the message says",
        ),
        "token" => (
            "token.not-found",
            "compare label and serial with what the device's own tools list",
        ),
        "session" => (
            "token.session",
            "look at the device; its own tools can tell more",
        ),
        _ => ("token.driver-reports", "do as the message says"),
    };
    Finding::new(id, format!("token {}", config.name), &finding.detail, next)
}
