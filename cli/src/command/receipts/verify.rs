//! `sealwright receipts verify`, offline.

use std::path::PathBuf;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::dsse::{Envelope, Options, TrustedKey};
use sealwright_core::receipt::ReceiptId;
use sealwright_core::statement::PAYLOAD_TYPE;
use sealwright_core::time::Timestamp;
use sealwright_core::tlog::{Policy, VerifierKey};
use sealwright_receipts::Receipt;
use sealwright_receipts::chain::Chain;
use serde::Serialize;

use crate::command::verify::inputs::trusted;
use crate::failure::Failure;
use crate::files;
use crate::output::Output;
use crate::proof;

/// Verify receipts offline: signature, canonical form, hash, score and chain.
///
/// The score is computed anew from the inputs. Several receipts have to be one whole chain, in any order.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Envelopes.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// A public key that may have signed them, PEM; may be repeated.
    #[arg(long = "key", value_name = "PEM", required = true)]
    keys: Vec<PathBuf>,
    /// A proof that the receipt is in the audit log; for one receipt.
    #[arg(long, value_name = "FILE", requires = "log_key")]
    proof: Option<PathBuf>,
    /// The log's key: a file that holds a C2SP vkey line.
    #[arg(long, value_name = "FILE", requires = "proof")]
    log_key: Option<PathBuf>,
    /// Which receipt counted at this time [default: the newest].
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Verified<'a> {
    verified: bool,
    receipts: Vec<ReceiptId>,
    current: Option<ReceiptId>,
    tenant: &'a str,
    #[serde(rename = "type")]
    receipt_type: &'a str,
    subject: &'a str,
    inputs_hash: Sha256Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'a str>,
    is_recorded: bool,
}

pub(super) fn run(args: &Args, output: Output) -> Result<(), Failure> {
    let keys = args.keys.iter().map(|path| trusted(path, None));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let mut receipts = Vec::with_capacity(args.files.len());
    for path in &args.files {
        let bytes = files::read(path)?;
        let receipt = receipt(&bytes, &keys);
        receipts.push(receipt.map_err(|e| Failure::NotGood(format!("{}: {e}", path.display())))?);
    }
    check_proof(args)?;
    // One receipt stands for itself: what it follows may be elsewhere.
    let chain = match receipts.as_slice() {
        [_] => receipts,
        _ => Chain::of(receipts)
            .map_err(Failure::not_good)?
            .into_receipts(),
    };
    let counts = |receipt: &&Receipt| args.at.is_none_or(|at| receipt.created_at <= at);
    let current = chain.iter().rev().find(counts);
    let shown = current
        .or(chain.first())
        .ok_or_else(|| Failure::local("there is no receipt"))?;
    let result = shown.outcome.result.as_ref();
    let verified = Verified {
        verified: true,
        receipts: chain.iter().map(|receipt| receipt.id).collect(),
        current: current.map(|receipt| receipt.id),
        tenant: shown.tenant.as_str(),
        receipt_type: shown.receipt_type.id(),
        subject: &shown.subject,
        inputs_hash: shown.inputs_hash,
        score: result.map(|result| result.score.to_string()),
        severity: result.map(|result| result.severity.as_str()),
        is_recorded: args.proof.is_some(),
    };
    output.answer(&verified, || text(&verified))
}

fn receipt(bytes: &[u8], keys: &[TrustedKey]) -> Result<Receipt, String> {
    let envelope = Envelope::parse(bytes).map_err(|e| e.to_string())?;
    let payload = envelope.verify(keys, 1, Options::default());
    let payload = payload.map_err(|e| e.to_string())?;
    if payload.payload_type != PAYLOAD_TYPE {
        return Err(format!("the payload is of type {}", payload.payload_type));
    }
    Receipt::read(&payload.payload).map_err(|e| e.to_string())
}

fn check_proof(args: &Args) -> Result<(), Failure> {
    let (Some(path), Some(key)) = (&args.proof, &args.log_key) else {
        return Ok(());
    };
    let [file] = args.files.as_slice() else {
        return Err(Failure::local("--proof is for one receipt"));
    };
    let bad = |e| Failure::Local(format!("{}: {e}", key.display()));
    let log: VerifierKey = files::read_text(key)?.trim_end().parse().map_err(bad)?;
    let envelope = Sha256Digest::of(&[&files::read(file)?]);
    let proof = files::read_text(path)?;
    proof::check(&proof, &Policy::of_log(log), envelope).map_err(Failure::not_good)?;
    Ok(())
}

fn text(verified: &Verified<'_>) -> String {
    let score = match (&verified.score, verified.severity) {
        (Some(score), Some(severity)) => format!(", score {score} {severity}"),
        _ => String::new(),
    };
    let current = match verified.current {
        Some(id) => format!("current: {id}"),
        None => "none of them was there at that time".to_owned(),
    };
    format!(
        "verified {} receipt(s) of type {} about {:?}, tenant {}{score}\n{current}",
        verified.receipts.len(),
        verified.receipt_type,
        verified.subject,
        verified.tenant
    )
}
