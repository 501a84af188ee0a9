//! Tokens of a site: the device, its driver's configuration, and the activator that starts the driver.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use super::binaries::Binaries;
use super::process::{Process, wait_for};
use crate::softhsm::{self, SoftHsm};

/// The PIN of every SoftHSM token here.
const PIN: &str = "pin-1234";

/// A key that is made on a token.
#[derive(Debug, Clone)]
pub struct KeySpec {
    /// Its label on the token, and its name with the daemon.
    pub label: String,
    /// `ecdsa-p256-sha256`, …
    pub scheme: String,
}

/// A token to be.
#[derive(Debug, Clone)]
pub struct TokenSpec {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) keys: Vec<KeySpec>,
    pub(super) sessions: u16,
}

/// What is behind a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A real SoftHSM token.
    SoftHsm,
    /// A software key with faults on demand.
    Scripted,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::SoftHsm => "pkcs11",
            Self::Scripted => "scripted",
        }
    }
}

impl TokenSpec {
    /// A SoftHSM token.
    #[must_use]
    pub fn softhsm(name: &str) -> Self {
        Self::new(name, Kind::SoftHsm)
    }

    /// A scripted token.
    #[must_use]
    pub fn scripted(name: &str) -> Self {
        Self::new(name, Kind::Scripted)
    }

    fn new(name: &str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            keys: Vec::new(),
            sessions: 2,
        }
    }

    /// With a P-256 key.
    #[must_use]
    pub fn key(self, label: &str) -> Self {
        self.key_of(label, "ecdsa-p256-sha256")
    }

    /// With a key of another scheme.
    #[must_use]
    pub fn key_of(mut self, label: &str, scheme: &str) -> Self {
        self.keys.push(KeySpec {
            label: label.to_owned(),
            scheme: scheme.to_owned(),
        });
        self
    }

    /// With so many sessions.
    #[must_use]
    pub fn sessions(mut self, sessions: u16) -> Self {
        self.sessions = sessions;
        self
    }
}

/// Where a token's driver finds things, and whom it runs as.
#[derive(Debug)]
struct Place {
    config: PathBuf,
    socket: PathBuf,
    dir: PathBuf,
    log: PathBuf,
    uid: u32,
}

/// A token with its driver behind an activator.
#[derive(Debug)]
pub struct Token {
    spec: TokenSpec,
    place: Place,
    binaries: Binaries,
    daemon: (u32, u32),
    softhsm: Option<SoftHsm>,
    activator: Option<Process>,
}

impl Token {
    /// Makes the token and its keys; nothing serves it yet.
    pub(super) fn make(
        spec: &TokenSpec,
        site: &Path,
        binaries: &Binaries,
        uid: u32,
        daemon: (u32, u32),
    ) -> Self {
        let name = &spec.name;
        let place = Place {
            config: site.join(format!("etc/tokens/{name}.toml")),
            socket: site.join(format!("run/{name}.sock")),
            dir: site.join("tokens").join(name),
            log: site.join(format!("logs/{name}.log")),
            uid,
        };
        let softhsm = (spec.kind == Kind::SoftHsm).then(|| SoftHsm::new(name, PIN));
        let token = Self {
            spec: spec.clone(),
            place,
            binaries: binaries.clone(),
            daemon,
            softhsm,
            activator: None,
        };
        token.lay_out();
        for key in &spec.keys {
            token.generate(key);
        }
        token
    }

    fn lay_out(&self) {
        let dir = &self.place.dir;
        fs::create_dir(dir).expect("a folder for the driver");
        let pin = dir.join("pin");
        fs::write(&pin, PIN).expect("a PIN file");
        fs::set_permissions(&pin, fs::Permissions::from_mode(0o600)).expect("mode 0600");
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).expect("mode 0700");
        fs::write(&self.place.config, self.config_text()).expect("the token's configuration");
        own(dir, self.place.uid);
        if let Some(softhsm) = &self.softhsm {
            own(softhsm.dir(), self.place.uid);
        }
    }

    fn config_text(&self) -> String {
        let Place { socket, dir, .. } = &self.place;
        let TokenSpec {
            name,
            kind,
            sessions,
            ..
        } = &self.spec;
        let serial = self
            .softhsm
            .as_ref()
            .map_or("0001", |softhsm| softhsm.serial.as_str());
        let driver = match &self.softhsm {
            Some(softhsm) => format!(
                "module = {:?}\nwrite = [{:?}]\n",
                softhsm::MODULE,
                softhsm.tokens()
            ),
            None => String::new(),
        };
        format!(
            "kind = {:?}\nsocket = {socket:?}\nlabel = {name:?}\nserial = {serial:?}\nsessions = {sessions}\n\
             credential = {:?}\nstate_dir = {:?}\n[driver]\n{driver}",
            kind.name(),
            dir.join("pin"),
            dir.join("state"),
        )
    }

    /// The URI of one of its keys.
    #[must_use]
    pub fn uri(&self, label: &str) -> String {
        format!("{}:object={label}", self.spec.kind.name())
    }

    fn generate(&self, key: &KeySpec) {
        self.driver(&["generate", "--scheme", &key.scheme, &self.uri(&key.label)]);
    }

    /// What the driver says of a key, asked without the daemon.
    #[must_use]
    pub fn describe(&self, label: &str) -> Value {
        let output = self.driver(&["describe", &self.uri(label)]);
        serde_json::from_slice(&output.stdout).expect("the driver prints JSON")
    }

    fn driver(&self, args: &[&str]) -> Output {
        use std::os::unix::process::CommandExt as _;
        let output = Command::new(self.driver_binary())
            .arg("--config")
            .arg(&self.place.config)
            .args(args)
            .envs(self.environment())
            .uid(self.place.uid)
            .gid(self.place.uid)
            .output()
            .expect("the driver runs");
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    fn driver_binary(&self) -> PathBuf {
        self.binaries
            .path(&format!("sealwright-driver-{}", self.spec.kind.name()))
    }

    fn environment(&self) -> Option<(&'static str, PathBuf)> {
        self.softhsm
            .as_ref()
            .map(|softhsm| (softhsm::CONF_VARIABLE, softhsm.conf()))
    }

    /// Starts the activator; the driver follows with the first connection.
    pub fn serve(&mut self) {
        let mut command = Command::new(self.binaries.path("sealwright-run"));
        let (uid, (_, daemon_gid)) = (self.place.uid, self.daemon);
        command.arg("--socket").arg(&self.place.socket);
        command.args(["--mode", "0660", "--owner", &format!("0:{daemon_gid}")]);
        command.args(["--user", &format!("{uid}:{uid}")]);
        if let Some((name, value)) = self.environment() {
            command
                .arg("--env")
                .arg(format!("{name}={}", value.display()));
        }
        command
            .arg("--")
            .arg(self.driver_binary())
            .arg("--config")
            .arg(&self.place.config);
        command.args(["--peer-uid", &self.daemon.0.to_string(), "serve"]);
        let activator =
            Process::start(command, None, &self.place.log).expect("sealwright-run runs");
        self.activator = Some(activator);
        let socket = &self.place.socket;
        wait_for("the driver's socket", Duration::from_secs(10), || {
            socket.exists().then_some(())
        });
    }

    /// Asks driver and activator to end; dropping the token waits for it.
    pub(super) fn ask_to_stop(&mut self) {
        if let Some(activator) = &mut self.activator {
            activator.signal(rustix::process::Signal::TERM);
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
        use rustix::process::{Pid, Signal, kill_process};
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
        fs::read_to_string(&self.place.log).unwrap_or_default()
    }

    /// The socket the driver listens on.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.place.socket
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.place.config
    }

    /// The driver's own folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.place.dir
    }

    /// Its keys.
    #[must_use]
    pub fn keys(&self) -> &[KeySpec] {
        &self.spec.keys
    }

    /// The SoftHSM token behind it.
    #[must_use]
    pub fn softhsm(&self) -> &SoftHsm {
        self.softhsm.as_ref().expect("a SoftHSM token")
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
