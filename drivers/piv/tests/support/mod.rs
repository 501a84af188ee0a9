//! What the tests share: a host with a card of its own.
#![allow(dead_code, reason = "each test program uses its own part of this")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has to fail"
)]

pub mod calls;
pub mod other;
pub mod tool;

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use sealwright_softhsm_tests::activated::{self, Activated};
use sealwright_softhsm_tests::piv::{PIN, VirtualPiv, VirtualReader};
use tempfile::TempDir;

pub const SERIAL: u32 = 12_345_678;
const SOCKET: &str = "piv.sock";

/// A configured card in a reader. A test changes what it wants before it uses it.
pub struct Host {
    folder: TempDir,
    pub reader: VirtualReader,
    pub card: VirtualPiv,
    pub serial: String,
    pub pin: String,
    pub driver: String,
    activated: Activated,
}

impl Host {
    pub fn new() -> Self {
        let reader = VirtualReader::start();
        let card = reader.insert(SERIAL);
        let folder = tempfile::tempdir().unwrap();
        let activated = Activated::at(&folder.path().join(SOCKET)).unwrap();
        let host = Self {
            folder,
            reader,
            card,
            serial: SERIAL.to_string(),
            pin: PIN.to_owned(),
            driver: String::new(),
            activated,
        };
        host.await_card();
        host
    }

    /// pcscd looks for cards every few hundred milliseconds.
    pub fn await_card(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        while !self.run(&["check"]).status.success() {
            assert!(Instant::now() < end, "{:?}", self.run(&["check"]));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Writes the configuration and its credential; the file's path.
    pub fn write(&self) -> PathBuf {
        let path = |name: &str| self.folder.path().join(name);
        fs::write(path("pin"), &self.pin).unwrap();
        fs::set_permissions(path("pin"), fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!(
            "kind = 'piv'\nsocket = {:?}\nlabel = 'card'\nserial = {:?}\ncredential = {:?}\n\
             state_dir = {:?}\n[driver]\n{}",
            path(SOCKET),
            self.serial,
            path("pin"),
            path("state"),
            self.driver,
        );
        fs::write(path("piv.toml"), text).unwrap();
        path("piv.toml")
    }

    /// The driver's own folder.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// One command of the driver's program, with something on its standard input.
    pub fn run_with(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.program();
        command.args(arguments).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// One command of the driver's program.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.program().args(arguments).output().unwrap()
    }

    /// Makes a key; what the program prints.
    pub fn generate(&self, slot: &str, scheme: &str) -> String {
        let uri = format!("piv:slot={slot}");
        let made = self.run(&["generate", "--scheme", scheme, "--rsa-bits", "2048", &uri]);
        assert!(made.status.success(), "{made:?}");
        String::from_utf8(made.stdout).unwrap()
    }

    fn program(&self) -> Command {
        let program = env!("CARGO_BIN_EXE_sealwright-driver-piv");
        let mut command = activated::driver(program, &self.write());
        command.envs(self.reader.environment());
        command
    }

    /// Ends the process that serves, if any, starts another one and connects to it.
    pub fn connect(&mut self) -> io::Result<UnixStream> {
        let program = self.program();
        self.activated.connect(&program)
    }
}
