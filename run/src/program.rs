//! The program: started with the socket as file descriptor 3, ended together with all its processes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::socket::Socket;
use crate::{Args, RunError};

/// How long a program may take after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// What the program gets of our own environment.
const PASSED_ON: [&str; 4] = ["PATH", "LANG", "LC_ALL", "TZ"];

/// `LISTEN_PID` has to be the program's own number, which is known only after the fork, and code between fork
/// and exec would be `unsafe`. A shell keeps its number across `exec`, so it can say it.
const HAND_OVER: &str = r#"unset PWD OLDPWD; export LISTEN_PID=$$; exec "$0" "$@" 3<&0 </dev/null"#;

/// A running program.
pub(crate) struct Program {
    child: Child,
    // Readable once the process has ended; unlike a number it cannot come to mean another process.
    ended: OwnedFd,
}

impl Program {
    pub(crate) fn start(args: &Args, socket: &Socket) -> Result<Self, RunError> {
        let failed = |source| RunError::Start {
            program: args.command[0].to_string_lossy().into_owned(),
            source,
        };
        let listener = OwnedFd::from(socket.listener().try_clone().map_err(failed)?);
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(HAND_OVER).args(&args.command);
        command.env_clear();
        command.envs(
            PASSED_ON
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        );
        command.envs(args.env.iter().map(|(name, value)| (name, value)));
        command.env("LISTEN_FDS", "1");
        if let Some((uid, gid)) = args.user {
            command.uid(uid).gid(gid);
        }
        command.stdin(Stdio::from(listener)).process_group(0);
        let child = command.spawn().map_err(failed)?;
        let ended = pidfd_open(pid(&child), PidfdFlags::empty()).map_err(|e| failed(e.into()))?;
        Ok(Self { child, ended })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status; waits for it.
    pub(crate) fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait()
    }

    /// SIGTERM to all its processes, SIGKILL after [`STOP_LIMIT`].
    pub(crate) fn stop(mut self) -> std::io::Result<ExitStatus> {
        // The group stays ours until `wait`, so its number cannot mean another one.
        let _ = kill_process_group(pid(&self.child), Signal::TERM);
        let limit = Timespec::try_from(STOP_LIMIT).ok();
        let mut ended = [PollFd::new(&self.ended, PollFlags::IN)];
        let in_time = poll(&mut ended, limit.as_ref()).is_ok_and(|ready| ready > 0);
        if !in_time {
            eprintln!("sealwright-run: the program did not end within {STOP_LIMIT:?}, killing it");
        }
        // Also after it ended: processes it started go with it.
        let _ = kill_process_group(pid(&self.child), Signal::KILL);
        self.child.wait()
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ended.as_fd()
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}
