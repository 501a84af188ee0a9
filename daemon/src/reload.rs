//! What SIGHUP reads anew: the policy, the denied keys and those of issuers. The rest of the configuration needs a restart;
//! it is only looked at.

use std::sync::Arc;

use sealwright_core::permit::PolicyEngine as _;
use sealwright_core::record::{Activated, Event};
use tokio::signal::unix::Signal;

use crate::binding::Known;
use crate::config::Config;
use crate::daemon::Daemon;
use crate::deny::Denied;
use crate::policy;
use crate::run::{RunError, activated, note_waiting, read_policy};

/// SIGHUP: reads policy, and deny list with issuers' keys, anew, each by itself.
pub(crate) async fn on(mut hangup: Signal, daemon: Arc<Daemon>) {
    while hangup.recv().await.is_some() {
        if let Err(error) = reload_policy(&daemon).await {
            tracing::error!(%error, "the policy stays as it was");
        }
        if let Err(error) = reload_denied(&daemon).await {
            tracing::error!(%error, "the deny list and the issuers' keys stay as they were");
        }
        look_at_the_rest(&daemon);
    }
}

/// Who changed it and reloads is told at once what the next start would do.
fn look_at_the_rest(daemon: &Daemon) {
    let path = daemon.config.path.display();
    match Config::read(&daemon.config.path) {
        Err(error) => tracing::error!(%error, "the configuration stays as it was"),
        Ok(new) if new.digest != daemon.config.digest => {
            tracing::warn!(%path, "the configuration was changed: that takes effect at the next start");
        }
        Ok(_) => {}
    }
}

/// It decides only after its digest is in the log; a bad one changes nothing, and where approvals are required one that
/// nobody approved waits for `sealwright policy activate`.
async fn reload_policy(daemon: &Daemon) -> Result<(), RunError> {
    let from_file = read_policy(&daemon.config)?;
    let digest = from_file.1.digest();
    let needs_approval = daemon.journal.with_state(|state| {
        state.approvals_required() > 0 && state.policy_digest() != Some(digest)
    });
    if needs_approval {
        note_waiting(daemon, Some(digest));
        return Ok(());
    }
    let event = Event::PolicyActivated(activated(digest));
    policy::activate(daemon, from_file, event).await?;
    tracing::info!(%digest, "policy activated");
    Ok(())
}

/// As with the policy; one that is the same as before leaves no record.
async fn reload_denied(daemon: &Daemon) -> Result<(), RunError> {
    let known = Known::read(&daemon.config.security.issuers, daemon.config.digest)?;
    let denied = Denied::read(&daemon.config.api.deny_spki, known.config_digest())?;
    let (digest, keys) = (denied.config_digest(), denied.count());
    if digest == daemon.config_digest() {
        return Ok(());
    }
    let event = Event::ConfigActivated(Activated { digest });
    let _ = daemon.journal.record(event).await?;
    daemon.binding.issuers.replace(known);
    daemon.deny.replace(denied);
    tracing::info!(%digest, keys, "deny list and issuers' keys activated");
    Ok(())
}
