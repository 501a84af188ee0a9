//! `sealwright approve import`: brings a file that was signed elsewhere.

use std::path::PathBuf;

use sealwright_client::{Client, Operation};
use sealwright_core::approval::ApprovalFile;
use sealwright_core::digest::Sha256Digest;

use super::words;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::files;
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The approval, as `sealwright approve sign` wrote it.
    approval: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let text = files::read_text(&args.approval)?;
    let file = ApprovalFile::verify(text.as_bytes())
        .map_err(|e| Failure::NotGood(format!("{}: {e}", args.approval.display())))?;
    let operation = args
        .connection
        .run(async |mut client| bring(&mut client, file.request, text).await)?;
    output.answer(&operation, || words::progress(&operation))
}

async fn bring(
    client: &mut Client,
    request: Sha256Digest,
    text: String,
) -> Result<Operation, Failure> {
    let operations = client.operations().await?;
    let fitting = operations.iter().find(|one| one.digest == request);
    let fitting = fitting.ok_or_else(|| {
        let why = format!("no operation has the request {request}; `sealwright approve list --all` shows those that are remembered");
        Failure::NotGood(why)
    })?;
    Ok(client.bring_approval(fitting.operation, text).await?)
}
