//! `sealwright audit`.

use std::path::PathBuf;

use sealwright_client::{RecordPage, RecordQuery, RecordView};
use serde_json::Value;

use crate::connect::Connection;
use crate::failure::Failure;
use crate::files;
use crate::output::{Output, table};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List records.
    Log(Log),
    /// Show one record.
    Show(Show),
    /// Get the proof that a record is in the log (C2SP tlog-proof).
    Proof(Proof),
    /// Get the newest checkpoint, a signed note.
    Checkpoint(Product),
    /// Get the log's key, one C2SP vkey line.
    Key(Product),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Log {
    /// First index.
    #[arg(long)]
    from: Option<u64>,
    /// Most records.
    #[arg(long)]
    limit: Option<usize>,
    /// Records of this key.
    #[arg(long)]
    key: Option<String>,
    /// Records of this caller.
    #[arg(long)]
    principal: Option<String>,
    /// signed, denied, failed, discarded or outcome_unknown.
    #[arg(long)]
    outcome: Option<String>,
    /// Records with this subject: sha256:HEX.
    #[arg(long)]
    subject: Option<String>,
    /// Records of this kind, such as sign or key.enrolled.
    #[arg(long)]
    kind: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The record's index.
    index: u64,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Proof {
    /// The record's index.
    index: u64,
    /// Do not wait for a checkpoint that covers the record.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    product: Product,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Product {
    /// Where it goes; `-` is stdout.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(command: Command, output: Output) -> Result<(), Failure> {
    let (path, text) = match command {
        Command::Log(args) => return log(args, output),
        Command::Show(Show { index, connection }) => {
            let record = connection.run(async |mut client| client.record(index).await)?;
            return output.answer(&record, || show(&record));
        }
        Command::Proof(Proof {
            index,
            no_wait,
            product: Product { output, connection },
        }) => (
            output,
            connection.run(async |mut client| client.proof(index, !no_wait).await)?,
        ),
        Command::Checkpoint(Product { output, connection }) => (
            output,
            connection.run(async |mut client| client.checkpoint().await)?,
        ),
        Command::Key(Product { output, connection }) => (
            output,
            connection.run(async |mut client| client.log_key().await)?,
        ),
    };
    Ok(files::write_product(&path, text.as_bytes())?)
}

fn log(args: Log, output: Output) -> Result<(), Failure> {
    let query = RecordQuery {
        from: args.from,
        limit: args.limit,
        key: args.key,
        principal: args.principal,
        outcome: args.outcome,
        subject: args.subject,
        kind: args.kind,
    };
    let page = args
        .connection
        .run(async |mut client| client.records(&query).await)?;
    output.answer(&page, || listing(&page))
}

fn listing(page: &RecordPage) -> String {
    let rows: Vec<_> = page.records.iter().map(row).collect();
    let header = ["INDEX", "TIME", "KIND", "OUTCOME", "KEY", "PRINCIPAL"];
    let more = page
        .next
        .map(|next| format!("more: --from {next}\n"))
        .unwrap_or_default();
    table(header, &rows) + &more
}

fn row(view: &RecordView) -> [String; 6] {
    let record: Value = serde_json::from_str(view.record.get()).unwrap_or_default();
    let text = |pointer: &str| {
        record
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let or_else =
        |first: &str, second: &str| text(first).or_else(|| text(second)).unwrap_or_default();
    [
        view.index.to_string(),
        or_else("/time", ""),
        or_else("/kind", ""),
        or_else("/outcome", "/event"),
        or_else("/key", "/token"),
        or_else("/principal", "/by/principal"),
    ]
}

fn show(view: &RecordView) -> String {
    let record: Value = serde_json::from_str(view.record.get()).unwrap_or_default();
    let pretty = serde_json::to_string_pretty(&record).unwrap_or_default();
    format!("{pretty}\nleaf  {}\nsalt  {}", view.leaf, view.salt)
}
