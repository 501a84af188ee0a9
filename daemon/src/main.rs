//! The `sealwrightd` program.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sealwrightd::command::{archive, fsck, reindex};
use sealwrightd::config::Config;
use sealwrightd::{panics, run};

/// Signs DSSE attestations with hardware keys; every signature is recorded before it is released.
#[derive(Parser)]
#[command(name = "sealwrightd", version)]
struct Args {
    /// The configuration file; tokens/*.toml and policy.cedar lie beside it.
    #[arg(
        long,
        global = true,
        env = "SEALWRIGHT_CONFIG",
        default_value = "/etc/sealwright/sealwright.toml"
    )]
    config: PathBuf,
    /// Read configuration, certificates and policy, say what is wrong with them, and stop.
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    Archive(archive::Args),
    Fsck(fsck::Args),
    Reindex(reindex::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    run::start_logging();
    panics::end_the_process();
    let result = Config::read(&args.config)
        .map_err(run::RunError::from)
        .and_then(|config| match args.command {
            Some(Command::Archive(args)) => {
                archive::run(&config, &args).map_err(run::RunError::Command)
            }
            Some(Command::Fsck(args)) => fsck::run(&config, args).map_err(run::RunError::Command),
            Some(Command::Reindex(args)) => {
                reindex::run(&config, &args).map_err(run::RunError::Command)
            }
            None if args.check_config => run::check(&config).map(|()| ExitCode::SUCCESS),
            None => run::run(config).map(|()| ExitCode::SUCCESS),
        });
    result.unwrap_or_else(|error| {
        // On standard error as well as in the log: at a terminal, this line is all there is.
        eprintln!("sealwrightd: {error}");
        ExitCode::FAILURE
    })
}
