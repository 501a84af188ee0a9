//! `sealwrightd archive`.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use sealwright_core::time::Timestamp;
use serde::Serialize;

use crate::audit::archive::{Manifest, archive};
use crate::audit::checkpoint_store::Store;
use crate::audit::disk::RealDisk;
use crate::audit::fsck::{Scope, check};
use crate::audit::index_keeper::rebuild;
use crate::audit::removal::{Covered, Removal, older_than};
use crate::audit::stubs::Stub;
use crate::audit::witnesses::Witnesses;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Anchor, Config};

/// Compress the closed segments of the journal into a folder, with a manifest each, and verify them. Those that are
/// there already are verified again, and made anew where bodies were erased since. Without --remove and --older-than
/// nothing is removed, and a daemon may run.
///
/// Exit codes: 0 all closed segments are in the archive, 1 not all of them, or not all that was asked for was removed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder, for this log alone; best on another disk.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Then remove the bodies of these segments from the journal. Needs a daemon that does not run, and a checkpoint
    /// that covers them, cosigned where `anchor` is set.
    #[arg(long, value_name = "SEGMENT", num_args = 1.., conflicts_with = "older_than")]
    remove: Vec<u64>,
    /// The same for every segment of which all records are older than so many days.
    #[arg(long, value_name = "DAYS")]
    older_than: Option<u32>,
    /// Print the manifests as JSON; where something is removed, what was removed to which file.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(config: &Config, args: &Args) -> io::Result<ExitCode> {
    let journal = config.state.dir.join("journal");
    let is_removal = !args.remove.is_empty() || args.older_than.is_some();
    // Held to the end: a daemon that started meanwhile would have the index open.
    let _lock = is_removal.then(|| lock(&config.state.dir)).transpose()?;
    let manifests = archive(
        &RealDisk::new(&journal),
        &journal,
        &args.to,
        &mut |segment| {
            eprintln!("segment {segment} is in the archive");
        },
    );
    let manifests = manifests.map_err(io::Error::other)?;
    if is_removal {
        let removed = remove(config, args, &manifests)?;
        print(args, &removed, || {
            let (count, to) = (removed.len(), args.to.display());
            format!("the bodies of {count} segments are in {to} alone: keep it")
        })?;
    } else {
        print(args, &manifests, || {
            let records = manifests.last().map_or(0, |manifest| manifest.to.index);
            let (count, to) = (manifests.len(), args.to.display());
            format!("{count} segments with {records} records are in {to}")
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(args: &Args, value: &impl Serialize, text: impl FnOnce() -> String) -> io::Result<()> {
    if args.json {
        println!("{}", serde_json::to_string_pretty(value)?);
    } else {
        println!("{}", text());
    }
    Ok(())
}

fn lock(state_dir: &Path) -> io::Result<File> {
    let path = state_dir.join("lock");
    let lock = File::open(&path)
        .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(io::Error::other(format!(
            "{} is locked: bodies are removed while sealwrightd does not run; stop it, and start it again afterwards",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn remove(config: &Config, args: &Args, manifests: &[Manifest]) -> io::Result<Vec<Stub>> {
    let journal = config.state.dir.join("journal");
    let segments: BTreeSet<u64> = match args.older_than {
        None => args.remove.iter().copied().collect(),
        Some(days) => {
            let age_ms = i64::from(days) * 24 * 60 * 60 * 1000;
            let before = Timestamp::from_unix_millis(SystemClock.now().unix_millis() - age_ms);
            older_than(&journal, manifests, before).map_err(io::Error::other)?
        }
    };
    if segments.is_empty() {
        return Ok(Vec::new());
    }
    let removal = Removal {
        journal: &journal,
        archive: &args.to.canonicalize()?,
        manifests,
        covered: covered(config)?,
        low_water_bytes: config.state.low_water_bytes,
    };
    let removed = removal.remove(&segments).map_err(io::Error::other)?;
    let records = rebuild(&config.state.dir, &mut |_| {})?;
    eprintln!("{records} records indexed");
    Ok(removed)
}

/// The checkpoint that counts, of a log that was just checked against it.
fn covered(config: &Config) -> io::Result<Covered> {
    let scope = Scope {
        state_dir: config.state.dir.clone(),
        outside: Vec::new(),
        // The index is made anew afterwards.
        is_live: true,
    };
    let report = check(&scope, &mut |_| {})?;
    if let Some(finding) = report.findings.first() {
        return Err(io::Error::other(format!(
            "{}; nothing was removed",
            finding.message
        )));
    }
    if config.log.anchor == Anchor::None {
        return Ok(Covered {
            what: "the newest checkpoint",
            size: report.checkpoint_size,
        });
    }
    let store = Store::open(&config.state.dir.join("checkpoints")).map_err(io::Error::other)?;
    let quorum = config.log.quorum().map_err(io::Error::other)?;
    let witnesses = Witnesses::open(quorum, Arc::new(store)).map_err(io::Error::other)?;
    Ok(Covered {
        what: "the newest checkpoint with the witnesses' quorum",
        size: witnesses
            .anchored()
            .map_or(0, |anchored| anchored.published.size),
    })
}
