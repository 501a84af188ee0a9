//! `sealwright-witness`: cosigns checkpoints of the logs it knows, as long as each of them only grows.
//!
//! C2SP `tlog-witness` v1.0.0 over plain HTTP; put TLS in front of it where it faces a network. Meant for a
//! second host of the same operator and for tests: its word is worth as much as its distance from the log.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod http;
mod keeper;
mod key;
mod listen;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use sealwright_manual::Manual;

use crate::config::Config;
use crate::keeper::Keeper;
use crate::key::CosignerKey;
use crate::store::Store;

/// Cosign checkpoints of transparency logs that only ever grow.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key; prints its verifier key, which the log's operator configures.
    Keygen {
        /// The witness's name in its cosignatures, such as witness.example/w1.
        #[arg(long)]
        name: String,
        /// The file to make; an existing one is never overwritten.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Answer add-checkpoint requests until SIGTERM.
    Serve {
        /// The configuration file.
        #[arg(
            long,
            value_name = "FILE",
            default_value = "/etc/sealwright/witness.toml"
        )]
        config: PathBuf,
    },
    #[command(flatten)]
    Manual(Manual),
}

/// Why the witness does not run.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    #[error(transparent)]
    Key(#[from] key::KeyError),
    #[error(transparent)]
    Store(#[from] store::StoreError),
    #[error(transparent)]
    Listen(#[from] listen::ListenError),
    #[error("cannot start: {0}")]
    Start(#[source] std::io::Error),
    #[error(transparent)]
    Manual(std::io::Error),
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Keygen { name, key } => keygen(&name, &key),
        Command::Serve { config } => serve(&config),
        Command::Manual(manual) => manual.run(Args::command()).map_err(Failure::Manual),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sealwright-witness: {error}");
            ExitCode::FAILURE
        }
    }
}

fn keygen(name: &str, path: &std::path::Path) -> Result<(), Failure> {
    let key = CosignerKey::generate(name, path)?;
    println!("{}", key.public());
    Ok(())
}

fn serve(path: &std::path::Path) -> Result<(), Failure> {
    sealwright_logging::start("info");
    let config = Config::read(path)?;
    let key = CosignerKey::read(&config.key_file)?;
    tracing::info!("cosigning as {}", key.public());
    let store = Store::open(&config.state_dir)?;
    let keeper = Keeper::start(config.logs, key, store)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::Start)?;
    Ok(runtime.block_on(listen::serve(&config.listen, keeper))?)
}
