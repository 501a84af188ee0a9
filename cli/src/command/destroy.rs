//! `sealwright keys destroy`: the end of a key's life.

use sealwright_client::{Client, Gate};
use sealwright_core::name::KeyVersionId;

use crate::confirm;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::gate::Approvals;
use crate::output::Output;

/// Destroy a version's private part on its token. There is no way back; its public part and its signatures stay.
///
/// It has to have stopped for good ([destruction] after_days ago, 90 by default), or never have signed. A call that was cut off
/// is repeated.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The version: release#1.
    key: KeyVersionId,
    /// Why; goes into the audit log.
    #[arg(long)]
    reason: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    approvals: Approvals,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let Args {
        key,
        reason,
        yes,
        approvals,
        connection,
    } = args;
    if !yes {
        confirm::ask(&format!(
            "The private part of {key} is destroyed, for good. Go on?"
        ))?;
    }
    let destroyed = connection.run(async |mut client| {
        let call =
            async |client: &mut Client, gate: &Gate| client.destroy_key(&key, &reason, gate).await;
        approvals.pass(&mut client, call).await
    })?;
    output.answer(&destroyed, || {
        format!("{} is now {:?}", destroyed.key, destroyed.state)
    })
}
