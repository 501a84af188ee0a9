//! `GET /v1/audit/records…`: reading the log, each caller its own tenant.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_core::error::Code;
use sealwright_core::journal::{Gone, Kept};
use sealwright_core::name::Tenant;
use sealwright_core::permit::{Action, Resource};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Call;
use super::query::Query;
use crate::audit::index::{Belongs, IndexError, PAGE_MAX, Query as IndexQuery, Stored};
use crate::daemon::Daemon;
use crate::http::{self, Answer};
use crate::refusal::Refusal;

/// Records on a page where the caller names no limit.
const PAGE_DEFAULT: usize = 100;
/// How long one record may be on its way from journal to index.
const INDEX_WAIT: Duration = Duration::from_secs(2);
/// How long `wait=true` waits for a record at `from` or later.
const NEWS_WAIT: Duration = Duration::from_secs(25);

#[derive(Serialize)]
struct Page<'a> {
    records: Vec<View<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
    /// Every record before this index was looked at, or comes with `next`.
    end: u64,
}

/// One record: `leaf` and `salt` with the exact bytes of `record` are what a proof is checked against.
#[derive(Serialize)]
struct View<'a> {
    index: u64,
    leaf: Cow<'a, str>,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Whole { salt: String, record: &'a RawValue },
    Erased { erased: Erased },
    Archived { archived: Archived },
}

/// Where the body went.
#[derive(Serialize)]
struct Erased {
    /// The `audit.erased` record that says why.
    by: u64,
}

#[derive(Serialize)]
struct Archived {
    /// The file of the archive that holds its segment.
    file: String,
}

fn view<'s>(daemon: &Daemon, stored: &'s Stored) -> Result<View<'s>, Refusal> {
    let body = match &stored.kept {
        Kept::Whole(entry) => Body::Whole {
            salt: STANDARD.encode(entry.salt),
            record: serde_json::from_slice(&entry.body).map_err(|e| {
                Refusal::failed(Code::Internal, format!("record {}: {e}", stored.index))
            })?,
        },
        Kept::Redacted(redacted) => match redacted.gone {
            Gone::Erased { by } => Body::Erased {
                erased: Erased { by },
            },
            Gone::Archived => Body::Archived {
                archived: Archived {
                    file: archive_of(daemon, stored.index),
                },
            },
        },
    };
    Ok(View {
        index: stored.index,
        leaf: String::from_utf8_lossy(stored.kept.leaf()),
        body,
    })
}

fn archive_of(daemon: &Daemon, index: u64) -> String {
    let stub = daemon.archived.iter().find(|stub| stub.covers(index));
    stub.map_or_else(
        || "the archive".to_owned(),
        |stub| stub.file.display().to_string(),
    )
}

impl From<IndexError> for Refusal {
    fn from(error: IndexError) -> Self {
        Self::failed(Code::IndexRebuilding, error.to_string())
    }
}

pub(super) async fn list(call: &Call<'_>, query: &str) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let mut query = Query::parse(query);
    let tenant = match query.take("tenant")? {
        Some(name) => parse_tenant(&name)?,
        None => caller.principal.tenant.clone(),
    };
    let tenant = &tenant;
    call.check(&caller, Action::ReadAudit, Resource::Tenant(tenant))?;
    let (since, before) = (query.take_as("since")?, query.take_as("before")?);
    let wait = query.take_flag("wait")?;
    let limit = query
        .take_as("limit")?
        .unwrap_or(PAGE_DEFAULT)
        .clamp(1, PAGE_MAX);
    let mut wanted = IndexQuery {
        from: query.take_as("from")?.unwrap_or(0),
        until: None,
        limit,
        key: query.take("key")?.map(|key| qualified(tenant, key)),
        principal: query.take("principal")?,
        outcome: query.take("outcome")?,
        subject: query
            .take("subject")?
            .map(|digest| digest.trim_start_matches("sha256:").to_owned()),
        kind: query.take("kind")?,
        tenants: vec![tenant.to_string()],
    };
    query.finish()?;
    let index = &call.daemon.index;
    if index.is_ready() {
        // Whoever was answered before it asked finds what it was told of.
        let next = call.daemon.journal.with_state(|state| state.next_index());
        index.wait_for(next, INDEX_WAIT).await;
        if wait {
            tokio::select! {
                _ = index.wait_for(wanted.from.saturating_add(1), NEWS_WAIT) => {}
                () = call.daemon.stopped() => {}
            }
        }
    }
    let end = index.end();
    let (found, next) = tokio::task::block_in_place(|| {
        if let Some(since) = since {
            wanted.from = wanted.from.max(index.first_at(since)?);
        }
        wanted.until = before.map(|before| index.first_at(before)).transpose()?;
        index.query(&wanted)
    })?;
    let records = found
        .iter()
        .map(|stored| view(call.daemon, stored))
        .collect::<Result<_, _>>()?;
    // What came in since may have been found as well.
    let end = found.last().map_or(end, |last| end.max(last.index + 1));
    Ok(http::json(&Page { records, next, end }))
}

fn parse_tenant(name: &str) -> Result<Tenant, Refusal> {
    let bad = |e| Refusal::bad_input(Code::InvalidRequest, format!("tenant={name}: {e}"));
    name.parse().map_err(bad)
}

fn qualified(tenant: &Tenant, key: String) -> String {
    if key.contains('/') {
        key
    } else {
        format!("{tenant}/{key}")
    }
}

pub(super) async fn show(call: &Call<'_>, index: &str) -> Result<Answer, Refusal> {
    let stored = visible(call, parse_index(index)?).await?;
    if matches!(&stored.kept, Kept::Redacted(redacted) if redacted.gone == Gone::Archived) {
        let file = archive_of(call.daemon, stored.index);
        let detail = format!("the body of record {} is in {file}", stored.index);
        return Err(Refusal::bad_input(Code::RecordArchived, detail));
    }
    Ok(http::json(&view(call.daemon, &stored)?))
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
