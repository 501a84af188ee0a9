//! `/v1/receipts`: issued like any signature, read by their id, by what they are about, and along their chain.

use std::time::{Duration, Instant};

use hyper::body::Incoming;
use sealwright_core::error::Code;
use sealwright_core::name::Tenant;
use sealwright_core::permit::{Action, Resource};
use sealwright_core::receipt::{Follows, ReceiptId, about};
use sealwright_core::state::Issued;
use sealwright_core::statement::PAYLOAD_TYPE;
use sealwright_core::time::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Call;
use super::query::Query;
use super::sign::{bad, timeout, wants_proof};
use crate::binding::{Address, Presented};
use crate::daemon::Daemon;
use crate::http::{self, Answer};
use crate::log_proof;
use crate::pipeline::{self, Asked, SignCall};
use crate::receipts;
use crate::refusal::Refusal;
use crate::seal::Format;

/// `POST /v1/receipts?key=…[&proof=wait][&timeout_ms=…]`: the body is the request, the answer the envelope.
pub(super) async fn post(
    call: &Call<'_>,
    query: &str,
    shown: Result<Option<(Presented, Address)>, Refusal>,
    body: Incoming,
) -> Answer {
    let default_timeout = Duration::from_millis(call.daemon.config.limits.request_ms);
    let sign_call = shown.and_then(|shown| read_head(query, default_timeout, shown, body));
    pipeline::sign(call.daemon, call.peer, sign_call, call.request_id).await
}

fn read_head(
    query: &str,
    default: Duration,
    shown: Option<(Presented, Address)>,
    body: Incoming,
) -> Result<SignCall, Refusal> {
    let mut query = Query::parse(query);
    let key = query.take("key")?;
    let key = key.ok_or_else(|| bad("name the key that signs, as in ?key=receipts"))?;
    let wants_proof = wants_proof(query.take("proof")?.as_deref())?;
    let timeout = query.take_as("timeout_ms")?.map_or(Ok(default), timeout)?;
    query.finish()?;
    Ok(SignCall {
        asked: Asked::Receipt,
        keys: vec![key],
        format: Format::Dsse,
        wants_proof,
        payload_type: PAYLOAD_TYPE.to_owned(),
        // A second request for the same receipt finds the first: it is refused, and told which one that is.
        idempotency: None,
        operation: None,
        deadline: Instant::now() + timeout,
        shown,
        body,
    })
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    link: Link,
    envelope: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_proof: Option<String>,
}

/// A receipt's place in its chain.
#[derive(Serialize)]
struct Link {
    receipt_id: ReceiptId,
    record: u64,
    issued_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    follows: Option<Follows>,
    #[serde(skip_serializing_if = "Option::is_none")]
    followed_by: Option<ReceiptId>,
}

impl Link {
    fn of(receipt_id: ReceiptId, issued: &Issued) -> Self {
        Self {
            receipt_id,
            record: issued.index,
            issued_at: issued.issued_at,
            follows: issued.follows,
            followed_by: issued.followed_by,
        }
    }
}

#[derive(Serialize)]
struct History {
    receipts: Vec<Link>,
}

/// The tenant whose receipts the caller may read: his own.
fn reader(call: &Call<'_>) -> Result<Tenant, Refusal> {
    let caller = call.caller()?;
    let tenant = caller.principal.tenant.clone();
    call.check(&caller, Action::ReadReceipt, Resource::Tenant(&tenant))?;
    Ok(tenant)
}

fn parse(id: &str) -> Result<ReceiptId, Refusal> {
    id.parse().map_err(|error| bad(format!("{id:?}: {error}")))
}

/// `GET /v1/receipts/{id}[?wait=true]`.
pub(super) async fn show(call: &Call<'_>, id: &str, query: &str) -> Result<Answer, Refusal> {
    let tenant = reader(call)?;
    let id = parse(id)?;
    let mut query = Query::parse(query);
    let wait = query.take_flag("wait")?;
    query.finish()?;
    let issued = receipts::issued(call.daemon, &tenant, id)?;
    shown(call.daemon, &tenant, id, &issued, wait).await
}

/// `GET /v1/receipts?type=…&subject=…[&at=…][&wait=true]`: the receipt that counts, or counted at a time.
pub(super) async fn current(call: &Call<'_>, query: &str) -> Result<Answer, Refusal> {
    let tenant = reader(call)?;
    let mut query = Query::parse(query);
    let missing =
        || bad("name what the receipt is about, as in ?type=cvss-v4.0/1&subject=CVE-2026-1");
    let receipt_type = query.take("type")?.ok_or_else(missing)?;
    let subject = query.take("subject")?.ok_or_else(missing)?;
    let at = query.take_as::<Timestamp>("at")?;
    let wait = query.take_flag("wait")?;
    query.finish()?;
    let about = about(&receipt_type, &subject);
    let found = call.daemon.journal.with_state(|state| {
        let found = state.current_receipt(&tenant, about, at);
        found.map(|(id, issued)| (id, issued.clone()))
    });
    let none = || {
        Refusal::bad_input(
            Code::UnknownReceipt,
            "there is no receipt about this at that time",
        )
    };
    let (id, issued) = found.ok_or_else(none)?;
    shown(call.daemon, &tenant, id, &issued, wait).await
}

async fn shown(
    daemon: &Daemon,
    tenant: &Tenant,
    id: ReceiptId,
    issued: &Issued,
    wait: bool,
) -> Result<Answer, Refusal> {
    let envelope = receipts::envelope(daemon, tenant, id, issued).await?;
    let limit = log_proof::patience(wait);
    let proof = log_proof::of_new(daemon, issued.index, Instant::now() + limit).await;
    let no_proof = proof.as_ref().err();
    let no_proof = no_proof.map(|refusal| refusal.told().to_owned());
    let envelope = serde_json::from_slice(&envelope);
    Ok(http::json(&Shown {
        link: Link::of(id, issued),
        envelope: envelope.map_err(|e| Refusal::failed(Code::Internal, e.to_string()))?,
        proof: proof.ok(),
        no_proof,
    }))
}

/// `GET /v1/receipts/{id}/history`: the whole chain that the receipt belongs to, oldest first.
pub(super) fn history(call: &Call<'_>, id: &str) -> Result<Answer, Refusal> {
    let tenant = reader(call)?;
    let id = parse(id)?;
    let receipts: Vec<Link> = call.daemon.journal.with_state(|state| {
        let chain = state.receipt_chain(&tenant, id).into_iter();
        chain.map(|(id, issued)| Link::of(id, issued)).collect()
    });
    match receipts.is_empty() {
        true => Err(receipts::unknown(id)),
        false => Ok(http::json(&History { receipts })),
    }
}
