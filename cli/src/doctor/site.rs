//! Policy, state folder and API socket.

use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use sealwright_policy::CedarPolicy;

use super::Finding;
use crate::config::Site;
use crate::files;

pub(super) fn examine(site: &Site) -> Vec<Finding> {
    let checks = [
        policy(site),
        state(&site.state.dir),
        socket(&site.api.socket),
    ];
    checks.into_iter().flatten().collect()
}

fn policy(site: &Site) -> Option<Finding> {
    let file = &site.policy.file;
    let text = match files::read_text(file) {
        Ok(text) => text,
        Err(error) => {
            let next = "write one; `sealwright init` writes a default";
            return Some(Finding::about_path("policy.unreadable", file, error, next));
        }
    };
    let error = CedarPolicy::parse(&text, &site.principals()).err()?;
    let next = "correct it; `sealwright policy check --policy FILE` tries it out";
    Some(Finding::about_path("policy.invalid", file, error, next))
}

fn state(folder: &Path) -> Option<Finding> {
    let entries = match std::fs::read_dir(folder.join("journal")) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let next = "run doctor as the daemon's user, or as root";
            return Some(Finding::about_path("state.unreadable", folder, error, next));
        }
        Err(_) => false,
    };
    if entries || folder.join("genesis.json").exists() {
        return None;
    }
    let problem = "holds neither a journal nor a genesis file: there is no log yet";
    Some(Finding::about_path(
        "state.no-log",
        folder,
        problem,
        "run `sealwright init`",
    ))
}

fn socket(path: &Path) -> Option<Finding> {
    let kind = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return Some(Finding::about_path(
                "socket.permission",
                path,
                error,
                JOIN_GROUP,
            ));
        }
        Err(error) => {
            let next = "start sealwrightd; its log says why it does not start";
            return Some(Finding::about_path("socket.missing", path, error, next));
        }
    };
    if !kind.is_socket() && !kind.is_symlink() {
        let problem = "is no socket";
        let next = "move it away, or set [api] socket to another path, then start sealwrightd";
        return Some(Finding::about_path(
            "socket.not-a-socket",
            path,
            problem,
            next,
        ));
    }
    let error = std::os::unix::net::UnixStream::connect(path).err()?;
    Some(match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            Finding::about_path("socket.permission", path, error, JOIN_GROUP)
        }
        _ => Finding::about_path("socket.nobody-listens", path, error, "start sealwrightd"),
    })
}

const JOIN_GROUP: &str = "add this user to the group that owns the socket and its folder";
