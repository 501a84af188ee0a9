//! A disk in memory that keeps what was synced apart from what was only written, and fails on demand.
#![allow(dead_code)] // Each test file uses its part.

pub mod segments;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use sealwright_core::digest::Sha256Digest;
use sealwright_core::record::{DaemonStarted, Event, Genesis, LogKey};
use sealwright_core::scheme::Scheme;
use sealwright_core::spki::Spki;
use sealwright_core::time::Timestamp;
use sealwrightd::audit::disk::{Disk, SegmentFile};
use sealwrightd::clock::Clock;

const SECTOR: usize = 512;

/// Choices that can be repeated (xorshift64).
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    pub fn coin(&mut self) -> bool {
        self.roll(2) == 0
    }
}

/// A file as the program sees it. The platter has the same, but for these sectors.
#[derive(Default)]
struct Contents {
    seen: Vec<u8>,
    /// What the platter has of sectors that the next sync writes.
    unsynced: BTreeMap<usize, Vec<u8>>,
    /// What it has of sectors whose sync failed: they count as clean, and no sync writes them any more.
    forgotten: BTreeMap<usize, Vec<u8>>,
}

impl Contents {
    fn write(&mut self, bytes: &[u8], at: usize) {
        for sector in at / SECTOR..(at + bytes.len()).div_ceil(SECTOR) {
            let end = self.seen.len().min((sector + 1) * SECTOR);
            let platter = self.forgotten.remove(&sector);
            let platter = platter.unwrap_or_else(|| self.seen[sector * SECTOR..end].to_vec());
            self.unsynced.entry(sector).or_insert(platter);
        }
        self.seen[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn fail_sync(&mut self) {
        let unsynced = std::mem::take(&mut self.unsynced);
        self.forgotten.extend(unsynced);
    }

    /// Of each sector that is not synced the platter has the old or the new bytes, as `dice` falls.
    fn lose_power(&mut self, dice: &mut impl FnMut() -> bool) {
        self.fail_sync();
        for (sector, old) in std::mem::take(&mut self.forgotten) {
            if !dice() {
                let at = sector * SECTOR;
                self.seen[at..at + old.len()].copy_from_slice(&old);
            }
        }
    }
}

type File = Arc<Mutex<Contents>>;

/// What happens at one operation on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The machine or the process stops: half of it happens, and nothing after it.
    Stop,
    /// It fails with EIO; those after it do not.
    Eio,
}

#[derive(Default)]
struct Faults {
    /// Operations until one fails, and how.
    next: Option<(u32, Fault)>,
    /// Every sync fails.
    no_sync: bool,
    stopped: bool,
    /// Something has gone wrong since [`MemoryDisk::heal`].
    fired: bool,
    /// No new file finds room.
    full: bool,
    dice: Option<Dice>,
}

impl Faults {
    /// Whether the operation succeeds; otherwise the error, and whether it happens nevertheless.
    fn step(&mut self) -> Result<(), (io::Error, bool)> {
        let eio = || io::Error::from_raw_os_error(5);
        if self.stopped {
            return Err((eio(), false));
        }
        match &mut self.next {
            Some((0, fault)) => {
                self.stopped = *fault == Fault::Stop;
                self.fired = true;
                self.next = None;
                Err((eio(), self.dice.as_mut().is_some_and(Dice::coin)))
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[derive(Clone, Default)]
pub struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<String, File>>>,
    faults: Arc<Mutex<Faults>>,
}

impl MemoryDisk {
    /// Another disk with the same files, all of them synced.
    pub fn copy(&self) -> Self {
        let files = self.files.lock().unwrap();
        let copied = files.iter().map(|(name, file)| {
            let seen = file.lock().unwrap().seen.clone();
            let contents = Contents {
                seen,
                ..Contents::default()
            };
            (name.clone(), Arc::new(Mutex::new(contents)))
        });
        Self {
            files: Arc::new(Mutex::new(copied.collect())),
            ..Self::default()
        }
    }

    /// The power goes: unsynced sectors survive or not, as `dice` falls.
    pub fn lose_power(&self, mut dice: impl FnMut() -> bool) {
        for file in self.files.lock().unwrap().values() {
            file.lock().unwrap().lose_power(&mut dice);
        }
    }

    /// After `operations` more, one goes wrong.
    pub fn fail_after(&self, operations: u32, fault: Fault, dice: Dice) {
        let mut faults = self.faults.lock().unwrap();
        faults.next = Some((operations, fault));
        faults.dice = Some(dice);
    }

    /// Every sync fails from now on.
    pub fn fail_syncs(&self) {
        self.faults.lock().unwrap().no_sync = true;
    }

    pub fn fill_up(&self) {
        self.faults.lock().unwrap().full = true;
    }

    pub fn heal(&self) {
        *self.faults.lock().unwrap() = Faults::default();
    }

    /// Whether something has gone wrong since [`MemoryDisk::heal`].
    pub fn has_failed(&self) -> bool {
        self.faults.lock().unwrap().fired
    }

    pub fn flip(&self, name: &str, at: usize) {
        let file = self.file(name).unwrap();
        file.lock().unwrap().seen[at] ^= 1;
    }

    pub fn remove(&self, name: &str) {
        self.files.lock().unwrap().remove(name);
    }

    fn file(&self, name: &str) -> io::Result<File> {
        let files = self.files.lock().unwrap();
        files
            .get(name)
            .cloned()
            .ok_or(io::ErrorKind::NotFound.into())
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().unwrap().keys().cloned().collect())
    }

    fn read(&self, name: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let file = self.file(name)?;
        let seen = &file.lock().unwrap().seen;
        let from = usize::try_from(offset).unwrap().min(seen.len());
        Ok(seen[from..seen.len().min(from + len)].to_vec())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        Ok(self.file(name)?.lock().unwrap().seen.len() as u64)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(OpenFile {
            file: self.file(name)?,
            faults: Arc::clone(&self.faults),
        }))
    }

    fn create(&self, name: &str, len: u64) -> io::Result<()> {
        let mut faults = self.faults.lock().unwrap();
        if faults.full {
            faults.fired = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let (len, result) = match faults.step() {
            Ok(()) => (len, Ok(())),
            // Its zeros were being written.
            Err((error, _)) => (len / 2, Err(error)),
        };
        let file = Contents {
            seen: vec![0; usize::try_from(len).unwrap()],
            ..Contents::default()
        };
        let mut files = self.files.lock().unwrap();
        files.insert(name.to_owned(), Arc::new(Mutex::new(file)));
        result
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let step = self.faults.lock().unwrap().step();
        if matches!(step, Ok(()) | Err((_, true))) {
            let mut files = self.files.lock().unwrap();
            let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
            files.insert(to.to_owned(), file);
        }
        step.map_err(|(error, _)| error)
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
        let mut faults = self.faults.lock().unwrap();
        let step = faults.step();
        let len = match (&step, &mut faults.dice) {
            (Ok(()), _) => bytes.len(),
            (Err(_), Some(dice)) => dice.roll(bytes.len() + 1),
            (Err(_), None) => 0,
        };
        let at = usize::try_from(offset).unwrap();
        self.file.lock().unwrap().write(&bytes[..len], at);
        step.map_err(|(error, _)| error)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut faults = self.faults.lock().unwrap();
        let mut file = self.file.lock().unwrap();
        let failing = faults.no_sync;
        match faults.step() {
            Ok(()) if !failing => {
                file.unsynced.clear();
                Ok(())
            }
            Ok(()) => {
                file.fail_sync();
                Err(io::Error::from_raw_os_error(5))
            }
            // The process stops while it waits, or the device says no.
            Err((error, _)) if faults.stopped => Err(error),
            Err((error, _)) => {
                file.fail_sync();
                Err(error)
            }
        }
    }
}

/// It is always the same moment.
pub struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(1)
    }
}

/// Some Ed25519 key (the curve's base point) as SubjectPublicKeyInfo, RFC 8410 section 4.
const ED25519_SPKI: [u8; 44] = {
    let mut der = [0x66; 44];
    let head = [
        0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0, 0x58,
    ];
    der.split_at_mut(head.len()).0.copy_from_slice(&head);
    der
};

/// A signature released to `tenant`, under an Idempotency-Key of its own.
pub fn signed(tenant: &str, n: u64) -> Event {
    let digest = |text: &str| Sha256Digest::of(&[text.as_bytes(), &n.to_le_bytes()]).to_string();
    let event = serde_json::json!({
        "kind": "sign", "outcome": "signed", "request_id": format!("request-{n}"), "tenant": tenant,
        "principal": format!("spiffe://{tenant}/caller"), "peer": { "uid": 1, "gid": 1, "pid": 1 },
        "key": format!("{tenant}/release"), "key_version": 1, "payload_type": "application/vnd.in-toto+json",
        "payload_sha256": digest("payload"), "pae_sha256": digest("pae"), "envelope_sha256": digest("envelope"),
        "idempotency_sha256": digest("idempotency"), "policy_digest": digest(""), "config_digest": digest(""),
    });
    serde_json::from_value(event).unwrap()
}

/// A record that may stand anywhere in a log: a run began at `boottime_ms`.
pub fn started(run_id: impl Into<String>, boottime_ms: u64) -> Event {
    Event::DaemonStarted(DaemonStarted {
        run_id: run_id.into(),
        boottime_ms,
        boot_id: None,
        wall: None,
        version: "test".to_owned(),
        open_intents: Vec::new(),
    })
}

/// The first record.
pub fn genesis() -> Event {
    Event::Genesis(Genesis {
        origin: "example.test/log".to_owned(),
        log_key: LogKey {
            token: "t".to_owned(),
            uri: "pkcs11:object=log".parse().unwrap(),
            spki: Spki::from_der(ED25519_SPKI.to_vec()),
            scheme: Scheme::Ed25519,
        },
        operators: Vec::new(),
        approvers: Vec::new(),
        approvals_required: 0,
        policy_digest: Sha256Digest::default(),
        predecessor: None,
    })
}
