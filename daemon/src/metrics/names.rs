//! Every metric there is. [docs/metrics.md](../../../docs/metrics.md) explains each one; a test holds the two together, and
//! alert rules and dashboard against them.

/// What kind of metric, as OpenMetrics calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the daemon runs; its samples end in `_total`.
    Counter,
    /// What is now.
    Gauge,
    /// Samples `_bucket`, `_sum`, `_count`.
    Histogram,
}

impl Kind {
    /// As in the documentation's table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// As a query names it: a counter with its `_total`, a histogram without a suffix.
    pub name: &'static str,
    /// Which kind.
    pub kind: Kind,
    /// One sentence, without its full stop.
    pub help: &'static str,
}

impl Metric {
    /// The name of the family: what `# TYPE` names.
    pub fn family(&self) -> &'static str {
        self.name.strip_suffix("_total").unwrap_or(self.name)
    }
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $constant:ident = $kind:ident $name:literal $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: Metric =
            Metric { name: $name, kind: Kind::$kind, help: $help };)*
        /// All of them.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    BUILD = Gauge "sealwright_build_info" "Always 1; the label is the version";
    HEALTH = Gauge "sealwright_health" "Whether the daemon is in that state: live, ready, degraded";
    // Requests.
    SIGN_REQUESTS = Counter "sealwright_sign_requests_total" "Signing requests by the code of their answer";
    SIGN_SECONDS = Histogram "sealwright_sign_duration_seconds" "From the request's head to its answer, by kind of token and outcome";
    DENIALS = Counter "sealwright_denials_total" "Requests of all endpoints that were refused before a key was used, by code";
    CONNECTIONS_REFUSED = Counter "sealwright_connections_refused_total" "Connections closed because there were too many";
    HANDSHAKES_FAILED = Counter "sealwright_handshakes_failed_total" "Connections that ended before their caller was known";
    RECEIPTS_FAILED = Counter "cvss_receipt_dsse_failures_total" "Receipts that were asked for and not signed for no fault of the caller's";
    RECEIPTS_DAMAGED = Counter "cvss_hash_mismatch_total" "Receipts' statements on disk that are not what they were";
    // Keys.
    KEY_SIGNATURES = Counter "sealwright_key_signatures_total" "Signatures that were released, by key";
    ROTATION_DUE = Gauge "sealwright_key_rotation_due" "1 while a key's rotation is due";
    ROTATION_SOON = Gauge "sealwright_key_rotation_soon" "1 while a key's rotation will soon be due";
    FROZEN = Gauge "sealwright_frozen" "1 while that scope is frozen";
    OPERATIONS_WAITING = Gauge "sealwright_operations_waiting" "Operations that wait for approvals";
    OPERATIONS_OWED = Gauge "sealwright_operations_owed" "Operations done by break-glass that nobody has approved yet";
    // Tokens.
    DRIVER_STATE = Gauge "sealwright_driver_state" "1 for the state a token's driver is in: connecting, ready, out-of-service";
    TOKEN_READY = Gauge "sealwright_token_ready" "1 while the token serves";
    TOKEN_SUSPECT = Gauge "sealwright_token_suspect" "1 while the token is marked for an answer that did not verify";
    TOKEN_QUEUED = Gauge "sealwright_token_queued" "Requests that wait for a session";
    TOKEN_IN_FLIGHT = Gauge "sealwright_token_in_flight" "Requests that the driver has";
    TOKEN_CALL_SECONDS = Histogram "sealwright_token_call_duration_seconds" "From a request's way to the driver to its answer";
    TOKEN_FAILURES = Counter "sealwright_token_failures_total" "Times a driver was lost or not reached";
    CANARY_AGE = Gauge "sealwright_canary_age_seconds" "Since the token's canary key last signed, or since the start where it has not yet";
    CANARY_FAILED = Gauge "sealwright_canary_failed" "1 if the newest attempt failed";
    // The log.
    LOG_SIZE = Gauge "sealwright_log_size" "Records";
    COMMIT_SECONDS = Histogram "sealwright_journal_commit_duration_seconds" "Writing and syncing one batch";
    BATCH_RECORDS = Histogram "sealwright_journal_batch_records" "Records in one batch";
    JOURNAL_BYTES = Gauge "sealwright_journal_bytes" "Bytes of the journal's files";
    FREE_BYTES = Gauge "sealwright_state_free_bytes" "Bytes free where the journal lies";
    POISONED = Gauge "sealwright_journal_poisoned" "1 after a write or sync failed, until a restart";
    CHECKPOINT_SIZE = Gauge "sealwright_checkpoint_size" "Records that the newest checkpoint covers";
    CHECKPOINT_LAG = Gauge "sealwright_checkpoint_lag_seconds" "How long a record has been waiting for a checkpoint; 0 where none waits";
    CHECKPOINT_AGE = Gauge "sealwright_checkpoint_age_seconds" "Since this run's newest checkpoint was signed; grows on an idle host";
    QUORUM_AGE = Gauge "sealwright_witness_quorum_age_seconds" "Since enough witnesses vouched, by their clocks";
    WITNESS_LAG = Gauge "sealwright_witness_lag_records" "Records beyond what the witness has cosigned";
    WITNESS_AGE = Gauge "sealwright_witness_age_seconds" "Since the witness's newest cosignature, by its clock";
    // Around it.
    CLOCK_IN_DOUBT = Gauge "sealwright_clock_in_doubt" "1 while nothing happens by time";
    CERTIFICATES_EXPIRING = Gauge "sealwright_certificates_expiring" "Certificates that have run out or soon will";
    CERTIFICATE_EXPIRY = Gauge "sealwright_certificate_expiry_timestamp_seconds" "When the first certificate of that use and tenant runs out, in Unix seconds";
    DENIED_KEYS = Gauge "sealwright_denied_keys" "Keys on the deny list";
    SERIES_DROPPED = Gauge "sealwright_metrics_series_dropped" "Rows of that metric left out because of [monitor] max_series";
}
