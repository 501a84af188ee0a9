//! The policy in force, kept in the state directory by its digest: under dual control another policy file does not
//! replace it by itself, and a start needs its text.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sealwright_core::digest::Sha256Digest;

/// Folder in the state directory.
const FOLDER: &str = "policies";

fn path(state_dir: &Path, digest: Sha256Digest) -> PathBuf {
    state_dir.join(FOLDER).join(format!("{digest}.cedar"))
}

/// Keeps `text`, synced: called before its activation is recorded, so that whatever is in force can be read again.
pub fn keep(state_dir: &Path, text: &str) -> io::Result<()> {
    let path = path(state_dir, Sha256Digest::of(&[text.as_bytes()]));
    if path.exists() {
        return Ok(());
    }
    let folder = state_dir.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let draft = path.with_extension("new");
    let mut file = File::create(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, &path)?;
    File::open(&folder)?.sync_all()
}

/// The text with this digest; nothing that was changed since is taken for it.
pub fn read(state_dir: &Path, digest: Sha256Digest) -> io::Result<String> {
    let text = fs::read_to_string(path(state_dir, digest))?;
    if Sha256Digest::of(&[text.as_bytes()]) == digest {
        Ok(text)
    } else {
        Err(io::Error::other("its text has another digest"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_policy_is_found_by_its_digest_and_a_changed_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Sha256Digest::of(&[b"text"]);
        assert!(read(folder.path(), digest).is_err());
        keep(folder.path(), "text").unwrap();
        keep(folder.path(), "text").unwrap();
        assert_eq!(read(folder.path(), digest).unwrap(), "text");
        fs::write(path(folder.path(), digest), "other").unwrap();
        assert!(read(folder.path(), digest).is_err());
    }
}
