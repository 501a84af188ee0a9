//! `POST /v1/freeze`, `POST /v1/freeze/lift`: the emergency stop, and its end.

use hyper::body::Incoming;
use sealwright_core::permit::{Action, Resource};
use sealwright_core::record::{Event, FreezeChanged, FreezeScope, Warrant};
use sealwright_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::gate::{Gate, Way};
use super::{Call, actor, check_reason, read_json};
use crate::authn::Caller;
use crate::http::{self, Answer};
use crate::refusal::Refusal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Freeze {
    scope: FreezeScope,
    reason: String,
}

#[derive(Serialize)]
struct Changed {
    scope: FreezeScope,
    frozen: bool,
    record: u64,
}

/// A freeze in force, as the caller may see it.
#[derive(Serialize)]
pub(super) struct FreezeView {
    scope: FreezeScope,
    since: Timestamp,
    record: u64,
    /// For those who may lift it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
}

/// `POST /v1/freeze`
pub(super) async fn set(call: &Call<'_>, body: Incoming) -> Result<Answer, Refusal> {
    change(call, None, body).await
}

/// `POST /v1/freeze/lift`
pub(super) async fn lift(call: &Call<'_>, query: &str, body: Incoming) -> Result<Answer, Refusal> {
    change(call, Some(Gate::read(query)?), body).await
}

/// Who sees something go wrong stops it alone; its end is guarded by `gate`.
async fn change(call: &Call<'_>, gate: Option<Gate>, body: Incoming) -> Result<Answer, Refusal> {
    let frozen = gate.is_none();
    let caller = call.caller()?;
    let Freeze { scope, reason } = read_json(call, body).await?;
    check_may_freeze(call, &caller, &scope)?;
    check_reason(&reason)?;
    let changed = FreezeChanged {
        scope: scope.clone(),
        reason,
        by: actor(&caller),
        warrant: Warrant::default(),
    };
    let event = match gate {
        None => Event::FreezeSet(changed),
        Some(gate) => {
            let lifted = Event::FreezeLifted(changed);
            let journal = &call.daemon.journal;
            journal.with_state(|state| state.check_thaw(&scope))?;
            match gate.pass_event(call, &caller, lifted).await? {
                Way::Open(event) => event,
                Way::Closed(answer) => return Ok(answer),
            }
        }
    };
    let record = call.daemon.journal.record(event).await?.index();
    let by = &caller.principal.id;
    tracing::warn!(%scope, frozen, record, by, "an operator changed a freeze");
    let mut answer = http::json(&Changed {
        scope,
        frozen,
        record,
    });
    http::set(&mut answer, http::RECORD, &record.to_string());
    Ok(answer)
}

/// An operator of a tenant freezes that tenant. Those of tenant `default` run the host: they freeze everything.
fn check_may_freeze(call: &Call<'_>, caller: &Caller, scope: &FreezeScope) -> Result<(), Refusal> {
    match scope {
        FreezeScope::All => call.check_host(caller),
        FreezeScope::Tenant(tenant) => {
            call.check(caller, Action::Operate, Resource::Tenant(tenant))
        }
    }
}

/// What concerns the caller: freezes of everything, of its tenant, and those it may lift.
pub(super) fn views(call: &Call<'_>, caller: &Caller) -> Vec<FreezeView> {
    let mine = FreezeScope::Tenant(caller.principal.tenant.clone());
    let in_force: Vec<_> = call.daemon.journal.with_state(|state| {
        let in_force = state
            .freezes()
            .filter_map(|(scope, freeze)| Some((scope.clone(), freeze?.clone())));
        in_force.collect()
    });
    let seen = in_force.into_iter().filter_map(|(scope, freeze)| {
        let may_lift = check_may_freeze(call, caller, &scope).is_ok();
        let concerns = may_lift || scope == FreezeScope::All || scope == mine;
        concerns.then(|| FreezeView {
            scope,
            since: freeze.since,
            record: freeze.index,
            reason: may_lift.then_some(freeze.reason),
            by: may_lift.then_some(freeze.by),
        })
    });
    seen.collect()
}
