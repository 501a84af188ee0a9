//! `POST /v1/keys/describe`, `POST /v1/keys/generate`: keys on a token, of which nothing is enrolled by that.

use std::time::{Duration, Instant};

use hyper::body::Incoming;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::key::EvidenceGrade;
use sealwright_core::permit::{Action, Resource};
use sealwright_core::record::{Event, KeyGenerateIntent, Warrant};
use sealwright_core::scheme::Scheme;
use sealwright_core::spki::Spki;
use sealwright_core::uri::KeyUri;
use sealwright_driver_api::{ErrorClass, KeyDescription, KeySpec};
use serde::{Deserialize, Serialize};

use super::gate::{Gate, Way};
use super::keys::managed_key;
use super::{Call, actor, read_json};
use crate::authn::Caller;
use crate::http::{self, Answer};
use crate::refusal::Refusal;
use crate::tokens::CallError;

/// How long a device may take to find or make a key: an RSA key takes a token tens of seconds.
pub(super) const DEVICE_TIMEOUT: Duration = Duration::from_secs(120);

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

/// What the driver says of one key.
pub(super) async fn ask(
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
pub(super) fn operator_may_know(error: CallError) -> Refusal {
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

/// As it goes into the record: only where it means something.
fn rsa_bits(wanted: &Generate) -> Option<u16> {
    let is_rsa = matches!(wanted.scheme, Scheme::RsaPkcs1Sha256 | Scheme::RsaPssSha256);
    is_rsa.then_some(wanted.rsa_bits)
}

/// `POST /v1/keys/generate`: intent, then device. The key does nothing before it is enrolled.
pub(super) async fn generate(
    call: &Call<'_>,
    query: &str,
    body: Incoming,
) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let gate = Gate::read(query)?;
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
        rsa_bits: rsa_bits(&wanted),
        by: actor(&caller),
        warrant: Warrant::default(),
    };
    let event = Event::KeyGenerateIntent(intent);
    let event = match gate.pass_event(call, &caller, event).await? {
        Way::Open(event) => event,
        Way::Closed(answer) => return Ok(answer),
    };
    let _ = call.daemon.journal.record(event).await?;
    call.daemon.failpoints.reach("generate");
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
    call.daemon.failpoints.reach("generate-respond");
    Ok(http::json(&Described::from(
        made.map_err(operator_may_know)?,
    )))
}
