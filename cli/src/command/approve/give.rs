//! `sealwright approve grant|deny`: fetch, look, sign, bring.

use sealwright_core::approval::Verdict;

use super::sign::{Word, signed};
use super::{request_of, words};
use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its number, as `approve list` shows it.
    operation: u64,
    #[command(flatten)]
    word: Word,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn grant(args: Args, output: Output) -> Result<(), Failure> {
    give(args, Verdict::Granted, output)
}

pub(super) fn deny(args: Args, output: Output) -> Result<(), Failure> {
    give(args, Verdict::Denied, output)
}

fn give(args: Args, verdict: Verdict, output: Output) -> Result<(), Failure> {
    let (number, word) = (args.operation, args.word);
    let operation = args.connection.run(async |mut client| {
        let operation = client.operation(number).await?;
        let request = request_of(&operation)?;
        let (cert, key) = (
            client.settings().cert.clone(),
            client.settings().key.clone(),
        );
        let file = signed(&request, verdict, word, &cert, &key)?;
        Ok::<_, Failure>(client.bring_approval(number, file).await?)
    })?;
    output.answer(&operation, || words::progress(&operation))
}
