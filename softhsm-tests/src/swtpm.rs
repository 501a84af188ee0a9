//! A software TPM of one's own per test: its own state folder, its own pair of ports.

mod maker;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, getuid, pidfd_open, pidfd_send_signal};
use tempfile::TempDir;

pub use self::maker::TpmMaker;

/// Even ports tried as command port; the control port is the next one, because the `swtpm` TCTI of tss2
/// derives it. The range lies below Linux's ephemeral ports, so no outgoing connection takes one.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

const ARGUMENTS: [&str; 5] = [
    "socket",
    "--tpm2",
    "--daemon",
    "--flags",
    "not-need-init,startup-clear",
];

/// Pairs tried before giving up: a process that knows nothing of our lock files may take a port first.
const START_TRIES: u32 = 5;

/// A running `swtpm` with an empty owner password. Killed when dropped; its state goes with it.
///
/// # Panics
/// Every method panics where swtpm does not do what it should: a test without its TPM must fail.
#[derive(Debug)]
pub struct Swtpm {
    state: TempDir,
    ports: PortPair,
    process: Option<Pid>,
}

impl Swtpm {
    /// Starts a TPM that nobody has used before.
    #[must_use]
    pub fn start() -> Self {
        Self::start_on(tempfile::tempdir().expect("a folder for swtpm's state"))
    }

    /// Starts one that `maker` has put an endorsement key and its certificate into.
    #[must_use]
    pub fn made_by(maker: &TpmMaker) -> Self {
        let state = tempfile::tempdir().expect("a folder for swtpm's state");
        maker.manufacture(state.path());
        Self::start_on(state)
    }

    fn start_on(state: TempDir) -> Self {
        let mut why = String::new();
        for _ in 0..START_TRIES {
            let ports = PortPair::claim();
            match spawn(state.path(), ports.command) {
                Ok(pid) => {
                    return Self {
                        state,
                        ports,
                        process: Some(pid),
                    };
                }
                Err(text) => why = text,
            }
        }
        panic!("swtpm does not start: {why}")
    }

    /// The TCTI that reaches it: `swtpm:host=127.0.0.1,port=N`.
    #[must_use]
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.ports.command)
    }

    /// The port it takes commands on; its control port is the next one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.command
    }

    /// Resets it while it runs, as a reboot of the host does: it has to be started up again, and every loaded
    /// key and session is gone.
    pub fn reset(&self) {
        // Command 2 of swtpm_ioctls(3), with no flags.
        control(self.ports.command + 1, &[2, 0]).expect("swtpm can be reset");
    }

    /// Ends it at once and without notice, as a power cut does. What was only in its memory is lost.
    pub fn kill(&mut self) {
        if let Some(pid) = self.process.take() {
            end(pid).expect("swtpm can be killed");
        }
    }

    /// Puts another TPM in its place: same ports, new seeds.
    pub fn forget(&mut self) {
        self.kill();
        for entry in fs::read_dir(self.state.path()).expect("swtpm's state can be listed") {
            let path = entry.expect("swtpm's state can be listed").path();
            fs::remove_file(path).expect("swtpm's state can be removed");
        }
        self.restart();
    }

    /// Starts it again on the same state and ports: the same TPM after a reset.
    pub fn restart(&mut self) {
        self.kill();
        let started = spawn(self.state.path(), self.ports.command);
        self.process =
            Some(started.unwrap_or_else(|why| panic!("swtpm does not start again: {why}")));
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        if let Some(pid) = self.process.take() {
            let _ = end(pid);
        }
    }
}

/// A command without the descriptors that C libraries leave open in this process: tss2's are inherited, and a TPM serves
/// nobody else as long as any process holds a connection to it.
#[must_use]
pub fn unburdened(program: &str) -> Command {
    let close = "for fd in /proc/$$/fd/*; do fd=${fd##*/}; ((fd > 2)) && exec {fd}>&-; done";
    let mut command = Command::new("bash");
    command.args(["-c", &format!("{close}; exec \"$0\" \"$@\""), program]);
    command
}

/// Starts swtpm and waits until it serves; an error is its own text.
fn spawn(state: &Path, port: u16) -> Result<Pid, String> {
    let pid_file = state.join("pid");
    // With `--daemon` the command ends once both ports listen.
    let started = unburdened("swtpm")
        .args(ARGUMENTS)
        .arg("--tpmstate")
        .arg(format!("dir={}", state.display()))
        .arg("--server")
        .arg(format!("type=tcp,port={port},disconnect"))
        .arg("--ctrl")
        .arg(format!("type=tcp,port={}", port + 1))
        .arg("--pid")
        .arg(format!("file={}", pid_file.display()))
        .output()
        .unwrap_or_else(|e| {
            panic!("cannot run swtpm, install the packages swtpm and swtpm-tools: {e}")
        });
    if !started.status.success() {
        return Err(String::from_utf8_lossy(&started.stderr).into_owned());
    }
    // An answer on the control port, here to "what can you do?", means that the pid is written.
    control(port + 1, &[1]).map_err(|e| format!("swtpm does not answer: {e}"))?;
    let pid = fs::read_to_string(pid_file).map_err(|e| format!("swtpm wrote no pid: {e}"))?;
    pid.trim()
        .parse()
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(format!("swtpm's pid is {pid:?}"))
}

/// Sends a command of swtpm_ioctls(3), in words, and waits for the first word of the answer.
fn control(port: u16, command: &[u32]) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let bytes: Vec<u8> = command.iter().flat_map(|word| word.to_be_bytes()).collect();
    stream.write_all(&bytes)?;
    stream.read_exact(&mut [0; 4])
}

/// Kills a process that is not our child and waits until it is gone.
fn end(pid: Pid) -> io::Result<()> {
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    pidfd_send_signal(&process, Signal::KILL)?;
    poll(&mut [PollFd::new(&process, PollFlags::IN)], None)?;
    Ok(())
}

/// Two neighbouring ports, held against other tests by a lock file for as long as this lives: also while
/// swtpm is down between `kill` and `restart`.
#[derive(Debug)]
pub struct PortPair {
    command: u16,
    _lock: File,
}

impl PortPair {
    /// Two free ports, the first one even.
    ///
    /// # Panics
    /// Where there are none.
    #[must_use]
    pub fn claim() -> Self {
        let folder =
            std::env::temp_dir().join(format!("sealwright-swtpm-ports-{}", getuid().as_raw()));
        fs::create_dir_all(&folder).expect("a folder for the port locks");
        // Tests start at different places, so that parallel ones rarely try the same pair.
        let start = PORTS.start + (std::process::id() % 3_000) as u16 * 4;
        let all = (start..PORTS.end).chain(PORTS.start..start);
        all.step_by(2)
            .find_map(|command| {
                let lock = File::create(folder.join(command.to_string())).ok()?;
                lock.try_lock().ok()?;
                is_free(command).then_some(Self {
                    command,
                    _lock: lock,
                })
            })
            .expect("a free pair of ports between 20000 and 32000")
    }

    /// The first of the two.
    #[must_use]
    pub fn first(&self) -> u16 {
        self.command
    }
}

fn is_free(command: u16) -> bool {
    [command, command + 1]
        .iter()
        .all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(tpm: &Swtpm) -> bool {
        TcpStream::connect(("127.0.0.1", tpm.port())).is_ok()
    }

    #[test]
    fn a_killed_tpm_answers_no_more_and_a_restarted_one_answers_on_the_same_port() {
        let mut tpm = Swtpm::start();
        let tcti = tpm.tcti();
        assert!(answers(&tpm));
        tpm.kill();
        assert!(!answers(&tpm));
        tpm.restart();
        assert!(answers(&tpm));
        assert_eq!(tpm.tcti(), tcti);
    }

    #[test]
    fn two_tpms_live_side_by_side() {
        let (a, b) = (Swtpm::start(), Swtpm::start());
        assert_ne!(a.port(), b.port());
        assert!(answers(&a) && answers(&b));
    }
}
