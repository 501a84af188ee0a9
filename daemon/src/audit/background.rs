//! After a start that continued from a snapshot: reads the rest of the log, as `sealwrightd fsck` does.

use std::io;
use std::path::Path;

use super::fsck::{Report, Scope, check};
use super::snapshot::SnapshotFile;
use super::writer::Journal;

/// How much the thread gives way to all others.
const NICE: i32 = 15;

/// Checks in a thread of its own. Damage to the log stops all signing, and the next start reads the whole journal and
/// says what it finds.
pub fn start(state_dir: &Path, journal: Journal, snapshot: SnapshotFile) -> io::Result<()> {
    let scope = Scope {
        state_dir: state_dir.to_owned(),
        outside: Vec::new(),
        is_live: true,
    };
    let thread = std::thread::Builder::new().name("check".to_owned());
    thread.spawn(move || {
        // Without it the check is as quick as it can be, which is no harm either.
        let _ = rustix::process::nice(NICE);
        match check(&scope, &mut |_| {}) {
            Ok(report) => judge(&report, &journal, &snapshot),
            Err(error) => {
                tracing::error!(%error, "the log could not be checked: run `sealwrightd fsck`")
            }
        }
    })?;
    Ok(())
}

fn judge(report: &Report, journal: &Journal, snapshot: &SnapshotFile) {
    for finding in &report.findings {
        tracing::error!(part = finding.part, "{}", finding.message);
    }
    if report.findings.is_empty() {
        tracing::info!(
            records = report.records,
            "the log was read whole and is sound"
        );
        return;
    }
    // The next start makes the tiles anew, and believes nothing else either.
    snapshot.distrust();
    if report.findings.iter().any(|finding| finding.part != "tile") {
        journal.poison();
        tracing::error!("signing stops: the log is not what its snapshot says");
    }
}
