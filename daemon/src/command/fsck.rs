//! `sealwrightd fsck`.

use std::fs::{File, TryLockError};
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::audit::fsck::{Report, Scope, check};
use crate::config::Config;

/// The log is damaged.
pub const DAMAGED: u8 = 3;
/// Records between two lines of progress.
const PROGRESS: u64 = 100_000;

/// Read the whole log again and hold its parts against each other. Writes nothing; a daemon may run.
///
/// Exit codes: 0 sound, 1 could not be read, 3 damaged.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// A checkpoint that was kept elsewhere: the log must contain it. May be given several times.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
}

/// Runs it.
pub fn run(config: &Config, args: Args) -> io::Result<ExitCode> {
    let scope = Scope {
        state_dir: config.state.dir.clone(),
        outside: args.checkpoint,
        is_live: is_live(&config.state.dir)?,
    };
    let mut told = 0;
    let report = check(&scope, &mut |records| {
        if records / PROGRESS > told {
            told = records / PROGRESS;
            eprintln!("{records} records read");
        }
    })?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    if !io::stdout().is_terminal() {
        log(&report);
    }
    Ok(if report.findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DAMAGED)
    })
}

/// Whether a daemon holds the lock. Only asks: a daemon that starts meanwhile is not refused.
fn is_live(state_dir: &Path) -> io::Result<bool> {
    let path = state_dir.join("lock");
    let lock = File::open(&path)
        .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// For a timer's runs, which nobody watches: with a level, so that damage is found among other lines.
fn log(report: &Report) {
    for finding in &report.findings {
        tracing::error!(part = finding.part, "{}", finding.message);
    }
    let (records, findings) = (report.records, report.findings.len());
    match findings {
        0 => tracing::info!(records, "the log was read whole and is sound"),
        _ => tracing::error!(
            records,
            findings,
            "the log is damaged: docs/runbooks/audit.md"
        ),
    }
}

fn print(report: &Report) {
    for finding in &report.findings {
        println!("DAMAGED {}: {}", finding.part, finding.message);
    }
    for note in &report.notes {
        println!("note: {note}");
    }
    let indexed = report.indexed.map_or_else(
        || "index not checked".to_owned(),
        |records| format!("{records} in the index"),
    );
    println!(
        "{} records, {} tiles, {} checkpoints, {indexed}: {}",
        report.records,
        report.tiles,
        report.checkpoints,
        match report.findings.len() {
            0 => "sound".to_owned(),
            n => format!("{n} damaged"),
        }
    );
}
