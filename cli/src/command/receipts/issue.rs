//! `sealwright receipts issue`.

use std::path::PathBuf;

use sealwright_client::ClientError;
use sealwright_core::receipt::ReceiptId;
use sealwright_receipts::{ReceiptType, Request};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::receipt_type;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::files;
use crate::output::Output;

/// Have a receipt signed.
///
/// The daemon brings the inputs into canonical form and computes the score; nothing here is believed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key to sign with.
    #[arg(long, value_name = "KEY")]
    key: String,
    /// The receipt's type [default: cvss-v4.0/1 with a vector, else generic/1].
    #[arg(long = "type", value_name = "TYPE", value_parser = receipt_type)]
    receipt_type: Option<ReceiptType>,
    /// What it is about: a vulnerability, a product, a build.
    #[arg(long)]
    subject: String,
    /// A CVSS v4.0 vector, or a v3.1 one to be converted.
    #[arg(long, value_name = "VECTOR", group = "what", required = true)]
    vector: Option<String>,
    /// The inputs, a JSON file.
    #[arg(long, value_name = "FILE", group = "what")]
    inputs: Option<PathBuf>,
    /// The receipt whose place it takes.
    #[arg(long, value_name = "ID", conflicts_with = "amends")]
    supersedes: Option<ReceiptId>,
    /// The receipt that it corrects or adds to.
    #[arg(long, value_name = "ID")]
    amends: Option<ReceiptId>,
    /// The canonical form [default: jcs-rfc8785+q4].
    #[arg(long, value_name = "ID")]
    canonicalization: Option<String>,
    /// Where the envelope goes; `-` is stdout.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Also fetch the proof that it is in the audit log.
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let request = request(&args)?;
    // What is wrong with it is said before anybody is asked.
    Request::read(request.as_bytes()).map_err(Failure::local)?;
    let wants_proof = args.proof.is_some();
    let (id, signed, proof) = args.connection.run(async |mut client| {
        let (id, signed) = client.issue_receipt(&args.key, request.into()).await?;
        let proof = match wants_proof {
            true => Some(client.proof(signed.record, true).await?),
            false => None,
        };
        Ok::<_, ClientError>((id, signed, proof))
    })?;
    files::write_product(&args.output, &signed.body)?;
    if let (Some(path), Some(proof)) = (&args.proof, &proof) {
        files::write_product(path, proof.as_bytes())?;
    }
    let answer = json!({"receipt_id": id, "record": signed.record, "output": args.output});
    let text = || format!("receipt {id}: record {}", signed.record);
    output.beside(&args.output, &answer, text)
}

/// The request's body.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(rename = "type")]
    receipt_type: &'static str,
    subject: &'a str,
    /// Their own text goes along: a number keeps its digits.
    inputs: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    supersedes_receipt_id: Option<ReceiptId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amends_receipt_id: Option<ReceiptId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    canonicalization: Option<&'a str>,
}

fn request(args: &Args) -> Result<String, Failure> {
    let inputs = match (&args.vector, &args.inputs) {
        (Some(vector), _) if vector.starts_with("CVSS:3.1/") => {
            json!({"vectorV31": vector}).to_string()
        }
        (Some(vector), _) => json!({"vector": vector}).to_string(),
        (None, Some(file)) => files::read_text(file)?,
        (None, None) => return Err(Failure::local("give --vector or --inputs")),
    };
    let bad = |e: serde_json::Error| Failure::Local(format!("the inputs are no JSON: {e}"));
    let inputs: &RawValue = serde_json::from_str(&inputs).map_err(bad)?;
    let default = match args.vector {
        Some(_) => ReceiptType::Cvss40V1,
        None => ReceiptType::Generic1,
    };
    let wire = Wire {
        receipt_type: args.receipt_type.unwrap_or(default).id(),
        subject: &args.subject,
        inputs,
        supersedes_receipt_id: args.supersedes,
        amends_receipt_id: args.amends,
        canonicalization: args.canonicalization.as_deref(),
    };
    serde_json::to_string(&wire).map_err(Failure::local)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        args: Args,
    }

    fn request_of(what: &[&str]) -> String {
        let given = ["issue", "--key", "k", "--subject", "a \"b\"\n"];
        let line = CommandLine::parse_from(given.iter().chain(what));
        request(&line.args).unwrap()
    }

    #[test]
    fn a_request_has_only_what_was_given_and_always_in_the_same_order() {
        assert_eq!(
            request_of(&["--vector", "CVSS:3.1/AV:N"]),
            r#"{"type":"cvss-v4.0/1","subject":"a \"b\"\n","inputs":{"vectorV31":"CVSS:3.1/AV:N"}}"#
        );
        let id = format!("sha256:{}", "0a".repeat(32));
        let further = ["--type", "generic/1", "--canonicalization", "fixed4"];
        let vector = ["--vector", "CVSS:4.0/AV:N"];
        let rest =
            r#"{"type":"generic/1","subject":"a \"b\"\n","inputs":{"vector":"CVSS:4.0/AV:N"}"#;
        for (flag, member) in [
            ("--supersedes", "supersedesReceiptId"),
            ("--amends", "amendsReceiptId"),
        ] {
            assert_eq!(
                request_of(&[&vector[..], &further, &[flag, &id]].concat()),
                format!(r#"{rest},"{member}":"{id}","canonicalization":"fixed4"}}"#)
            );
        }
    }

    #[test]
    fn the_text_of_the_inputs_goes_along_as_it_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), " { \"n\" : 1.50,\n\"n\":1e400 }\n").unwrap();
        assert_eq!(
            request_of(&["--inputs", file.path().to_str().unwrap()]),
            "{\"type\":\"generic/1\",\"subject\":\"a \\\"b\\\"\\n\",\"inputs\":{ \"n\" : 1.50,\n\"n\":1e400 }}"
        );
    }
}
