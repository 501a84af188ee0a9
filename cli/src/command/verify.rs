//! `sealwright verify`.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use sealwright_core::bundle::{Artifact, Bundle, BundleVerifyError, Content, Version};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::dsse::{Envelope, Options, TrustedKey, VerifiedPayload, encode_envelope};
use sealwright_core::json;
use sealwright_core::scheme::Scheme;
use sealwright_core::spki::Spki;
use sealwright_core::statement::{self, Accept, PAYLOAD_TYPE, StatementSummary};
use sealwright_core::tlog::{Policy, VerifierKey};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::files;
use crate::output::Output;
use crate::proof::{self, Recorded};

/// Verify a bundle or an envelope offline.
///
/// At least --threshold of the given keys must have signed. With --artifact, each file must be one of the
/// statement's subjects. With --proof, the signature must be in the log of --log-key.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A Sigstore bundle (v0.1 to v0.3) or a DSSE envelope.
    file: PathBuf,
    /// A public key whose signature counts, PEM; may be repeated.
    #[arg(long = "key", value_name = "PEM", required = true)]
    keys: Vec<PathBuf>,
    /// The scheme of all keys [default: the usual one for each key].
    #[arg(long)]
    scheme: Option<Scheme>,
    /// How many of the keys must have signed [default: all].
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
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// The log's key: a C2SP vkey line, or a file that holds one.
    #[arg(
        long,
        value_name = "VKEY|FILE",
        requires = "proof",
        conflicts_with = "policy"
    )]
    log_key: Option<String>,
    /// A C2SP tlog-policy: known logs, witnesses, and how many of them.
    #[arg(long, value_name = "FILE", requires = "proof")]
    policy: Option<PathBuf>,
    /// Write the verified payload to this file.
    #[arg(long, value_name = "FILE")]
    payload_out: Option<PathBuf>,
}

/// What was verified.
#[derive(Serialize)]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<Recorded>,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<(), Failure> {
    let keys = args
        .keys
        .iter()
        .map(|path| trusted(path, args.scheme))
        .collect::<Result<Vec<_>, _>>()?;
    let bytes = files::read(&args.file)?;
    let in_file = |failure| match failure {
        Failure::NotGood(why) => Failure::NotGood(format!("{}: {why}", args.file.display())),
        other => other,
    };
    let verified = if is_bundle(&bytes) {
        let bundle = Bundle::parse(&bytes)
            .map_err(Failure::not_good)
            .map_err(in_file)?;
        verify_bundle(args, &keys, &bundle)
    } else {
        let envelope = Envelope::parse(&bytes)
            .map_err(Failure::not_good)
            .map_err(in_file)?;
        verify_envelope(args, &keys, envelope, "dsse")
    };
    let verified = verified.map_err(in_file)?;
    output.answer(&verified, || text(args, &verified))
}

fn trusted(path: &Path, scheme: Option<Scheme>) -> Result<TrustedKey, Failure> {
    let bad =
        |reason: &dyn std::fmt::Display| Failure::Local(format!("{}: {reason}", path.display()));
    let pem = files::read_text(path)?;
    let (label, der) = x509_cert::der::pem::decode_vec(pem.as_bytes())
        .map_err(|_| bad(&"is no public key in PEM"))?;
    if label != "PUBLIC KEY" {
        return Err(bad(&format!("holds a {label}; expected a PUBLIC KEY")));
    }
    let spki = Spki::from_der(der);
    match scheme {
        Some(scheme) => TrustedKey::new(spki, scheme).map_err(|e| bad(&e)),
        None => TrustedKey::with_default_scheme(spki).map_err(|e| bad(&e)),
    }
}

/// A bundle has a mediaType, an envelope has none.
fn is_bundle(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Probe {
        #[serde(default)]
        media_type: Option<serde::de::IgnoredAny>,
    }
    json::from_slice::<Probe>(bytes).is_ok_and(|probe| probe.media_type.is_some())
}

fn verify_bundle(args: &Args, keys: &[TrustedKey], bundle: &Bundle) -> Result<Verified, Failure> {
    let format = match bundle.version {
        Version::V01 => "bundle v0.1",
        Version::V02 => "bundle v0.2",
        Version::V03 => "bundle v0.3",
    };
    let envelope = match &bundle.content {
        Content::Dsse(envelope) => envelope.clone(),
        Content::Message(_) => return verify_message(args, keys, bundle, format),
    };
    check_around(args, keys, bundle)?;
    verify_envelope(args, keys, envelope, format)
}

/// What only a bundle has: its hint or certificate must not name another key than one of those given.
fn check_around(args: &Args, keys: &[TrustedKey], bundle: &Bundle) -> Result<(), Failure> {
    let mut first_error = None;
    for key in keys {
        match bundle.verify_statement(key) {
            Ok(_) => return Ok(()),
            // Which payload is wanted is asked later; up to there the bundle is in order.
            Err(BundleVerifyError::PayloadType(found)) if found == args.payload_type => {
                return Ok(());
            }
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.map_or_else(|| Failure::local("no --key is given"), Failure::not_good))
}

/// A signature over the artifact's own bytes: no statement, no log record.
fn verify_message(
    args: &Args,
    keys: &[TrustedKey],
    bundle: &Bundle,
    format: &'static str,
) -> Result<Verified, Failure> {
    let [artifact] = args.artifacts.as_slice() else {
        return Err(Failure::local(
            "this bundle signs a file's own bytes: name that file with one --artifact",
        ));
    };
    if args.proof.is_some() {
        return Err(Failure::not_good(
            "this bundle holds no envelope that a log proof could be about",
        ));
    }
    let bytes = files::read(artifact)?;
    let results = keys
        .iter()
        .map(|key| bundle.verify(key, Artifact::Bytes(&bytes)).map(|_| key));
    let mut first_error = None;
    for result in results {
        match result {
            Ok(key) => {
                return Ok(Verified::by(
                    format,
                    vec![key.spki().sha256()],
                    vec![artifact.clone()],
                ));
            }
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.map_or_else(|| Failure::local("no --key is given"), Failure::not_good))
}

fn verify_envelope(
    args: &Args,
    keys: &[TrustedKey],
    envelope: Envelope,
    format: &'static str,
) -> Result<Verified, Failure> {
    let digest = envelope_sha256(&envelope);
    let threshold = args.threshold.unwrap_or(keys.len());
    let payload = envelope
        .verify(keys, threshold, Options::default())
        .map_err(Failure::not_good)?;
    if payload.payload_type != args.payload_type {
        return Err(Failure::NotGood(format!(
            "payloadType is {:?}, not {:?} (--payload-type)",
            payload.payload_type, args.payload_type
        )));
    }
    let statement = statement_of(args, &payload)?;
    let recorded = args
        .proof
        .as_deref()
        .map(|path| recorded(args, path, digest))
        .transpose()?;
    if let Some(path) = &args.payload_out {
        files::write_product(path, &payload.payload)?;
    }
    let signers = payload
        .signers
        .iter()
        .filter_map(|&i| keys.get(i))
        .map(|key| key.spki().sha256());
    let mut verified = Verified::by(format, signers.collect(), args.artifacts.clone());
    verified.payload_type = Some(payload.payload_type);
    verified.subjects = statement.as_ref().map(|statement| statement.subjects.len());
    verified.predicate_type = statement.map(|statement| statement.predicate_type);
    verified.recorded = recorded;
    Ok(verified)
}

/// SHA-256 of the envelope's canonical JSON, as the record has it; `None` where a signature is not base64.
fn envelope_sha256(envelope: &Envelope) -> Option<Sha256Digest> {
    let signature =
        |s: &sealwright_core::dsse::EnvelopeSignature| Some((s.keyid.clone(), s.sig.clone()?));
    let signatures = envelope
        .signatures()
        .iter()
        .map(signature)
        .collect::<Option<Vec<_>>>()?;
    let signatures: Vec<_> = signatures
        .iter()
        .map(|(keyid, sig)| (&**keyid, &**sig))
        .collect();
    let pae = envelope.pae();
    Some(Sha256Digest::of(&[&encode_envelope(
        pae.payload_type,
        pae.payload,
        &signatures,
    )]))
}

fn statement_of(
    args: &Args,
    payload: &VerifiedPayload,
) -> Result<Option<StatementSummary>, Failure> {
    if payload.payload_type != PAYLOAD_TYPE {
        return match (&args.predicate_type, args.artifacts.first()) {
            (None, None) => Ok(None),
            _ => Err(Failure::not_good(
                "--artifact and --type need an in-toto statement, and the payload is none",
            )),
        };
    }
    let statement =
        statement::check(&payload.payload, Accept::AlsoV01).map_err(Failure::not_good)?;
    if let Some(wanted) = args
        .predicate_type
        .as_deref()
        .map(sealwright_core::predicate::type_uri)
    {
        let found = &statement.predicate_type;
        if found != wanted {
            return Err(Failure::NotGood(format!(
                "predicateType is {found}, not {wanted}"
            )));
        }
    }
    for artifact in &args.artifacts {
        let digest = files::sha256(artifact)?.to_string();
        if !statement.has_digest("sha256", &digest) {
            let name = artifact.display();
            return Err(Failure::NotGood(format!(
                "no subject has the SHA-256 of {name}, {digest}"
            )));
        }
    }
    Ok(Some(statement))
}

fn recorded(args: &Args, path: &Path, envelope: Option<Sha256Digest>) -> Result<Recorded, Failure> {
    let policy = log_policy(args)?;
    let envelope =
        envelope.ok_or_else(|| Failure::not_good("a signature of the envelope is not base64"))?;
    let in_proof = |e| Failure::NotGood(format!("{}: {e}", path.display()));
    proof::check(&files::read_text(path)?, &policy, envelope).map_err(in_proof)
}

fn log_policy(args: &Args) -> Result<Policy, Failure> {
    if let Some(path) = &args.policy {
        let bad = |e| Failure::Local(format!("{}: {e}", path.display()));
        return files::read_text(path)?.parse().map_err(bad);
    }
    let given = args.log_key.as_deref();
    let given = given.ok_or_else(|| Failure::local("--proof needs --log-key or --policy"))?;
    if let Ok(key) = given.parse::<VerifierKey>() {
        return Ok(Policy::of_log(key));
    }
    let text = files::read_text(Path::new(given))?;
    let bad = |e| Failure::Local(format!("{given}: {e}"));
    Ok(Policy::of_log(text.trim_end().parse().map_err(bad)?))
}

impl Verified {
    fn by(format: &'static str, signers: Vec<Sha256Digest>, artifacts: Vec<PathBuf>) -> Self {
        Self {
            verified: true,
            format,
            payload_type: None,
            predicate_type: None,
            subjects: None,
            signers,
            artifacts,
            recorded: None,
        }
    }
}

fn text(args: &Args, verified: &Verified) -> String {
    let mut lines = vec![format!(
        "{}: verified, {}",
        args.file.display(),
        verified.format
    )];
    lines.extend(
        verified
            .payload_type
            .iter()
            .map(|t| format!("  payload    {t}")),
    );
    lines.extend(
        verified
            .predicate_type
            .iter()
            .map(|t| format!("  predicate  {t}")),
    );
    lines.extend(verified.subjects.map(|n| format!("  subjects   {n}")));
    lines.extend(verified.signers.iter().map(|spki| {
        let keyid = base64::engine::general_purpose::STANDARD.encode(spki.0);
        format!("  signed by  {spki} (keyid {keyid})")
    }));
    lines.extend(
        verified
            .artifacts
            .iter()
            .map(|path| format!("  artifact   {}", path.display())),
    );
    if let Some(recorded) = &verified.recorded {
        let Recorded {
            index,
            origin,
            time,
            principal,
            ..
        } = recorded;
        lines.push(format!(
            "  recorded   {origin} record {index}, {time}, for {principal}"
        ));
        lines.extend(
            recorded
                .cosigners
                .iter()
                .map(|name| format!("  witness    {name}")),
        );
    }
    lines.join("\n")
}
