//! `POST /v1/keys`: a key comes under the daemon's care.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::body::Incoming;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sealwright_core::certificate::check_chain;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::key::{Attestation, Enrolment, KeyEvent, KeyState, Purpose};
use sealwright_core::name::KeyName;
use sealwright_core::record::{Event, KeyChanged, KeyEnrolled, Warrant};
use sealwright_core::scheme::Scheme;
use sealwright_core::spki::Spki;
use sealwright_core::state::State;
use sealwright_core::statement::PAYLOAD_TYPE;
use sealwright_core::uri::KeyUri;
use sealwright_driver_api::KeyDescription;
use serde::Deserialize;

use super::attest::{Asked, evidence, fresh_nonce, keep};
use super::device_keys::ask;
use super::gate::{Gate, Way};
use super::keys::{bad, key_answer, managed_key};
use super::{Call, actor, read_json};
use crate::authn::Caller;
use crate::http::Answer;
use crate::refusal::Refusal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Enrol {
    key: String,
    token: String,
    uri: KeyUri,
    /// The operator's confirmation: what the driver says has to match it.
    spki_sha256: Sha256Digest,
    #[serde(default)]
    scheme: Option<Scheme>,
    #[serde(default = "default_purpose")]
    purpose: Purpose,
    #[serde(default)]
    payload_types: Option<Vec<String>>,
    /// PEM: the key's own, then those that lead to its authority's.
    #[serde(default)]
    certificate: Option<String>,
    #[serde(default = "default_activate")]
    activate: bool,
}

fn default_purpose() -> Purpose {
    Purpose::Dsse
}

fn default_activate() -> bool {
    true
}

/// `POST /v1/keys`: the driver's word alone enrols nothing, the fingerprint has to be confirmed.
pub(super) async fn post(call: &Call<'_>, body: Incoming) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let wanted: Enrol = read_json(call, body).await?;
    let name = managed_key(call, &caller, &wanted.key)?;
    call.daemon.can_record()?;
    let description = ask(call, &caller, &wanted.token, wanted.uri.clone()).await?;
    let activate = wanted.activate;
    if activate
        && call
            .daemon
            .journal
            .with_state(|state| has_active(state, &name))
    {
        return Err(bad(format!(
            "{name} has an active version; enrol this one with \"activate\": false"
        )));
    }
    let mut enrolment = enrolment(call, name, wanted, description)?;
    if let Some(attestation) = attestation(call, &caller, &enrolment).await? {
        enrolment.evidence = attestation.finding.grade;
        enrolment.attestation = Some(attestation);
    }
    let id = enrolment.key.clone();
    let enrolled = KeyEnrolled {
        enrolment,
        by: actor(&caller),
    };
    let mut recorded = call
        .daemon
        .journal
        .record(Event::KeyEnrolled(enrolled))
        .await?;
    if activate {
        let by = actor(&caller);
        let changed = KeyChanged {
            key: id.clone(),
            event: KeyEvent::Activate,
            reason: String::new(),
            by,
            warrant: Warrant::default(),
        };
        // Under dual control the key waits here, enrolled: activating it is a request of its own.
        let event = Event::KeyChanged(changed);
        let event = match Gate::default().pass_event(call, &caller, event).await? {
            Way::Open(event) => event,
            Way::Closed(answer) => return Ok(answer),
        };
        recorded = call.daemon.journal.record(event).await?;
    }
    call.daemon.failpoints.reach("enrol-respond");
    key_answer(call, &id, StatusCode::CREATED, recorded.index())
}

fn has_active(state: &State, name: &KeyName) -> bool {
    state
        .signing_version(name)
        .is_some_and(|(_, version)| version.state == KeyState::Active)
}

fn enrolment(
    call: &Call<'_>,
    name: KeyName,
    wanted: Enrol,
    description: KeyDescription,
) -> Result<Enrolment, Refusal> {
    let spki = Spki::from_der(description.spki_der);
    if spki.sha256() != wanted.spki_sha256 {
        return Err(bad(format!(
            "the token's key has fingerprint {}, not the confirmed {}",
            spki.sha256(),
            wanted.spki_sha256
        )));
    }
    let usable = sealwright_core::verify::schemes_of(spki.der());
    let offered: Vec<Scheme> = description
        .schemes
        .iter()
        .copied()
        .filter(|scheme| usable.contains(scheme))
        .collect();
    let scheme = wanted
        .scheme
        .or(offered.first().copied())
        .filter(|scheme| offered.contains(scheme));
    let scheme = scheme.ok_or_else(|| bad(format!("the key signs with {offered:?} only")))?;
    let payload_types = match wanted.purpose {
        Purpose::Dsse => wanted
            .payload_types
            .unwrap_or_else(|| vec![PAYLOAD_TYPE.to_owned()]),
        _ => wanted.payload_types.unwrap_or_default(),
    };
    let version = call
        .daemon
        .journal
        .with_state(|state| state.next_version(&name));
    let pem = wanted.certificate.as_deref();
    let certificates = pem.map(|pem| certificates_for(&spki, pem)).transpose()?;
    let mut certificates = certificates.unwrap_or_default().into_iter();
    Ok(Enrolment {
        key: name.version(version),
        token: wanted.token,
        uri: wanted.uri,
        certificate: certificates.next(),
        certificate_chain: certificates.collect(),
        spki,
        scheme,
        purpose: wanted.purpose,
        payload_types,
        evidence: description.evidence,
        attestation: None,
    })
}

/// Evidence of the key's origin, judged and kept. A token that gives none, or whose maker is not trusted here, does not keep
/// a key out; one whose evidence does not verify does.
async fn attestation(
    call: &Call<'_>,
    caller: &Caller,
    enrolment: &Enrolment,
) -> Result<Option<Attestation>, Refusal> {
    let status = call.daemon.tokens.status(&enrolment.token);
    let can_attest = status.and_then(|status| status.says(|token| token.can_attest));
    if can_attest != Some(true) {
        return Ok(None);
    }
    let asked = Asked {
        token: &enrolment.token,
        uri: &enrolment.uri,
        spki_sha256: enrolment.spki.sha256(),
        nonce: fresh_nonce()?,
    };
    let (text, finding) = match evidence(call, caller, &asked).await {
        Ok(found) => found,
        Err(refusal) if refusal.code == Code::EvidenceUntrusted => return Ok(None),
        Err(refusal) => return Err(refusal),
    };
    let evidence_sha256 = keep(call.daemon, &text).await?;
    Ok(Some(Attestation {
        evidence_sha256,
        finding,
    }))
}

/// Base64 of the DER of each certificate, if they lead up from this very key.
fn certificates_for(spki: &Spki, pem: &str) -> Result<Vec<String>, Refusal> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let ders = parsed.map_err(|e| bad(format!("the certificate is not PEM: {e}")))?;
    check_chain(spki, &ders).map_err(|e| bad(format!("the certificate: {e}")))?;
    Ok(ders.iter().map(|der| STANDARD.encode(der)).collect())
}
