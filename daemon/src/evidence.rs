//! Evidence documents on disk: `evidence/<sha256>.json` in the state directory; and by whose word they are judged.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::evidence::{Roots, RootsError};

/// A file of device makers' certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("[evidence] roots, {path}: {reason}")]
pub struct RootsFileError {
    path: PathBuf,
    reason: String,
}

/// The device makers that are trusted; nobody where no file is named.
///
/// # Errors
/// [`RootsFileError`]: the file cannot be read, or holds no certificates, or too many.
pub fn roots(file: Option<&Path>) -> Result<Roots, RootsFileError> {
    let Some(path) = file else {
        return Ok(Roots::default());
    };
    let bad = |reason: String| RootsFileError {
        path: path.to_owned(),
        reason,
    };
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let ders = read.map_err(|e| bad(e.to_string()))?;
    if ders.is_empty() {
        return Err(bad("it holds no certificate in PEM".to_owned()));
    }
    Roots::new(&ders).map_err(|e: RootsError| bad(e.to_string()))
}

/// Keeps documents by their digest; none is ever changed or removed.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    written: AtomicU64,
}

impl Folder {
    /// The folder in a state directory; makes it where it is missing.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let path = state_dir.join("evidence");
        std::fs::create_dir_all(&path)?;
        File::open(state_dir)?.sync_all()?;
        Ok(Self {
            path,
            written: AtomicU64::new(0),
        })
    }

    /// Durable when it returns, so that a record may name it. A crash before the rename leaves a `.new` file that
    /// nobody reads.
    pub fn keep(&self, bytes: &[u8]) -> io::Result<Sha256Digest> {
        let digest = Sha256Digest::of(&[bytes]);
        // Two writers of one document must not share the file that one of them renames.
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let new = self.path.join(format!("{digest}.{number}.new"));
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, self.path.join(format!("{digest}.json")))?;
        File::open(&self.path)?.sync_all()?;
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_roots_holds_certificates() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("roots.pem");
        assert!(roots(None).unwrap().is_empty());
        assert!(
            roots(Some(&file))
                .unwrap_err()
                .to_string()
                .contains("roots.pem")
        );
        std::fs::write(&file, "nothing").unwrap();
        let empty = roots(Some(&file)).unwrap_err().to_string();
        assert!(empty.contains("no certificate"), "{empty}");
    }

    #[test]
    fn a_document_is_found_by_the_digest_of_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let digest = folder.keep(b"{}").unwrap();
        assert_eq!(folder.keep(b"{}").unwrap(), digest);
        let path = dir.path().join(format!("evidence/{digest}.json"));
        assert_eq!(std::fs::read(path).unwrap(), b"{}");
        let files = std::fs::read_dir(dir.path().join("evidence")).unwrap();
        assert_eq!(files.count(), 1);
    }
}
