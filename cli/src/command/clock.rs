//! `sealwright clock`.

use sealwright_client::{Client, Gate};

use crate::connect::Connection;
use crate::failure::Failure;
use crate::gate::Approvals;
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
    approvals: Approvals,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(command: Command, output: Output) -> Result<(), Failure> {
    let Command::Accept(Accept {
        reason,
        approvals,
        connection,
    }) = command;
    let accepted = connection.run(async |mut client| {
        let call =
            async |client: &mut Client, gate: &Gate| client.accept_clock(&reason, gate).await;
        approvals.pass(&mut client, call).await
    })?;
    output.answer(&accepted, || {
        format!(
            "the host's clock, {}, is believed since record {}",
            accepted.wall, accepted.record
        )
    })
}
