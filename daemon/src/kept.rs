//! Documents on disk by name in a folder of the state directory: evidence by its digest, receipts by theirs.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sealwright_core::digest::Sha256Digest;

/// Keeps documents by their digest; none is ever changed or removed.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    written: AtomicU64,
}

impl Folder {
    /// The folder `name` in `parent`; makes it where it is missing.
    pub fn open(parent: &Path, name: &str) -> io::Result<Self> {
        let path = parent.join(name);
        if !path.is_dir() {
            std::fs::create_dir_all(&path)?;
            File::open(parent)?.sync_all()?;
        }
        let written = AtomicU64::new(0);
        Ok(Self { path, written })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Durable when it returns, so that a record may name it. A crash before the rename leaves a `.new` file that
    /// nobody reads.
    pub fn keep(&self, bytes: &[u8]) -> io::Result<Sha256Digest> {
        let digest = Sha256Digest::of(&[bytes]);
        self.write(&format!("{digest}.json"), bytes, File::sync_all)?;
        File::open(&self.path)?.sync_all()?;
        Ok(digest)
    }

    /// Not durable when it returns: for what can be made once more.
    pub fn spare(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(name, bytes, |_| Ok(()))
    }

    /// A document, whatever its bytes have become.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.path.join(name))
    }

    /// A document by its digest; an error where its bytes have another.
    pub fn read_kept(&self, digest: &Sha256Digest) -> io::Result<Vec<u8>> {
        let bytes = self.read(&format!("{digest}.json"))?;
        match Sha256Digest::of(&[&bytes]) == *digest {
            true => Ok(bytes),
            false => Err(io::Error::other(
                "its bytes have another digest than its name",
            )),
        }
    }

    fn write(&self, name: &str, bytes: &[u8], sync: fn(&File) -> io::Result<()>) -> io::Result<()> {
        // Two writers of one document must not share the file that one of them renames.
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let new = self.path.join(format!("{name}.{number}.new"));
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        sync(&file)?;
        std::fs::rename(&new, self.path.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_found_by_the_digest_of_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path(), "evidence").unwrap();
        let digest = folder.keep(b"{}").unwrap();
        assert_eq!(folder.keep(b"{}").unwrap(), digest);
        assert_eq!(folder.read_kept(&digest).unwrap(), b"{}");
        let files = std::fs::read_dir(dir.path().join("evidence")).unwrap();
        assert_eq!(files.count(), 1);
    }

    #[test]
    fn a_document_that_was_changed_is_not_given_out() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path(), "evidence").unwrap();
        let digest = folder.keep(b"{}").unwrap();
        folder.spare(&format!("{digest}.json"), b"[]").unwrap();
        folder.read_kept(&digest).unwrap_err();
    }
}
