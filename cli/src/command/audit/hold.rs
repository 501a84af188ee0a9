//! `sealwright audit hold`.

use sealwright_client::Hold;

use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::{Output, table};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Forbid to erase anything of a tenant.
    Place(Named),
    /// End a hold.
    Lift(Named),
    /// List the holds in force.
    List(List),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Named {
    /// Whose records.
    #[arg(long)]
    tenant: String,
    /// The hold's name, such as a case number.
    #[arg(long)]
    name: String,
    /// Why; goes into the audit log.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Place(named) => {
            let Named {
                tenant,
                name,
                reason,
                connection,
            } = named;
            let placed = connection
                .run(async |mut client| client.place_hold(&tenant, &name, &reason).await)?;
            output.answer(&placed, || {
                format!(
                    "tenant {tenant} is on hold {name:?}: nothing of it is erased (record {})",
                    placed.record
                )
            })
        }
        Command::Lift(named) => {
            let Named {
                tenant,
                name,
                reason,
                connection,
            } = named;
            let lifted = connection
                .run(async |mut client| client.lift_hold(&tenant, &name, &reason).await)?;
            output.answer(&lifted, || {
                format!(
                    "hold {name:?} on tenant {tenant} is lifted (record {})",
                    lifted.record
                )
            })
        }
        Command::List(List { connection }) => {
            let holds = connection.run(async |mut client| client.holds().await)?;
            output.answer(&holds, || text(&holds))
        }
    }
}

fn text(holds: &[Hold]) -> String {
    let row = |hold: &Hold| {
        [
            hold.tenant.to_string(),
            hold.name.clone(),
            hold.since.to_string(),
            hold.record.to_string(),
            hold.principal.clone(),
            hold.reason.clone(),
        ]
    };
    let rows: Vec<_> = holds.iter().map(row).collect();
    table(["TENANT", "HOLD", "SINCE", "RECORD", "BY", "REASON"], &rows)
}
