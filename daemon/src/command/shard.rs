//! `sealwrightd shard`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::shard::Shard;
use serde::Serialize;

use super::fsck::DAMAGED;
use crate::audit::shard::{OldLog, Read, read};

/// Records between two lines of progress.
const PROGRESS: u64 = 100_000;

/// Read a log that is not written any more, for another log to take its place: `sealwright init --continues FILE`.
/// Writes nothing but FILE. Needs no configuration.
///
/// Exit codes: 0 written, 1 could not be read, 3 the log is damaged.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The old state directory, or a copy of it.
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
    /// What to write: the old log's end and its keys.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Where `sealwrightd archive` put segments that the state directory lacks.
    #[arg(long, value_name = "FOLDER")]
    archive: Option<PathBuf>,
    /// A checkpoint that was kept elsewhere: the log must contain it. May be given several times.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// Take the first N records only, because what follows is damaged or gone.
    #[arg(long, value_name = "N", requires = "because")]
    sound_to: Option<u64>,
    /// Why; it goes into the new log for all to read.
    #[arg(long, value_name = "TEXT", requires = "sound_to")]
    because: Option<String>,
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

/// What was written.
#[derive(Serialize)]
struct Done<'d> {
    file: &'d Path,
    /// Of the file, to compare after it was carried to another host.
    sha256: Sha256Digest,
    origin: &'d str,
    size: u64,
    root: Sha256Digest,
    versions: usize,
    freezes: usize,
    notes: &'d [String],
}

/// Runs it.
///
/// # Errors
/// A daemon runs on the old log, or a file operation failed.
pub fn run(args: Args) -> io::Result<ExitCode> {
    let _lock = lock(&args.from)?;
    let old = OldLog {
        state_dir: args.from,
        archive: args.archive,
        outside: args.checkpoint,
        cut: args.sound_to.zip(args.because),
    };
    let mut told = 0;
    let found = read(&old, &mut |records| {
        if records / PROGRESS > told {
            told = records / PROGRESS;
            eprintln!("{records} records read");
        }
    });
    match found {
        Ok(Read { shard, notes }) => write(&args.out, &shard, &notes, args.json),
        Err(error) if error.is_damage() => {
            eprintln!("sealwrightd: {error}");
            Ok(ExitCode::from(DAMAGED))
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Keeps daemons away while the log is read. A folder without the file has none, and gets none from us.
fn lock(state_dir: &Path) -> io::Result<Option<File>> {
    let path = state_dir.join("lock");
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    let lock = match File::open(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        lock => lock.map_err(named)?,
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => {
            let text = "sealwrightd is running on this state directory, and the log goes on: stop it first";
            Err(named(io::Error::other(text)))
        }
        Err(TryLockError::Error(error)) => Err(named(error)),
    }
}

fn write(out: &Path, shard: &Shard, notes: &[String], json: bool) -> io::Result<ExitCode> {
    let text = shard.to_json().map_err(io::Error::other)?;
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", out.display()));
    create(out, text.as_bytes()).map_err(named)?;
    let old = &shard.predecessor;
    let done = Done {
        file: out,
        sha256: Sha256Digest::of(&[text.as_bytes()]),
        origin: &old.origin,
        size: old.size,
        root: old.root,
        versions: shard.inheritance.keys.len(),
        freezes: shard.inheritance.freezes.len(),
        notes,
    };
    if json {
        println!("{}", serde_json::to_string_pretty(&done)?);
    } else {
        print(&done);
    }
    Ok(ExitCode::SUCCESS)
}

/// It names every tenant's keys, so it is for its owner alone.
fn create(out: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(out)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn print(done: &Done<'_>) {
    let (file, origin) = (done.file.display(), done.origin);
    for note in done.notes {
        println!("note: {note}");
    }
    println!("{origin}: {} records, root {}", done.size, done.root);
    println!(
        "{file}: {} key versions, sha256 {}",
        done.versions, done.sha256
    );
    println!("next: `sealwright init --continues {file} --origin` ANOTHER ORIGIN THAN {origin} …");
}
