//! Copies one file, also one that grows.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::Entry;
use super::plan::{Source, unreadable};
use crate::failure::Failure;
use crate::files;

/// Bytes at a time.
const CHUNK: usize = 1 << 20;
/// No configuration with a key in it is larger. The segment that is written to is, whatever text stands in it.
const SECRET_MAX: u64 = 1 << 20;

pub(super) enum Copied {
    File(Entry),
    /// It holds a private key, and was not copied.
    Secret,
    /// It has gone meanwhile, as it may.
    Gone,
}

pub(super) fn file(source: &Source, to: &Path) -> Result<Copied, Failure> {
    let from = match File::open(&source.from) {
        Err(error) if source.may_go && error.kind() == io::ErrorKind::NotFound => {
            return Ok(Copied::Gone);
        }
        from => from.map_err(|e| unreadable(&source.from, &e))?,
    };
    let is_secret = holds_private_key(&from).map_err(|e| unreadable(&source.from, &e))?;
    if is_secret {
        return Ok(Copied::Secret);
    }
    let path = to.join(&source.to);
    if let Some(folder) = path.parent() {
        files::create_folder(folder, 0o700, None)?;
    }
    let copied = backwards(&from, &path);
    let bytes = copied.map_err(|e| {
        let (from, to) = (source.from.display(), path.display());
        Failure::local(format!("cannot copy {from} to {to}: {e}"))
    })?;
    Ok(Copied::File(Entry {
        path: source.to.clone(),
        bytes,
        sha256: files::sha256(&path)?,
    }))
}

/// PEM, as everything of ours writes keys. A TPM's key is wrapped: it is of use to that TPM only, and is what is backed up.
fn holds_private_key(file: &File) -> io::Result<bool> {
    let len = file.metadata()?.len();
    if len > SECRET_MAX {
        return Ok(false);
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    let read = read_at(file, &mut bytes, 0)?;
    let text = String::from_utf8_lossy(bytes.get(..read).unwrap_or_default());
    let mut lines = text
        .lines()
        .filter(|line| line.contains("PRIVATE KEY-----"));
    Ok(lines.any(|line| !line.contains(" TSS2 PRIVATE KEY")))
}

/// From its end to its beginning. A journal is written forwards: what is there when a chunk is read was preceded by
/// everything in front of it, which is read later. So the copy ends like after a power cut, in a batch that is whole or torn, with
/// nothing behind it, and a torn one was not acknowledged when the copy began.
fn backwards(from: &File, to: &Path) -> io::Result<u64> {
    let len = from.metadata()?.len();
    let mut options = OpenOptions::new();
    let copy = options.write(true).create_new(true).mode(0o600).open(to)?;
    copy.set_len(len)?;
    let mut chunk = vec![0; CHUNK];
    let mut end = len;
    while end > 0 {
        let begin = (end - 1) / CHUNK as u64 * CHUNK as u64;
        let want = usize::try_from(end - begin).map_err(io::Error::other)?;
        let part = chunk.get_mut(..want).unwrap_or_default();
        let read = read_at(from, part, begin)?;
        let part = part.get(..read).unwrap_or_default();
        // Room that is not used yet takes no room.
        if part.iter().any(|byte| *byte != 0) {
            copy.write_all_at(part, begin)?;
        }
        end = begin;
    }
    copy.sync_all()?;
    Ok(len)
}

/// As much as there is.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + read as u64)? {
            0 => break,
            n => read += n,
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_several_chunks_is_copied_whole_and_its_empty_parts_take_no_room() {
        use std::os::unix::fs::MetadataExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        let mut bytes = vec![0; 5 * CHUNK + 17];
        bytes[3] = 1;
        *bytes.last_mut().unwrap() = 2;
        std::fs::write(&from, &bytes).unwrap();
        let copied = backwards(&File::open(&from).unwrap(), &to).unwrap();
        assert_eq!(copied, bytes.len() as u64);
        assert_eq!(std::fs::read(&to).unwrap(), bytes);
        assert!(std::fs::metadata(&to).unwrap().blocks() * 512 < 4 * CHUNK as u64);
    }

    #[test]
    fn a_private_key_is_not_copied() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("x.pem");
        std::fs::write(&from, "-----BEGIN EC PRIVATE KEY-----\nAA==\n").unwrap();
        let source = Source {
            from,
            to: "config/x.pem".into(),
            may_go: false,
        };
        let copied = file(&source, folder.path()).unwrap();
        assert!(matches!(copied, Copied::Secret));
        assert!(!folder.path().join("config").exists());
    }
}
