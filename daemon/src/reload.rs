//! What SIGHUP reads anew: the policy and the denied keys. The rest of the configuration needs a restart.

use std::sync::Arc;

use sealwright_core::permit::PolicyEngine as _;
use sealwright_core::record::{Activated, Event};
use tokio::signal::unix::Signal;

use crate::daemon::Daemon;
use crate::deny::Denied;
use crate::run::{RunError, read_policy};

/// SIGHUP: reads policy and deny list anew, each by itself.
pub(crate) async fn on(mut hangup: Signal, daemon: Arc<Daemon>) {
    while hangup.recv().await.is_some() {
        if let Err(error) = policy(&daemon).await {
            tracing::error!(%error, "the policy stays as it was");
        }
        if let Err(error) = denied(&daemon).await {
            tracing::error!(%error, "the deny list stays as it was");
        }
    }
}

/// It decides only after its digest is in the log; a bad one changes nothing.
async fn policy(daemon: &Daemon) -> Result<(), RunError> {
    let policy = read_policy(&daemon.config)?;
    let digest = policy.digest();
    let event = Event::PolicyActivated(Activated { digest });
    let _ = daemon.journal.record(event).await?;
    daemon.policy.replace(Arc::new(policy));
    tracing::info!(%digest, "policy activated");
    Ok(())
}

/// As with the policy; one that is the same as before leaves no record.
async fn denied(daemon: &Daemon) -> Result<(), RunError> {
    let denied = Denied::read(&daemon.config.api.deny_spki, daemon.config.digest)?;
    let (digest, keys) = (denied.config_digest(), denied.count());
    if digest == daemon.config_digest() {
        return Ok(());
    }
    let event = Event::ConfigActivated(Activated { digest });
    let _ = daemon.journal.record(event).await?;
    daemon.deny.replace(denied);
    tracing::info!(%digest, keys, "deny list activated");
    Ok(())
}
