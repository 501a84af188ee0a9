//! `sealwright approve`: what waits for a second person, and that person's word.

mod export;
mod give;
mod import;
mod key;
mod list;
mod show;
mod sign;
mod words;

use sealwright_client::Operation;
use sealwright_core::approval::Request;

use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List what waits for approvals.
    List(list::Args),
    /// Show one request in full.
    Show(show::Args),
    /// Say yes to a request, with the key of your certificate.
    Grant(give::Args),
    /// Say no to a request; it cannot happen any more.
    Deny(give::Args),
    /// Write a request to a file, to be approved on a machine without a daemon.
    Export(export::Args),
    /// Approve or deny an exported request; needs no daemon.
    Sign(sign::Args),
    /// Bring an approval that was signed elsewhere.
    Import(import::Args),
}

pub(crate) fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::List(args) => list::run(args, output),
        Command::Show(args) => show::run(args, output),
        Command::Grant(args) => give::grant(args, output),
        Command::Deny(args) => give::deny(args, output),
        Command::Export(args) => export::run(args, output),
        Command::Sign(args) => sign::run(args, output),
        Command::Import(args) => import::run(args, output),
    }
}

/// What is really asked for: read from the very bytes whose digest is signed.
pub(super) fn request_of(operation: &Operation) -> Result<Request, Failure> {
    let request = Request::parse(operation.request.get().as_bytes());
    let bad = |e| {
        Failure::NotGood(format!(
            "the request of operation {}: {e}",
            operation.operation
        ))
    };
    request.map_err(bad)
}
