//! Smart cards: who may use the service that reaches them, and who has the card.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Finding, holders};

/// As libpcsclite has it.
const SOCKET_VARIABLE: &str = "PCSCLITE_CSOCK_NAME";
const SOCKET: &str = "/run/pcscd/pcscd.comm";
/// Where pcscd asks polkit about each caller, the socket's own mode means nothing.
const POLKIT_RULES: &str = "/usr/share/polkit-1/actions/org.debian.pcsc-lite.policy";
/// What every program that uses pcscd has loaded.
const LIBRARY: &str = "libpcsclite";
/// USB devices themselves: who has one open leaves nothing to pcscd.
const USB: &str = "/dev/bus/usb/";

/// Whether every local user may use the cards of this host.
pub(super) fn service() -> Option<Finding> {
    let socket = std::env::var_os(SOCKET_VARIABLE).map_or_else(|| SOCKET.into(), PathBuf::from);
    let mode = std::fs::metadata(&socket).ok()?.mode();
    // Connecting to a socket is writing to it.
    if mode & 0o002 == 0 || Path::new(POLKIT_RULES).exists() {
        return None;
    }
    let problem = "every user of this host may use the cards, and a PIN that was shown to one is shown for all";
    let next = "install packaging/systemd/pcscd.socket.d/sealwright.conf, see docs/hardware.md";
    Some(Finding::about_path(
        "pcscd.open-to-everybody",
        &socket,
        problem,
        next,
    ))
}

/// Who keeps the card from us, in the place of what the driver says of it. `code` is what pcscd said.
pub(super) fn rival(token: &str, code: &str) -> Option<Finding> {
    let is_taken = code == "SharingViolation";
    let seen = if is_taken {
        holders::of_library(LIBRARY)
    } else {
        let mut seen = holders::of_file(|file| file.starts_with(USB));
        seen.retain(|holder| !holder.is("pcscd"));
        seen
    };
    let who = match holders::names(&seen) {
        Some(names) => names,
        None if is_taken => "run doctor as root to learn which".to_owned(),
        None => return None,
    };
    let problem = format!("another program has the card for itself: {who}");
    let next = "end it; GnuPG shares with `disable-ccid` and `pcsc-shared` in scdaemon.conf";
    Some(Finding::new(
        "token.rival",
        format!("token {token}"),
        problem,
        next,
    ))
}
