//! What the tests share: a host with a security key of its own.
#![allow(dead_code, reason = "each test program uses its own part of this")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has to fail"
)]

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output};

use sealwright_driver_api::KeyUri;
use sealwright_softhsm_tests::activated::{self, Activated};
use sealwright_softhsm_tests::fido::{VirtualKey, VirtualKeys};

pub const SERIAL: &str = "V1";
pub const PIN: &str = "a PIN of 4 to 63 bytes";
const SOCKET: &str = "fido2.sock";

/// A configured security key. A test changes what it wants before it uses it.
pub struct Host {
    pub keys: VirtualKeys,
    pub key: VirtualKey,
    pub serial: String,
    /// The configured PIN, if there is one.
    pub pin: Option<String>,
    pub driver: String,
    activated: Activated,
}

pub fn uri(name: &str) -> KeyUri {
    format!("fido2:object={name}").parse().unwrap()
}

impl Host {
    /// Without a PIN.
    pub fn new() -> Self {
        let keys = VirtualKeys::new();
        let key = keys.plug_in(0, SERIAL);
        let activated = Activated::at(&keys.folder().join(SOCKET)).unwrap();
        Self {
            keys,
            key,
            serial: SERIAL.to_owned(),
            pin: None,
            driver: String::new(),
            activated,
        }
    }

    pub fn with_pin() -> Self {
        let mut host = Self::new();
        host.keys.set_pin(&host.key, PIN);
        host.pin = Some(PIN.to_owned());
        host
    }

    /// A path in the one folder that the sandbox lets the driver write to.
    pub fn path(&self, name: &str) -> PathBuf {
        self.keys.folder().join(name)
    }

    /// Writes the configuration and its credential; the file's path.
    pub fn write(&self) -> PathBuf {
        let mut text = format!(
            "kind = 'fido2'\nsocket = {:?}\nlabel = 'key'\nserial = {:?}\nstate_dir = {:?}\n",
            self.path(SOCKET),
            self.serial,
            self.keys.folder(),
        );
        if let Some(pin) = &self.pin {
            fs::write(self.path("pin"), pin).unwrap();
            fs::set_permissions(self.path("pin"), fs::Permissions::from_mode(0o600)).unwrap();
            text += &format!("credential = {:?}\n", self.path("pin"));
        }
        let text = format!("{text}[driver]\n{}", self.driver);
        fs::write(self.path("fido2.toml"), text).unwrap();
        self.path("fido2.toml")
    }

    /// One command of the driver's program.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.program().args(arguments).output().unwrap()
    }

    /// Makes a key; what the program prints.
    pub fn generate(&self, name: &str, scheme: &str) -> String {
        let made = self.run(&["generate", "--scheme", scheme, &uri(name).to_string()]);
        assert!(made.status.success(), "{made:?}");
        String::from_utf8(made.stdout).unwrap()
    }

    fn program(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_sealwright-driver-fido2");
        let mut command = activated::driver(program, &self.write());
        command.envs(self.keys.environment());
        command
    }

    /// Ends the process that serves, if any, starts another one and connects to it.
    pub fn connect(&mut self) -> io::Result<UnixStream> {
        let program = self.program();
        self.activated.connect(&program)
    }
}
