//! `sealwright approve list`

use sealwright_client::Operation;
use sealwright_core::state::approvals::Status;
use serde_json::json;

use super::request_of;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::{Output, table};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also those that were done, denied, or ran out.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let mut operations = args
        .connection
        .run(async |mut client| client.operations().await)?;
    let is_open =
        |one: &Operation| matches!(one.status, Status::Waiting | Status::Ready | Status::Owed);
    operations.retain(|one| args.all || is_open(one));
    let rows = operations.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    output.answer(&json!({ "operations": operations }), || {
        let header = [
            "OPERATION",
            "ACTION",
            "STATUS",
            "APPROVALS",
            "ASKED BY",
            "EXPIRES",
        ];
        table(header, &rows)
    })
}

fn row(operation: &Operation) -> Result<[String; 6], Failure> {
    let request = request_of(operation)?;
    let granted = request.approvals.saturating_sub(operation.missing);
    Ok([
        operation.operation.to_string(),
        request.params.action().to_owned(),
        super::words::status(operation.status).to_owned(),
        format!("{granted} of {}", request.approvals),
        request.requester.principal,
        operation.expires_at.to_string(),
    ])
}
