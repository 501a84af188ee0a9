//! What the daemon itself says of its configuration: it reads more of it than doctor does.

use std::process::Command;

use super::{Finding, Where};
use crate::driver;

const PROGRAM: &str = "sealwrightd";

pub(super) fn examine(place: &Where) -> Option<Finding> {
    let beside_drivers = place.driver_dir.as_ref().map(|folder| folder.join(PROGRAM));
    let program = beside_drivers
        .filter(|program| program.is_file())
        .or_else(|| driver::program(PROGRAM));
    let Some(program) = program else {
        let problem = "is neither beside this program nor in PATH";
        return Some(Finding::new(
            "daemon.not-installed",
            PROGRAM,
            problem,
            "install it",
        ));
    };
    let mut command = Command::new(&program);
    command
        .arg("--check-config")
        .arg("--config")
        .arg(&place.config);
    let refused = match command.output() {
        Ok(output) if output.status.success() => return None,
        Ok(output) => reason(&output.stderr),
        Err(error) => {
            let next = "run doctor as a user that may execute it";
            return Some(Finding::about_path(
                "daemon.cannot-run",
                &program,
                error,
                next,
            ));
        }
    };
    let next = "correct it, and check again with `sealwrightd --check-config`";
    Some(Finding::about_path(
        "config.refused",
        &place.config,
        refused,
        next,
    ))
}

/// What follows the program's name: before it may stand its log.
fn reason(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let said = text.rsplit_once("sealwrightd: ").map(|(_, said)| said);
    said.unwrap_or(&text).trim().to_owned()
}
