//! `sealwright receipts show` and `history`.

use std::path::{Path, PathBuf};

use sealwright_client::{ReceiptLink, ShownReceipt};
use sealwright_core::receipt::{Follows, ReceiptId};
use sealwright_core::time::Timestamp;
use sealwright_receipts::ReceiptType;
use serde_json::json;

use super::receipt_type;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::files;
use crate::output::{Output, table};

/// Fetch a receipt, by its id or by what it is about.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The receipt.
    #[arg(
        value_name = "ID",
        required_unless_present = "subject",
        conflicts_with = "subject"
    )]
    id: Option<ReceiptId>,
    /// The receipts' type, for --subject.
    #[arg(long = "type", value_name = "TYPE", value_parser = receipt_type, default_value = "cvss-v4.0/1")]
    receipt_type: ReceiptType,
    /// The current receipt about this.
    #[arg(long)]
    subject: Option<String>,
    /// The receipt that was current then [default: now].
    #[arg(long, value_name = "TIME", requires = "subject")]
    at: Option<Timestamp>,
    /// Where the envelope goes; `-` is stdout.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Also write the proof that it is in the audit log.
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

/// The chain that a receipt belongs to, oldest first.
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// Any receipt of the chain.
    id: ReceiptId,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn show(args: Show, output: Output) -> Result<(), Failure> {
    let wait = args.proof.is_some();
    let shown = args
        .connection
        .run(async |mut client| match (args.id, &args.subject) {
            (Some(id), _) => client.receipt(id, wait).await,
            (None, subject) => {
                let subject = subject.as_deref().unwrap_or_default();
                let receipt_type = args.receipt_type.id();
                client
                    .current_receipt(receipt_type, subject, args.at, wait)
                    .await
            }
        })?;
    files::write_product(&args.output, shown.envelope.get().as_bytes())?;
    if let Some(path) = &args.proof {
        write_proof(path, &shown)?;
    }
    let answer = json!({
        "receipt_id": shown.receipt_id, "record": shown.record, "issued_at": shown.issued_at,
        "follows": shown.follows, "followed_by": shown.followed_by, "output": args.output,
    });
    let text = || {
        let (id, at) = (shown.receipt_id, shown.issued_at);
        let followed = shown.followed_by.map(|by| format!(", followed by {by}"));
        format!(
            "receipt {id} of {at}: record {}{}",
            shown.record,
            followed.unwrap_or_default()
        )
    };
    output.beside(&args.output, &answer, text)
}

fn write_proof(path: &Path, shown: &ShownReceipt) -> Result<(), Failure> {
    let why = || {
        shown
            .no_proof
            .as_deref()
            .unwrap_or("the daemon sent none")
            .to_owned()
    };
    let none = || Failure::Local(format!("there is no proof: {}", why()));
    let proof = shown.proof.as_ref().ok_or_else(none)?;
    Ok(files::write_product(path, proof.as_bytes())?)
}

pub(super) fn history(args: History, output: Output) -> Result<(), Failure> {
    let History { id, connection } = args;
    let chain = connection.run(async |mut client| client.receipt_history(id).await)?;
    output.answer(&chain, || {
        let row = |link: &ReceiptLink| {
            let follows =
                |Follows { relation, receipt }| format!("{} {receipt}", relation.as_str());
            [
                link.issued_at.to_string(),
                link.receipt_id.to_string(),
                link.record.to_string(),
                link.follows.map(follows).unwrap_or_default(),
            ]
        };
        table(
            ["ISSUED", "RECEIPT", "RECORD", "FOLLOWS"],
            &chain.iter().map(row).collect::<Vec<_>>(),
        )
    })
}
