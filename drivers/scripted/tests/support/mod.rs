//! The built driver behind a socket, started again on each connection after it ended, as an activator does.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sealwright_driver_api::wire::{self, FromDriver};
use sealwright_driver_api::{Descriptor, DriverError, TokenConfig};
use sealwright_softhsm_tests::activated;

/// One token's driver, under an activator of its own.
#[derive(Clone)]
pub(crate) struct Driver(Arc<Inner>);

struct Inner {
    dir: tempfile::TempDir,
    ends: Mutex<Receiver<End>>,
    // Closing it stops the activator.
    stop: Option<UnixStream>,
    activator: Option<JoinHandle<()>>,
}

/// How a process of the driver ended.
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    pub(crate) log: String,
}

impl Driver {
    /// A token with `[driver]` settings `section`.
    pub(crate) fn new(section: &str) -> Self {
        Self::with("", section, rustix::process::getuid().as_raw())
    }

    /// With settings of the token itself, too, and another user that may connect.
    pub(crate) fn with(token: &str, section: &str, peer_uid: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).display().to_string();
        let (socket, state, fault) = (at("s"), at("state"), at("fault"));
        let text = format!(
            "kind = 'scripted'\nsocket = '{socket}'\nlabel = 'bench'\nserial = '0001'\nstate_dir = '{state}'\n\
             max_message = 100000\n{token}\n[driver]\nfault_file = '{fault}'\n{section}\n"
        );
        std::fs::write(dir.path().join("bench.toml"), text).unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let serve = activated::handed_over(&command(
            &dir.path().join("bench.toml"),
            &["--peer-uid", &peer_uid.to_string(), "serve"],
        ));
        let (stop, stopped) = UnixStream::pair().unwrap();
        let (sender, ends) = channel();
        let activator = std::thread::spawn(move || activate(&listener, serve, &stopped, &sender));
        let (stop, activator) = (Some(stop), Some(activator));
        Self(Arc::new(Inner {
            dir,
            ends: Mutex::new(ends),
            stop,
            activator,
        }))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.dir.path().join(name)
    }

    pub(crate) fn config(&self) -> TokenConfig {
        TokenConfig::read(&self.path("bench.toml")).unwrap()
    }

    /// Switches the fault for the requests that follow.
    pub(crate) fn fault(&self, name: &str) {
        let new = self.path("fault.new");
        std::fs::write(&new, name).unwrap();
        std::fs::rename(new, self.path("fault")).unwrap();
    }

    pub(crate) fn touch(&self) {
        std::fs::write(self.path("state").join("touch"), "").unwrap();
    }

    pub(crate) fn connect(&self) -> io::Result<UnixStream> {
        let stream = UnixStream::connect(self.path("s"))?;
        // A driver that says nothing fails its test instead of holding it up.
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(stream)
    }

    /// Connects and reads Hello.
    pub(crate) fn greet(&self) -> (UnixStream, Result<Descriptor, DriverError>) {
        let mut stream = self.connect().unwrap();
        match wire::read(&mut stream).unwrap() {
            FromDriver::Hello(hello) => (stream, hello.token),
            other => panic!("not a greeting: {other:?}"),
        }
    }

    /// Waits for the end of a process.
    pub(crate) fn end(&self) -> End {
        self.0.ends.lock().unwrap().recv().unwrap()
    }

    /// Runs a command of the binary other than `serve`.
    pub(crate) fn run(&self, args: &[&str]) -> std::process::Output {
        command(&self.path("bench.toml"), args)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// A file that only this user reads.
    pub(crate) fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.activator.take().unwrap().join().unwrap();
    }
}

fn command(config: &std::path::Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealwright-driver-scripted"));
    command.arg("--config").arg(config).args(args);
    command
}

fn activate(listener: &UnixListener, mut serve: Command, stopped: &UnixStream, ends: &Sender<End>) {
    serve.stderr(Stdio::piped());
    while ready(listener, stopped) {
        serve.stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
        let mut child = serve.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            stderr.read_to_string(&mut log).unwrap();
            log
        });
        let status = wait(&mut child, stopped);
        // Nobody listens at the end of a test.
        let _ = ends.send(End {
            status,
            log: log.join().unwrap(),
        });
    }
}

fn wait(child: &mut Child, stopped: &UnixStream) -> ExitStatus {
    let ended = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).unwrap();
    if !ready(&ended, stopped) {
        child.kill().unwrap();
    }
    child.wait().unwrap()
}

/// Waits until `what` is readable; false if the test is over.
fn ready(what: &impl AsFd, stopped: &UnixStream) -> bool {
    let mut fds = [
        PollFd::new(stopped, PollFlags::IN),
        PollFd::new(what, PollFlags::IN),
    ];
    while poll(&mut fds, None) == Err(rustix::io::Errno::INTR) {}
    fds[0].revents().is_empty()
}
