//! `sealwright` as its users run it.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::pki::Leaf;
use super::{CLIENT_UID, Site, write};

/// What a command gave.
#[derive(Debug)]
pub struct Run {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it answered.
    pub stdout: String,
    /// What else it said.
    pub stderr: String,
}

impl Run {
    /// Runs a command to its end.
    pub(super) fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the program runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Itself, if it succeeded.
    ///
    /// # Panics
    /// Where it did not.
    #[must_use]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// The answer of a command with `--json`.
    ///
    /// # Panics
    /// Where it is no JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// One value per line.
    ///
    /// # Panics
    /// Where a line is no JSON.
    #[must_use]
    pub fn json_lines(&self) -> Vec<Value> {
        let value = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.stdout.lines().map(value).collect()
    }
}

impl Site {
    /// A folder that the callers' user may write to.
    #[must_use]
    pub fn callers_folder(&self) -> PathBuf {
        let folder = self.path("caller");
        if !folder.exists() {
            std::fs::create_dir(&folder).expect("a folder");
            std::os::unix::fs::chown(&folder, Some(CLIENT_UID), Some(CLIENT_UID))
                .expect("another owner");
        }
        folder
    }

    /// `sealwright ARGS` with a good certificate for `id`, in the callers' folder.
    #[must_use]
    pub fn sealwright(&self, id: &str, args: &[impl AsRef<OsStr>]) -> Run {
        Run::of(&mut self.sealwright_command(id, args))
    }

    /// The same, to be started.
    #[must_use]
    pub fn sealwright_command(&self, id: &str, args: &[impl AsRef<OsStr>]) -> Command {
        let folder = self.callers_folder();
        let identity = self.authority().client(&Leaf::uri(id));
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            write(&path, text);
            std::os::unix::fs::chown(&path, Some(CLIENT_UID), Some(CLIENT_UID))
                .expect("another owner");
            path
        };
        let mut command = Command::new(self.binaries.path("sealwright"));
        command
            .args(args)
            .env("SEALWRIGHT_SOCKET", self.socket())
            .env(
                "SEALWRIGHT_CERT",
                file("caller.pem", &identity.certificate_pem()),
            )
            .env("SEALWRIGHT_KEY", file("caller.key", &identity.key_pem()))
            .env("SEALWRIGHT_CA", file("ca.pem", &self.authority().pem()))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .uid(CLIENT_UID)
            .gid(super::DAEMON_UID);
        command
    }
}
