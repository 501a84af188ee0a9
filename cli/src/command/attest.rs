//! `sealwright keys attest`: fresh evidence of a key's origin.

use std::path::PathBuf;

use sealwright_core::evidence::Nonce;
use sealwright_core::name::KeyVersionId;

use crate::connect::Connection;
use crate::failure::Failure;
use crate::files;
use crate::output::Output;

/// Ask a key's token for evidence of its origin. The daemon judges, keeps and records it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The version: release#1.
    key: KeyVersionId,
    /// What the evidence has to answer, 64 hex digits [default: chosen by the daemon].
    #[arg(long, value_name = "HEX")]
    nonce: Option<Nonce>,
    /// A file for the evidence document, for `sealwright verify --evidence`.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let Args {
        key,
        nonce,
        output: path,
        connection,
    } = args;
    let attested = connection.run(async |mut client| client.attest_key(&key, nonce).await)?;
    files::write_product(&path, attested.document.get().as_bytes())?;
    if path.as_os_str() == "-" {
        return Ok(());
    }
    output.answer(&attested, || {
        format!(
            "{}: {}\nwritten to {}, SHA-256 {}",
            attested.key,
            attested.finding,
            path.display(),
            attested.evidence_sha256
        )
    })
}
