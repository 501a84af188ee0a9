//! `sealwrightd archive`.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::audit::archive::archive;
use crate::audit::disk::RealDisk;
use crate::config::Config;

/// Compress the closed segments of the journal into a folder, with a manifest each, and verify them. Those that are
/// there already are verified again. Nothing is removed, and a daemon may run.
///
/// Exit codes: 0 all closed segments are in the archive, 1 not all of them.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder, for this log alone; best on another disk.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Print the manifests as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(config: &Config, args: &Args) -> io::Result<ExitCode> {
    let journal = config.state.dir.join("journal");
    let disk = RealDisk::new(&journal);
    let manifests = archive(&disk, &journal, &args.to, &mut |segment| {
        eprintln!("segment {segment} is in the archive");
    });
    let manifests = manifests.map_err(io::Error::other)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&manifests)?);
    } else {
        let records = manifests.last().map_or(0, |manifest| manifest.to.index);
        let (count, to) = (manifests.len(), args.to.display());
        println!("{count} segments with {records} records are in {to}");
    }
    Ok(ExitCode::SUCCESS)
}
