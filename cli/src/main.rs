//! `sealwright`: users' and operators' commands.
//!
//! Each command is one file under `command/`; what several share stands beside it. Exit codes are those of
//! [`failure`].
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod backup;
mod certificate;
mod child;
mod clock;
mod command;
mod config;
mod confirm;
mod connect;
mod credential;
mod doctor;
mod driver;
mod exported;
mod failure;
mod files;
mod gate;
mod output;
mod owner;
mod pki;
mod progress;
mod proof;
mod rotation;
mod subject;

use std::process::ExitCode;

use clap::Parser as _;

use crate::command::Args;
use crate::output::Output;

fn main() -> ExitCode {
    let args = Args::parse();
    let output = Output::new(args.json);
    match command::run(args.command, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}
