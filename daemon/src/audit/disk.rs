//! The few file operations the journal needs, as a trait, so that tests can make them fail.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A segment that is open for writing.
pub trait SegmentFile: Send {
    /// Writes all of `bytes` at `offset`. Not durable before [`SegmentFile::sync`].
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes everything written so far durable. After an error nobody knows what is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// The journal's folder.
pub trait Disk: Send + Sync {
    /// Names of the files in it.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Up to `len` bytes of one file from `offset` on; fewer only where it ends.
    fn read(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>>;
    /// Bytes of one file.
    fn len(&self, name: &str) -> io::Result<u64>;
    /// Opens an existing file for writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>>;
    /// Makes a zero-filled file of `len` bytes, durable with its name.
    fn create(&self, name: &str, len: u64) -> io::Result<()>;
    /// Renames a file, durably.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Bytes that an unprivileged process could still write.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// A folder on a real disk.
pub struct RealDisk {
    folder: PathBuf,
}

impl RealDisk {
    /// Uses `folder`, which must exist.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

impl Disk for RealDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.folder)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn read(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.path(name))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::with_capacity(len);
        file.take(len as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        Ok(std::fs::metadata(self.path(name))?.len())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        let file = OpenOptions::new().write(true).open(self.path(name))?;
        Ok(Box::new(RealSegment(file)))
    }

    fn create(&self, name: &str, len: u64) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o640)
            .open(self.path(name))?;
        if let Err(error) = write_zeros(&mut file, len) {
            // What is left of it would take the room that the next try needs.
            let _ = std::fs::remove_file(self.path(name));
            return Err(error);
        }
        self.sync_folder()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))?;
        self.sync_folder()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Real zeros instead of a hole: the later fdatasync then has no extents to allocate or convert, and a full
/// disk shows here, before a key was used.
fn write_zeros(file: &mut File, len: u64) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(len), file)?;
    file.sync_all()
}

struct RealSegment(File);

impl SegmentFile for RealSegment {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
