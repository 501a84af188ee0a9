//! A disk in memory that keeps what was synced apart from what was only written.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use sealwrightd::audit::disk::{Disk, SegmentFile};

const SECTOR: usize = 512;

/// A file as the program sees it, and as the platter has it.
#[derive(Default)]
struct Contents {
    seen: Vec<u8>,
    durable: Vec<u8>,
}

type File = Arc<Mutex<Contents>>;

#[derive(Default)]
struct Faults {
    /// Syncs that still succeed; then all fail.
    syncs_left: Option<u32>,
    /// No new file finds room.
    full: bool,
}

#[derive(Clone, Default)]
pub struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<String, File>>>,
    faults: Arc<Mutex<Faults>>,
}

impl MemoryDisk {
    /// The power goes: of each unsynced sector the platter has the old or the new bytes, as `dice` falls.
    pub fn lose_power(&self, mut dice: impl FnMut() -> bool) {
        for file in self.files.lock().unwrap().values() {
            let Contents { seen, durable } = &mut *file.lock().unwrap();
            for (new, old) in seen.chunks(SECTOR).zip(durable.chunks_mut(SECTOR)) {
                if new != old && dice() {
                    old.copy_from_slice(new);
                }
            }
            seen.clone_from(durable);
        }
    }

    pub fn fail_sync_after(&self, syncs: u32) {
        self.faults.lock().unwrap().syncs_left = Some(syncs);
    }

    pub fn fill_up(&self) {
        self.faults.lock().unwrap().full = true;
    }

    pub fn heal(&self) {
        *self.faults.lock().unwrap() = Faults::default();
    }

    pub fn flip(&self, name: &str, at: usize) {
        let file = self.file(name).unwrap();
        file.lock().unwrap().seen[at] ^= 1;
    }

    pub fn remove(&self, name: &str) {
        self.files.lock().unwrap().remove(name);
    }

    fn file(&self, name: &str) -> io::Result<File> {
        self.files
            .lock()
            .unwrap()
            .get(name)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().unwrap().keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(self.file(name)?.lock().unwrap().seen.clone())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(OpenFile {
            file: self.file(name)?,
            faults: Arc::clone(&self.faults),
        }))
    }

    fn create(&self, name: &str, len: u64) -> io::Result<()> {
        if self.faults.lock().unwrap().full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let zeros = vec![0; usize::try_from(len).unwrap()];
        let file = Contents {
            seen: zeros.clone(),
            durable: zeros,
        };
        self.files
            .lock()
            .unwrap()
            .insert(name.to_owned(), Arc::new(Mutex::new(file)));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files.lock().unwrap();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

/// An open file stays the same file when its name changes.
struct OpenFile {
    file: File,
    faults: Arc<Mutex<Faults>>,
}

impl SegmentFile for OpenFile {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let at = usize::try_from(offset).unwrap();
        self.file.lock().unwrap().seen[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if let Some(left) = &mut self.faults.lock().unwrap().syncs_left {
            *left = left
                .checked_sub(1)
                .ok_or_else(|| io::Error::from_raw_os_error(5))?;
        }
        let Contents { seen, durable } = &mut *self.file.lock().unwrap();
        durable.clone_from(seen);
        Ok(())
    }
}
