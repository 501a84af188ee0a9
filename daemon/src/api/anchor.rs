//! `POST /v1/log/cosignatures`, `GET /v1/log/consistency`: what the courier brings and takes.
//!
//! Neither makes a record: a record would make a checkpoint, which would want a cosignature.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Incoming;
use sealwright_core::error::Code;
use sealwright_core::permit::{Action, Resource};
use serde::{Deserialize, Serialize};

use super::query::Query;
use super::{Call, read_json};
use crate::audit::tree;
use crate::audit::witnesses::WitnessError;
use crate::http::{self, Answer};
use crate::refusal::Refusal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cosignatures {
    size: u64,
    cosignatures: String,
}

#[derive(Serialize)]
struct Taken {
    size: u64,
    witnesses: Vec<String>,
    quorum: bool,
}

pub(super) async fn cosignatures(call: &Call<'_>, body: Incoming) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let tenant = Resource::Tenant(&caller.principal.tenant);
    call.check(&caller, Action::Anchor, tenant)?;
    let Cosignatures { size, cosignatures } = read_json(call, body).await?;
    let now = call.daemon.clock.now();
    let witnesses = &call.daemon.witnesses;
    let accepted = tokio::task::block_in_place(|| witnesses.accept(size, &cosignatures, now))?;
    Ok(http::json(&Taken {
        size,
        witnesses: accepted.witnesses,
        quorum: accepted.quorum,
    }))
}

#[derive(Serialize)]
struct Consistency {
    from: u64,
    to: u64,
    /// Base64, in the order of RFC 9162 section 2.1.4.1.
    hashes: Vec<String>,
}

/// Hashes only, but they tell how the log grew: for those who read the whole of it.
pub(super) fn consistency(call: &Call<'_>, query: &str) -> Result<Answer, Refusal> {
    let caller = call.caller()?;
    let tenant = Resource::Tenant(&caller.principal.tenant);
    call.check(&caller, Action::ReadAudit, tenant)?;
    let bad = |detail: String| Refusal::bad_input(Code::InvalidRequest, detail);
    let mut query = Query::parse(query);
    let (from, to) = (query.take_as("from")?, query.take_as("to")?);
    query.finish()?;
    let (Some(from), Some(to)) = (from, to) else {
        return Err(bad("from and to are sizes, and both are needed".to_owned()));
    };
    let newest = call.daemon.checkpoints.borrow().clone();
    let size = newest.as_ref().map_or(0, |newest| newest.size);
    if from == 0 || from > to || to > size {
        let detail = format!("1 <= from <= to <= {size}, the size of the newest checkpoint");
        return Err(bad(detail));
    }
    let tiles = call.daemon.tiles.clone();
    let proof = tokio::task::block_in_place(|| tree::consistency(tiles, from, to));
    let proof = proof.map_err(|e| Refusal::failed(Code::Internal, e.to_string()))?;
    let hashes = proof.iter().map(|hash| STANDARD.encode(hash)).collect();
    Ok(http::json(&Consistency { from, to, hashes }))
}

impl From<WitnessError> for Refusal {
    fn from(error: WitnessError) -> Self {
        let text = error.to_string();
        match error {
            WitnessError::UnknownCheckpoint(_) => Self::bad_input(Code::UnknownCheckpoint, text),
            WitnessError::Lines(_) => Self::bad_input(Code::InvalidRequest, text),
            WitnessError::Cosignature(_) | WitnessError::Ahead { .. } => {
                tracing::warn!(reason = %text, "a cosignature was refused");
                Self::bad_input(Code::CosignatureRejected, text)
            }
            WitnessError::Store(_) => Self::failed(Code::Internal, text),
        }
    }
}
