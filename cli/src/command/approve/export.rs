//! `sealwright approve export`: the request's own bytes, so that `sha256sum` of the file is what is signed.

use std::path::PathBuf;

use serde_json::json;

use super::request_of;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::files;
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its number, as `approve list` shows it.
    operation: u64,
    /// Where the request goes; `-` is stdout.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let (number, path) = (args.operation, args.output);
    let operation = args
        .connection
        .run(async |mut client| client.operation(number).await)?;
    let request = request_of(&operation)?;
    files::write_product(&path, request.to_text().as_bytes())?;
    let digest = request.digest();
    let answer = json!({ "operation": number, "sha256": digest, "output": path });
    let text = || {
        format!(
            "request {number}, SHA-256 {digest}: {0}; next: sealwright approve sign {0}",
            path.display()
        )
    };
    output.beside(&path, &answer, text)
}
