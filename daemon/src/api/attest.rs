//! `POST /v1/keys/{tenant}/{label}/{version}/attest`: fresh evidence of a key's origin, judged and recorded.

use std::sync::Arc;
use std::time::Instant;

use hyper::body::Incoming;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::evidence::{Document, EvidenceError, Finding, Nonce};
use sealwright_core::key::Enrolment;
use sealwright_core::name::KeyVersionId;
use sealwright_core::record::{Event, KeyAttested};
use sealwright_core::spki::Spki;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::device_keys::{DEVICE_TIMEOUT, operator_may_know};
use super::keys::managed_key;
use super::{Call, actor, read_json};
use crate::authn::Caller;
use crate::daemon::Daemon;
use crate::http::{self, Answer};
use crate::refusal::Refusal;

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
    let enrolment = enrolment(call, &id)?;
    let (text, finding) = evidence(call, &caller, &enrolment, nonce).await?;
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

fn fresh_nonce() -> Result<Nonce, Refusal> {
    let mut nonce = Nonce::default();
    aws_lc_rs::rand::fill(&mut nonce.0).map_err(internal)?;
    Ok(nonce)
}

fn enrolment(call: &Call<'_>, id: &KeyVersionId) -> Result<Enrolment, Refusal> {
    let found = call
        .daemon
        .journal
        .with_state(|state| Some(state.version(id)?.enrolment.clone()));
    let unknown = || format!("no key version {id} is enrolled");
    found.ok_or_else(|| Refusal::bad_input(Code::UnknownKey, unknown()))
}

/// The token's answer as a document, and what our own verifier makes of it.
async fn evidence(
    call: &Call<'_>,
    caller: &Caller,
    enrolment: &Enrolment,
    nonce: Nonce,
) -> Result<(String, Finding), Refusal> {
    let token = &enrolment.token;
    let deadline = Instant::now() + DEVICE_TIMEOUT;
    let tokens = &call.daemon.tokens;
    let asked = tokens.attest(
        token,
        &caller.principal.id,
        enrolment.uri.clone(),
        nonce,
        deadline,
    );
    let raw = asked.await.map_err(operator_may_know)?;
    let document = Document::new(
        raw.nonce,
        raw.token,
        enrolment.uri.clone(),
        Spki::from_der(raw.spki_der),
        raw.statement,
    );
    let rejected = |error| rejected(token, &error);
    let roots = &call.daemon.device_roots;
    let finding = document
        .verify(enrolment.spki.sha256(), Some(nonce), roots)
        .map_err(rejected)?;
    let text = String::from_utf8(document.to_bytes().map_err(rejected)?).map_err(internal)?;
    Ok((text, finding))
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

async fn keep(daemon: &Daemon, text: &str) -> Result<Sha256Digest, Refusal> {
    let (folder, bytes) = (Arc::clone(&daemon.evidence), text.as_bytes().to_vec());
    let kept = tokio::task::spawn_blocking(move || folder.keep(&bytes)).await;
    kept.map_err(internal)?.map_err(internal)
}

fn internal(error: impl std::fmt::Display) -> Refusal {
    Refusal::failed(Code::Internal, error.to_string())
}
