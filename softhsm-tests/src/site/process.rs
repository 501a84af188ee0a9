//! Processes of a site: started as users of their own, watched through their log files, ended for certain.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to end when it was asked to.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at something that gives no event of its own.
const LOOK: Duration = Duration::from_millis(5);

/// Calls `look` until it finds something; panics with `what` after `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "after {limit:?} still waiting for: {what}"
        );
        std::thread::sleep(LOOK);
    }
}

/// A running process with its output in a file.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` as `user`; what it says is appended to `log`.
    pub fn start(mut command: Command, user: Option<(u32, u32)>, log: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        Ok(Self {
            child: command.spawn()?,
            log: log.to_owned(),
            ended: None,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it and its predecessors wrote to the log.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("waiting for a child");
        }
        self.ended
    }

    /// Sends a signal, unless it has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            // A child that has not been waited for keeps its number.
            kill_process(Pid::from_child(&self.child), signal).expect("signalling a child");
        }
    }

    /// `kill -9`, and waits.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait();
    }

    /// SIGTERM, and waits.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let what = format!(
            "the end of process {}, which logs to {}",
            self.id(),
            self.log.display()
        );
        wait_for(&what, STOP_LIMIT, || self.ended())
    }

    /// Its children, as the kernel lists them.
    #[must_use]
    pub fn children(&self) -> Vec<u32> {
        let path = format!("/proc/{0}/task/{0}/children", self.id());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGTERM first: an activator takes its program along.
        self.signal(Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.ended().is_none() {
            if Instant::now() > deadline {
                self.signal(Signal::KILL);
            }
            std::thread::sleep(LOOK);
        }
    }
}
