//! `sealwright keys revoke`: a key may be in other hands.

use sealwright_core::name::KeyVersionId;
use sealwright_core::time::Timestamp;

use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::Output;

/// Say that a key version may be in other hands. It signs nothing from the next request on, and there is no way
/// back: to stop a key for a while, suspend it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The version: release#1.
    key: KeyVersionId,
    /// Since when its signatures are not to be trusted by themselves [default: now].
    #[arg(long, value_name = "TIME")]
    effective_time: Option<Timestamp>,
    /// Why; goes into the audit log.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let Args {
        key,
        effective_time,
        reason,
        connection,
    } = args;
    let revoked = connection
        .run(async |mut client| client.compromise_key(&key, effective_time, &reason).await)?;
    output.answer(&revoked, || {
        let since = revoked
            .compromise
            .as_ref()
            .map(|c| c.effective_time.to_string());
        format!(
            "{} is compromised from {}",
            revoked.key,
            since.unwrap_or_default()
        )
    })
}
