//! `GET /v1/log/…`: checkpoint, key, tiles and proofs. What is served here is what any C2SP reader takes.

use bytes::Bytes;
use hyper::StatusCode;
use sealwright_core::error::Code;
use sealwright_core::permit::{Action, Resource};
use sealwright_core::tlog::tile::FULL_WIDTH;
use sealwright_core::tlog::{EntryBundle, TilePath, entries};

use super::Call;
use super::audit::{parse_index, visible};
use super::query::Query;
use crate::http::{self, Answer};
use crate::log_proof::{self, not_yet};
use crate::refusal::Refusal;

pub(super) fn checkpoint(call: &Call<'_>) -> Result<Answer, Refusal> {
    call.caller()?;
    let newest = call.daemon.checkpoints.borrow().clone();
    let newest = newest.ok_or_else(|| not_yet("there is no checkpoint yet"))?;
    call.daemon.store.show(newest.size);
    let cosigned = tokio::task::block_in_place(|| call.daemon.witnesses.cosigned(&newest));
    Ok(http::text(cosigned.note))
}

pub(super) fn key(call: &Call<'_>) -> Result<Answer, Refusal> {
    call.caller()?;
    Ok(http::text(format!("{}\n", call.daemon.log_key)))
}

/// Tiles hold hashes only, but they tell how many records there are: for those who read the whole log.
pub(super) fn tile(call: &Call<'_>, path: &str) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    call.check(
        &caller,
        Action::ReadAudit,
        Resource::Tenant(&caller.principal.tenant),
    )?;
    let unknown = |_| {
        Refusal::bad_input(
            Code::UnknownEndpoint,
            format!("{path} is no tile of this log"),
        )
    };
    let bytes = match path.parse().map_err(|_| unknown(()))? {
        TilePath::Hashes(tile) => call.daemon.tiles.read(&tile).map_err(|_| unknown(()))?,
        TilePath::Entries(bundle) => entries(call, bundle)?.ok_or_else(|| unknown(()))?,
    };
    Ok(http::answer(
        StatusCode::OK,
        "application/octet-stream",
        Bytes::from(bytes),
    ))
}

/// The leaves of a bundle that a checkpoint covers; what else is in a record lies behind them, unseen.
fn entries(call: &Call<'_>, bundle: EntryBundle) -> Result<Option<Vec<u8>>, Refusal> {
    let first = bundle.index.saturating_mul(FULL_WIDTH.into());
    let covered = call.daemon.checkpoints.borrow().as_ref().map(|c| c.size);
    if covered < Some(first.saturating_add(bundle.width.into())) {
        return Ok(None);
    }
    let leaves = tokio::task::block_in_place(|| call.daemon.index.leaves(first, bundle.width))?;
    let bytes = leaves.map(|leaves| entries::encode(&leaves)).transpose();
    bytes.map_err(|e| Refusal::failed(Code::Internal, e.to_string()))
}

pub(super) async fn proof(call: &Call<'_>, index: &str, query: &str) -> Result<Answer, Refusal> {
    let index = parse_index(index)?;
    let mut query = Query::parse(query);
    let wait = query.take_flag("wait")?;
    query.finish()?;
    let stored = visible(call, index).await?;
    let limit = log_proof::patience(wait);
    Ok(http::text(
        log_proof::of(call.daemon, &stored, limit).await?,
    ))
}
