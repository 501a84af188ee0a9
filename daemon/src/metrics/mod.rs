//! What monitoring sees: [`Metrics`] is counted as it happens, [`gauges`] is read when somebody asks.

mod bounded;
mod gauges;
pub mod names;
mod rows;

use std::time::Duration;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric as Encoded, Registry};
use sealwright_core::record::Outcome;

use self::bounded::Bounded;
use self::names::Metric;
use self::rows::Rows;
use crate::daemon::Daemon;
use crate::refusal::Refusal;

/// OpenMetrics 1.0.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One label.
type Label = [(&'static str, String); 1];

/// Seconds from 100 µs (a software key) to 26 s (somebody looks for the button).
pub fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 19))
}

/// Counted as it happens, from the daemon's start on.
pub struct Metrics {
    registry: Registry,
    sign_requests: Family<Label, Counter>,
    sign_seconds: Family<[(&'static str, String); 2], Histogram>,
    denials: Family<Label, Counter>,
    key_signatures: Family<Label, Counter>,
    keys: Bounded,
    /// Connections beyond the limit.
    pub connections_refused: Counter,
    /// Connections without a caller.
    pub handshakes_failed: Counter,
    /// Receipts that were not signed for no fault of the caller's.
    pub receipts_failed: Counter,
    /// Receipts that are damaged on disk.
    pub receipts_damaged: Counter,
}

impl Metrics {
    /// With rows for at most `max_series` keys; `journal` is what its writer observes.
    pub fn new(max_series: usize, journal: &Commits) -> Self {
        let sign_seconds: fn() -> Histogram = seconds;
        let mut this = Self {
            registry: Registry::default(),
            sign_requests: Family::default(),
            sign_seconds: Family::new_with_constructor(sign_seconds),
            denials: Family::default(),
            key_signatures: Family::default(),
            keys: Bounded::new(max_series),
            connections_refused: Counter::default(),
            handshakes_failed: Counter::default(),
            receipts_failed: Counter::default(),
            receipts_damaged: Counter::default(),
        };
        let registry = &mut this.registry;
        add(registry, names::SIGN_REQUESTS, &this.sign_requests);
        add(registry, names::SIGN_SECONDS, &this.sign_seconds);
        add(registry, names::DENIALS, &this.denials);
        add(registry, names::KEY_SIGNATURES, &this.key_signatures);
        add(
            registry,
            names::CONNECTIONS_REFUSED,
            &this.connections_refused,
        );
        add(registry, names::HANDSHAKES_FAILED, &this.handshakes_failed);
        add(registry, names::RECEIPTS_FAILED, &this.receipts_failed);
        add(registry, names::RECEIPTS_DAMAGED, &this.receipts_damaged);
        add(registry, names::COMMIT_SECONDS, &journal.seconds);
        add(registry, names::BATCH_RECORDS, &journal.records);
        this
    }

    /// A signature by each of these keys was released.
    pub fn released(&self, kind: &str, keys: impl Iterator<Item = String>, took: Duration) {
        self.count_code("ok");
        self.observe(kind, "signed", took);
        for key in keys {
            let label = self.keys.label(key);
            self.key_signatures.get_or_create(&[("key", label)]).inc();
        }
    }

    /// A signing request ended without a signature.
    pub fn refused_to_sign(&self, kind: &str, refusal: &Refusal, took: Duration) {
        self.count_code(refusal.code.as_str());
        let outcome = match refusal.outcome {
            _ if refusal.operation.is_some() => "waits",
            Outcome::Signed => "signed",
            Outcome::Denied => "denied",
            Outcome::Failed => "failed",
            Outcome::Discarded => "discarded",
            Outcome::OutcomeUnknown => "outcome_unknown",
        };
        self.observe(kind, outcome, took);
        self.denied(refusal);
    }

    /// Any request was refused; what failed, or only waits, is no denial.
    pub fn denied(&self, refusal: &Refusal) {
        if refusal.outcome == Outcome::Denied && refusal.operation.is_none() {
            let code = refusal.code.as_str().to_owned();
            self.denials.get_or_create(&[("code", code)]).inc();
        }
    }

    fn count_code(&self, code: &str) {
        let code = [("code", code.to_owned())];
        self.sign_requests.get_or_create(&code).inc();
    }

    fn observe(&self, kind: &str, outcome: &str, took: Duration) {
        let labels = [("kind", kind.to_owned()), ("outcome", outcome.to_owned())];
        let histogram = self.sign_seconds.get_or_create(&labels);
        histogram.observe(took.as_secs_f64());
    }
}

fn add(registry: &mut Registry, metric: Metric, counted: &(impl Encoded + Clone)) {
    registry.register(metric.family(), metric.help, counted.clone());
}

/// What the journal's writer observes of its batches.
#[derive(Debug, Clone)]
pub struct Commits {
    seconds: Histogram,
    records: Histogram,
}

impl Default for Commits {
    fn default() -> Self {
        Self {
            seconds: seconds(),
            records: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
        }
    }
}

impl Commits {
    /// A batch of `records` became durable.
    pub fn observe(&self, records: usize, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        self.records.observe(f64::from(records));
    }
}

/// Everything as OpenMetrics text.
pub fn render(daemon: &Daemon) -> String {
    let mut rows = Rows::new(daemon.config.monitor_series());
    gauges::read(daemon, &mut rows);
    let mut read = Registry::default();
    read.register_collector(Box::new(rows.finished()));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode_registry(&mut text, &daemon.metrics.registry);
    let _ = encode_registry(&mut text, &read);
    let _ = encode_eof(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use sealwright_core::error::Code;

    use super::*;

    #[test]
    fn the_rows_of_keys_are_bounded() {
        let metrics = Metrics::new(2, &Commits::default());
        for key in ["default/a", "default/b", "default/c", "default/d"] {
            metrics.released(
                "hsm",
                std::iter::once(key.to_owned()),
                Duration::from_millis(3),
            );
        }
        let mut text = String::new();
        encode_registry(&mut text, &metrics.registry).unwrap();
        let rows = text.matches("sealwright_key_signatures_total{").count();
        assert_eq!(rows, 3, "{text}");
        assert!(
            text.contains("sealwright_key_signatures_total{key=\"other\"} 2"),
            "{text}"
        );
    }

    #[test]
    fn what_waits_or_failed_is_no_denial() {
        let metrics = Metrics::new(2, &Commits::default());
        metrics.denied(&Refusal::waits(3));
        metrics.denied(&Refusal::failed(Code::TokenBusy, "busy"));
        metrics.denied(&Refusal::denied(Code::Denied, "no permit"));
        let mut text = String::new();
        encode_registry(&mut text, &metrics.registry).unwrap();
        assert_eq!(
            text.matches("sealwright_denials_total{").count(),
            1,
            "{text}"
        );
    }

    #[test]
    fn every_name_is_there_once_and_a_counter_says_so() {
        let mut names: Vec<_> = names::ALL.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), names::ALL.len());
        for metric in names::ALL {
            let counts = metric.kind == names::Kind::Counter;
            assert_eq!(metric.name.ends_with("_total"), counts, "{}", metric.name);
        }
    }
}
