//! `GET /v1/audit/records…`: reading the log, each caller its own tenant.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_core::error::Code;
use sealwright_core::permit::{Action, Resource};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Call;
use super::query::Query;
use crate::audit::index::{Belongs, IndexError, PAGE_MAX, Query as IndexQuery, Stored};
use crate::http::{self, Answer};
use crate::refusal::Refusal;

/// Records on a page where the caller names no limit.
const PAGE_DEFAULT: usize = 100;
/// How long one record may be on its way from journal to index.
const INDEX_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

#[derive(Serialize)]
struct Page<'a> {
    records: Vec<View<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// One record: `leaf` and `salt` with the exact bytes of `record` are what a proof is checked against.
#[derive(Serialize)]
struct View<'a> {
    index: u64,
    leaf: String,
    salt: String,
    record: &'a RawValue,
}

fn view(stored: &Stored) -> Result<View<'_>, Refusal> {
    let record = serde_json::from_slice(&stored.entry.body)
        .map_err(|e| Refusal::failed(Code::Internal, format!("record {}: {e}", stored.index)))?;
    Ok(View {
        index: stored.index,
        leaf: String::from_utf8_lossy(&stored.entry.leaf).into_owned(),
        salt: STANDARD.encode(stored.entry.salt),
        record,
    })
}

impl From<IndexError> for Refusal {
    fn from(error: IndexError) -> Self {
        Self::failed(Code::IndexRebuilding, error.to_string())
    }
}

pub(super) async fn list(call: &Call<'_>, query: &str) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let tenant = &caller.principal.tenant;
    call.check(&caller, Action::ReadAudit, Resource::Tenant(tenant))?;
    let mut query = Query::parse(query);
    let limit = query
        .take_as("limit")?
        .unwrap_or(PAGE_DEFAULT)
        .clamp(1, PAGE_MAX);
    let wanted = IndexQuery {
        from: query.take_as("from")?.unwrap_or(0),
        limit,
        key: query.take("key")?.map(|key| qualified(tenant, key)),
        principal: query.take("principal")?,
        outcome: query.take("outcome")?,
        subject: query
            .take("subject")?
            .map(|digest| digest.trim_start_matches("sha256:").to_owned()),
        kind: query.take("kind")?,
        tenant: Some(tenant.to_string()),
    };
    query.finish()?;
    if call.daemon.index.is_ready() {
        // Whoever was answered before it asked finds what it was told of.
        let next = call.daemon.journal.with_state(|state| state.next_index());
        call.daemon.index.wait_for(next, INDEX_WAIT).await;
    }
    let (found, next) = tokio::task::block_in_place(|| call.daemon.index.query(&wanted))?;
    let records = found.iter().map(view).collect::<Result<_, _>>()?;
    Ok(http::json(&Page { records, next }))
}

fn qualified(tenant: &sealwright_core::name::Tenant, key: String) -> String {
    if key.contains('/') {
        key
    } else {
        format!("{tenant}/{key}")
    }
}

pub(super) async fn show(call: &Call<'_>, index: &str) -> Result<Answer, Refusal> {
    let stored = visible(call, parse_index(index)?).await?;
    Ok(http::json(&view(&stored)?))
}

pub(super) fn parse_index(text: &str) -> Result<u64, Refusal> {
    let bad = |_| Refusal::bad_input(Code::InvalidRequest, format!("{text:?} is no record index"));
    text.parse().map_err(bad)
}

/// One record, if the caller may see it: its own, or any of its tenant with leave to read the log.
pub(super) async fn visible(call: &Call<'_>, index: u64) -> Result<Stored, Refusal> {
    let caller = call.caller()?;
    let unknown = || {
        Refusal::bad_input(
            Code::UnknownRecord,
            format!("there is no record {index} for you"),
        )
    };
    if index >= call.daemon.journal.with_state(|state| state.next_index()) {
        return Err(unknown());
    }
    call.daemon.index.wait_for(index + 1, INDEX_WAIT).await;
    let stored = call.daemon.index.get(index)?.ok_or_else(unknown)?;
    let belongs = stored.belongs_to(&caller.principal.id, caller.principal.tenant.as_str());
    let resource = Resource::Tenant(&caller.principal.tenant);
    match belongs {
        Belongs::Caller => Ok(stored),
        Belongs::Tenant if call.check(&caller, Action::ReadAudit, resource).is_ok() => Ok(stored),
        Belongs::Tenant | Belongs::Others => Err(unknown()),
    }
}
