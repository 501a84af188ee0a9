//! A whole signing host per test: tokens behind drivers, the daemon, and callers, each as a user of its own.
//!
//! ```no_run
//! use sealwright_softhsm_tests::site::{Site, TokenSpec, statement};
//! let site = Site::builder().token(TokenSpec::softhsm("hsm").key("release")).start();
//! site.client().sign("key=release", &statement("a")).ok();
//! ```
//!
//! Everything lies under one short path in `/tmp` and goes when the site is dropped.

mod answers;
mod binaries;
mod builder;
mod cli;
mod device;
mod disk;
pub mod http;
mod message;
pub mod pki;
pub mod process;
mod restore;
mod spec;
mod token;
mod watch;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use self::answers::Answers;
use self::binaries::Binaries;
pub use self::builder::{Builder, DEFAULT_POLICY};
pub use self::cli::Run;
use self::disk::SmallDisk;
use self::http::Client;
use self::pki::{Authority, Identity, Leaf};
use self::process::{Process, wait_for};
pub use self::spec::{KeySpec, Kind, TokenSpec};
pub use self::token::Token;

/// The user the daemon runs as.
pub const DAEMON_UID: u32 = 64_001;
/// The user of the first driver; each further one has the next.
pub const DRIVER_UID: u32 = 64_002;
/// The user clients run as.
pub const CLIENT_UID: u32 = 64_010;
/// The log's origin.
pub const ORIGIN: &str = "sealwright.test/log";
/// The client that most tests use.
pub const CI: &str = "spiffe://sealwright.test/ci";
/// A second client.
pub const OTHER: &str = "spiffe://sealwright.test/other";
/// Who enrols keys.
pub const OPERATOR: &str = "spiffe://sealwright.test/operator";
/// How long things that happen at once may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// A running site.
#[derive(Debug)]
pub struct Site {
    daemon: Option<Process>,
    tokens: BTreeMap<String, Token>,
    ca: Authority,
    answers: Arc<Answers>,
    binaries: Binaries,
    _disk: Option<SmallDisk>,
    // Last, so that it goes when everything in it has ended.
    dir: TempDir,
}

impl Site {
    /// Begins with no token but the log's, the default policy and default limits.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A path inside the site's folder.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside)
    }

    /// One of the workspace's own programs.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.binaries.path(name)
    }

    /// The daemon's state folder.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    /// Changes `sealwright.toml`; it is read at the daemon's next start.
    pub fn edit_config(&self, edit: impl FnOnce(String) -> String) {
        let path = self.path("etc/sealwright.toml");
        let text = std::fs::read_to_string(&path).expect("the configuration");
        write(&path, &edit(text));
    }

    /// The API's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path("run/api.sock")
    }

    /// A token by name.
    #[must_use]
    pub fn token(&self, name: &str) -> &Token {
        self.tokens.get(name).expect("a token of the site")
    }

    /// A token by name, to start or stop it.
    pub fn token_mut(&mut self, name: &str) -> &mut Token {
        self.tokens.get_mut(name).expect("a token of the site")
    }

    /// The authority of the site's one trust domain.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.ca
    }

    /// A caller with any certificate, or none.
    #[must_use]
    pub fn caller(&self, identity: Option<&Identity>) -> Client {
        let client = Client::new(&self.socket(), &self.ca, identity, CLIENT_UID, DAEMON_UID);
        client.checked_by(&self.answers)
    }

    /// A caller with a good certificate for `id`.
    #[must_use]
    pub fn caller_of(&self, id: &str) -> Client {
        self.caller(Some(&self.ca.client(&Leaf::uri(id))))
    }

    /// [`CI`].
    #[must_use]
    pub fn client(&self) -> Client {
        self.caller_of(CI)
    }

    /// [`OPERATOR`].
    #[must_use]
    pub fn operator(&self) -> Client {
        self.caller_of(OPERATOR)
    }

    /// The daemon's process.
    pub fn daemon(&mut self) -> &mut Process {
        self.daemon.as_mut().expect("a running daemon")
    }

    /// What the daemon logged, over all its runs.
    #[must_use]
    pub fn daemon_log(&self) -> String {
        std::fs::read_to_string(self.path("logs/daemon.log")).unwrap_or_default()
    }

    /// Starts the daemon and waits until it serves.
    pub fn start_daemon(&mut self) {
        self.start_daemon_with(&[]);
    }

    /// Starts the daemon with more in its environment, and waits until it serves.
    pub fn start_daemon_with(&mut self, environment: &[(&str, &str)]) {
        self.spawn_daemon(environment);
        let ready = || {
            if let Some(status) = self.daemon.as_mut().and_then(Process::ended) {
                panic!("sealwrightd ended with {status}:\n{}", self.daemon_log());
            }
            // Not `/readyz`: a host whose log waits for witnesses serves, and signs nothing.
            self.monitor("/livez")
                .ok()
                .filter(|answer| answer.status == 200)?;
            self.every_token_serves().then_some(())
        };
        wait_for("sealwrightd to be ready", SOON, ready);
    }

    /// Starts the daemon and waits for nothing.
    pub fn spawn_daemon(&mut self, environment: &[(&str, &str)]) {
        // An old socket would look like readiness.
        let _ = std::fs::remove_file(self.path("run/monitor.sock"));
        let log = self.path("logs/daemon.log");
        self.daemon = Some(self.daemon_process(environment, DAEMON_UID, &log));
    }

    /// Starts a daemon that must refuse to run; returns what it said.
    #[must_use]
    pub fn refused_start(&self) -> String {
        self.refused_start_as(DAEMON_UID)
    }

    /// Starts a daemon that must refuse to run as another user; returns what it said.
    #[must_use]
    pub fn refused_start_as(&self, uid: u32) -> String {
        let log = self.path("logs/refused.log");
        let _ = std::fs::remove_file(&log);
        let mut daemon = self.daemon_process(&[], uid, &log);
        let status = daemon.wait();
        assert!(
            !status.success(),
            "sealwrightd must refuse to start:\n{}",
            daemon.log()
        );
        daemon.log()
    }

    /// Runs another command of `sealwrightd` to its end, as the daemon's user.
    ///
    /// # Panics
    /// The program cannot be run.
    #[must_use]
    pub fn daemon_command(&self, args: &[&str]) -> Output {
        let mut command = Command::new(self.binaries.path("sealwrightd"));
        command.args(args);
        command
            .arg("--config")
            .arg(self.path("etc/sealwright.toml"))
            .uid(DAEMON_UID)
            .gid(DAEMON_UID);
        command.output().expect("sealwrightd runs")
    }

    fn daemon_process(&self, environment: &[(&str, &str)], uid: u32, log: &Path) -> Process {
        let mut command = Command::new(self.binaries.path("sealwrightd"));
        command
            .arg("--config")
            .arg(self.path("etc/sealwright.toml"));
        command
            .env("SEALWRIGHT_LOG", "info")
            .envs(environment.iter().copied());
        Process::start(command, Some((uid, uid)), log).expect("sealwrightd runs")
    }

    /// `kill -9` of the daemon.
    pub fn kill_daemon(&mut self) {
        self.daemon().kill();
        self.daemon = None;
    }

    /// SIGTERM; the daemon must end well.
    pub fn stop_daemon(&mut self) {
        let status = self.daemon().stop();
        assert!(
            status.success(),
            "sealwrightd ended with {status}:\n{}",
            self.daemon_log()
        );
        self.daemon = None;
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- sealwrightd ---\n{}", self.daemon_log());
            for (name, token) in &self.tokens {
                eprintln!("--- driver {name} ---\n{}", token.log());
            }
        }
        if let Some(daemon) = &mut self.daemon {
            daemon.signal(Signal::KILL);
        }
        self.tokens.values_mut().for_each(Token::ask_to_stop);
    }
}

/// An in-toto statement about one subject called `name`, with SLSA provenance.
#[must_use]
pub fn statement(name: &str) -> Vec<u8> {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": sha256_hex(name.as_bytes())}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {"buildType": "https://sealwright.test/build", "externalParameters": {}},
            "runDetails": {"builder": {"id": "https://sealwright.test/builder"}},
        },
    });
    serde_json::to_vec(&statement).expect("JSON")
}

/// SHA-256 in hex.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Text of a file in the site that must be there.
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
