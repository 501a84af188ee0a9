//! Live, ready, degraded: does the process answer, would it sign, and does somebody have to look.
//!
//! A host with one of four tokens unplugged is ready and degraded: three tokens sign, and somebody has to look.

use std::collections::BTreeSet;

use sealwright_core::key::KeyState;
use sealwright_core::record::FreezeScope;

use crate::config::Anchor;
use crate::daemon::Daemon;
use crate::expiry::Use;
use crate::tokens::Service;

/// What is wrong, one sentence each, without anything that only operators may know.
#[derive(Debug, Default)]
pub struct Health {
    /// Why nothing can be signed; empty while something can.
    pub unready: Vec<String>,
    /// What somebody has to look at.
    pub degraded: Vec<String>,
}

impl Health {
    /// As it is now.
    pub fn of(daemon: &Daemon) -> Self {
        let mut health = Self::default();
        if let Err(refusal) = daemon.can_sign() {
            health.unready.push(refusal.reason);
        }
        health.unready.extend(frozen_altogether(daemon));
        health.look_at_tokens(daemon);
        health.look_around(daemon);
        health
    }

    /// Something can be signed.
    pub fn is_ready(&self) -> bool {
        self.unready.is_empty()
    }

    /// Somebody has to look; what is not ready is degraded, too.
    pub fn is_degraded(&self) -> bool {
        !self.is_ready() || !self.degraded.is_empty()
    }

    /// All of it, the worst first.
    pub fn all(self) -> Vec<String> {
        self.unready.into_iter().chain(self.degraded).collect()
    }

    /// One token that holds a key which signs is enough; the log's own signs nothing for callers.
    fn look_at_tokens(&mut self, daemon: &Daemon) {
        let signing = signing_tokens(daemon);
        let mut is_one_ready = false;
        let mut reasons = Vec::new();
        for (name, status) in daemon.tokens.statuses() {
            let signs = signing.is_empty() || signing.contains(name);
            match status.service() {
                Service::Ready(_) => is_one_ready |= signs,
                Service::Connecting => reasons.push(format!("token {name} is connecting")),
                Service::OutOfService(reason) => reasons.push(format!("token {name}: {reason}")),
            }
            if daemon.suspects.contains(name) {
                let suspect = "is marked suspect: sealwright token clear, once it is known why";
                self.degraded.push(format!("token {name} {suspect}"));
            }
        }
        if is_one_ready {
            self.degraded.extend(reasons);
        } else {
            self.unready.extend(reasons);
        }
    }

    fn look_around(&mut self, daemon: &Daemon) {
        if daemon.config.log.anchor == Anchor::Warn && daemon.is_anchor_stale() {
            let limit = daemon.config.log.max_anchor_age_s;
            self.degraded
                .push(format!("no quorum of witnesses within {limit} s"));
        }
        if daemon.trusted_clock.now().is_err() {
            let doubt = "the clock is in doubt: sealwright clock accept, once it is right";
            self.degraded.push(doubt.to_owned());
        }
        let late = daemon.config.canary.max_age();
        for (token, age, problem) in daemon.canaries.of(daemon) {
            if let Some(problem) = problem {
                self.degraded.push(format!("canary of {token}: {problem}"));
            } else if age > late {
                let age = age.as_secs();
                self.degraded
                    .push(format!("canary of {token} has not signed for {age} s"));
            }
        }
        let now = daemon.clock.now();
        let soon = daemon.expiries.soon(now);
        for kind in [Use::Server, Use::Ca, Use::Caller] {
            if let Some(first) = soon.iter().find(|one| one.kind == kind) {
                let (kind, until) = (kind.as_str(), first.not_after);
                self.degraded
                    .push(format!("a {kind} certificate runs out at {until}"));
            }
        }
    }
}

/// The tokens of the keys that sign now.
fn signing_tokens(daemon: &Daemon) -> BTreeSet<String> {
    daemon.journal.with_state(|state| {
        let active = state.keys().map(|(_, version)| version);
        let active = active.filter(|version| version.state == KeyState::Active);
        active
            .map(|version| version.enrolment.token.clone())
            .collect()
    })
}

/// A tenant's freeze leaves the others at work.
fn frozen_altogether(daemon: &Daemon) -> Option<String> {
    daemon.journal.with_state(|state| {
        let index = state.freeze_of(&FreezeScope::All)?.index;
        Some(format!("everything is frozen since record {index}"))
    })
}
