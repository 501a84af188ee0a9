//! `sealwright approve grant|deny`: fetch, look, sign, bring.

use sealwright_core::approval::Verdict;

use super::key::Device;
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
    device: Device,
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
    let (number, word, device) = (args.operation, args.word, args.device);
    let operation = args.connection.run(async |mut client| {
        let operation = client.operation(number).await?;
        let request = request_of(&operation)?;
        let settings = client.settings();
        let key = device.key(&settings.cert, &settings.key)?;
        let file = signed(&request, verdict, word, &key)?;
        Ok::<_, Failure>(client.bring_approval(number, file).await?)
    })?;
    output.answer(&operation, || words::progress(&operation))
}
