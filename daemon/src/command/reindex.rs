//! `sealwrightd reindex`.

use std::fs::{File, TryLockError};
use std::io;
use std::process::ExitCode;
use std::time::Instant;

use crate::audit::index_keeper::rebuild;
use crate::config::Config;

/// Build the index anew from the journal. The daemon must be stopped; a running one does it by itself.
///
/// Exit codes: 0 built, 1 not; the old index is then as it was.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(config: &Config, _: &Args) -> io::Result<ExitCode> {
    let state_dir = &config.state.dir;
    let path = state_dir.join("lock");
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    let lock = File::open(&path).map_err(named)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let text = "sealwrightd is running on this state directory: stop it first";
            return Err(named(io::Error::other(text)));
        }
        Err(TryLockError::Error(error)) => return Err(named(error)),
    }
    let begun = Instant::now();
    let mut told = 0;
    let records = rebuild(state_dir, &mut |records| {
        let seconds = begun.elapsed().as_secs();
        if seconds > told {
            told = seconds;
            eprintln!("{records} records");
        }
    })?;
    println!(
        "{records} records indexed in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(ExitCode::SUCCESS)
}
