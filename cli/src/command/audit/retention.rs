//! `sealwright audit retention`.

use sealwright_client::Retention;

use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::{Output, table};

/// Show which records are older than their tenant's retention. Nothing is erased.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let due = args
        .connection
        .run(async |mut client| client.retention().await)?;
    output.answer(&due, || text(&due))
}

fn text(due: &[Retention]) -> String {
    if due.is_empty() {
        return "no [[retention]] is configured for a tenant whose log you may read".to_owned();
    }
    let rows: Vec<_> = due.iter().map(row).collect();
    let header = [
        "TENANT",
        "DAYS",
        "DUE",
        "OLDEST",
        "ARCHIVED",
        "HOLDS",
        "ERASE --before",
    ];
    table(header, &rows)
}

fn row(due: &Retention) -> [String; 7] {
    [
        due.tenant.to_string(),
        due.days.to_string(),
        due.count.to_string(),
        due.oldest.map(|time| time.to_string()).unwrap_or_default(),
        due.archived.to_string(),
        due.holds.join(", "),
        due.before.to_string(),
    ]
}
