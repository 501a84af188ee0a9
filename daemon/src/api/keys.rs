//! `/v1/keys…`: listing, and the steps of a key's life.

use hyper::StatusCode;
use hyper::body::Incoming;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::evidence::Exclusive;
use sealwright_core::key::{Compromise, EvidenceGrade, KeyEvent, KeyState, KeyVersion, Purpose};
use sealwright_core::name::{KeyName, KeyVersionId};
use sealwright_core::permit::{Action, Resource};
use sealwright_core::record::{Event, KeyChanged, Warrant};
use sealwright_core::rotation::RotationDue;
use sealwright_core::scheme::Scheme;
use sealwright_core::state::{Schedule, State};
use sealwright_core::time::Timestamp;
use sealwright_core::uri::KeyUri;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::gate::{Gate, Way};
use super::{Call, actor, check_reason, read_json};
use crate::authn::Caller;
use crate::daemon::Daemon;
use crate::http::{self, Answer};
use crate::refusal::Refusal;
use crate::rotation::alerts;

pub(super) fn bad(detail: impl Into<String>) -> Refusal {
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
    /// Signatures released.
    signatures: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_due: Option<RotationDue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_scheduled: Option<ScheduleView>,
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
    /// Whether it can sign on its token only.
    exclusive: Exclusive,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence_sha256: Option<Sha256Digest>,
    /// From when on it may be destroyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    destroy_from: Option<Timestamp>,
    /// The record since which it is being destroyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    destroy_intent: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificate_chain: Vec<String>,
    /// By which its predecessor named it.
    #[serde(skip_serializing_if = "Option::is_none")]
    succession: Option<Box<RawValue>>,
}

/// Which version takes over from a version, and when.
#[derive(Serialize)]
struct ScheduleView {
    to: KeyVersionId,
    at: Timestamp,
    record: u64,
    by: String,
    /// Why it was not done although its time has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl ScheduleView {
    fn of(daemon: &Daemon, schedule: &Schedule) -> Self {
        Self {
            to: schedule.rotation.to.clone(),
            at: schedule.rotation.at,
            record: schedule.index,
            by: schedule.rotation.by.principal.clone(),
            problem: daemon.scheduled.problem(schedule),
        }
    }
}

#[derive(Serialize)]
struct KeyList {
    keys: Vec<KeyView>,
}

fn view(daemon: &Daemon, state: &State, key: KeyVersionId, version: &KeyVersion) -> KeyView {
    let enrolment = version.enrolment.clone();
    let succession = version.succession.clone();
    let schedule = state.schedule_of(&key.key);
    let schedule = schedule.filter(|schedule| schedule.rotation.from == key);
    KeyView {
        rotation_scheduled: schedule.map(|schedule| ScheduleView::of(daemon, schedule)),
        rotation_due: alerts::due(daemon, &key, version, daemon.clock.now()),
        signatures: version.signatures,
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
        evidence: version.evidence(),
        exclusive: version.exclusive(),
        evidence_sha256: version.attestation.map(|newest| newest.evidence_sha256),
        destroy_from: daemon.config.destruction.possible_from(version),
        destroy_intent: version
            .destroy_intent
            .filter(|_| version.state != KeyState::Destroyed),
        certificate: enrolment.certificate,
        certificate_chain: enrolment.certificate_chain,
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
    let keys = visible(call, &caller, only.as_ref());
    match only {
        Some(name) if keys.is_empty() => Err(Refusal::bad_input(
            Code::UnknownKey,
            format!("no key {name} that you may see"),
        )),
        _ => Ok(http::json(&KeyList { keys })),
    }
}

/// The versions that `caller` may see, of all keys or of one.
fn visible(call: &Call<'_>, caller: &Caller, only: Option<&KeyName>) -> Vec<KeyView> {
    let all: Vec<KeyView> = call.daemon.journal.with_state(|state| {
        let tenant = &caller.principal.tenant;
        let mine = state.keys().filter(|(id, _)| id.key.tenant() == tenant);
        mine.filter(|(id, _)| only.is_none_or(|name| *name == id.key))
            .map(|(id, version)| view(call.daemon, state, id, version))
            .collect()
    });
    let may_see = |key: &KeyView| {
        let resource = Resource::Key {
            name: &key.key.key,
            purpose: key.purpose,
        };
        call.check(caller, Action::ReadKey, resource).is_ok()
    };
    all.into_iter().filter(may_see).collect()
}

/// A rotation ahead, as status tells it.
#[derive(Serialize)]
pub(super) struct RotationAhead {
    key: KeyVersionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_due: Option<RotationDue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation_scheduled: Option<ScheduleView>,
}

/// The rotations ahead of the keys that `caller` may see.
pub(super) fn rotations_ahead(call: &Call<'_>, caller: &Caller) -> Vec<RotationAhead> {
    let all = visible(call, caller, None).into_iter();
    let ahead = all.filter(|view| view.rotation_due.is_some() || view.rotation_scheduled.is_some());
    ahead
        .map(|view| RotationAhead {
            key: view.key,
            rotation_due: view.rotation_due,
            rotation_scheduled: view.rotation_scheduled,
        })
        .collect()
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
struct Change {
    event: KeyEvent,
    #[serde(default)]
    reason: String,
}

/// `POST /v1/keys/{tenant}/{label}/{version}/events`
pub(super) async fn change(
    call: &Call<'_>,
    id: &str,
    query: &str,
    body: Incoming,
) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let gate = Gate::read(query)?;
    let id = parse_version(id)?;
    managed_key(call, &caller, &id.key.to_string())?;
    let Change { event, reason } = read_json(call, body).await?;
    check_reason(&reason)?;
    if event == KeyEvent::Destroy {
        return Err(bad("a key is destroyed by a call of its own: …/destroy"));
    }
    view_of(call, &id)?;
    let changed = KeyChanged {
        key: id.clone(),
        event,
        reason,
        by: actor(&caller),
        warrant: Warrant::default(),
    };
    call.daemon
        .journal
        .with_state(|state| state.check_change(&id, event))?;
    let event = Event::KeyChanged(changed);
    let event = match gate.pass_event(call, &caller, event).await? {
        Way::Open(event) => event,
        Way::Closed(answer) => return Ok(answer),
    };
    let recorded = call.daemon.journal.record(event).await?;
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
    known(call, id, |state, version| {
        view(call.daemon, state, id.clone(), version)
    })
}

/// What is `wanted` of one version, if it is enrolled.
pub(super) fn known<T>(
    call: &Call<'_>,
    id: &KeyVersionId,
    wanted: impl FnOnce(&State, &KeyVersion) -> T,
) -> Result<T, Refusal> {
    let journal = &call.daemon.journal;
    let found = journal.with_state(|state| Some(wanted(state, state.version(id)?)));
    found.ok_or_else(|| {
        Refusal::bad_input(Code::UnknownKey, format!("no key version {id} is enrolled"))
    })
}
