//! Files read with a limit, and files written so that a crash leaves the old or the new one, never half.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, fchown,
};
use std::path::{Path, PathBuf};

use sealwright_core::digest::Sha256Digest;
use sha2::{Digest as _, Sha256};

use crate::failure::Failure;
use crate::owner::Owner;

/// Longest file that is read whole: 64 MiB, more than a daemon with default limits signs.
pub(crate) const FILE_MAX: u64 = 64 << 20;

/// A file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("cannot read {path}: {source}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{0} is larger than {FILE_MAX} bytes")]
    TooLarge(PathBuf),
    #[error("{0} is not UTF-8 text")]
    NotText(PathBuf),
    #[error("{0} exists already; nothing is overwritten, move it away first")]
    Exists(PathBuf),
    #[error("cannot write {path}: {source}")]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::local(error)
    }
}

/// Reads a whole file of at most [`FILE_MAX`] bytes.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let failed = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(FileError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

/// Reads a whole text file.
pub(crate) fn read_text(path: &Path) -> Result<String, FileError> {
    String::from_utf8(read(path)?).map_err(|_| FileError::NotText(path.to_owned()))
}

/// SHA-256 of a file of any length.
pub(crate) fn sha256(path: &Path) -> Result<Sha256Digest, FileError> {
    let failed = |source| FileError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(Sha256Digest(hasher.finalize().into())),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

/// Makes a new file with these permission bits, synced with its folder; an existing one is an error.
pub(crate) fn create(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    owner: Option<Owner>,
) -> Result<(), FileError> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AlreadyExists => FileError::Exists(path.to_owned()),
        _ => FileError::Write {
            path: path.to_owned(),
            source,
        },
    };
    let mut options = OpenOptions::new();
    // Nobody else may read it before owner and bits are right.
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    if let Some(Owner { uid, gid }) = owner {
        fchown(&file, Some(uid), Some(gid)).map_err(failed)?;
    }
    file.set_permissions(Permissions::from_mode(mode))
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    sync_folder(path)
}

/// Makes a folder with these permission bits, and the folders above it; an existing one stays as it is.
pub(crate) fn create_folder(path: &Path, mode: u32, owner: Option<Owner>) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    let failed = |source| FileError::Write {
        path: path.to_owned(),
        source,
    };
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        create_folder(above, 0o755, None)?;
    }
    DirBuilder::new().mode(mode).create(path).map_err(failed)?;
    if let Some(Owner { uid, gid }) = owner {
        chown(path, Some(uid), Some(gid)).map_err(failed)?;
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
    sync_folder(path)
}

/// Writes a command's product: to stdout for `-`, else to a file that takes an older one's place at once.
pub(crate) fn write_product(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let failed = |source| FileError::Write {
        path: path.to_owned(),
        source,
    };
    if path == Path::new("-") {
        return std::io::stdout().lock().write_all(bytes).map_err(failed);
    }
    let temporary = temporary(path);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path));
    if let Err(source) = written {
        // What is left is of no use to anybody; that it cannot be removed adds nothing to the first error.
        let _ = std::fs::remove_file(&temporary);
        return Err(failed(source));
    }
    sync_folder(path)
}

/// Makes a file with these permission bits that takes an older one's place at once.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let temporary = temporary(path);
    create(&temporary, bytes, mode, None)?;
    std::fs::rename(&temporary, path).map_err(|source| FileError::Write {
        path: path.to_owned(),
        source,
    })?;
    sync_folder(path)
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

fn sync_folder(path: &Path) -> Result<(), FileError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| FileError::Write {
        path: folder.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_has_its_bits_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create(&path, b"one", 0o640, None).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o640);
        assert!(matches!(
            create(&path, b"two", 0o640, None),
            Err(FileError::Exists(_))
        ));
        assert_eq!(read(&path).unwrap(), b"one");
    }

    #[test]
    fn a_product_takes_the_old_files_place_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.json");
        for bytes in [b"one".as_slice(), b"three"] {
            write_product(&path, bytes).unwrap();
            assert_eq!(read(&path).unwrap(), bytes);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_hashed_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big");
        let bytes = vec![7; 200_000];
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(sha256(&path).unwrap(), Sha256Digest::of(&[&bytes]));
    }
}
