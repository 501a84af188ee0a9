//! Shows every hour that each token still signs: with keys that were enrolled for that and sign nothing else.
//!
//! A host that nobody asks for days is found to be broken before somebody needs it. While keys are frozen none is used, not
//! even for this.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealwright_core::canary::CanaryToBeSigned;
use sealwright_core::key::Purpose;

use crate::daemon::Daemon;
use crate::refusal::Refusal;

/// Between two looks at what is due.
const LOOK: Duration = Duration::from_secs(1);

/// How the canaries are, by token.
pub struct Canaries {
    started: Instant,
    // Held for a look or a change.
    by_token: Mutex<BTreeMap<String, Canary>>,
}

/// One token's canary.
#[derive(Debug, Clone, Default)]
pub struct Canary {
    tried: Option<Instant>,
    signed: Option<Instant>,
    /// Why the newest attempt failed.
    pub problem: Option<String>,
}

impl Default for Canaries {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            by_token: Mutex::default(),
        }
    }
}

impl Canaries {
    /// Each token that has a canary key now, with how long ago it signed (or the daemon started) and what is wrong.
    pub fn of(&self, daemon: &Daemon) -> Vec<(String, Duration, Option<String>)> {
        let keys = due(daemon);
        let canaries = self.lock();
        let rows = keys.into_iter().map(|key| {
            let canary = canaries.get(key.token()).cloned().unwrap_or_default();
            let since = canary.signed.unwrap_or(self.started);
            (key.token().to_owned(), since.elapsed(), canary.problem)
        });
        rows.collect()
    }

    fn is_due(&self, token: &str, interval: Duration) -> bool {
        let tried = self.lock().get(token).and_then(|canary| canary.tried);
        tried.is_none_or(|tried| tried.elapsed() >= interval)
    }

    fn note(&self, token: &str, ended: Result<(), String>) {
        let mut canaries = self.lock();
        let canary = canaries.entry(token.to_owned()).or_default();
        let now = Instant::now();
        canary.tried = Some(now);
        if ended.is_ok() {
            canary.signed = Some(now);
        }
        canary.problem = ended.err();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Canary>> {
        self.by_token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has each canary sign when its time has come, until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let interval = daemon.config.canary.interval();
    loop {
        tick.tick().await;
        for key in due(&daemon) {
            if daemon.canaries.is_due(key.token(), interval) {
                attempt(&daemon, &key).await;
            }
        }
    }
}

async fn attempt(daemon: &Daemon, key: &CanaryToBeSigned) {
    let ended = sign(daemon, key).await;
    if let Err(refusal) = &ended {
        tracing::warn!(token = key.token(), reason = %refusal.reason, "the token does not sign its canary");
        daemon.mark_suspect(refusal).await;
    }
    let ended = ended.map_err(|refusal| refusal.reason);
    daemon.canaries.note(key.token(), ended);
}

async fn sign(daemon: &Daemon, key: &CanaryToBeSigned) -> Result<(), Refusal> {
    let signature = daemon.tokens.sign_canary(key).await?;
    key.check(&daemon.verifier, &signature)
        .map_err(|bad| Refusal::bad_signature(key.token(), &bad))
}

/// The canary keys that may be used now, one per token.
fn due(daemon: &Daemon) -> Vec<CanaryToBeSigned> {
    let now = daemon.clock.now();
    let keys = daemon.journal.with_state(|state| {
        let origin = state
            .genesis()
            .map_or("", |genesis| genesis.origin.as_str());
        let thawed = state
            .keys_for(Purpose::Canary)
            .filter(|(id, _)| state.check_thawed(id.key.tenant()).is_ok());
        let keys =
            thawed.filter_map(|(id, version)| CanaryToBeSigned::new(origin, &id, version, now));
        keys.map(|key| (key.token().to_owned(), key))
            .collect::<BTreeMap<_, _>>()
    });
    keys.into_values().collect()
}
