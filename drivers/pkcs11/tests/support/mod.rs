//! What the tests share: a SoftHSM token with its configuration, and the built driver in front of it.
#![allow(dead_code, reason = "each test program uses its own part of this")]

pub mod driver;
pub mod other_process;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sealwright_softhsm_tests::softhsm::{CONF_VARIABLE, MODULE, SoftHsm};
use serde_json::Value;

pub use driver::Driver;

/// The right PIN of every token here.
pub const PIN: &str = "1234";

/// One token's configuration as a test wants it.
pub struct Config<'a> {
    pub hsm: &'a SoftHsm,
    /// The token file's stem, and the name of its state folder.
    pub name: &'a str,
    pub module: &'a str,
    pub label: &'a str,
    pub serial: &'a str,
    pub pin: &'a str,
    /// Further lines of `[driver]`.
    pub driver: String,
}

impl<'a> Config<'a> {
    /// The right configuration of a token.
    pub fn of(hsm: &'a SoftHsm) -> Self {
        Self {
            hsm,
            name: "hsm",
            module: MODULE,
            label: &hsm.label,
            serial: &hsm.serial,
            pin: PIN,
            driver: format!("write = [{:?}]", hsm.dir()),
        }
    }

    /// Writes the file and its credential.
    pub fn write(&self) -> PathBuf {
        let path = |extension: &str| self.hsm.dir().join(format!("{}.{extension}", self.name));
        fs::write(path("pin"), self.pin).unwrap();
        fs::set_permissions(path("pin"), fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            "kind = 'pkcs11'\nsocket = {:?}\nlabel = {:?}\nserial = {:?}\ncredential = {:?}\n\
             state_dir = {:?}\n[driver]\nmodule = {:?}\n{}\n",
            path("sock"),
            self.label,
            self.serial,
            path("pin"),
            path("state"),
            self.module,
            self.driver,
        );
        fs::write(path("toml"), text).unwrap();
        path("toml")
    }

    /// The folder with the driver's marks.
    pub fn state(&self) -> PathBuf {
        self.hsm.dir().join(format!("{}.state", self.name))
    }

    /// Starts the driver as the daemon's activator would.
    pub fn serve(&self) -> Driver {
        Driver::start(self.hsm, &self.write())
    }

    /// The findings of `check`: whether all is well, and the text of the last one.
    pub fn check(&self) -> (bool, String) {
        let output = command(self.hsm, &self.write())
            .arg("check")
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
            panic!(
                "no report; stderr: {}",
                String::from_utf8_lossy(&output.stderr)
            )
        });
        let last = report["findings"].as_array().unwrap().last().unwrap();
        (
            output.status.success(),
            last["detail"].as_str().unwrap().to_owned(),
        )
    }
}

/// The built driver with a token's environment.
pub fn command(hsm: &SoftHsm, config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealwright-driver-pkcs11"));
    command
        .arg("--config")
        .arg(config)
        .env(CONF_VARIABLE, hsm.conf());
    command
}

/// A new token.
pub fn token() -> SoftHsm {
    SoftHsm::new("hsm", PIN)
}
