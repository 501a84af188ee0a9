//! Proofs that a record is in the log, under the best checkpoint there is.

use std::time::{Duration, Instant};

use sealwright_core::error::Code;
use sealwright_core::journal::Kept;
use sealwright_core::tlog::merkle::leaf_hash;
use tokio::sync::watch;

use crate::audit::checkpoint::{Published, proof_text};
use crate::audit::index::Stored;
use crate::audit::tree;
use crate::audit::witnesses::Anchored;
use crate::config::Anchor;
use crate::daemon::Daemon;
use crate::refusal::Refusal;

/// How long a caller that waits for a proof waits for a checkpoint that covers the record, and for its witnesses.
pub const WAIT: Duration = Duration::from_secs(30);

/// How long a caller is kept waiting: one that does not `wait` is answered at once.
pub fn patience(wait: bool) -> Duration {
    if wait { WAIT } else { Duration::ZERO }
}

/// Why there is no proof yet.
pub fn not_yet(detail: &str) -> Refusal {
    Refusal::bad_input(Code::UnknownRecord, detail)
}

/// The proof (C2SP `tlog-proof`) that `stored` is in the log. Waits up to `limit` for a checkpoint that covers it; one
/// that waits at all waits for the witnesses, too, where `[log] anchor` relies on them.
pub async fn of(daemon: &Daemon, stored: &Stored, limit: Duration) -> Result<String, Refusal> {
    let checkpoint = covering(daemon, stored.index, limit).await?;
    let leaf = leaf_hash(stored.kept.leaf());
    let tiles = daemon.tiles.clone();
    let hashes = tokio::task::block_in_place(|| {
        tree::inclusion(
            tiles,
            &leaf,
            stored.index,
            checkpoint.size,
            &checkpoint.root,
        )
    });
    let hashes = hashes.map_err(|e| Refusal::failed(Code::Internal, e.to_string()))?;
    // Of a record without a body there is nothing to carry; who kept an older proof has it all.
    let extra = match &stored.kept {
        Kept::Whole(entry) => Some([entry.salt.as_slice(), &entry.body].concat()),
        Kept::Redacted(_) => None,
    };
    let extra = extra.as_deref();
    Ok(proof_text(stored.index, extra, &hashes, &checkpoint))
}

/// The same for a record that was written just now and may still be on its way into the index; waits no longer
/// than to `deadline`.
pub async fn of_new(daemon: &Daemon, index: u64, deadline: Instant) -> Result<String, Refusal> {
    let left = || WAIT.min(deadline.saturating_duration_since(Instant::now()));
    daemon.index.wait_for(index.saturating_add(1), left()).await;
    let stored = daemon.index.get(index)?;
    let stored = stored.ok_or_else(|| not_yet("the record is not in the audit index yet"))?;
    of(daemon, &stored, left()).await
}

/// The newest checkpoint that has the witnesses' quorum, else the newest one, if it covers the record; else the
/// first one that does. It leaves the host with the proof.
async fn covering(daemon: &Daemon, index: u64, limit: Duration) -> Result<Published, Refusal> {
    if let Some(anchored) = daemon.witnesses.anchored()
        && anchored.published.size > index
    {
        return Ok(anchored.published);
    }
    let by = Instant::now() + limit;
    let newest = newest_covering(daemon, index, limit).await?;
    let relies_on_witnesses = daemon.config.log.anchor != Anchor::None;
    if relies_on_witnesses && !limit.is_zero() {
        let left = by.saturating_duration_since(Instant::now());
        return witnessed(daemon, index, left).await;
    }
    daemon.store.show(newest.size);
    Ok(newest)
}

async fn newest_covering(
    daemon: &Daemon,
    index: u64,
    limit: Duration,
) -> Result<Published, Refusal> {
    let covers = |newest: &Option<Published>| newest.as_ref().is_some_and(|c| c.size > index);
    let newest = seen(daemon, daemon.checkpoints.clone(), covers, limit).await?;
    newest.flatten().ok_or_else(|| {
        not_yet("no checkpoint covers this record yet; try again in a second or with wait=true")
    })
}

/// The first checkpoint with the witnesses' quorum that covers the record, as the courier brings it.
async fn witnessed(daemon: &Daemon, index: u64, limit: Duration) -> Result<Published, Refusal> {
    let covers = |newest: &Option<Anchored>| {
        newest
            .as_ref()
            .is_some_and(|newest| newest.published.size > index)
    };
    let newest = seen(daemon, daemon.witnesses.watch(), covers, limit).await?;
    let newest = newest.flatten().ok_or_else(|| {
        let detail = "a checkpoint covers this record, and too few witnesses have cosigned one yet; the proof \
             without them is to be had with wait=false";
        Refusal::bad_input(Code::NotWitnessed, detail)
    })?;
    Ok(newest.published)
}

/// What `values` has once `wanted` says yes; `None` where that takes longer than `limit`.
async fn seen<T: Clone>(
    daemon: &Daemon,
    mut values: watch::Receiver<T>,
    wanted: impl FnMut(&T) -> bool,
    limit: Duration,
) -> Result<Option<T>, Refusal> {
    tokio::select! {
        found = tokio::time::timeout(limit, values.wait_for(wanted)) => {
            Ok(found.ok().and_then(|found| Some(found.ok()?.clone())))
        }
        () = daemon.stopped() => Err(not_yet("the daemon is stopping")),
    }
}
