//! `/v1/operations…`: what waits for approvals, and the approvals themselves.

use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::LOCATION;
use sealwright_core::approval::{ApprovalError, FILE_MAX};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::identity::Role;
use sealwright_core::state::approvals::{Operation, Status};
use sealwright_core::time::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Call;
use super::query::Query;
use crate::approvals;
use crate::authn::Caller;
use crate::config::Limits;
use crate::daemon::Daemon;
use crate::http::{self, Answer};
use crate::later::Found;
use crate::log_proof;
use crate::refusal::Refusal;

/// An operation as clients see it.
#[derive(Serialize)]
struct OperationView {
    /// The index of its request.
    operation: u64,
    status: Status,
    /// Approvals that are missing.
    missing: u32,
    /// SHA-256 of `request`: what approvers sign.
    digest: Sha256Digest,
    /// The canonical JSON, byte for byte.
    request: Box<RawValue>,
    expires_at: Timestamp,
    granted: Vec<Granted>,
    #[serde(skip_serializing_if = "Option::is_none")]
    denied_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    used_by: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    break_glass: Option<String>,
}

#[derive(Serialize)]
struct Granted {
    approver: String,
    spki_sha256: Sha256Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    record: u64,
}

#[derive(Serialize)]
struct Operations {
    operations: Vec<OperationView>,
}

impl OperationView {
    fn of(daemon: &Daemon, index: u64) -> Result<Self, Refusal> {
        let now = daemon.clock.now();
        let view = |operation: &Operation| Self::new(index, operation, now);
        daemon
            .journal
            .with_state(|state| state.operation(index).map(view))?
    }

    fn new(index: u64, operation: &Operation, now: Timestamp) -> Result<Self, Refusal> {
        let granted = operation.grants.iter().map(|grant| Granted {
            approver: grant.approver.clone(),
            spki_sha256: grant.spki_sha256,
            expires: grant.expires,
            record: grant.index,
        });
        let request = RawValue::from_string(operation.request.to_text());
        Ok(Self {
            operation: index,
            status: operation.status(now),
            missing: operation.missing(now),
            digest: operation.digest,
            request: request.map_err(|e| Refusal::failed(Code::Internal, e.to_string()))?,
            expires_at: operation.request.expires_at,
            granted: granted.collect(),
            denied_by: operation.denied_by.clone(),
            used_by: operation.used_by,
            break_glass: operation.break_glass.clone(),
        })
    }
}

/// `202`: the work waits for approvals.
pub(crate) fn accepted(daemon: &Daemon, index: u64) -> Result<Answer, Refusal> {
    let view = OperationView::of(daemon, index)?;
    let mut answer = http::json_with(StatusCode::ACCEPTED, &view);
    http::set(&mut answer, LOCATION, &format!("/v1/operations/{index}"));
    Ok(answer)
}

/// `GET /v1/operations`: those of the caller's tenant that are remembered, for who may see them all, else his own.
pub(super) fn list(call: &Call<'_>) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let now = call.daemon.clock.now();
    let operations = call.daemon.journal.with_state(|state| {
        let mine = state
            .operations()
            .filter(|(_, operation)| may_see(&caller, operation));
        mine.map(|(index, operation)| OperationView::new(index, operation, now))
            .collect::<Result<_, _>>()
    })?;
    Ok(http::json(&Operations { operations }))
}

/// `GET /v1/operations/{id}[?wait=true]`: an index is what waits for approvals, a request id one that is answered later.
pub(super) async fn show(call: &Call<'_>, id: &str, query: &str) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let mut query = Query::parse(query);
    let wait = query.take_flag("wait")?;
    query.finish()?;
    let patience = log_proof::patience(wait);
    let (later, principal) = (&call.daemon.later, caller.principal.id.as_str());
    match later.find(id, principal, patience).await {
        Some(Found::Answered(answer)) => Ok(answer),
        Some(Found::Working(touch)) => Ok(working(id, touch)),
        None => {
            let index = visible(call, &caller, id)?;
            Ok(http::json(&OperationView::of(call.daemon, index)?))
        }
    }
}

/// A request that is answered later.
#[derive(Serialize)]
struct WorkingView<'a> {
    /// The request's id.
    operation: &'a str,
    status: &'static str,
    /// Keys that somebody has to touch for it.
    touch: Vec<String>,
}

/// `202`: the answer comes later.
pub(super) fn working(id: &str, touch: Vec<String>) -> Answer {
    let view = WorkingView {
        operation: id,
        status: "working",
        touch,
    };
    let mut answer = http::json_with(StatusCode::ACCEPTED, &view);
    http::set(&mut answer, LOCATION, &format!("/v1/operations/{id}"));
    answer
}

/// `POST /v1/operations/{index}/approvals`: the body is an approval file. Who brings it vouches for nothing.
pub(super) async fn approve(
    call: &Call<'_>,
    index: &str,
    body: Incoming,
) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let index = visible(call, &caller, index)?;
    let roles = [Role::Approver, Role::Operator];
    if !roles.iter().any(|role| caller.principal.has(*role)) {
        let why = "approvals are brought by approvers and operators";
        return Err(Refusal::denied(Code::Denied, why));
    }
    let limits = Limits {
        max_body: FILE_MAX,
        ..call.daemon.config.limits.clone()
    };
    let file = call.daemon.budget.read(body, &limits).await?;
    let text = std::str::from_utf8(file.bytes())
        .map_err(|_| ApprovalError::Invalid("it is not UTF-8 text".to_owned()))?;
    let record = approvals::take(call.daemon, &caller, index, text).await?;
    let mut answer = http::json(&OperationView::of(call.daemon, index)?);
    http::set(&mut answer, http::RECORD, &record.to_string());
    Ok(answer)
}

fn visible(call: &Call<'_>, caller: &Caller, index: &str) -> Result<u64, Refusal> {
    let bad = || Refusal::bad_input(Code::InvalidRequest, format!("{index:?} is no index"));
    let index = index.parse().map_err(|_| bad())?;
    let is_visible = call.daemon.journal.with_state(|state| {
        let operation = state.operation(index);
        operation.is_ok_and(|operation| may_see(caller, operation))
    });
    if is_visible {
        Ok(index)
    } else {
        Err(ApprovalError::Unknown(index).into())
    }
}

fn may_see(caller: &Caller, operation: &Operation) -> bool {
    let request = &operation.request;
    let roles = [Role::Approver, Role::Operator, Role::Auditor];
    request.tenant == caller.principal.tenant
        && (request.requester.principal == caller.principal.id
            || roles.iter().any(|role| caller.principal.has(*role)))
}
