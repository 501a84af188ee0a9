//! A driver's program behind its socket, started for each connection as an activator would.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// LISTEN_PID has to be the driver's own number; a shell keeps its number across `exec`.
const HAND_OVER: &str =
    "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" \"$@\"";

/// The program of a driver that serves this user and no other.
///
/// # Panics
/// There is no `/proc`.
#[must_use]
pub fn driver(program: impl AsRef<OsStr>, config: &Path) -> Command {
    let uid = fs::metadata("/proc/self").expect("this process").uid();
    let mut command = Command::new(program);
    command.args(["--peer-uid", &uid.to_string()]);
    command.arg("--config").arg(config);
    command
}

/// Starts `program` with its standard input as the socket that it serves.
#[must_use]
pub fn handed_over(program: &Command) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", HAND_OVER]).arg(program.get_program());
    command.args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// A socket, and the process that serves it. Dropped, it is killed.
#[derive(Debug)]
pub struct Activated {
    socket: PathBuf,
    listener: UnixListener,
    child: Option<Child>,
}

impl Activated {
    /// Listens; nobody serves yet.
    ///
    /// # Errors
    /// Something is there already.
    pub fn at(socket: &Path) -> io::Result<Self> {
        Ok(Self {
            socket: socket.to_owned(),
            listener: UnixListener::bind(socket)?,
            child: None,
        })
    }

    /// Kills the process that serves, if any, starts `program` with the socket and connects to it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn connect(&mut self, program: &Command) -> io::Result<UnixStream> {
        self.kill();
        let mut command = handed_over(program);
        command.stdin(Stdio::from(OwnedFd::from(self.listener.try_clone()?)));
        self.child = Some(command.spawn()?);
        UnixStream::connect(&self.socket)
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    /// None was started.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        let child = self.child.as_mut();
        child.ok_or(io::ErrorKind::NotFound)?.wait()
    }

    /// Ends the process without giving it a chance to tidy up.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that has ended already is as good as killed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        self.kill();
    }
}
