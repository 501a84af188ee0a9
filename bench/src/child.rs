//! Children of this program: they run as another user, or with a library's own environment, and measure one
//! point per line of input.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::process::Meter;
use crate::sample::Sample;

/// What a child says once it can measure.
const READY: &str = "ready";

/// Runs this program with `args` to its end; returns what it printed.
pub fn own_program(args: &[&OsStr]) -> io::Result<String> {
    let output = Command::new(std::env::current_exe()?)
        .args(args)
        .stderr(Stdio::inherit())
        .output()?;
    if output.status.success() {
        String::from_utf8(output.stdout).map_err(io::Error::other)
    } else {
        Err(io::Error::other(format!(
            "{args:?} ended with {}",
            output.status
        )))
    }
}

/// One point to measure.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// Requests that wait at any time.
    pub connections: usize,
    /// How long.
    pub time: Duration,
    /// Whose CPU and memory count; none: the child's own.
    pub pids: Vec<u32>,
}

impl Order {
    /// What to watch.
    pub fn meter(&self) -> Meter {
        if self.pids.is_empty() {
            Meter::of([std::process::id()])
        } else {
            Meter::of(self.pids.iter().copied())
        }
    }
}

/// A child that waits for orders. It ends when this is dropped.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts this program with `args` as `uid` and waits until it is ready.
    pub fn start(
        args: impl IntoIterator<Item = OsString>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
        uid: u32,
    ) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(args)
            .envs(env)
            .uid(uid)
            .gid(uid)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut worker = Self {
            child,
            orders: Some(orders),
            answers: BufReader::new(answers),
        };
        match worker.line()?.trim() {
            READY => Ok(worker),
            other => Err(io::Error::other(format!("the child said {other:?}"))),
        }
    }

    /// Has one point measured.
    pub fn measure(&mut self, order: &Order) -> io::Result<Sample> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        match &mut self.orders {
            Some(orders) => orders.write_all(&line)?,
            None => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        Ok(serde_json::from_str(&self.line()?)?)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(io::Error::other(
                "a child of the bench ended; see above why",
            ));
        }
        Ok(line)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its input is the end of its work.
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

/// The child's side: answers each order until the parent closes.
pub fn serve(mut measure: impl FnMut(&Order) -> io::Result<Sample>) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{READY}")?;
    for line in io::stdin().lines() {
        let sample = measure(&serde_json::from_str(&line?)?)?;
        writeln!(out, "{}", serde_json::to_string(&sample)?)?;
    }
    Ok(())
}
