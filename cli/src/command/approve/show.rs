//! `sealwright approve show`

use super::{request_of, words};
use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its number, as `approve list` shows it.
    operation: u64,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let number = args.operation;
    let operation = args
        .connection
        .run(async |mut client| client.operation(number).await)?;
    let request = request_of(&operation)?;
    output.answer(&operation, || {
        words::request(&request) + &words::progress(&operation)
    })
}
