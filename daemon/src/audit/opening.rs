//! What a start reads: the whole journal, or what follows the snapshot.

use std::path::Path;
use std::sync::Arc;

use sealwright_core::record::Genesis;
use sealwright_core::tlog::Hash;
use sealwright_core::tlog::merkle::leaf_hash;

use super::OpenError;
use super::checkpoint::{Published, log_verifier_key};
use super::checkpoint_store::Store;
use super::disk::Disk;
use super::recovery::{Recovered, recover, recover_from};
use super::snapshot::Snapshot;
use super::tree::Tree;

/// Where things lie.
pub(super) struct Places<'p> {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) journal: &'p Path,
    pub(super) tiles: &'p Path,
    pub(super) checkpoints: &'p Store,
    /// Of a log that has no record yet.
    pub(super) genesis: Option<&'p Genesis>,
}

/// The log as it was found; its newest checkpoint agrees with it.
pub(super) struct Found {
    pub(super) recovered: Recovered,
    pub(super) tree: Tree,
    pub(super) newest: Option<Published>,
    /// Index that the snapshot ended at; 0 where the whole journal was read.
    pub(super) from: u64,
}

/// Reads what follows `snapshot` where that leads to a sound log, else everything.
///
/// Whatever is wrong behind a snapshot is judged by the whole journal: its errors are those that an operator sees.
pub(super) fn read(places: &Places<'_>, snapshot: Option<Snapshot>) -> Result<Found, OpenError> {
    match snapshot.map(|snapshot| resume(places, snapshot)) {
        Some(Ok(Some(found))) => return Ok(found),
        Some(Ok(None)) => {
            tracing::warn!("the snapshot is not of this journal, which is read whole")
        }
        Some(Err(error)) => {
            tracing::warn!(%error, "the snapshot leads nowhere, the journal is read whole");
        }
        None => {}
    }
    let mut leaves = Vec::new();
    let recovered = recover(places.disk.as_ref(), places.journal, &mut |batch, _| {
        leaves.extend(batch.entries.iter().map(|kept| leaf_hash(kept.leaf())));
    })?;
    let tree = Tree::rebuild(places.tiles, &leaves)?;
    finish(places, recovered, tree, 0)
}

fn resume(places: &Places<'_>, snapshot: Snapshot) -> Result<Option<Found>, OpenError> {
    let agrees = snapshot.agrees(places.disk.as_ref());
    let agrees = agrees.map_err(|source| OpenError::Io {
        path: places.journal.to_owned(),
        source,
    })?;
    let Some((frontier, mut leaves)) = snapshot.tree().filter(|_| agrees) else {
        return Ok(None);
    };
    let from = snapshot.chain().index;
    let recovered = recover_from(
        places.disk.as_ref(),
        places.journal,
        snapshot.into_recovered(),
        &mut |batch, _| {
            let new = batch.entries.iter().map(|kept| leaf_hash(kept.leaf()));
            leaves.extend::<Vec<Hash>>(new.collect());
        },
    )?;
    let tree = Tree::resume(places.tiles, frontier, &leaves)?;
    finish(places, recovered, tree, from).map(Some)
}

/// Before a single record is added: a log that lost some must not grow over the gap.
fn finish(
    places: &Places<'_>,
    recovered: Recovered,
    tree: Tree,
    from: u64,
) -> Result<Found, OpenError> {
    let newest = match recovered.state.genesis().or(places.genesis) {
        Some(genesis) => {
            let key = log_verifier_key(&genesis.origin, &genesis.log_key)?;
            places.checkpoints.newest(&key, &tree)?
        }
        None => None,
    };
    Ok(Found {
        recovered,
        tree,
        newest,
        from,
    })
}
