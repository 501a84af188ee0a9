//! What the host itself says: its kernel, its disk, its log.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;

/// Files of the state directory that are listed.
const FILES_MAX: usize = 10_000;
/// Lines of the log.
const LINES: &str = "2000";

/// A file without its contents.
#[derive(Debug, Serialize)]
pub(super) struct FileFacts {
    path: PathBuf,
    bytes: u64,
    /// Octal.
    mode: String,
    uid: u32,
    gid: u32,
    /// Unix seconds.
    modified: i64,
}

pub(super) fn facts() -> BTreeMap<&'static str, String> {
    let files = [
        ("kernel", "/proc/sys/kernel/osrelease"),
        ("uptime", "/proc/uptime"),
        ("load", "/proc/loadavg"),
        ("memory", "/proc/meminfo"),
        ("pressure", "/proc/pressure/io"),
        ("release", "/etc/os-release"),
    ];
    let read = |path| fs::read_to_string(path).unwrap_or_else(|e| format!("{path}: {e}"));
    files.map(|(name, path)| (name, read(path))).into()
}

/// Every file below `folder`, by its path in there.
pub(super) fn listing(folder: &Path) -> Vec<FileFacts> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        // What cannot be read is not listed; that is told by findings.
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(facts) = fs::symlink_metadata(&path) else {
                continue;
            };
            if found.len() == FILES_MAX {
                return found;
            }
            if facts.is_dir() {
                folders.push(path.clone());
            }
            found.push(FileFacts {
                path: path.strip_prefix(folder).unwrap_or(&path).to_owned(),
                bytes: facts.len(),
                mode: format!("{:o}", facts.mode()),
                uid: facts.uid(),
                gid: facts.gid(),
                modified: facts.mtime(),
            });
        }
    }
    found
}

/// The newest lines of daemon, courier and drivers, where there is a systemd journal that may be read.
pub(super) fn log() -> String {
    let mut command = Command::new("journalctl");
    command.args([
        "--unit=sealwright*",
        "--lines",
        LINES,
        "--output=short-iso",
        "--no-pager",
    ]);
    match command.output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        Ok(output) => format!("journalctl: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => format!("journalctl: {error}"),
    }
}
