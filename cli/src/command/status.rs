//! `sealwright status`.

use sealwright_client::{Status, TokenStatus};

use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::{Output, table};

/// How the daemon, its log and its tokens are.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let status = args
        .connection
        .run(async |mut client| client.status().await)?;
    output.answer(&status, || text(&status))
}

fn text(status: &Status) -> String {
    let log = &status.log;
    let rows = [
        ["daemon".to_owned(), status.version.clone()],
        [
            "you".to_owned(),
            format!(
                "{} ({}) in tenant {}",
                status.principal.id,
                status.principal.roles.join(", "),
                status.principal.tenant
            ),
        ],
        ["log".to_owned(), status.origin.clone()],
        [
            "records".to_owned(),
            format!(
                "{}, {} of them under a checkpoint; {}",
                log.size, log.checkpoint_size, log.state
            ),
        ],
        [
            "policy".to_owned(),
            format!("sha256:{}", status.policy_digest),
        ],
        [
            "config".to_owned(),
            format!("sha256:{}", status.config_digest),
        ],
    ];
    let width = rows
        .iter()
        .map(|[name, _]| name.len())
        .max()
        .unwrap_or_default();
    let lines = rows
        .iter()
        .map(|[name, value]| format!("{name:width$}  {value}\n"));
    let tokens: Vec<_> = status.tokens.iter().map(row).collect();
    let header = ["TOKEN", "STATE", "WAITING", "AT WORK", "SERIAL", "NOTE"];
    format!("{}\n{}", lines.collect::<String>(), table(header, &tokens))
}

fn row(token: &TokenStatus) -> [String; 6] {
    let suspect =
        "suspect: returned what did not verify; look into it, then `sealwright token clear`";
    let note = match (&token.reason, token.suspect) {
        (Some(reason), _) => reason.clone(),
        (None, true) => suspect.to_owned(),
        (None, false) => String::new(),
    };
    [
        token.name.clone(),
        token.state.clone(),
        token.queued.to_string(),
        token.in_flight.to_string(),
        token.serial.clone().unwrap_or_default(),
        note,
    ]
}
