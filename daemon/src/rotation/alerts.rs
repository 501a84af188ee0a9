//! Keys that should be rotated: shown in status, metrics and log. A person rotates them.

use std::sync::Arc;
use std::time::Duration;

use sealwright_core::key::KeyVersion;
use sealwright_core::name::KeyVersionId;
use sealwright_core::rotation::{RotationDue, Urgency};
use sealwright_core::time::Timestamp;

use crate::config::rotation::rule_for;
use crate::daemon::Daemon;

/// Between two warnings in the log.
const WARN_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// What the rules say of one version at `now`.
pub fn due(
    daemon: &Daemon,
    id: &KeyVersionId,
    version: &KeyVersion,
    now: Timestamp,
) -> Option<RotationDue> {
    rule_for(&daemon.config.rotations, &id.key)?.due(version, now)
}

/// Warns at start, and once a day, of each key that is due or will be soon.
pub async fn warn_daily(daemon: Arc<Daemon>) {
    let mut tick = tokio::time::interval(WARN_AGAIN);
    loop {
        tick.tick().await;
        for (key, due) in all(&daemon) {
            let RotationDue { because, at, .. } = due;
            let at = at.map(|at| at.to_string()).unwrap_or_default();
            match due.urgency {
                Urgency::Due => {
                    tracing::warn!(%key, ?because, at, "the key is due for rotation: docs/runbooks/rotate-a-key.md")
                }
                Urgency::Soon => {
                    tracing::warn!(%key, ?because, at, "the key is soon due for rotation: docs/runbooks/rotate-a-key.md")
                }
            }
        }
    }
}

/// Every version that is due or will be soon.
pub fn all(daemon: &Daemon) -> Vec<(KeyVersionId, RotationDue)> {
    let now = daemon.clock.now();
    daemon.journal.with_state(|state| {
        let found = state
            .keys()
            .filter_map(|(id, version)| due(daemon, &id, version, now).map(|due| (id, due)));
        found.collect()
    })
}
