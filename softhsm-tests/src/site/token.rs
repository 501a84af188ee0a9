//! Tokens of a site: a device, its driver's configuration, and the activator that starts the driver.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::binaries::Binaries;
use super::device::{Device, set_fault};
use super::process::{Process, wait_for};
use super::spec::{KeySpec, Kind, SLOTS, TokenSpec};
use super::{SOON, write};
use crate::fido::VirtualKey;
use crate::piv::{VirtualPiv, VirtualReader};
use crate::softhsm::SoftHsm;
use crate::swtpm::Swtpm;

/// A token with its driver behind an activator.
#[derive(Debug)]
pub struct Token {
    spec: TokenSpec,
    device: Device,
    folder: PathBuf,
    uid: u32,
    daemon_uid: u32,
    binaries: Binaries,
    activator: Option<Process>,
}

impl Token {
    /// Makes the token and its keys; nothing serves it yet.
    pub(super) fn make(
        spec: &TokenSpec,
        site: &Path,
        binaries: &Binaries,
        uid: u32,
        daemon_uid: u32,
    ) -> Self {
        let mut token = Self {
            spec: spec.clone(),
            device: Device::make(spec, uid),
            folder: site.to_owned(),
            uid,
            daemon_uid,
            binaries: binaries.clone(),
            activator: None,
        };
        token.lay_out();
        token.learn_serial();
        token.await_card();
        for key in &spec.keys {
            token.driver(&["generate", "--scheme", &key.scheme, &token.uri(&key.label)]);
        }
        token
    }

    fn lay_out(&self) {
        let dir = self.dir();
        fs::create_dir(&dir).expect("a folder for the driver");
        write(&dir.join("pin"), self.device.pin());
        fs::set_permissions(dir.join("pin"), fs::Permissions::from_mode(0o600)).expect("mode 0600");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("mode 0700");
        own(&dir, self.uid);
        write(&self.config(), &self.config_text());
    }

    fn config_text(&self) -> String {
        let dir = self.dir();
        let TokenSpec {
            name,
            kind,
            sessions,
            ..
        } = &self.spec;
        let (kind, serial) = (kind.name(), self.device.serial());
        let section = self.device.section(&self.spec, &dir);
        format!(
            "kind = {kind:?}\nsocket = {:?}\nlabel = {name:?}\nserial = {serial:?}\nsessions = {sessions}\n\
             credential = {:?}\nstate_dir = {:?}\n[driver]\n{section}",
            self.socket(),
            dir.join("pin"),
            self.device.state_dir(&dir),
        )
    }

    /// A TPM's serial is known to its driver alone, which tells it when it refuses another one.
    fn learn_serial(&mut self) {
        let Device::Swtpm(..) = &self.device else {
            return;
        };
        let refused = self.ask_driver(&["describe", "tpm2:object=none"]);
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        let is_serial =
            |word: &&str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
        let found = words
            .find(is_serial)
            .unwrap_or_else(|| panic!("no serial in {text}"));
        if let Device::Swtpm(_, serial) = &mut self.device {
            found.clone_into(serial);
        }
        write(&self.config(), &self.config_text());
    }

    /// pcscd sees a card a moment after it was put in.
    fn await_card(&self) {
        if matches!(self.device, Device::Piv(..)) {
            wait_for("the card", SOON, || {
                let check = self.ask_driver(&["check"]);
                check.status.success().then_some(())
            });
        }
    }

    /// The user that its driver runs as.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// What its library wants in the environment.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        self.device.environment()
    }

    /// The URI of one of its keys.
    #[must_use]
    pub fn uri(&self, label: &str) -> String {
        let kind = self.spec.kind;
        if kind != Kind::Piv {
            return format!("{}:object={label}", kind.name());
        }
        let number = self.spec.keys.iter().position(|key| key.label == label);
        // A label that no key was made for lies where the next one would.
        format!("piv:slot={}", SLOTS[number.unwrap_or(self.spec.keys.len())])
    }

    /// What the driver says of a key, asked without the daemon.
    #[must_use]
    pub fn describe(&self, label: &str) -> Value {
        let output = self.driver(&["describe", &self.uri(label)]);
        serde_json::from_slice(&output.stdout).expect("the driver prints JSON")
    }

    fn driver(&self, args: &[&str]) -> Output {
        let output = self.ask_driver(args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    fn ask_driver(&self, args: &[&str]) -> Output {
        let mut command = Command::new(self.driver_binary());
        command
            .arg("--config")
            .arg(self.config())
            .args(args)
            .envs(self.device.environment());
        command
            .uid(self.uid)
            .gid(self.uid)
            .output()
            .expect("the driver runs")
    }

    fn driver_binary(&self) -> PathBuf {
        self.binaries
            .path(&format!("sealwright-driver-{}", self.spec.kind.name()))
    }

    /// Starts the activator; the driver follows with the first connection.
    pub fn serve(&mut self) {
        let mut command = Command::new(self.binaries.path("sealwright-run"));
        let (socket, uid) = (self.socket(), self.uid);
        command.arg("--socket").arg(&socket);
        command.args([
            "--mode",
            "0660",
            "--owner",
            &format!("0:{}", self.daemon_uid),
        ]);
        command.args(["--user", &format!("{uid}:{uid}")]);
        for (name, value) in self.device.environment() {
            command
                .arg("--env")
                .arg(format!("{name}={}", value.display()));
        }
        command
            .arg("--")
            .arg(self.driver_binary())
            .arg("--config")
            .arg(self.config());
        command.args(["--peer-uid", &self.daemon_uid.to_string(), "serve"]);
        let activator =
            Process::start(command, None, &self.log_file()).expect("sealwright-run runs");
        self.activator = Some(activator);
        wait_for("the driver's socket", SOON, || {
            socket.exists().then_some(())
        });
    }

    /// Asks driver and activator to end; dropping the token waits for it.
    pub(super) fn ask_to_stop(&mut self) {
        if let Some(activator) = &mut self.activator {
            activator.signal(Signal::TERM);
        }
    }

    /// Ends driver and activator.
    pub fn stop(&mut self) {
        if let Some(mut activator) = self.activator.take() {
            activator.stop();
        }
    }

    /// `kill -9` of the driver process; its activator starts another on the next connection.
    /// `false` where none runs.
    pub fn kill_driver(&self) -> bool {
        let pid = self
            .driver_pid()
            .and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
    }

    /// The driver process, if one runs.
    #[must_use]
    pub fn driver_pid(&self) -> Option<u32> {
        self.activator.as_ref()?.children().first().copied()
    }

    /// What driver and activator logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join(format!("logs/{}.log", self.spec.name))
    }

    /// The socket the driver listens on.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join(format!("run/{}.sock", self.spec.name))
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder
            .join(format!("etc/tokens/{}.toml", self.spec.name))
    }

    /// The driver's own folder.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.folder.join("tokens").join(&self.spec.name)
    }

    /// Its keys.
    #[must_use]
    pub fn keys(&self) -> &[KeySpec] {
        &self.spec.keys
    }

    /// The SoftHSM token behind it.
    #[must_use]
    pub fn softhsm(&self) -> &SoftHsm {
        match &self.device {
            Device::SoftHsm(softhsm) => softhsm,
            other => panic!("no SoftHSM: {other:?}"),
        }
    }

    /// The TPM behind it.
    pub fn swtpm(&mut self) -> &mut Swtpm {
        match &mut self.device {
            Device::Swtpm(tpm, _) => tpm,
            other => panic!("no TPM: {other:?}"),
        }
    }

    /// The reader that its card is in.
    #[must_use]
    pub fn reader(&self) -> &VirtualReader {
        match &self.device {
            Device::Piv(reader, _) => reader,
            other => panic!("no reader: {other:?}"),
        }
    }

    /// The card behind it.
    pub fn card(&mut self) -> &mut VirtualPiv {
        match &mut self.device {
            Device::Piv(_, card) => card,
            other => panic!("no card: {other:?}"),
        }
    }

    /// The security key behind it.
    pub fn security_key(&mut self) -> &mut VirtualKey {
        match &mut self.device {
            Device::Fido2(_, key) => key,
            other => panic!("no security key: {other:?}"),
        }
    }

    /// Switches a scripted driver's fault; `none` ends it. It strikes the next request.
    pub fn fault(&self, fault: &str) {
        set_fault(&self.dir(), fault);
    }

    /// Touches a scripted device once, for one signature that waits under fault `touch`.
    pub fn touch(&self) {
        write(&self.dir().join("state/touch"), "");
    }
}

/// Gives a folder and everything in it to one user.
pub(super) fn own(path: &Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).expect("tests that start users' processes run as root");
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a folder") {
            own(&entry.expect("an entry").path(), uid);
        }
    }
}
