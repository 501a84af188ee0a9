//! `sealwright audit`.

mod erase;
mod export;
mod filter;
mod grep;
mod hold;
mod listing;
mod pages;
mod retention;
mod tail;
mod view;

use std::path::PathBuf;

use sealwright_client::RecordView;
use serde_json::Value;

use self::filter::Filter;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::files;
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List records.
    Log(Log),
    /// Show the newest records, and each new one as it comes.
    Tail(tail::Args),
    /// List the records whose JSON contains a text.
    Grep(grep::Args),
    /// Show one record.
    Show(Show),
    /// Get the proof that a record is in the log (C2SP tlog-proof).
    Proof(Proof),
    /// Get the newest checkpoint, a signed note.
    Checkpoint(Product),
    /// Get the log's key, one C2SP vkey line.
    Key(Product),
    Retention(retention::Args),
    Erase(erase::Args),
    /// Keep a tenant's records from being erased.
    #[command(subcommand)]
    Hold(hold::Command),
    /// Copy the log to a folder that anybody can check offline (C2SP tlog-tiles).
    Export(export::Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Log {
    /// First index.
    #[arg(long)]
    from: Option<u64>,
    /// Most records.
    #[arg(long)]
    limit: Option<usize>,
    #[command(flatten)]
    filter: Filter,
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
        Command::Tail(args) => return tail::run(args, output),
        Command::Grep(args) => return grep::run(args, output),
        Command::Export(args) => return export::run(args, output),
        Command::Retention(args) => return retention::run(args, output),
        Command::Erase(args) => return erase::run(args, output),
        Command::Hold(command) => return hold::run(command, output),
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
    let mut query = args.filter.query();
    (query.from, query.limit) = (args.from, args.limit);
    let page = args
        .connection
        .run(async |mut client| client.records(&query).await)?;
    output.answer(&page, || listing::page(&page))
}

fn show(view: &RecordView) -> String {
    let leaf = &view.leaf;
    let Some(salt) = &view.salt else {
        let why = match (&view.erased, &view.archived) {
            (Some(erased), _) => format!("its body was erased, see record {}", erased.by),
            (_, Some(archived)) => format!("its body is in the archive, in {}", archived.file),
            _ => "its body is not here".to_owned(),
        };
        return format!("record {}: {why}\nleaf  {leaf}", view.index);
    };
    let record: Value = serde_json::from_str(view.body()).unwrap_or_default();
    let pretty = serde_json::to_string_pretty(&record).unwrap_or_default();
    format!("{pretty}\nleaf  {leaf}\nsalt  {salt}")
}
