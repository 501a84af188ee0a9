//! `sealwright clock`.

use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Say that a clock which the daemon doubts is right.
    Accept(Accept),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Accept {
    /// How you know; goes into the audit log.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(command: Command, output: Output) -> Result<(), Failure> {
    let Command::Accept(Accept { reason, connection }) = command;
    let accepted = connection.run(async |mut client| client.accept_clock(&reason).await)?;
    output.answer(&accepted, || {
        format!(
            "the host's clock, {}, is believed since record {}",
            accepted.wall, accepted.record
        )
    })
}
