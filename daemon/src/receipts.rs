//! Receipts: from a request to the statement that is signed, and where statements and envelopes are kept.
//!
//! A statement is on disk before the record that names it, and that record has the signature, so after a crash at any place
//! either there is no receipt, or its envelope can be put together. The envelope's own file only spares that.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::dsse::{Envelope, encode_envelope};
use sealwright_core::error::Code;
use sealwright_core::journal::Kept;
use sealwright_core::name::Tenant;
use sealwright_core::permit::ReceiptFacts;
use sealwright_core::receipt::ReceiptId;
use sealwright_core::record::{Event, Outcome, ReceiptIssued, Record, SignRecord};
use sealwright_core::state::{Issued, ReceiptConflict};
use sealwright_core::statement::PAYLOAD_TYPE;
use sealwright_receipts::cvss::{Group, Vector};
use sealwright_receipts::{Origin, REQUEST_MAX, Receipt, Request};
use tokio::task::{block_in_place, spawn_blocking};

use crate::config::Limits;
use crate::daemon::Daemon;
use crate::kept::Folder;
use crate::refusal::Refusal;

/// `receipts/<tenant>/` in the state directory: statements as `<sha256>.json`, their envelopes as `<sha256>.dsse.json`.
#[derive(Debug)]
pub struct Store(BTreeMap<Tenant, Folder>);

impl Store {
    /// A folder for each of `tenants`.
    pub fn open(state_dir: &Path, tenants: impl IntoIterator<Item = Tenant>) -> io::Result<Self> {
        let all = Folder::open(state_dir, "receipts")?;
        let folders = tenants.into_iter().map(|tenant| {
            let folder = Folder::open(all.path(), tenant.as_str())?;
            Ok((tenant, folder))
        });
        folders.collect::<io::Result<_>>().map(Self)
    }

    fn of(&self, tenant: &Tenant) -> io::Result<&Folder> {
        let none = || io::Error::other(format!("tenant {tenant} has no folder"));
        self.0.get(tenant).ok_or_else(none)
    }
}

/// How much of a body is read: requests for receipts are small.
pub fn limits(daemon: &Daemon) -> Limits {
    let limits = daemon.config.limits.clone();
    Limits {
        max_body: limits.max_body.min(REQUEST_MAX),
        ..limits
    }
}

/// Counts a receipt that was asked for and not signed for no fault of the client's.
pub fn count_refusal(daemon: &Daemon, refusal: &Refusal) {
    if matches!(refusal.outcome, Outcome::Failed | Outcome::OutcomeUnknown) {
        daemon.metrics.receipts_failed.inc();
    }
}

/// A receipt in the making: what there is beside its statement.
#[derive(Debug)]
pub struct Composed {
    /// For the record.
    pub issued: ReceiptIssued,
    groups: Vec<&'static str>,
}

impl Composed {
    /// For policy.
    pub fn facts(&self) -> ReceiptFacts<'_> {
        ReceiptFacts {
            receipt_type: &self.issued.receipt_type,
            metric_groups: &self.groups,
            follows: self.issued.follows.map(|follows| follows.relation),
        }
    }
}

/// Makes the statement that `text` asks for: what is signed, and what belongs to it.
pub fn compose(
    daemon: &Daemon,
    tenant: &Tenant,
    principal: &str,
    text: &[u8],
) -> Result<(Vec<u8>, Composed), Refusal> {
    let bad = |error: sealwright_receipts::ReceiptError| {
        Refusal::bad_input(error.code(), error.to_string())
    };
    let request = block_in_place(|| Request::read(text)).map_err(bad)?;
    let before = match request.follows() {
        Some(follows) => vector_of(daemon, tenant, follows.receipt)?,
        None => None,
    };
    // It says when it was made, so it is not made by a clock that nobody believes.
    daemon.trusted_clock.now()?;
    let created_at = daemon.record_time();
    let origin = Origin {
        tenant,
        created_at,
        created_by: principal,
    };
    let groups = request.metric_groups(before.as_ref());
    let statement = request.statement(&origin).map_err(bad)?.bytes;
    let composed = Composed {
        issued: ReceiptIssued {
            receipt_type: request.receipt_type().id().to_owned(),
            subject: request.subject().to_owned(),
            issued_at: created_at,
            follows: request.follows(),
            signature: None,
        },
        groups: groups.into_iter().map(Group::as_str).collect(),
    };
    Ok((statement, composed))
}

/// What a receipt of the tenant scored, where it scored anything.
fn vector_of(daemon: &Daemon, tenant: &Tenant, id: ReceiptId) -> Result<Option<Vector>, Refusal> {
    issued(daemon, tenant, id)?;
    let statement = block_in_place(|| daemon.receipts.of(tenant)?.read_kept(&id.0));
    let statement = statement.map_err(|error| damaged(daemon, id, &error))?;
    let receipt = Receipt::read(&statement).map_err(|error| damaged(daemon, id, &error))?;
    Ok(receipt.outcome.vector)
}

/// What the fold knows of a receipt. Of another tenant's it is said that there is none.
pub fn issued(daemon: &Daemon, tenant: &Tenant, id: ReceiptId) -> Result<Issued, Refusal> {
    let found = daemon
        .journal
        .with_state(|state| state.receipt(tenant, id).cloned());
    found.ok_or_else(|| unknown(id))
}

/// There is no such receipt for this caller.
pub fn unknown(id: ReceiptId) -> Refusal {
    Refusal::bad_input(
        Code::UnknownReceipt,
        ReceiptConflict::Unknown(id).to_string(),
    )
}

fn damaged(daemon: &Daemon, id: ReceiptId, error: &dyn std::fmt::Display) -> Refusal {
    daemon.metrics.receipts_damaged.inc();
    Refusal::failed(Code::Internal, format!("receipt {id}: {error}"))
}

/// The statement is durable when this returns: its record may name it.
pub async fn keep(daemon: &Daemon, tenant: &Tenant, statement: &[u8]) -> Result<(), Refusal> {
    let (store, tenant, bytes) = (
        Arc::clone(&daemon.receipts),
        tenant.clone(),
        statement.to_vec(),
    );
    let kept = spawn_blocking(move || store.of(&tenant)?.keep(&bytes)).await;
    let failed = |error: &dyn std::fmt::Display| {
        Refusal::failed(Code::Internal, format!("a receipt cannot be kept: {error}"))
    };
    kept.map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
    Ok(())
}

/// Keeps the envelope of a receipt that is recorded; where that fails it is put together on demand.
pub fn keep_envelope(daemon: &Daemon, tenant: &Tenant, id: ReceiptId, envelope: &[u8]) {
    let name = envelope_name(id);
    let kept = block_in_place(|| daemon.receipts.of(tenant)?.spare(&name, envelope));
    if let Err(error) = kept {
        tracing::warn!(%id, %error, "the envelope of a receipt could not be kept");
    }
}

fn envelope_name(id: ReceiptId) -> String {
    format!("{}.dsse.json", id.0)
}

/// The envelope of a receipt: as it was kept, else put together from its statement and its record.
pub async fn envelope(
    daemon: &Daemon,
    tenant: &Tenant,
    id: ReceiptId,
    issued: &Issued,
) -> Result<Vec<u8>, Refusal> {
    let name = envelope_name(id);
    let kept = block_in_place(|| daemon.receipts.of(tenant)?.read(&name));
    if let Some(envelope) = kept.ok().filter(|bytes| holds(bytes, id)) {
        return Ok(envelope);
    }
    let sign = record_of(daemon, issued.index).await?;
    let statement = block_in_place(|| daemon.receipts.of(tenant)?.read_kept(&id.0));
    let statement = statement.map_err(|error| damaged(daemon, id, &error))?;
    let envelope = put_together(&sign, &statement);
    let envelope =
        envelope.ok_or_else(|| damaged(daemon, id, &"its record has another envelope"))?;
    keep_envelope(daemon, tenant, id, &envelope);
    Ok(envelope)
}

fn holds(envelope: &[u8], id: ReceiptId) -> bool {
    let envelope = Envelope::parse(envelope);
    envelope.is_ok_and(|envelope| Sha256Digest::of(&[envelope.pae().payload]) == id.0)
}

/// `None` where this is not the envelope that was recorded.
fn put_together(sign: &SignRecord, statement: &[u8]) -> Option<Vec<u8>> {
    let signature = sign.receipt.as_ref()?.signature.as_ref()?;
    let signature = STANDARD.decode(signature).ok()?;
    let keyid = STANDARD.encode(sign.spki_sha256?.0);
    let envelope = encode_envelope(PAYLOAD_TYPE, statement, &[(&*keyid, &signature)]);
    (Some(Sha256Digest::of(&[&envelope])) == sign.envelope_sha256).then_some(envelope)
}

async fn record_of(daemon: &Daemon, index: u64) -> Result<SignRecord, Refusal> {
    daemon
        .index
        .wait_for(index.saturating_add(1), crate::log_proof::WAIT)
        .await;
    let stored = daemon.index.get(index)?;
    let gone = || {
        let detail = format!("the body of record {index} is not on this host any more");
        Refusal::bad_input(Code::RecordArchived, detail)
    };
    let Some(Kept::Whole(entry)) = stored.map(|stored| stored.kept) else {
        return Err(gone());
    };
    let record: Record = serde_json::from_slice(&entry.body)
        .map_err(|error| Refusal::failed(Code::Internal, error.to_string()))?;
    match record.event {
        Event::Sign(sign) => Ok(*sign),
        _ => Err(gone()),
    }
}
