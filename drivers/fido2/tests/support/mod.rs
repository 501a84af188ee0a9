//! What the tests share: a host with a security key of its own.
#![allow(dead_code, reason = "each test program uses its own part of this")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has to fail"
)]

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use sealwright_driver_api::KeyUri;
use sealwright_softhsm_tests::fido::{VirtualKey, VirtualKeys};

pub const SERIAL: &str = "V1";
pub const PIN: &str = "a PIN of 4 to 63 bytes";

/// A configured security key. A test changes what it wants before it uses it.
pub struct Host {
    pub keys: VirtualKeys,
    pub key: VirtualKey,
    pub serial: String,
    /// The configured PIN, if there is one.
    pub pin: Option<String>,
    pub driver: String,
    child: Option<Child>,
    listener: Option<UnixListener>,
}

pub fn uri(name: &str) -> KeyUri {
    format!("fido2:object={name}").parse().unwrap()
}

impl Host {
    /// Without a PIN.
    pub fn new() -> Self {
        let keys = VirtualKeys::new();
        let key = keys.plug_in(0, SERIAL);
        Self {
            keys,
            key,
            serial: SERIAL.to_owned(),
            pin: None,
            driver: String::new(),
            child: None,
            listener: None,
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
            self.path("fido2.sock"),
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealwright-driver-fido2"));
        let uid = fs::metadata("/proc/self").unwrap().uid().to_string();
        command.args(["--peer-uid", &uid]).arg("--config");
        command.arg(self.write()).envs(self.keys.environment());
        command
    }

    /// Ends the process that serves, if any, starts another one and connects to it.
    pub fn connect(&mut self) -> io::Result<UnixStream> {
        self.end();
        let socket = self.path("fido2.sock");
        if self.listener.is_none() {
            self.listener = Some(UnixListener::bind(&socket)?);
        }
        let listener = self.listener.as_ref().unwrap().try_clone()?;
        let program = self.program();
        let script = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" \"$@\"";
        let child = Command::new("sh")
            .args(["-c", script])
            .arg(program.get_program())
            .args(program.get_args())
            .envs(self.keys.environment())
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .spawn()?;
        self.child = Some(child);
        UnixStream::connect(&socket)
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.end();
    }
}
