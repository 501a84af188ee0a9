//! `sealwright verify`.

mod checks;
mod evidence;
pub(super) mod inputs;
mod log;
mod signers;
mod text;
mod trust;

use std::path::{Path, PathBuf};

use sealwright_core::digest::Sha256Digest;
use sealwright_core::evidence::Nonce;
use sealwright_core::scheme::Scheme;
use sealwright_core::statement::PAYLOAD_TYPE;
use sealwright_core::time::Timestamp;
use sealwright_core::verdict::Verdict;
use serde::Serialize;

use self::signers::{Judgement, Signers};
use crate::exported::Checked;
use crate::failure::Failure;
use crate::output::Output;
use crate::proof::Recorded;

/// Verify a bundle, an envelope, an exported log or evidence of a key offline.
///
/// At least --threshold of the given keys must have signed. With --artifact, each file must be one of the
/// statement's subjects. With --proof, the signature must be in the log of --log-key. With --log, every file
/// of the exported log is checked, and FILE must be recorded in it.
///
/// With --trust the answer is a verdict, by a document that --trust-key vouches for: good, superseded and before-compromise are relied on; suspect and
/// after-revocation are not (exit code 1). Before-compromise needs --proof or --log under a --policy with witnesses, or
/// a bundle with a time stamp and --tsa-roots.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A Sigstore bundle (v0.1 to v0.3) or a DSSE envelope.
    #[arg(
        required_unless_present_any = ["log", "attestation"],
        requires = "signers",
        group = "subject"
    )]
    file: Option<PathBuf>,
    /// A public key whose signature counts, PEM; may be repeated.
    #[arg(
        long = "key",
        value_name = "PEM",
        requires = "subject",
        group = "signers"
    )]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    trust: trust::TrustArgs,
    /// Evidence of the origin of one key (--key or --spki), from `sealwright keys attest`. What a token merely claims is
    /// signed by nobody.
    #[arg(
        id = "attestation",
        long = "evidence",
        value_name = "FILE",
        group = "subject",
        conflicts_with_all = ["proof", "log"]
    )]
    attestation: Option<PathBuf>,
    /// The fingerprint of the key that --evidence is about.
    #[arg(long, value_name = "SHA256", requires = "attestation")]
    spki: Option<Sha256Digest>,
    /// What was asked with; --evidence has to answer it.
    #[arg(long, value_name = "HEX", requires = "attestation")]
    nonce: Option<Nonce>,
    /// Certificates of device makers, PEM: what a device of theirs says of itself in --evidence counts.
    #[arg(long, value_name = "PEM", requires = "attestation")]
    device_roots: Option<PathBuf>,
    /// The scheme of all keys [default: the usual one for each key].
    #[arg(long)]
    scheme: Option<Scheme>,
    /// How many of the keys must have signed [default: all; with --trust: 1].
    #[arg(long, value_name = "N")]
    threshold: Option<usize>,
    /// A file that the statement must be about; may be repeated.
    #[arg(long = "artifact", value_name = "FILE")]
    artifacts: Vec<PathBuf>,
    /// The predicateType (or alias) that the statement must have.
    #[arg(long = "type", value_name = "URI|ALIAS")]
    predicate_type: Option<String>,
    /// The payloadType that the envelope must have.
    #[arg(long, value_name = "TYPE", default_value = PAYLOAD_TYPE)]
    payload_type: String,
    /// A proof that the signature is in the audit log (C2SP tlog-proof).
    #[arg(long, value_name = "FILE", group = "evidence")]
    proof: Option<PathBuf>,
    /// A log that `sealwright audit export` wrote.
    #[arg(long, value_name = "DIR", group = "evidence")]
    log: Option<PathBuf>,
    /// The log's key: a C2SP vkey line, or a file that holds one.
    #[arg(
        long,
        value_name = "VKEY|FILE",
        requires = "evidence",
        conflicts_with = "policy"
    )]
    log_key: Option<String>,
    /// A C2SP tlog-policy: known logs, witnesses, and how many of them.
    #[arg(long, value_name = "FILE", requires = "evidence")]
    policy: Option<PathBuf>,
    /// Whose time stamps in a bundle count as evidence of its age: certificates of time stamp authorities or of those who
    /// issue theirs, PEM; or a Sigstore trusted_root.json.
    #[arg(long, value_name = "PEM|JSON", requires = "document")]
    tsa_roots: Option<PathBuf>,
    /// Write the verified payload to this file.
    #[arg(long, value_name = "FILE")]
    payload_out: Option<PathBuf>,
}

/// What was verified.
#[derive(Debug, Serialize)]
struct Verified {
    verified: bool,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    predicate_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subjects: Option<usize>,
    /// SHA-256 of the SubjectPublicKeyInfo of each key that signed.
    signers: Vec<Sha256Digest>,
    artifacts: Vec<PathBuf>,
    /// When a time stamp authority had seen the signature, at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    stamped: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<Recorded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Checked>,
    #[serde(flatten)]
    judgement: Option<Judgement>,
}

impl Verified {
    fn verdict(&self) -> Option<Verdict> {
        self.judgement.as_ref().map(|judgement| judgement.verdict)
    }
}

pub(crate) fn run(args: &Args, output: Output) -> Result<(), Failure> {
    match (&args.file, &args.attestation) {
        (_, Some(attestation)) => evidence::run(args, attestation, output),
        (Some(file), None) => run_file(args, file, output),
        (None, None) => log::run(args, output),
    }
}

fn run_file(args: &Args, file: &Path, output: Output) -> Result<(), Failure> {
    let signers = Signers::read(args)?;
    let verified = checks::verify(args, file, &signers).map_err(|failure| match failure {
        Failure::NotGood(why) => Failure::NotGood(format!("{}: {why}", file.display())),
        other => other,
    })?;
    output.answer(&verified, || text::text(file, &verified))?;
    match verified.verdict() {
        Some(verdict) if !verdict.is_accepted() => Err(Failure::NotGood(format!(
            "{}: {}: {}",
            file.display(),
            verdict.as_str(),
            verdict.reason()
        ))),
        _ => Ok(()),
    }
}
