//! `sealwright token`.

use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Take the suspicion from a token that returned something that did not verify.
    Clear(Clear),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Clear {
    /// The token's name in the configuration.
    token: String,
    /// What was found out about it; goes into the audit log.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(command: Command, output: Output) -> Result<(), Failure> {
    let Command::Clear(Clear {
        token,
        reason,
        connection,
    }) = command;
    connection.run(async |mut client| client.clear_token(&token, &reason).await)?;
    output.answer(
        &serde_json::json!({ "token": token, "cleared": true }),
        || format!("token {token} is no longer suspect; the reason is in the audit log"),
    )
}
