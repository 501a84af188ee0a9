//! `sealwright token`.

use crate::command::set_pin;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Take the suspicion from a token that returned something that did not verify.
    Clear(Clear),
    SetPin(set_pin::Args),
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
    match command {
        Command::Clear(args) => clear(args, output),
        Command::SetPin(args) => set_pin::run(args, output),
    }
}

fn clear(args: Clear, output: Output) -> Result<(), Failure> {
    let Clear {
        token,
        reason,
        connection,
    } = args;
    connection.run(async |mut client| client.clear_token(&token, &reason).await)?;
    output.answer(
        &serde_json::json!({ "token": token, "cleared": true }),
        || format!("token {token} is no longer suspect; the reason is in the audit log"),
    )
}
