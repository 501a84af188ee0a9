//! A copy of everything that a host needs for its log's successor, taken while the daemon runs, without a secret in it.
//!
//! Checkpoints are copied before the journal, and of the journal the segments that were there at the beginning, the oldest
//! first: so the copy holds every record that any of its checkpoints covers.

mod copy;
mod manifest;
mod plan;

use std::path::{Path, PathBuf};

use sealwright_core::digest::Sha256Digest;
use serde::Serialize;

use self::manifest::{FORMAT, MANIFEST};
pub(crate) use self::manifest::{LeftOut, Manifest};
use self::plan::Plan;
use crate::failure::Failure;
use crate::files;

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub(crate) struct Entry {
    /// Relative to the backup's folder.
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) sha256: Sha256Digest,
}

/// Copies everything into `to`, which must not be there yet; `shown` hears how far it has come.
pub(crate) fn create(
    config: &Path,
    to: &Path,
    made_at: String,
    mut shown: impl FnMut(usize, usize),
) -> Result<Manifest, Failure> {
    if to.exists() {
        let text = format!(
            "{} exists already; a backup gets a new folder",
            to.display()
        );
        return Err(Failure::local(text));
    }
    let plan = Plan::of(config)?;
    if let Some(inside) = plan.folder_around(to) {
        let (to, inside) = (to.display(), inside.display());
        let text = format!("{to} lies in {inside}, which is backed up: choose another place");
        return Err(Failure::local(text));
    }
    files::create_folder(to, 0o700, None)?;
    let mut entries = Vec::new();
    let mut left_out = plan.left_out.clone();
    let sources = plan.files()?;
    let all = sources.len();
    for (done, file) in sources.into_iter().enumerate() {
        shown(done, all);
        match copy::file(&file, to)? {
            copy::Copied::File(entry) => entries.push(entry),
            copy::Copied::Gone => {}
            copy::Copied::Secret => left_out.push(LeftOut {
                path: file.from,
                why: "it holds a private key".to_owned(),
            }),
        }
    }
    let manifest = Manifest {
        format: FORMAT.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at,
        files: entries,
        left_out,
    };
    // Last: a folder without it is no backup.
    files::create(&to.join(MANIFEST), &manifest.to_json()?, 0o600, None)?;
    Ok(manifest)
}

/// What is wrong with the backup in `folder`; empty where it is whole.
pub(crate) fn check(folder: &Path) -> Result<(Manifest, Vec<String>), Failure> {
    let manifest = Manifest::read(folder)?;
    let mut wrong = Vec::new();
    for entry in &manifest.files {
        let path = folder.join(&entry.path);
        match files::sha256(&path) {
            Err(error) => wrong.push(error.to_string()),
            Ok(sha256) if sha256 != entry.sha256 => {
                wrong.push(format!("{} is not what was copied", path.display()));
            }
            Ok(_) => {}
        }
    }
    Ok((manifest, wrong))
}
