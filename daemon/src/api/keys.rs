//! `/v1/keys…`: listing, describing, generating, enrolling, and the steps of a key's life.

use std::time::{Duration, Instant};

use base64::Engine as _;
use hyper::StatusCode;
use hyper::body::Incoming;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::key::{
    Compromise, Enrolment, EvidenceGrade, KeyEvent, KeyState, KeyVersion, Purpose,
};
use sealwright_core::name::{KeyName, KeyVersionId};
use sealwright_core::permit::{Action, Resource};
use sealwright_core::record::{Event, KeyChanged, KeyEnrolled, KeyGenerateIntent};
use sealwright_core::scheme::Scheme;
use sealwright_core::spki::Spki;
use sealwright_core::state::State;
use sealwright_core::statement::PAYLOAD_TYPE;
use sealwright_core::time::Timestamp;
use sealwright_core::uri::KeyUri;
use sealwright_driver_api::{ErrorClass, KeyDescription, KeySpec};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Call, actor, check_reason, read_json};
use crate::authn::Caller;
use crate::http::{self, Answer};
use crate::refusal::Refusal;
use crate::tokens::CallError;

/// How long a device may take to find or make a key: an RSA key takes a token tens of seconds.
const DEVICE_TIMEOUT: Duration = Duration::from_secs(120);

fn bad(detail: impl Into<String>) -> Refusal {
    Refusal::bad_input(Code::InvalidRequest, detail)
}

/// A key version as clients see it.
#[derive(Serialize)]
pub(super) struct KeyView {
    key: KeyVersionId,
    state: KeyState,
    enrolled_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_from: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compromise: Option<Compromise>,
    token: String,
    uri: KeyUri,
    scheme: Scheme,
    purpose: Purpose,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    payload_types: Vec<String>,
    spki_sha256: Sha256Digest,
    keyid: String,
    public_key_pem: String,
    evidence: EvidenceGrade,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    /// By which its predecessor named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    succession: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct KeyList {
    keys: Vec<KeyView>,
}

fn view(key: KeyVersionId, version: &KeyVersion) -> KeyView {
    let enrolment = version.enrolment.clone();
    let succession = version.succession.clone();
    KeyView {
        key,
        state: version.state,
        enrolled_at: version.enrolled_at,
        active_from: version.active_from,
        active_until: version.active_until,
        compromise: version.compromise.clone(),
        token: enrolment.token,
        uri: enrolment.uri,
        scheme: enrolment.scheme,
        purpose: enrolment.purpose,
        payload_types: enrolment.payload_types,
        spki_sha256: enrolment.spki.sha256(),
        keyid: enrolment.spki.keyid(),
        public_key_pem: enrolment.spki.to_pem(),
        evidence: enrolment.evidence,
        certificate: enrolment.certificate,
        succession: succession.and_then(|text| RawValue::from_string(text).ok()),
    }
}

/// `GET /v1/keys` and `GET /v1/keys/{tenant}/{label}`: what the caller may see of its tenant's keys.
pub(super) fn list(call: &Call<'_>, only: Option<(&str, &str)>) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let only: Option<KeyName> = only
        .map(|(tenant, label)| format!("{tenant}/{label}").parse())
        .transpose()
        .map_err(|e: sealwright_core::name::NameError| bad(e.to_string()))?;
    let all: Vec<KeyView> = call.daemon.journal.with_state(|state| {
        let tenant = &caller.principal.tenant;
        let mine = state.keys().filter(|(id, _)| id.key.tenant() == tenant);
        mine.filter(|(id, _)| only.as_ref().is_none_or(|name| *name == id.key))
            .map(|(id, version)| view(id, version))
            .collect()
    });
    let may_see = |key: &KeyView| {
        let resource = Resource::Key {
            name: &key.key.key,
            purpose: key.purpose,
        };
        call.check(&caller, Action::ReadKey, resource).is_ok()
    };
    let keys: Vec<KeyView> = all.into_iter().filter(may_see).collect();
    match only {
        Some(name) if keys.is_empty() => Err(Refusal::bad_input(
            Code::UnknownKey,
            format!("no key {name} that you may see"),
        )),
        _ => Ok(http::json(&KeyList { keys })),
    }
}

/// A key as its driver describes it; nothing is enrolled by that.
#[derive(Serialize)]
struct Described {
    uri: KeyUri,
    spki_sha256: Sha256Digest,
    keyid: String,
    public_key_pem: String,
    schemes: Vec<Scheme>,
    evidence: EvidenceGrade,
    claims: Vec<(String, String)>,
}

impl From<KeyDescription> for Described {
    fn from(description: KeyDescription) -> Self {
        let spki = Spki::from_der(description.spki_der);
        Self {
            uri: description.uri,
            spki_sha256: spki.sha256(),
            keyid: spki.keyid(),
            public_key_pem: spki.to_pem(),
            schemes: description.schemes,
            evidence: description.evidence,
            claims: description.claims,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Describe {
    token: String,
    uri: KeyUri,
}

/// `POST /v1/keys/describe`
pub(super) async fn describe(call: &Call<'_>, body: Incoming) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    call.check(
        &caller,
        Action::ManageKey,
        Resource::Tenant(&caller.principal.tenant),
    )?;
    let wanted: Describe = read_json(call, body).await?;
    let description = ask(call, &caller, &wanted.token, wanted.uri).await?;
    Ok(http::json(&Described::from(description)))
}

async fn ask(
    call: &Call<'_>,
    caller: &Caller,
    token: &str,
    uri: KeyUri,
) -> Result<KeyDescription, Refusal> {
    let deadline = Instant::now() + DEVICE_TIMEOUT;
    let asked = call
        .daemon
        .tokens
        .describe(token, &caller.principal.id, uri, deadline)
        .await;
    asked.map_err(operator_may_know)
}

/// Whoever manages keys is told what the device said.
fn operator_may_know(error: CallError) -> Refusal {
    let detail = error.to_string();
    let code = match &error {
        CallError::UnknownToken(_) => Some(Code::UnknownToken),
        CallError::Driver { error, .. } => match error.class {
            ErrorClass::KeyMissing => Some(Code::UnknownKey),
            ErrorClass::BadRequest | ErrorClass::Unsupported | ErrorClass::KeyAmbiguous => {
                Some(Code::InvalidRequest)
            }
            _ => None,
        },
        _ => None,
    };
    match code {
        Some(code) => Refusal::bad_input(code, detail),
        None => Refusal {
            detail: Some(detail),
            ..error.into()
        },
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Generate {
    key: String,
    token: String,
    uri: KeyUri,
    scheme: Scheme,
    #[serde(default = "default_rsa_bits")]
    rsa_bits: u16,
}

fn default_rsa_bits() -> u16 {
    3072
}

/// `POST /v1/keys/generate`: intent, then device. The key does nothing before it is enrolled.
pub(super) async fn generate(call: &Call<'_>, body: Incoming) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let wanted: Generate = read_json(call, body).await?;
    let name = managed_key(call, &caller, &wanted.key)?;
    call.daemon.can_record()?;
    let version = call
        .daemon
        .journal
        .with_state(|state| state.next_version(&name));
    let intent = KeyGenerateIntent {
        key: name.version(version),
        token: wanted.token.clone(),
        uri: wanted.uri.clone(),
        scheme: wanted.scheme,
        by: actor(&caller),
    };
    let _ = call
        .daemon
        .journal
        .record(Event::KeyGenerateIntent(intent))
        .await?;
    let spec = KeySpec {
        uri: wanted.uri,
        scheme: wanted.scheme,
        rsa_bits: wanted.rsa_bits,
    };
    let deadline = Instant::now() + DEVICE_TIMEOUT;
    let made = call
        .daemon
        .tokens
        .generate(&wanted.token, &caller.principal.id, spec, deadline)
        .await;
    Ok(http::json(&Described::from(
        made.map_err(operator_may_know)?,
    )))
}

/// `<tenant>/<label>#<number>`
pub(super) fn parse_version(id: &str) -> Result<KeyVersionId, Refusal> {
    id.parse()
        .map_err(|e: sealwright_core::name::NameError| bad(e.to_string()))
}

/// A key of the caller's tenant that the caller may manage.
pub(super) fn managed_key(
    call: &Call<'_>,
    caller: &Caller,
    text: &str,
) -> Result<KeyName, Refusal> {
    let tenant = &caller.principal.tenant;
    let name = KeyName::parse_in(tenant, text).map_err(|e| bad(e.to_string()))?;
    if name.tenant() != tenant {
        return Err(Refusal::denied(
            Code::Denied,
            format!("{name} is not of tenant {tenant}"),
        ));
    }
    let purpose = call.daemon.journal.with_state(|state| {
        state
            .signing_version(&name)
            .map(|(_, v)| v.enrolment.purpose)
    });
    let purpose = purpose.unwrap_or(Purpose::Dsse);
    call.check(
        caller,
        Action::ManageKey,
        Resource::Key {
            name: &name,
            purpose,
        },
    )?;
    Ok(name)
}

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
    /// PEM.
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
pub(super) async fn enrol(call: &Call<'_>, body: Incoming) -> Result<Answer, Refusal> {
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
    let enrolment = enrolment(call, name, wanted, description)?;
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
        };
        recorded = call
            .daemon
            .journal
            .record(Event::KeyChanged(changed))
            .await?;
    }
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
    Ok(Enrolment {
        key: name.version(version),
        token: wanted.token,
        uri: wanted.uri,
        certificate: wanted
            .certificate
            .map(|pem| certificate_for(&spki, &pem))
            .transpose()?,
        spki,
        scheme,
        purpose: wanted.purpose,
        payload_types,
        evidence: description.evidence,
    })
}

/// Base64 of the DER, if the certificate is for this very key.
fn certificate_for(spki: &Spki, pem: &str) -> Result<String, Refusal> {
    use x509_cert::der::{Decode as _, Encode as _};
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|e| bad(format!("the certificate is not PEM: {e}")))?;
    let parsed = x509_cert::Certificate::from_der(&der)
        .map_err(|e| bad(format!("the certificate is not X.509: {e}")))?;
    let inside = parsed.tbs_certificate().subject_public_key_info().to_der();
    if inside.is_ok_and(|inside| inside == spki.der()) {
        Ok(base64::engine::general_purpose::STANDARD.encode(&der))
    } else {
        Err(bad("the certificate is for another public key"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    event: KeyEvent,
    #[serde(default)]
    reason: String,
}

/// `POST /v1/keys/{tenant}/{label}/{version}/events`
pub(super) async fn change(call: &Call<'_>, id: &str, body: Incoming) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let id = parse_version(id)?;
    managed_key(call, &caller, &id.key.to_string())?;
    let Change { event, reason } = read_json(call, body).await?;
    check_reason(&reason)?;
    if event == KeyEvent::Destroy {
        return Err(bad("a key is not destroyed by this call"));
    }
    view_of(call, &id)?;
    let changed = KeyChanged {
        key: id.clone(),
        event,
        reason,
        by: actor(&caller),
    };
    let recorded = call
        .daemon
        .journal
        .record(Event::KeyChanged(changed))
        .await?;
    key_answer(call, &id, StatusCode::OK, recorded.index())
}

/// The view of one version, with the record that changed it.
pub(super) fn key_answer(
    call: &Call<'_>,
    id: &KeyVersionId,
    status: StatusCode,
    record: u64,
) -> Result<Answer, Refusal> {
    let mut answer = http::json_with(status, &view_of(call, id)?);
    http::set(&mut answer, http::RECORD, &record.to_string());
    Ok(answer)
}

/// One version as it is now.
pub(super) fn view_of(call: &Call<'_>, id: &KeyVersionId) -> Result<KeyView, Refusal> {
    let journal = &call.daemon.journal;
    let found = journal.with_state(|state| state.version(id).map(|v| view(id.clone(), v)));
    found.ok_or_else(|| {
        Refusal::bad_input(Code::UnknownKey, format!("no key version {id} is enrolled"))
    })
}
