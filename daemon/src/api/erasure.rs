//! `POST /v1/audit/erasures`: bodies of a tenant's old records are destroyed. There is no way back.

use std::path::PathBuf;

use hyper::StatusCode;
use hyper::body::Incoming;
use sealwright_core::error::Code;
use sealwright_core::name::Tenant;
use sealwright_core::permit::{Action, Resource};
use sealwright_core::record::{AuditErased, Event, Selection, Warrant};
use sealwright_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::gate::{Gate, Way};
use super::{Call, actor, read_json, require_reason};
use crate::audit::erasure::{Due, select};
use crate::audit::recovery::segments;
use crate::daemon::Daemon;
use crate::http::{self, Answer};
use crate::refusal::Refusal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Erase {
    tenant: Tenant,
    /// Only what is older than this.
    before: Timestamp,
    reason: String,
}

#[derive(Serialize)]
struct Erased {
    /// The `audit.erased` records, one for each segment; `/v1/status` lists those whose bodies are still there.
    records: Vec<u64>,
    /// Bodies that they name.
    count: u64,
    /// Bodies that would be due as well and lie in the archive.
    archived: u64,
}

pub(super) async fn post(call: &Call<'_>, query: &str, body: Incoming) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let gate = Gate::read(query)?;
    let Erase {
        tenant,
        before,
        reason,
    } = read_json(call, body).await?;
    call.check(&caller, Action::EraseAudit, Resource::Tenant(&tenant))?;
    require_reason(&reason)?;
    let daemon = call.daemon;
    check_age(daemon, &tenant, before)?;
    let template = AuditErased {
        tenant: tenant.clone(),
        before,
        segment: 0,
        selection: Selection::default(),
        count: 0,
        reason,
        by: actor(&caller),
        warrant: Warrant::default(),
    };
    let event = Event::AuditErased(template);
    let template = match gate.pass_event(call, &caller, event).await? {
        Way::Open(Event::AuditErased(template)) => template,
        Way::Open(_) => return Err(Refusal::failed(Code::Internal, "an erasure is one")),
        Way::Closed(answer) => return Ok(answer),
    };
    let _selecting = daemon.eraser.selecting.lock().await;
    let held = daemon
        .journal
        .with_state(|state| state.check_erasable(&tenant));
    held.map_err(|held| Refusal::bad_input(Code::OnHold, held.to_string()))?;
    let due = due(daemon, &tenant, before)?;
    let erased = record(daemon, due, &template).await;
    // Also where one of several could not be recorded.
    daemon.eraser.wake();
    let erased = erased?;
    let status = match erased.records.is_empty() {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    Ok(http::json_with(status, &erased))
}

/// What the configuration keeps is not erased, whoever asks; nothing is that is still to come.
fn check_age(daemon: &Daemon, tenant: &Tenant, before: Timestamp) -> Result<(), Refusal> {
    let now = daemon.trusted_clock.now()?;
    let kept = daemon.config.retention.iter().find(|r| r.tenant == *tenant);
    let youngest = kept.map_or(now, |kept| kept.due_before(now));
    if before <= youngest {
        return Ok(());
    }
    let detail = match kept {
        Some(kept) => format!(
            "records of {tenant} are kept for {} days: erase those before {youngest} at most",
            kept.days
        ),
        None => format!("{before} is in the future; now is {now}"),
    };
    Err(Refusal::bad_input(Code::RetentionNotOver, detail))
}

/// Bodies of `tenant` before that time that are not on their way already.
pub(super) fn due(daemon: &Daemon, tenant: &Tenant, before: Timestamp) -> Result<Due, Refusal> {
    let mut already = Selection::default();
    daemon.journal.with_state(|state| {
        let outstanding = state.outstanding_erasures().values();
        outstanding.for_each(|erasure| already.extend(&erasure.selection));
    });
    let folder = journal(daemon);
    let selected = tokio::task::block_in_place(|| {
        select(daemon.disk.as_ref(), &folder, tenant, before, &already)
    });
    selected.map_err(|e| Refusal::failed(Code::Internal, e.to_string()))
}

/// No segment is written again while records are written to it.
async fn close_newest(daemon: &Daemon, due: &Due) -> Result<(), Refusal> {
    let all = segments(daemon.disk.as_ref(), &journal(daemon));
    let all = all.map_err(|e| Refusal::failed(Code::Internal, e.to_string()))?;
    let reaches_newest = due
        .parts
        .iter()
        .any(|part| all.last() == Some(&part.segment));
    if reaches_newest {
        daemon.journal.rotate().await?;
    }
    Ok(())
}

fn journal(daemon: &Daemon) -> PathBuf {
    daemon.config.state.dir.join("journal")
}

/// Once this returns, the bodies will be destroyed whatever happens.
async fn record(daemon: &Daemon, due: Due, template: &AuditErased) -> Result<Erased, Refusal> {
    let mut erased = Erased {
        records: Vec::new(),
        count: due.count(),
        archived: due.archived,
    };
    close_newest(daemon, &due).await?;
    for part in due.parts {
        let event = Event::AuditErased(AuditErased {
            segment: part.segment,
            count: part.selection.count(),
            selection: part.selection,
            ..template.clone()
        });
        erased
            .records
            .push(daemon.journal.record(event).await?.index());
    }
    Ok(erased)
}
