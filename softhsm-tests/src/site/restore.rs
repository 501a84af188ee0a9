//! One log's end and the beginning of the next: what root does between two daemons.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::cli::Run;
use super::{DAEMON_UID, OPERATOR, Site};

/// The token of the log key.
const LOG: &str = "log";

impl Site {
    /// Moves the state folder away as a person does whose log is over; returns where it is.
    ///
    /// # Panics
    /// It cannot be moved.
    #[must_use]
    pub fn put_log_away(&self) -> PathBuf {
        let old = self.path("old-state");
        std::fs::rename(self.state_dir(), &old).expect("the state folder");
        old
    }

    /// `sealwrightd shard --from OLD --out OUT …`, as root.
    #[must_use]
    pub fn shard(&self, old: &Path, out: &Path, more: &[&str]) -> Run {
        let mut command = Command::new(self.program("sealwrightd"));
        command.arg("shard").arg("--from").arg(old);
        command.arg("--out").arg(out).args(more);
        Run::of(&mut command)
    }

    /// `sealwright init --origin ORIGIN --log-key URI --yes …` on this site's configuration, as root.
    #[must_use]
    pub fn init(&self, origin: &str, log_key: &str, more: &[&str]) -> Run {
        let token = self.token(LOG);
        let mut command = Command::new(self.program("sealwright"));
        command.args(["init", "--origin", origin, "--log-token", LOG]);
        command.args(["--log-key", log_key, "--operator", OPERATOR, "--yes"]);
        command.arg("--config-dir").arg(self.path("etc"));
        // As the configuration has it.
        command.arg("--state-dir").arg(self.path("etc/../state"));
        command.arg("--driver-user").arg(owner(token.uid()));
        command.arg("--daemon-user").arg(owner(DAEMON_UID));
        command.args(more).envs(token.environment());
        Run::of(&mut command)
    }
}

fn owner(uid: u32) -> String {
    format!("{uid}:{uid}")
}
