//! `sealwright receipts`: scores and other findings, signed and in a chain.

mod issue;
mod read;
mod verify;

use sealwright_receipts::ReceiptType;

use crate::failure::Failure;
use crate::files;
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Have a receipt signed.
    Issue(issue::Args),
    /// Fetch a receipt, by its id or by what it is about.
    Show(read::Show),
    /// The chain that a receipt belongs to.
    History(read::History),
    /// Verify receipts offline: signature, canonical form, hash, score and chain.
    Verify(verify::Args),
    /// The JSON Schema of a type's inputs.
    Schema {
        /// The type.
        #[arg(value_name = "TYPE", value_parser = receipt_type)]
        receipt_type: ReceiptType,
    },
}

fn receipt_type(text: &str) -> Result<ReceiptType, String> {
    text.parse().map_err(|_| {
        let known = ReceiptType::ALL.map(ReceiptType::id).join(", ");
        format!("the types are {known}")
    })
}

pub(crate) fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Issue(args) => issue::run(args, output),
        Command::Show(args) => read::show(args, output),
        Command::History(args) => read::history(args, output),
        Command::Verify(args) => verify::run(&args, output),
        Command::Schema { receipt_type } => Ok(files::write_product(
            "-".as_ref(),
            receipt_type.schema().as_bytes(),
        )?),
    }
}
