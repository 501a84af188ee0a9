//! What is read when somebody asks.

use sealwright_core::name::KeyName;
use sealwright_core::rotation::Urgency;
use sealwright_core::state::approvals::Status as OperationStatus;
use tokio::task::block_in_place;

use super::names as n;
use super::rows::{Rows, Value};
use crate::approvals;
use crate::config::rotation::rule_for;
use crate::daemon::Daemon;
use crate::expiry::Use;
use crate::health::Health;
use crate::rotation::alerts;
use crate::tokens::Service;

pub(super) fn read(daemon: &Daemon, rows: &mut Rows) {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    rows.add(n::BUILD, vec![("version", version)], true);
    let health = Health::of(daemon);
    for (state, is) in [
        ("live", true),
        ("ready", health.is_ready()),
        ("degraded", health.is_degraded()),
    ] {
        rows.add(n::HEALTH, vec![("state", state.to_owned())], is);
    }
    tokens(daemon, rows);
    log(daemon, rows);
    witnesses(daemon, rows);
    keys(daemon, rows);
    certificates(daemon, rows);
    let is_doubted = daemon.trusted_clock.now().is_err();
    rows.one(n::CLOCK_IN_DOUBT, is_doubted);
    let operations = |status| approvals::count(daemon, status);
    rows.one(n::OPERATIONS_WAITING, operations(OperationStatus::Waiting));
    rows.one(n::OPERATIONS_OWED, operations(OperationStatus::Owed));
}

fn tokens(daemon: &Daemon, rows: &mut Rows) {
    for (name, status) in daemon.tokens.statuses() {
        let service = status.service();
        for state in Service::STATES {
            let labels = vec![
                ("token", name.to_owned()),
                ("kind", status.kind().to_owned()),
                ("state", state.to_owned()),
            ];
            rows.add(n::DRIVER_STATE, labels, service.as_str() == state);
        }
        let label = || vec![("token", name.to_owned())];
        let is_ready = matches!(service, Service::Ready(_));
        rows.add(n::TOKEN_READY, label(), is_ready);
        rows.add(n::TOKEN_SUSPECT, label(), daemon.suspects.contains(name));
        rows.add(n::TOKEN_QUEUED, label(), status.queued());
        rows.add(n::TOKEN_IN_FLIGHT, label(), status.in_flight());
        let calls = Value::Histogram(status.call_seconds().clone());
        rows.add(n::TOKEN_CALL_SECONDS, label(), calls);
        rows.add(n::TOKEN_FAILURES, label(), Value::Int(status.failures()));
    }
    for (token, age, problem) in daemon.canaries.of(daemon) {
        let label = || vec![("token", token.clone())];
        rows.add(n::CANARY_AGE, label(), Value::Float(age.as_secs_f64()));
        rows.add(n::CANARY_FAILED, label(), problem.is_some());
    }
}

fn log(daemon: &Daemon, rows: &mut Rows) {
    let size = daemon.journal.with_state(|state| state.next_index());
    rows.one(n::LOG_SIZE, Value::Int(size));
    rows.one(n::JOURNAL_BYTES, Value::Int(journal_bytes(daemon)));
    rows.one(n::FREE_BYTES, Value::Int(daemon.space.free_bytes()));
    rows.one(n::POISONED, daemon.journal.is_poisoned());
    let lag = daemon.checkpoint_lag().as_secs_f64();
    rows.one(n::CHECKPOINT_LAG, Value::Float(lag));
    if let Some(age) = daemon.pending.age() {
        rows.one(n::CHECKPOINT_AGE, Value::Float(age.as_secs_f64()));
    }
    rows.one(n::CHECKPOINT_SIZE, Value::Int(daemon.checkpoint_size()));
}

/// Of a file that is renamed meanwhile nothing is counted.
fn journal_bytes(daemon: &Daemon) -> u64 {
    let disk = &daemon.disk;
    block_in_place(|| {
        let names = disk.list().unwrap_or_default();
        names.iter().filter_map(|name| disk.len(name).ok()).sum()
    })
}

fn witnesses(daemon: &Daemon, rows: &mut Rows) {
    let now = daemon.clock.now();
    if let Some(age) = daemon.witnesses.age(now) {
        rows.one(n::QUORUM_AGE, Value::Int(age));
    }
    let size = daemon.checkpoint_size();
    let now = now.seconds();
    let configured = daemon.witnesses.quorum().witnesses().iter();
    for (witness, newest) in configured.zip(daemon.witnesses.newest()) {
        let label = || vec![("witness", witness.name().to_owned())];
        let lag = size.saturating_sub(newest.map_or(0, |newest| newest.size));
        rows.add(n::WITNESS_LAG, label(), Value::Int(lag));
        if let Some(newest) = newest {
            let age = now.saturating_sub(newest.time);
            rows.add(n::WITNESS_AGE, label(), Value::Int(age));
        }
    }
}

/// A row per scope that was ever frozen, and per key with a rule: a row that comes and goes alerts nobody.
fn keys(daemon: &Daemon, rows: &mut Rows) {
    let freezes = daemon.journal.with_state(|state| {
        let freezes = state.freezes();
        let freezes = freezes.map(|(scope, freeze)| (scope.clone(), freeze.is_some()));
        freezes.collect::<Vec<_>>()
    });
    for (scope, is_frozen) in freezes {
        rows.add(n::FROZEN, vec![("scope", String::from(scope))], is_frozen);
    }
    let due = alerts::all(daemon);
    let names: Vec<KeyName> = daemon.journal.with_state(|state| {
        let mut keys: Vec<_> = state.keys().map(|(id, _)| id.key).collect();
        keys.dedup();
        keys
    });
    let with_rule = |key: &&KeyName| rule_for(&daemon.config.rotations, key).is_some();
    for key in names.iter().filter(with_rule) {
        let urgency = due.iter().find(|(id, _)| id.key == *key);
        let urgency = urgency.map(|(_, due)| due.urgency);
        let label = || vec![("key", key.to_string())];
        let (is_due, is_soon) = (Some(Urgency::Due), Some(Urgency::Soon));
        rows.add(n::ROTATION_DUE, label(), urgency == is_due);
        rows.add(n::ROTATION_SOON, label(), urgency == is_soon);
    }
}

/// Counts and the first end, not names: a caller's row would stay after its certificate was renewed. Status names them.
fn certificates(daemon: &Daemon, rows: &mut Rows) {
    let soon = daemon.expiries.soon(daemon.clock.now());
    for kind in [Use::Server, Use::Ca, Use::Caller] {
        let count = soon.iter().filter(|one| one.kind == kind).count();
        let label = vec![("use", kind.as_str().to_owned())];
        rows.add(n::CERTIFICATES_EXPIRING, label, count);
    }
    for (kind, tenant, until) in daemon.expiries.first_ends() {
        let labels = vec![("use", kind.as_str().to_owned()), ("tenant", tenant)];
        rows.add(n::CERTIFICATE_EXPIRY, labels, Value::Int(until.seconds()));
    }
    rows.one(n::DENIED_KEYS, daemon.deny.current().count());
}
