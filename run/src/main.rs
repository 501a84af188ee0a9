//! `sealwright-run`: what systemd's socket units do, where there is no systemd.
//!
//! Binds a socket, waits until somebody connects, starts the program with the listening socket as file
//! descriptor 3 (`LISTEN_FDS`, sd_listen_fds(3)), and starts it again on the next connection after it ended.
//! For development, demo and tests; one process per socket.
#![forbid(unsafe_code)]

mod activate;
mod program;
mod socket;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Start a program when somebody connects to its socket.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Where to listen.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// Who may connect: the socket's permission bits.
    #[arg(long, value_name = "OCTAL", default_value = "0660", value_parser = mode)]
    mode: u32,
    /// The socket's owner.
    #[arg(long, value_name = "UID:GID", value_parser = ids)]
    owner: Option<(u32, u32)>,
    /// Whom the program runs as.
    #[arg(long, value_name = "UID:GID", value_parser = ids)]
    user: Option<(u32, u32)>,
    /// A variable for the program's environment, which is otherwise PATH, LANG, LC_ALL and TZ.
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(OsString, OsString)>,
    /// The program and its arguments.
    #[arg(required = true, last = true)]
    command: Vec<OsString>,
}

fn mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "permission bits are octal, as in 0660".to_owned())
}

fn ids(text: &str) -> Result<(u32, u32), String> {
    text.split_once(':')
        .and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)))
        .ok_or_else(|| "two numbers, as in 64010:64010".to_owned())
}

fn variable(text: &str) -> Result<(OsString, OsString), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("a variable is NAME=VALUE".to_owned()),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    match activate::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sealwright-run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why the activator cannot go on.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("somebody listens on {0} already; stop it, or choose another --socket")]
    InUse(PathBuf),
    #[error("{0} exists and is no socket; remove it, or choose another --socket")]
    NoSocket(PathBuf),
    #[error("socket {path}: {source}")]
    Socket {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot start {program}: {source}")]
    Start {
        program: String,
        source: std::io::Error,
    },
    #[error("cannot wait for events: {0}")]
    Wait(#[from] std::io::Error),
}
