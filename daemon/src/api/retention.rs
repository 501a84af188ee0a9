//! `GET /v1/audit/retention`: what the configured retention proposes to erase. Nothing is erased by it.

use sealwright_core::name::Tenant;
use sealwright_core::permit::{Action, Resource};
use sealwright_core::time::Timestamp;
use serde::Serialize;

use super::Call;
use super::erasure::due;
use crate::http::{self, Answer};
use crate::refusal::Refusal;

#[derive(Serialize)]
struct Proposals {
    retention: Vec<Proposal>,
}

/// What is due of one tenant.
#[derive(Serialize)]
struct Proposal {
    tenant: Tenant,
    days: u32,
    /// Records before this may be erased.
    before: Timestamp,
    /// Bodies of such records.
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<Timestamp>,
    /// Bodies of such records that lie in the archive.
    archived: u64,
    /// Names of the holds that forbid it.
    holds: Vec<String>,
}

/// Of every tenant with a retention whose log the caller may read.
pub(super) fn list(call: &Call<'_>) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let now = call.daemon.trusted_clock.now()?;
    let mut retention = Vec::new();
    for kept in &call.daemon.config.retention {
        let tenant = &kept.tenant;
        let resource = Resource::Tenant(tenant);
        if call.check(&caller, Action::ReadAudit, resource).is_err() {
            continue;
        }
        let before = kept.due_before(now);
        let due = due(call.daemon, tenant, before)?;
        let holds = call.daemon.journal.with_state(|state| {
            let names = state.holds(tenant).map(|(name, _)| name.to_owned());
            names.collect()
        });
        retention.push(Proposal {
            tenant: tenant.clone(),
            days: kept.days,
            before,
            count: due.count(),
            oldest: due.oldest,
            archived: due.archived,
            holds,
        });
    }
    Ok(http::json(&Proposals { retention }))
}
