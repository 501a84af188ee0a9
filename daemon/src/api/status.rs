//! `GET /v1/status`: what an operator looks at first.

use sealwright_core::digest::Sha256Digest;
use sealwright_core::record::FormerLog;
use sealwright_core::state::State;
use sealwright_core::state::approvals::Status as OperationStatus;
use serde::Serialize;

use super::Call;
use super::freeze::{self, FreezeView};
use super::keys::{self, RotationAhead};
use crate::daemon::Daemon;
use crate::expiry::Expiring;
use crate::http::{self, Answer};
use crate::refusal::Refusal;
use crate::tokens::Service;

#[derive(Serialize)]
struct Status {
    version: &'static str,
    origin: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    predecessor: Option<Predecessor>,
    principal: Principal,
    log: Log,
    policy_digest: String,
    /// A policy file that needs approvals before it decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_waiting: Option<Sha256Digest>,
    approvals: Approvals,
    config_digest: String,
    tokens: Vec<Token>,
    /// Freezes in force that concern the caller.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    freezes: Vec<FreezeView>,
    /// Why the host's clock is not believed, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<String>,
    /// Keys that the caller may see and that are to be rotated, by their rule or as scheduled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rotations: Vec<RotationAhead>,
    /// Certificates that run out soon, for those who operate the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<Expiring>,
    /// Keys that no caller may use, for the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    denied_keys: Option<usize>,
}

/// The log whose place this one took.
#[derive(Serialize)]
struct Predecessor {
    origin: String,
    vkey: String,
    size: u64,
    root: Sha256Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<FormerLog>,
}

/// Dual control.
#[derive(Serialize)]
struct Approvals {
    /// How many approvals a step of a key's life needs; 0: none.
    required: u32,
    /// Requests that wait for approvals.
    waiting: usize,
    /// Things done by break-glass that nobody approved yet.
    owed: usize,
}

#[derive(Serialize)]
struct Principal {
    id: String,
    tenant: String,
    roles: Vec<&'static str>,
}

#[derive(Serialize)]
struct Log {
    /// Records so far.
    size: u64,
    /// Records that the newest checkpoint covers.
    checkpoint_size: u64,
    /// How long the others have been waiting for one.
    checkpoint_lag_ms: u64,
    /// `ok`, or why nothing is signed now.
    state: &'static str,
    /// Whether audit queries are answered.
    index: &'static str,
    witnesses: Vec<Witness>,
    anchor: Anchor,
    /// `audit.erased` records whose bodies are still being destroyed.
    erasing: Vec<u64>,
    /// Why that failed; it is tried again at the next erasure and the next start.
    #[serde(skip_serializing_if = "Option::is_none")]
    erasing_failed: Option<String>,
}

/// What one witness vouched for.
#[derive(Serialize)]
struct Witness {
    /// The name of its key.
    name: String,
    /// Records that it vouched for; absent where it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// Seconds since then, by its clock and ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_s: Option<u64>,
}

/// What all of them together vouched for.
#[derive(Serialize)]
struct Anchor {
    /// `none`, `warn` or `require`, as configured.
    mode: &'static str,
    /// How many witnesses make a quorum.
    quorum: usize,
    /// How many of them cosigned the newest checkpoint.
    newest_cosigned: usize,
    /// Records that a quorum vouched for; 0 where none did.
    size: u64,
    /// Seconds since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_s: Option<u64>,
    /// Whether that is too long ago.
    stale: bool,
}

#[derive(Serialize)]
struct Token {
    name: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    suspect: bool,
    queued: usize,
    in_flight: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
}

pub(super) fn get(call: &Call<'_>) -> Result<Answer, Refusal> {
    // Any known caller may look: the answer tells how the daemon is, not what it signs.
    let caller = call.caller()?;
    let daemon = call.daemon;
    let principal = &caller.principal;
    let operates = call.check_host(&caller).is_ok();
    let status = Status {
        version: env!("CARGO_PKG_VERSION"),
        origin: daemon.log_key.name().to_owned(),
        predecessor: predecessor(daemon),
        principal: Principal {
            id: principal.id.clone(),
            tenant: principal.tenant.to_string(),
            roles: principal.roles.iter().map(|role| role.as_str()).collect(),
        },
        log: log(daemon),
        policy_digest: daemon.policy.current().digest().to_string(),
        policy_waiting: daemon.policy.waiting(),
        approvals: approvals(daemon),
        config_digest: daemon.config_digest().to_string(),
        tokens: daemon
            .tokens
            .statuses()
            .map(|(name, status)| token(daemon, name, status))
            .collect(),
        freezes: freeze::views(call, &caller),
        clock: daemon
            .trusted_clock
            .now()
            .err()
            .map(|doubt| doubt.to_string()),
        rotations: keys::rotations_ahead(call, &caller),
        certificates: match operates {
            true => daemon.expiries.soon(daemon.clock.now()),
            false => Vec::new(),
        },
        denied_keys: operates.then(|| daemon.deny.current().count()),
    };
    Ok(http::json(&status))
}

fn predecessor(daemon: &Daemon) -> Option<Predecessor> {
    daemon.journal.with_state(|state| {
        let predecessor = state.genesis()?.predecessor.as_deref()?.clone();
        Some(Predecessor {
            origin: predecessor.origin,
            vkey: predecessor.vkey,
            size: predecessor.size,
            root: predecessor.root,
            because: predecessor.because,
            earlier: predecessor.earlier,
        })
    })
}

fn approvals(daemon: &Daemon) -> Approvals {
    Approvals {
        required: daemon.journal.with_state(State::approvals_required),
        waiting: crate::approvals::count(daemon, OperationStatus::Waiting),
        owed: crate::approvals::count(daemon, OperationStatus::Owed),
    }
}

fn log(daemon: &Daemon) -> Log {
    let lag = daemon.checkpoint_lag().as_millis();
    Log {
        size: daemon.journal.with_state(|state| state.next_index()),
        checkpoint_size: daemon.checkpoint_size(),
        checkpoint_lag_ms: u64::try_from(lag).unwrap_or(u64::MAX),
        state: daemon
            .can_sign()
            .err()
            .map_or("ok", |refusal| refusal.code.as_str()),
        index: if daemon.index.is_ready() {
            "ready"
        } else {
            "rebuilding"
        },
        witnesses: witnesses(daemon),
        anchor: anchor(daemon),
        erasing: daemon
            .journal
            .with_state(|state| state.outstanding_erasures().keys().copied().collect()),
        erasing_failed: daemon.eraser.trouble(),
    }
}

fn witnesses(daemon: &Daemon) -> Vec<Witness> {
    let now = daemon.clock.now().seconds();
    let keys = daemon.witnesses.quorum().witnesses().iter();
    keys.zip(daemon.witnesses.newest())
        .map(|(key, vouched)| Witness {
            name: key.name().to_owned(),
            size: vouched.map(|vouched| vouched.size),
            age_s: vouched.map(|vouched| now.saturating_sub(vouched.time)),
        })
        .collect()
}

fn anchor(daemon: &Daemon) -> Anchor {
    let mode = daemon.config.log.anchor;
    let newest = daemon.checkpoint_size();
    let cosigned = daemon.witnesses.newest();
    let cosigned = cosigned.iter().flatten();
    Anchor {
        mode: mode.as_str(),
        quorum: daemon.witnesses.quorum().needed(),
        newest_cosigned: cosigned.filter(|v| v.size == newest).count(),
        size: daemon.witnesses.anchored().map_or(0, |a| a.published.size),
        age_s: daemon.witnesses.age(daemon.clock.now()),
        stale: mode != crate::config::Anchor::None && daemon.is_anchor_stale(),
    }
}

fn token(daemon: &Daemon, name: &str, status: &crate::tokens::Status) -> Token {
    let service = status.service();
    let mut token = Token {
        name: name.to_owned(),
        state: service.as_str(),
        reason: None,
        suspect: daemon.suspects.contains(name),
        queued: status.queued(),
        in_flight: status.in_flight(),
        kind: None,
        label: None,
        serial: None,
    };
    match service {
        Service::Connecting => {}
        Service::OutOfService(reason) => token.reason = Some(reason),
        Service::Ready(descriptor) => {
            token.kind = Some(descriptor.kind);
            token.label = Some(descriptor.label);
            token.serial = Some(descriptor.serial);
        }
    }
    token
}
