//! `sealwright sign`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sealwright_client::{Client, ClientError, Format, Gate, SignRequest, Signed, Working};
use sealwright_core::error::Code;
use sealwright_core::predicate;
use sealwright_core::statement::{self, PAYLOAD_TYPE};

use crate::connect::Connection;
use crate::failure::Failure;
use crate::gate::Approvals;
use crate::output::Output;
use crate::{files, subject};

/// How often a request whose outcome is unknown is sent again, under the same idempotency key.
const RETRIES: u32 = 3;

/// Time between two of them: the first may still be at work.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

/// Have an in-toto statement, or bytes as they are, signed.
///
/// The statement is built here from the predicate file and the subjects: files are hashed with SHA-256,
/// anything else is given as name=sha256:HEX.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key to sign with; repeat it to have one envelope signed by several keys, all or none.
    #[arg(long = "key", value_name = "KEY", required = true)]
    keys: Vec<String>,
    /// The predicate's type: a URI, or slsa-provenance, spdx, spdx3, cyclonedx, openvex.
    #[arg(
        long = "type",
        value_name = "URI|ALIAS",
        required_unless_present = "raw"
    )]
    predicate_type: Option<String>,
    /// The predicate, a JSON file.
    #[arg(long, value_name = "FILE", required_unless_present = "raw")]
    predicate: Option<PathBuf>,
    /// What the statement is about: files, or name=sha256:HEX.
    #[arg(value_name = "SUBJECT", required_unless_present = "raw")]
    subjects: Vec<String>,
    /// Sign the bytes of this file as they are instead of building a statement.
    #[arg(
        long,
        value_name = "FILE",
        requires = "payload_type",
        conflicts_with_all = ["predicate_type", "predicate", "subjects"]
    )]
    raw: Option<PathBuf>,
    /// DSSE payloadType of --raw.
    #[arg(long, value_name = "TYPE", requires = "raw")]
    payload_type: Option<String>,
    /// What to get [default: bundle for one key, dsse for several].
    #[arg(long, value_enum)]
    format: Option<FormatArg>,
    /// Where the result goes; `-` is stdout.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Also fetch the proof that the signature is in the audit log.
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// Makes a repeated command answer from the record instead of signing again [default: fresh].
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// How long the daemon may take.
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// Where policy asks for approvals, wait for them.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum FormatArg {
    Bundle,
    Dsse,
}

pub(crate) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let (payload_type, payload) = payload(&args)?;
    let idempotency_key = args
        .idempotency_key
        .unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let request = SignRequest {
        keys: &args.keys,
        format: format(args.format, args.keys.len()),
        payload_type: &payload_type,
        payload: payload.into(),
        idempotency_key: Some(&idempotency_key),
        operation: None,
        timeout: args.timeout_ms.map(Duration::from_millis),
        on_wait: Some(tell_of_wait),
    };
    let approvals = Approvals::waiting(args.wait);
    let want_proof = args.proof.is_some();
    let (signed, proof) = args.connection.run(async |mut client| {
        let call = async |client: &mut Client, gate: &Gate| {
            let operation = gate.operation;
            let request = SignRequest {
                operation,
                ..request.clone()
            };
            sign(client, &request).await
        };
        let signed = approvals.pass(&mut client, call).await?;
        let proof = if want_proof {
            Some(client.proof(signed.record, true).await?)
        } else {
            None
        };
        Ok::<_, ClientError>((signed, proof))
    })?;
    files::write_product(&args.output, &signed.body)?;
    if let (Some(path), Some(proof)) = (&args.proof, &proof) {
        files::write_product(path, proof.as_bytes())?;
    }
    report(&signed, &args.keys, &args.output, output)
}

fn tell_of_wait(working: &Working) {
    if !working.touch.is_empty() {
        eprintln!(
            "touch the security key: {} waits for it",
            working.touch.join(", ")
        );
    }
}

fn payload(args: &Args) -> Result<(String, Vec<u8>), Failure> {
    if let (Some(file), Some(payload_type)) = (&args.raw, &args.payload_type) {
        return Ok((payload_type.clone(), files::read(file)?));
    }
    let (Some(file), Some(predicate_type)) = (&args.predicate, &args.predicate_type) else {
        return Err(Failure::local(
            "give --predicate and --type, or --raw and --payload-type",
        ));
    };
    let subjects = args
        .subjects
        .iter()
        .map(|text| subject::parse(text))
        .collect::<Result<Vec<_>, _>>()?;
    let predicate_type = predicate::type_uri(predicate_type);
    let statement = statement::build(&subjects, predicate_type, &files::read(file)?);
    let refused = |e| Failure::Local(format!("{}: {e}", file.display()));
    Ok((PAYLOAD_TYPE.to_owned(), statement.map_err(refused)?))
}

fn format(wanted: Option<FormatArg>, keys: usize) -> Format {
    match wanted {
        Some(FormatArg::Bundle) => Format::Bundle,
        Some(FormatArg::Dsse) => Format::Dsse,
        None if keys == 1 => Format::Bundle,
        None => Format::Dsse,
    }
}

/// Signs; where it is not known whether the daemon signed, asks again: the idempotency key makes that safe.
async fn sign(client: &mut Client, request: &SignRequest<'_>) -> Result<Signed, ClientError> {
    let mut left = RETRIES;
    loop {
        match client.sign(request.clone()).await {
            Err(error) if left > 0 && outcome_unknown(&error) => {
                left -= 1;
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            result => return result,
        }
    }
}

fn outcome_unknown(error: &ClientError) -> bool {
    match error {
        ClientError::Broken { .. } => true,
        ClientError::Api(refusal) => matches!(
            refusal.known_code(),
            Some(Code::OutcomeUnknown | Code::IdempotencyInFlight)
        ),
        _ => false,
    }
}

fn report(signed: &Signed, keys: &[String], path: &Path, output: Output) -> Result<(), Failure> {
    let answer = serde_json::json!({
        "record": signed.record,
        "request_id": signed.request_id,
        "sha256": signed.digest,
        "replayed": signed.replayed,
        "output": path,
    });
    let text = || {
        let again = if signed.replayed {
            " (answered from an earlier request)"
        } else {
            ""
        };
        format!(
            "signed by {}: record {}, {}{again}",
            keys.join(", "),
            signed.record,
            path.display()
        )
    };
    output.beside(path, &answer, text)
}
