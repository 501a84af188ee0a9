//! `sealwright-courier`: carries checkpoints to witnesses and their cosignatures back to the daemon.
//!
//! A process and user of its own, because it has the network: it is a client of role `courier` and nothing
//! more, holds no key of the log, and the daemon believes nothing that it brings.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod evidence;
mod http;
mod report;
mod round;
mod submit;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use sealwright_manual::Manual;

use crate::config::Config;
use crate::report::Report;
use crate::round::{Courier, RoundError};

/// Carry checkpoints of the log to its witnesses, and their cosignatures back.
///
/// Exit codes with --once: 0 the quorum is reached, 1 the courier cannot work, 3 the quorum is not reached,
/// 4 a split view or a rollback: a witness has seen another log under our name.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Args {
    /// The configuration file.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/sealwright/courier.toml"
    )]
    config: PathBuf,
    /// Go round once and end, as from cron; else go round until SIGTERM.
    #[arg(long)]
    once: bool,
    /// Print what each round brought as one line of JSON.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    manual: Option<Manual>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    sealwright_logging::start("info");
    match run(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sealwright-courier: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why the courier cannot work.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    #[error(transparent)]
    Round(#[from] RoundError),
    #[error("cannot start: {0}")]
    Start(#[source] std::io::Error),
    #[error(transparent)]
    Manual(std::io::Error),
}

fn run(args: Args) -> Result<ExitCode, Failure> {
    if let Some(manual) = args.manual {
        let printed = manual.run(Args::command()).map_err(Failure::Manual);
        return printed.map(|()| ExitCode::SUCCESS);
    }
    let config = Config::read(&args.config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::Start)?;
    let show = |report: &Report| {
        if args.json {
            println!("{}", report.to_json());
        }
    };
    let mut courier = Courier::new(config);
    if args.once {
        let report = runtime.block_on(courier.round())?;
        show(&report);
        return Ok(ExitCode::from(report.verdict.exit_code()));
    }
    runtime
        .block_on(courier.run(show))
        .map_err(Failure::Start)?;
    Ok(ExitCode::SUCCESS)
}
