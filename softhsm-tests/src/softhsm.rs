//! A SoftHSM token of one's own per test: its own token folder, its own configuration file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Where Debian's package `softhsm2` has the module.
pub const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
/// The environment variable that names SoftHSM's configuration file. It is read once per process, so a test
/// sets it on a child process and not on itself.
pub const CONF_VARIABLE: &str = "SOFTHSM2_CONF";
/// The security officer's PIN of every token made here.
pub const SO_PIN: &str = "so-pin-5678";

/// A folder of SoftHSM tokens with one token in it. The folder goes when this is dropped.
///
/// # Panics
/// Every method panics where SoftHSM does not do what it should: a test without its token must fail.
#[derive(Debug)]
pub struct SoftHsm {
    dir: TempDir,
    /// The token's label.
    pub label: String,
    /// The token's serial number, which SoftHSM chose.
    pub serial: String,
    /// The user's PIN.
    pub pin: String,
}

impl SoftHsm {
    /// Makes a token in a new folder.
    #[must_use]
    pub fn new(label: &str, pin: &str) -> Self {
        assert!(
            Path::new(MODULE).exists(),
            "{MODULE} is missing: apt-get install softhsm2"
        );
        let dir = tempfile::tempdir().expect("a folder for SoftHSM");
        fs::create_dir(dir.path().join("tokens")).expect("a folder for tokens");
        let conf = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            dir.path().join("tokens").display()
        );
        fs::write(dir.path().join("softhsm2.conf"), conf).expect("SoftHSM's configuration");
        let mut made = Self {
            dir,
            label: label.into(),
            serial: String::new(),
            pin: pin.into(),
        };
        made.serial = made.add_token(label, pin);
        made
    }

    /// Makes one more token in the same folder and returns its serial number.
    pub fn add_token(&self, label: &str, pin: &str) -> String {
        let before = self.serials();
        self.util(&[
            "--init-token",
            "--free",
            "--label",
            label,
            "--pin",
            pin,
            "--so-pin",
            SO_PIN,
        ]);
        let new: Vec<String> = self
            .serials()
            .into_iter()
            .filter(|s| !before.contains(s))
            .collect();
        match new.as_slice() {
            [one] => one.clone(),
            other => panic!("softhsm2-util made {} tokens instead of one", other.len()),
        }
    }

    /// The configuration file: the value of [`CONF_VARIABLE`].
    #[must_use]
    pub fn conf(&self) -> PathBuf {
        self.dir.path().join("softhsm2.conf")
    }

    /// The folder with the tokens. Renaming it away is how a test unplugs the token.
    #[must_use]
    pub fn tokens(&self) -> PathBuf {
        self.dir.path().join("tokens")
    }

    /// A folder that lives as long as the token, for whatever else a test needs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Imports an unencrypted PKCS#8 PEM key; `id` is hex. Such a key was outside the token once.
    pub fn import(&self, pem: &Path, label: &str, id: &str) {
        let pem = pem.to_str().expect("a path in UTF-8");
        self.util(&[
            "--import",
            pem,
            "--token",
            &self.label,
            "--pin",
            &self.pin,
            "--label",
            label,
            "--id",
            id,
        ]);
    }

    /// Runs `softhsm2-util` on this folder.
    pub fn util(&self, args: &[&str]) -> Output {
        let output = Command::new("softhsm2-util")
            .args(args)
            .env(CONF_VARIABLE, self.conf())
            .output()
            .expect("softhsm2-util runs: apt-get install softhsm2");
        assert!(
            output.status.success(),
            "softhsm2-util {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    /// Serial numbers of all initialized tokens.
    fn serials(&self) -> Vec<String> {
        let output = self.util(&["--show-slots"]);
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Serial number:"))
            .map(|serial| serial.trim().to_owned())
            .filter(|serial| !serial.is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_folders_know_nothing_of_each_other() {
        let (a, b) = (SoftHsm::new("same", "1234"), SoftHsm::new("same", "1234"));
        assert_ne!(a.serial, b.serial);
        assert_eq!(a.serials(), std::slice::from_ref(&a.serial));
        let second = a.add_token("other", "5678");
        assert_eq!(a.serials().len(), 2);
        assert!(a.serials().contains(&second) && !b.serials().contains(&second));
    }
}
