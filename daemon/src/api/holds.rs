//! `/v1/audit/holds`: while a tenant is on hold, nothing of it is erased.

use hyper::StatusCode;
use hyper::body::Incoming;
use sealwright_core::name::Tenant;
use sealwright_core::permit::{Action, Resource};
use sealwright_core::record::{Event, Hold};
use sealwright_core::state::Held;
use serde::{Deserialize, Serialize};

use super::{Call, actor, read_json, require_reason};
use crate::authn::Caller;
use crate::http::{self, Answer, RECORD};
use crate::refusal::Refusal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    tenant: Tenant,
    name: String,
    reason: String,
}

#[derive(Serialize)]
struct Holds {
    holds: Vec<View>,
}

#[derive(Serialize)]
struct View {
    tenant: Tenant,
    name: String,
    #[serde(flatten)]
    held: Held,
}

/// The holds on every tenant whose log the caller may read.
pub(super) fn list(call: &Call<'_>) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let all = call.daemon.journal.with_state(|state| {
        let view = |(tenant, name, held): (&Tenant, &str, &Held)| View {
            tenant: tenant.clone(),
            name: name.to_owned(),
            held: held.clone(),
        };
        state.all_holds().map(view).collect::<Vec<_>>()
    });
    let holds = all.into_iter().filter(|view| {
        let tenant = Resource::Tenant(&view.tenant);
        call.check(&caller, Action::ReadAudit, tenant).is_ok()
    });
    Ok(http::json(&Holds {
        holds: holds.collect(),
    }))
}

pub(super) async fn place(call: &Call<'_>, body: Incoming) -> Result<Answer, Refusal> {
    change(call, body, Event::HoldPlaced, StatusCode::CREATED).await
}

pub(super) async fn lift(call: &Call<'_>, body: Incoming) -> Result<Answer, Refusal> {
    change(call, body, Event::HoldLifted, StatusCode::OK).await
}

async fn change(
    call: &Call<'_>,
    body: Incoming,
    event: fn(Hold) -> Event,
    status: StatusCode,
) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let hold = read(call, &caller, body).await?;
    let (tenant, name) = (hold.tenant.clone(), hold.name.clone());
    let recorded = call.daemon.journal.record(event(hold)).await?;
    let index = recorded.index();
    let changed = serde_json::json!({ "tenant": tenant, "name": name, "record": index });
    let mut answer = http::json_with(status, &changed);
    http::set(&mut answer, RECORD, &index.to_string());
    Ok(answer)
}

/// Whoever may erase may not therefore lift a hold: that is `operate`.
async fn read(call: &Call<'_>, caller: &Caller, body: Incoming) -> Result<Hold, Refusal> {
    let Named {
        tenant,
        name,
        reason,
    } = read_json(call, body).await?;
    call.check(caller, Action::Operate, Resource::Tenant(&tenant))?;
    require_reason(&reason)?;
    Ok(Hold {
        tenant,
        name,
        reason,
        by: actor(caller),
    })
}
