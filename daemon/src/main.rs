//! The `sealwrightd` program.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use sealwright_manual::Manual;
use sealwrightd::command::{archive, fsck, reindex, shard};
use sealwrightd::config::Config;
use sealwrightd::run::RunError;
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
    #[command(flatten)]
    Manual(Manual),
    Reindex(reindex::Args),
    Shard(shard::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    sealwright_logging::start("info");
    panics::end_the_process();
    let result = run_command(args.command, &args.config, args.check_config);
    result.unwrap_or_else(|error| {
        // On standard error as well as in the log: at a terminal, this line is all there is.
        eprintln!("sealwrightd: {error}");
        ExitCode::FAILURE
    })
}

fn run_command(
    command: Option<Command>,
    path: &Path,
    check_config: bool,
) -> Result<ExitCode, RunError> {
    let config = || Config::read(path);
    let done = match command {
        Some(Command::Archive(args)) => archive::run(&config()?, &args),
        Some(Command::Fsck(args)) => fsck::run(&config()?, args),
        Some(Command::Reindex(args)) => reindex::run(&config()?, &args),
        Some(Command::Manual(manual)) => manual.run(Args::command()).map(|()| ExitCode::SUCCESS),
        // A host that gets a log from elsewhere has no configuration yet.
        Some(Command::Shard(args)) => shard::run(args),
        None if check_config => return run::check(&config()?).map(|()| ExitCode::SUCCESS),
        None => return run::run(config()?).map(|()| ExitCode::SUCCESS),
    };
    done.map_err(RunError::Command)
}
