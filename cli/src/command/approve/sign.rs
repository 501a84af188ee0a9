//! `sealwright approve sign`: an approver's word about an exported request, on a machine without a daemon. What
//! `grant` and `deny` sign is made here as well.

use std::path::PathBuf;

use sealwright_core::approval::{self, ApprovalFile, Predicate, Request, Verdict};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::dsse::encode_envelope;
use sealwright_core::identity::identity_of;
use sealwright_core::statement::PAYLOAD_TYPE;
use sealwright_core::time::Timestamp;
use serde_json::json;

use super::key::{ApproversKey, Device};
use super::words;
use crate::confirm::{self, Confirmation};
use crate::failure::Failure;
use crate::output::Output;
use crate::{clock, files};

/// How an approver makes sure, and what he adds.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Word {
    /// Why, in your words; goes into the audit log.
    #[arg(long)]
    reason: Option<String>,
    /// From then on your word does not count [default: as long as the request].
    #[arg(long, value_name = "TIME")]
    expires: Option<Timestamp>,
    /// The request's SHA-256, where you know it from elsewhere.
    #[arg(long, value_name = "SHA256", conflicts_with = "yes")]
    confirm: Option<Sha256Digest>,
    /// Ask nothing.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The request, as `sealwright approve export` wrote it.
    request: PathBuf,
    /// Say no.
    #[arg(long)]
    deny: bool,
    #[command(flatten)]
    word: Word,
    /// Your certificate, PEM.
    #[arg(
        long,
        value_name = "PEM",
        env = "SEALWRIGHT_CERT",
        required_unless_present = "fido2"
    )]
    cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(
        long,
        value_name = "PEM",
        env = "SEALWRIGHT_KEY",
        required_unless_present = "fido2"
    )]
    client_key: Option<PathBuf>,
    #[command(flatten)]
    device: Device,
    /// Where the approval goes; `-` is stdout.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

pub(super) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let bytes = files::read(&args.request)?;
    let request = Request::parse(&bytes)
        .map_err(|e| Failure::NotGood(format!("{}: {e}", args.request.display())))?;
    let verdict = if args.deny {
        Verdict::Denied
    } else {
        Verdict::Granted
    };
    let key = args.device.key(
        &args.cert.unwrap_or_default(),
        &args.client_key.unwrap_or_default(),
    )?;
    let file = signed(&request, verdict, args.word, &key)?;
    files::write_product(&args.output, file.as_bytes())?;
    let (digest, path) = (request.digest(), &args.output);
    let answer = json!({ "verdict": verdict, "request": digest, "output": path });
    let text = || format!("{} {digest}: {}", verdict.as_str(), path.display());
    output.beside(path, &answer, text)
}

/// Shows the request, has it confirmed, and signs. The text of an approval file.
pub(super) fn signed(
    request: &Request,
    verdict: Verdict,
    word: Word,
    key: &ApproversKey,
) -> Result<String, Failure> {
    confirmed(request, verdict, &word)?;
    let bad = |e: String| Failure::Local(format!("{}: {e}", key.path().display()));
    let certificates = key.certificates();
    let own = certificates.first().copied().unwrap_or_default();
    let approver = identity_of(own, true).map_err(|e| bad(e.to_string()))?;
    let predicate = Predicate {
        verdict,
        approver: approver.to_string(),
        made_at: clock::now(),
        expires: word.expires,
        reason: word.reason,
    };
    let statement = approval::statement(request.digest(), &predicate).map_err(Failure::local)?;
    let (signature, scheme) = key.sign(&statement)?;
    let envelope = encode_envelope(PAYLOAD_TYPE, &statement, &[("", &signature)]);
    let envelope = String::from_utf8(envelope).map_err(Failure::local)?;
    let file = approval::encode(&envelope, &certificates, scheme);
    // A certificate that is for another key is noticed here, not on the other machine.
    ApprovalFile::verify(file.as_bytes()).map_err(|e| bad(e.to_string()))?;
    Ok(file)
}

fn confirmed(request: &Request, verdict: Verdict, word: &Word) -> Result<(), Failure> {
    let digest = request.digest();
    eprint!("{}", words::request(request));
    match Confirmation::from_flags(word.confirm, word.yes) {
        Confirmation::Yes => Ok(()),
        Confirmation::Fingerprint(expected) if expected == digest => Ok(()),
        Confirmation::Fingerprint(expected) => Err(Failure::NotGood(format!(
            "the request has SHA-256 {digest}, not the confirmed {expected}; nothing was signed"
        ))),
        Confirmation::Ask if verdict == Verdict::Granted => confirm::ask("Shall this happen?"),
        Confirmation::Ask => confirm::ask("Shall this be denied?"),
    }
}
