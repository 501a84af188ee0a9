//! The checks of `verify`, in their order: signatures first, then what they are about.

use std::path::Path;

use sealwright_core::bundle::{Artifact, Bundle, BundleVerifyError, Content, Version};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::dsse::{Envelope, Options, TrustedKey, VerifiedPayload, encode_envelope};
use sealwright_core::json;
use sealwright_core::predicate;
use sealwright_core::statement::{self, Accept, PAYLOAD_TYPE, StatementSummary};
use sealwright_core::time::Timestamp;
use serde::Deserialize;

use super::signers::{Judgement, Signers};
use super::{Args, Verified, inputs, log};
use crate::exported::Checked;
use crate::failure::Failure;
use crate::files;
use crate::proof::{self, Recorded};

/// Reads and verifies the file that the flags name.
pub(super) fn verify(args: &Args, file: &Path, signers: &Signers) -> Result<Verified, Failure> {
    let bytes = files::read(file)?;
    if is_bundle(&bytes) {
        let bundle = Bundle::parse(&bytes).map_err(Failure::not_good)?;
        return verify_bundle(args, signers, &bundle);
    }
    let envelope = Envelope::parse(&bytes).map_err(Failure::not_good)?;
    verify_envelope(args, signers, envelope, "dsse", None)
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

fn verify_bundle(args: &Args, signers: &Signers, bundle: &Bundle) -> Result<Verified, Failure> {
    let format = match bundle.version {
        Version::V01 => "bundle v0.1",
        Version::V02 => "bundle v0.2",
        Version::V03 => "bundle v0.3",
    };
    match &bundle.content {
        Content::Message(_) => verify_message(args, signers, bundle, format),
        Content::Dsse(envelope) => {
            accepted_by(&signers.keys, |key| check_around(args, bundle, key))?;
            let stamped = stamped(args, bundle)?;
            verify_envelope(args, signers, envelope.clone(), format, stamped)
        }
    }
}

/// What only a bundle has: its hint or certificate must not name another key than the one given.
fn check_around(args: &Args, bundle: &Bundle, key: &TrustedKey) -> Result<(), BundleVerifyError> {
    match bundle.verify_statement(key) {
        // Which payload is wanted is asked later; up to there the bundle is in order.
        Err(BundleVerifyError::PayloadType(found)) if found == args.payload_type => Ok(()),
        result => result.map(|_| ()),
    }
}

/// When an authority of `--tsa-roots` had seen the bundle's signature, at the latest.
fn stamped(args: &Args, bundle: &Bundle) -> Result<Option<Timestamp>, Failure> {
    match inputs::authorities(args)? {
        Some(root) => bundle.stamped(&root).map_err(Failure::not_good),
        None => Ok(None),
    }
}

/// The position of the first key that `check` accepts, or the first reason against one.
fn accepted_by(
    keys: &[TrustedKey],
    check: impl Fn(&TrustedKey) -> Result<(), BundleVerifyError>,
) -> Result<usize, Failure> {
    let mut first_error = None;
    for (position, key) in keys.iter().enumerate() {
        match check(key) {
            Ok(()) => return Ok(position),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    Err(first_error.map_or_else(|| Failure::local("no --key is given"), Failure::not_good))
}

/// A signature over the artifact's own bytes: no statement, no log record.
fn verify_message(
    args: &Args,
    signers: &Signers,
    bundle: &Bundle,
    format: &'static str,
) -> Result<Verified, Failure> {
    let [artifact] = args.artifacts.as_slice() else {
        let next = "this bundle signs a file's own bytes: name that file with one --artifact";
        return Err(Failure::local(next));
    };
    if args.proof.is_some() || args.log.is_some() {
        let why = "this bundle holds no envelope that a log record could be about";
        return Err(Failure::not_good(why));
    }
    let bytes = files::read(artifact)?;
    let covers = |key: &TrustedKey| bundle.verify(key, Artifact::Bytes(&bytes)).map(|_| ());
    let position = accepted_by(&signers.keys, covers)?;
    let stamped = stamped(args, bundle)?;
    let judgement = signers.judge(&[position], 1, None, stamped)?;
    Ok(Verified {
        verified: relied_on(judgement.as_ref()),
        format,
        payload_type: None,
        predicate_type: None,
        subjects: None,
        signers: signers.digests(&[position]),
        artifacts: vec![artifact.clone()],
        stamped,
        recorded: None,
        log: None,
        judgement,
    })
}

fn verify_envelope(
    args: &Args,
    signers: &Signers,
    envelope: Envelope,
    format: &'static str,
    stamped: Option<Timestamp>,
) -> Result<Verified, Failure> {
    let digest = envelope_sha256(&envelope);
    let threshold = signers.threshold(args);
    let payload = envelope
        .verify(&signers.keys, threshold, Options::default())
        .map_err(Failure::not_good)?;
    let statement = statement_of(args, &payload)?;
    let (log, recorded) = evidence(args, signers, digest)?;
    let judgement = signers.judge(&payload.signers, threshold, recorded.as_ref(), stamped)?;
    let verified = relied_on(judgement.as_ref());
    if let Some(path) = args.payload_out.as_ref().filter(|_| verified) {
        files::write_product(path, &payload.payload)?;
    }
    Ok(Verified {
        verified,
        format,
        signers: signers.digests(&payload.signers),
        payload_type: Some(payload.payload_type),
        subjects: statement.as_ref().map(|statement| statement.subjects.len()),
        predicate_type: statement.map(|statement| statement.predicate_type),
        artifacts: args.artifacts.clone(),
        stamped,
        recorded,
        log,
        judgement,
    })
}

fn relied_on(judgement: Option<&Judgement>) -> bool {
    judgement.is_none_or(|judgement| judgement.verdict.is_accepted())
}

/// SHA-256 of the envelope's canonical JSON, as the record has it; `None` where a signature is not base64.
fn envelope_sha256(envelope: &Envelope) -> Option<Sha256Digest> {
    let signatures = envelope.signatures().iter();
    let signatures =
        signatures.map(|signature| Some((&*signature.keyid, signature.sig.as_deref()?)));
    let signatures: Vec<(&str, &[u8])> = signatures.collect::<Option<_>>()?;
    let pae = envelope.pae();
    Some(Sha256Digest::of(&[&encode_envelope(
        pae.payload_type,
        pae.payload,
        &signatures,
    )]))
}

/// The statement in a payload of the wanted type, if it says what was asked for.
fn statement_of(
    args: &Args,
    payload: &VerifiedPayload,
) -> Result<Option<StatementSummary>, Failure> {
    let (found, wanted) = (&payload.payload_type, &args.payload_type);
    if found != wanted {
        let why = format!("payloadType is {found:?}, not {wanted:?} (--payload-type)");
        return Err(Failure::NotGood(why));
    }
    if found != PAYLOAD_TYPE {
        let asked = args.predicate_type.is_some() || !args.artifacts.is_empty();
        let why = "--artifact and --type need an in-toto statement, and the payload is none";
        return if asked {
            Err(Failure::not_good(why))
        } else {
            Ok(None)
        };
    }
    let checked = statement::check(&payload.payload, Accept::AlsoV01);
    let statement = checked.map_err(Failure::not_good)?;
    check_predicate_type(args, &statement)?;
    args.artifacts
        .iter()
        .try_for_each(|artifact| check_subject(&statement, artifact))?;
    Ok(Some(statement))
}

fn check_predicate_type(args: &Args, statement: &StatementSummary) -> Result<(), Failure> {
    let wanted = args.predicate_type.as_deref().map(predicate::type_uri);
    let found = &statement.predicate_type;
    match wanted {
        Some(wanted) if wanted != found => Err(Failure::NotGood(format!(
            "predicateType is {found}, not {wanted}"
        ))),
        _ => Ok(()),
    }
}

fn check_subject(statement: &StatementSummary, artifact: &Path) -> Result<(), Failure> {
    let digest = files::sha256(artifact)?.to_string();
    if statement.has_digest("sha256", &digest) {
        return Ok(());
    }
    let name = artifact.display();
    Err(Failure::NotGood(format!(
        "no subject has the SHA-256 of {name}, {digest}"
    )))
}

/// That the envelope was recorded, by a proof or by the whole log.
fn evidence(
    args: &Args,
    signers: &Signers,
    envelope: Option<Sha256Digest>,
) -> Result<(Option<Checked>, Option<Recorded>), Failure> {
    let not_base64 = || Failure::not_good("a signature of the envelope is not base64");
    if let Some(path) = &args.proof {
        let policy = inputs::log_policy(args, signers.document())?;
        let checked = proof::check(
            &files::read_text(path)?,
            &policy,
            envelope.ok_or_else(not_base64)?,
        );
        let in_proof = |e| Failure::NotGood(format!("{}: {e}", path.display()));
        return Ok((None, Some(checked.map_err(in_proof)?)));
    }
    let Some(folder) = &args.log else {
        return Ok((None, None));
    };
    let policy = inputs::log_policy(args, signers.document())?;
    let (log, recorded) = log::check(folder, &policy, Some(envelope.ok_or_else(not_base64)?))?;
    let unknown = || Failure::NotGood(format!("no record in {} is about it", folder.display()));
    Ok((Some(log), Some(recorded.ok_or_else(unknown)?)))
}
