//! `POST /v1/keys/{tenant}/{label}/{version}/attest`: fresh evidence of a key's origin, judged and recorded.

use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::evidence::{Document, Entropy, EvidenceError, Finding, Nonce};
use sealwright_core::name::KeyVersionId;
use sealwright_core::record::{Event, KeyAttested};
use sealwright_core::spki::Spki;
use sealwright_core::uri::KeyUri;
use sealwright_driver_api::ErrorClass;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::device_keys::{DEVICE_TIMEOUT, operator_may_know};
use super::keys::{known, managed_key};
use super::{Call, actor, read_json};
use crate::authn::Caller;
use crate::daemon::Daemon;
use crate::http::{self, Answer};
use crate::refusal::Refusal;
use crate::tokens::CallError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attest {
    /// What the evidence has to answer; the daemon chooses where none is given.
    #[serde(default)]
    nonce: Option<Nonce>,
}

#[derive(Serialize)]
struct Attested {
    key: KeyVersionId,
    evidence_sha256: Sha256Digest,
    finding: Finding,
    document: Box<RawValue>,
}

pub(super) async fn post(
    call: &Call<'_>,
    id: KeyVersionId,
    body: Incoming,
) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    managed_key(call, &caller, &id.key.to_string())?;
    let Attest { nonce } = read_json(call, body).await?;
    call.daemon.can_record()?;
    let nonce = nonce.map_or_else(fresh_nonce, Ok)?;
    let enrolment = known(call, &id, |_, version| version.enrolment.clone())?;
    let asked = Asked {
        token: &enrolment.token,
        uri: &enrolment.uri,
        spki_sha256: enrolment.spki.sha256(),
        nonce,
    };
    let (text, finding) = evidence(call, &caller, &asked).await?;
    let evidence_sha256 = keep(call.daemon, &text).await?;
    let attested = KeyAttested {
        key: id.clone(),
        nonce,
        evidence_sha256,
        finding,
        by: actor(&caller),
    };
    let event = Event::KeyAttested(attested);
    let recorded = call.daemon.journal.record(event).await?;
    let mut answer = http::json(&Attested {
        key: id,
        evidence_sha256,
        finding,
        document: RawValue::from_string(text).map_err(internal)?,
    });
    http::set(&mut answer, http::RECORD, &recorded.index().to_string());
    Ok(answer)
}

/// One that nobody has chosen.
pub(super) fn fresh_nonce() -> Result<Nonce, Refusal> {
    let mut nonce = Nonce::default();
    aws_lc_rs::rand::fill(&mut nonce.0).map_err(internal)?;
    Ok(nonce)
}

/// A key whose origin is asked for.
pub(super) struct Asked<'a> {
    pub(super) token: &'a str,
    pub(super) uri: &'a KeyUri,
    pub(super) spki_sha256: Sha256Digest,
    pub(super) nonce: Nonce,
}

/// The token's answer as a document, and what our own verifier makes of it. Where the device has to show that it is the
/// one it names, it has shown it to this daemon when this returns.
pub(super) async fn evidence(
    call: &Call<'_>,
    caller: &Caller,
    asked: &Asked<'_>,
) -> Result<(String, Finding), Refusal> {
    let deadline = Instant::now() + DEVICE_TIMEOUT;
    let principal = &caller.principal.id;
    let tokens = &call.daemon.tokens;
    let answer = tokens.attest(
        asked.token,
        principal,
        asked.uri.clone(),
        asked.nonce,
        deadline,
    );
    let raw = answer.await.map_err(operator_may_know)?;
    let document = Document::new(
        raw.nonce,
        raw.token,
        asked.uri.clone(),
        Spki::from_der(raw.spki_der),
        raw.statement,
    );
    let rejected = |error| rejected(asked.token, &error);
    let roots = &call.daemon.device_roots;
    let finding = document
        .verify(asked.spki_sha256, Some(asked.nonce), roots)
        .map_err(rejected)?;
    if let Some(activation) = document.activation(entropy()?).map_err(rejected)? {
        let challenge = activation.challenge.clone();
        let answer = tokens.activate(asked.token, principal, challenge, deadline);
        let answer = answer
            .await
            .map_err(|error| unanswered(asked.token, error))?;
        activation.check(&answer).map_err(rejected)?;
    }
    let text = String::from_utf8(document.to_bytes().map_err(rejected)?).map_err(internal)?;
    Ok((text, finding))
}

fn entropy() -> Result<Entropy, Refusal> {
    let mut entropy = [0; 96];
    aws_lc_rs::rand::fill(&mut entropy).map_err(internal)?;
    Ok(entropy)
}

/// A TPM that cannot open the challenge says that the request is bad: the challenge was for another one.
fn unanswered(token: &str, error: CallError) -> Refusal {
    match &error {
        CallError::Driver { error, .. } if error.class == ErrorClass::BadRequest => {
            rejected(token, &EvidenceError::OtherTpm)
        }
        _ => operator_may_know(error),
    }
}

fn rejected(token: &str, error: &EvidenceError) -> Refusal {
    if error.is_about_trust() {
        return Refusal::bad_input(Code::EvidenceUntrusted, error.to_string());
    }
    Refusal {
        code: Code::EvidenceRejected,
        detail: Some(error.to_string()),
        ..Refusal::suspect(token, error.to_string())
    }
}

/// Keeps a document; its digest.
pub(super) async fn keep(daemon: &Daemon, text: &str) -> Result<Sha256Digest, Refusal> {
    let (folder, bytes) = (Arc::clone(&daemon.evidence), text.as_bytes().to_vec());
    let kept = tokio::task::spawn_blocking(move || folder.keep(&bytes)).await;
    kept.map_err(internal)?.map_err(internal)
}

fn internal(error: impl std::fmt::Display) -> Refusal {
    Refusal::failed(Code::Internal, error.to_string())
}
