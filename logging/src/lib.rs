//! Where the log lines of every process go: systemd's journal with their fields where there is one, a person's terminal
//! as text, and JSON lines on standard error everywhere else.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// The variable that says what is logged, as in `debug` or `info,sealwrightd=trace`.
pub const LEVEL: &str = "SEALWRIGHT_LOG";

/// Starts logging at the level in [`LEVEL`], by default `default`.
pub fn start(default: &str) {
    let filter = EnvFilter::try_from_env(LEVEL).unwrap_or_else(|_| EnvFilter::new(default));
    let started = tracing_subscriber::registry()
        .with(output().with_filter(filter))
        .try_init();
    if let Err(error) = started {
        eprintln!("logging cannot be started: {error}");
    }
}

type Output = Box<dyn Layer<Registry> + Send + Sync>;

fn output() -> Output {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    if is_journal(&stream, io::stderr())
        && let Ok(journal) = tracing_journald::layer()
    {
        return journal.boxed();
    }
    let lines = fmt::layer().with_writer(io::stderr);
    if io::stderr().is_terminal() {
        lines.boxed()
    } else {
        lines.json().flatten_event(true).boxed()
    }
}

/// Whether `file` is what systemd connected to the journal. A child inherits the variable also where its own standard
/// error goes elsewhere, so device and inode have to be the same (systemd.exec(5), `$JOURNAL_STREAM`).
fn is_journal(stream: &str, file: impl AsFd) -> bool {
    let named = stream
        .split_once(':')
        .and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    let Some((device, inode)) = named else {
        return false;
    };
    rustix::fs::fstat(file).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (device, inode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn only_the_very_file_that_systemd_named_is_the_journal() {
        let file = File::open("/dev/null").unwrap();
        let meta = file.metadata().unwrap();
        let named = format!("{}:{}", meta.dev(), meta.ino());
        assert!(is_journal(&named, &file));
        assert!(!is_journal(&named, File::open("/dev/zero").unwrap()));
        for wrong in ["", "8", "8:x", ":"] {
            assert!(!is_journal(wrong, &file), "{wrong:?}");
        }
    }
}
