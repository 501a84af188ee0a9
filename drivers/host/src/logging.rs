//! Logging to stderr: JSON lines where systemd collects them, plain text elsewhere. Never a credential.

use tracing_subscriber::EnvFilter;

/// The bindings of TPMs and YubiKeys log every answer that is no success, also those that a driver expects and handles.
const DEFAULT: &str = "info,tss_esapi=off,yubikey=off";

/// Starts logging at level `SEALWRIGHT_LOG`, by default [`DEFAULT`].
pub(crate) fn start() {
    let filter =
        EnvFilter::try_from_env("SEALWRIGHT_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // systemd sets JOURNAL_STREAM where stderr goes to the journal.
    let started = if std::env::var_os("JOURNAL_STREAM").is_some() {
        builder.json().try_init()
    } else {
        builder.with_ansi(false).try_init()
    };
    if let Err(error) = started {
        eprintln!("logging cannot be started: {error}");
    }
}
