//! The commands, one file each.

mod access;
mod approve;
mod attest;
mod audit;
mod backup;
mod clock;
mod deny;
mod destroy;
mod doctor;
mod enrol;
mod finalize_upgrade;
mod freeze;
mod init;
mod keys;
mod pki;
mod policy;
mod receipts;
mod revocation;
mod rotate;
mod set_pin;
mod sign;
mod status;
mod token;
mod trust;
mod verify;

use clap::{CommandFactory as _, Parser, Subcommand};
use sealwright_manual::Manual;

use crate::failure::{EXIT_CODES, Failure};
use crate::output::Output;

/// Signing with hardware keys, recorded before it is released.
#[derive(Debug, Parser)]
#[command(name = "sealwright", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Answer in JSON instead of tables and sentences.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Set this host up: log key, genesis record, configuration (once, as root).
    Init(init::Args),
    /// Have an in-toto statement, or bytes as they are, signed.
    Sign(sign::Args),
    /// Verify a bundle or an envelope offline.
    Verify(verify::Args),
    /// List, enrol and generate keys, and move them through their life.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Approve what needs a second person, here or on a machine without a daemon.
    #[command(subcommand)]
    Approve(approve::Command),
    /// Read the audit log.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Copy what a host needs for its log's successor, and see that a copy is whole.
    #[command(subcommand)]
    Backup(backup::Command),
    /// Tell verifiers about the keys.
    #[command(subcommand)]
    Trust(trust::Command),
    /// Scores and other findings, signed and in a chain.
    #[command(subcommand)]
    Receipts(receipts::Command),
    /// Try a policy out, offline.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Look after tokens.
    #[command(subcommand)]
    Token(token::Command),
    /// The host's clock.
    #[command(subcommand)]
    Clock(clock::Command),
    /// Stop all signing with the keys of a tenant, or with all of them, at once.
    Freeze(freeze::Args),
    /// Lift a freeze.
    Thaw(freeze::Thaw),
    /// How the daemon, its log and its tokens are.
    Status(status::Args),
    /// Look for what keeps this host from signing.
    Doctor(doctor::Args),
    FinalizeUpgrade(finalize_upgrade::Args),
    /// A small offline CA for sites that have none.
    #[command(subcommand)]
    Pki(pki::Command),
    #[command(flatten)]
    Manual(Manual),
}

/// Runs one command.
pub(crate) fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Init(args) => init::run(args, output),
        Command::Sign(args) => sign::run(args, output),
        Command::Verify(args) => verify::run(&args, output),
        Command::Keys(command) => keys::run(command, output),
        Command::Approve(command) => approve::run(command, output),
        Command::Audit(command) => audit::run(command, output),
        Command::Backup(command) => backup::run(command, output),
        Command::Trust(command) => trust::run(command),
        Command::Receipts(command) => receipts::run(command, output),
        Command::Policy(command) => policy::run(command, output),
        Command::Token(command) => token::run(command, output),
        Command::Clock(command) => clock::run(command, output),
        Command::Freeze(args) => freeze::freeze(args, output),
        Command::Thaw(args) => freeze::thaw(args, output),
        Command::Status(args) => status::run(args, output),
        Command::Doctor(args) => doctor::run(args, output),
        Command::FinalizeUpgrade(args) => finalize_upgrade::run(&args, output),
        Command::Pki(command) => pki::run(command, output),
        Command::Manual(manual) => manual.run(Args::command()).map_err(Failure::local),
    }
}
