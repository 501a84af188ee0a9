//! `sealwright finalize-upgrade`: from now on no older version opens this host's log.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::PathBuf;

use crate::config::{DEFAULT_CONFIG, Site};
use crate::failure::Failure;
use crate::files;
use crate::output::Output;

/// As `sealwrightd` names it.
const MIN_VERSION: &str = "min-version";

/// Give up the way back to the version before an upgrade.
///
/// Run it as root once the new version has proved itself. Until then the older package can be installed again and goes on
/// with the log; after it the package refuses to be installed, and an older sealwrightd refuses to start, each by name.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The daemon's configuration file.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

pub(crate) fn run(args: &Args, output: Output) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let dir = Site::read(&args.config)?.state.dir;
    let owner = std::fs::metadata(&dir)
        .map_err(|e| Failure::Local(format!("cannot look at {}: {e}", dir.display())))?;
    let file = dir.join(MIN_VERSION);
    files::replace(&file, format!("{version}\n").as_bytes(), 0o644)?;
    chown(&file, Some(owner.uid()), Some(owner.gid())).map_err(Failure::local)?;
    output.answer(
        &serde_json::json!({ "min_version": version, "file": file }),
        || {
            let file = file.display();
            format!("wrote {file}: versions before {version} refuse this log from now on")
        },
    )
}
