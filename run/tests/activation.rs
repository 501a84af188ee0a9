//! The built activator with a small program, which is this test binary itself (see [`the_program`]).
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Started by the activator it tells each client its environment; started by the test harness it does nothing.
#[test]
fn the_program() {
    // Taken first: listenfd removes what was meant for it.
    let environment: Vec<_> = std::env::vars().collect();
    let Ok(Some(listener)) = listenfd::ListenFd::from_env().take_unix_listener(0) else {
        return;
    };
    for client in listener.incoming() {
        let mut client = client.unwrap();
        for (name, value) in &environment {
            writeln!(client, "{name}={value}").unwrap();
        }
        writeln!(client, "pid={}", std::process::id()).unwrap();
    }
}

struct Activator {
    child: Child,
    stderr: BufReader<ChildStderr>,
    socket: PathBuf,
}

impl Activator {
    fn start(socket: &Path, options: &[&str], program: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sealwright-run"))
            .arg("--socket")
            .arg(socket)
            .args(options)
            .arg("--")
            .args(program)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("SECRET_OF_THE_SHELL", "1234")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self {
            child,
            stderr,
            socket: socket.to_owned(),
        }
    }

    /// Reads the activator's messages up to the one that contains `text`.
    fn until(&mut self, text: &str) -> String {
        let mut line = String::new();
        while self.stderr.read_line(&mut line).unwrap() > 0 {
            if line.contains(text) {
                return line;
            }
            line.clear();
        }
        panic!("the activator ended without saying {text:?}");
    }

    fn ask(&self) -> BTreeMap<String, String> {
        let mut answer = String::new();
        UnixStream::connect(&self.socket)
            .unwrap()
            .read_to_string(&mut answer)
            .unwrap();
        let pair = |line: &str| {
            line.split_once('=')
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
        };
        answer.lines().filter_map(pair).collect()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Activator {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

fn with_program(socket: &Path, options: &[&str]) -> Activator {
    let me = std::env::current_exe().unwrap();
    let program = [
        me.to_str().unwrap(),
        "--exact",
        "the_program",
        "--nocapture",
    ];
    let mut activator = Activator::start(socket, options, &program);
    activator.until("listening on");
    activator
}

fn pid(answer: &BTreeMap<String, String>) -> Pid {
    Pid::from_raw(answer["pid"].parse().unwrap()).unwrap()
}

#[test]
fn a_connection_starts_the_program_and_the_next_one_starts_it_again_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut activator = with_program(&dir.path().join("s"), &[]);
    let first = activator.ask();
    assert_eq!(
        pid(&activator.ask()),
        pid(&first),
        "one process serves both connections"
    );
    kill_process(pid(&first), Signal::KILL).unwrap();
    activator.until("ready again");
    assert_ne!(pid(&activator.ask()), pid(&first));
}

#[test]
fn the_program_gets_the_listed_variables_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let activator = with_program(&dir.path().join("s"), &["--env", "SOFTHSM2_CONF=/x=y"]);
    let answer = activator.ask();
    let names: Vec<&str> = answer.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["LISTEN_FDS", "LISTEN_PID", "PATH", "SOFTHSM2_CONF", "pid"]
    );
    assert_eq!(answer["SOFTHSM2_CONF"], "/x=y");
    assert_eq!(answer["LISTEN_PID"], answer["pid"]);
}

#[test]
fn sigterm_ends_the_program_and_removes_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let mut activator = with_program(&dir.path().join("s"), &["--mode", "0600"]);
    assert_eq!(
        std::fs::metadata(&activator.socket)
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
    let program = pid(&activator.ask());
    activator.signal(Signal::TERM);
    assert!(activator.child.wait().unwrap().success());
    assert!(!activator.socket.exists());
    assert!(
        rustix::process::test_kill_process(program).is_err(),
        "the program is gone"
    );
}

#[test]
fn a_program_that_ignores_sigterm_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; echo deaf; while :; do sleep 60; done";
    let mut activator = Activator::start(&dir.path().join("s"), &[], &["/bin/sh", "-c", script]);
    activator.until("listening on");
    let _connection = UnixStream::connect(&activator.socket).unwrap();
    let mut stdout = BufReader::new(activator.child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    activator.signal(Signal::TERM);
    activator.until("killing it");
    assert!(activator.child.wait().unwrap().success());
    // The pipe ends only when the last process of the group has gone.
    assert_eq!(stdout.read_to_string(&mut String::new()).unwrap(), 0);
}

#[test]
fn a_stale_socket_is_replaced_but_neither_a_living_one_nor_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let living = UnixListener::bind(&socket).unwrap();
    let mut refused = Activator::start(&socket, &[], &["/bin/true"]);
    refused.until("somebody listens");
    assert!(!refused.child.wait().unwrap().success());
    drop(living);
    let activator = with_program(&socket, &[]);
    assert!(activator.ask().contains_key("pid"));
    let file = dir.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    Activator::start(&file, &[], &["/bin/true"]).until("is no socket");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}

#[test]
fn a_second_activator_of_one_socket_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let activator = with_program(&dir.path().join("s"), &[]);
    Activator::start(&activator.socket, &[], &["/bin/true"]).until("somebody listens");
    assert!(activator.ask().contains_key("pid"));
}
