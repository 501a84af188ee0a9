//! By whose word evidence is judged.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
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
}
