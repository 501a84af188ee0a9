//! The thread that destroys what `audit.erased` records name, also what an earlier run left.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use sealwright_core::record::{ErasureDone, Event};
use tokio::runtime::Handle;

use super::disk::Disk;
use super::erasure::destroy;
use super::index::Index;
use super::rewrite::RewriteError;
use super::snapshot::SnapshotFile;
use super::writer::{Journal, RecordError};
use crate::failpoints::Failpoints;

/// Everything that has bodies.
pub(super) struct Parts {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) folder: PathBuf,
    pub(super) low_water_bytes: u64,
    pub(super) journal: Journal,
    pub(super) index: Index,
    pub(super) snapshot: SnapshotFile,
    pub(super) failpoints: Arc<Failpoints>,
}

/// A handle on the thread.
#[derive(Clone)]
pub struct Eraser {
    wake: Sender<()>,
    trouble: Arc<Mutex<Option<String>>>,
    /// Held from the selection of bodies until their records are durable: nothing is selected twice.
    pub selecting: Arc<tokio::sync::Mutex<()>>,
}

/// Why bodies are still there.
#[derive(Debug, thiserror::Error)]
enum EraseError {
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("the audit index was not rebuilt")]
    Index,
}

impl Eraser {
    /// Starts the thread, inside tokio's runtime. It ends with the process: whatever it was doing, the next start goes on.
    pub(super) fn start(parts: Parts) -> io::Result<Self> {
        let (wake, woken) = channel();
        let this = Self {
            wake,
            trouble: Arc::default(),
            selecting: Arc::default(),
        };
        let (runtime, trouble) = (Handle::current(), Arc::clone(&this.trouble));
        let thread = std::thread::Builder::new().name("erase".to_owned());
        thread.spawn(move || {
            while let Ok(()) = woken.recv() {
                let error = parts.erase(&runtime).err().map(|error| error.to_string());
                if let Some(error) = &error {
                    tracing::error!(%error, "bodies that were to be erased are still there");
                }
                *trouble.lock().unwrap_or_else(PoisonError::into_inner) = error;
            }
        })?;
        Ok(this)
    }

    /// Something is to be erased.
    pub fn wake(&self) {
        // The thread lives as long as the process.
        let _ = self.wake.send(());
    }

    /// Why the last attempt failed.
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Parts {
    fn erase(&self, runtime: &Handle) -> Result<(), EraseError> {
        let outstanding = self
            .journal
            .with_state(|state| state.outstanding_erasures().clone());
        let Some(newest) = outstanding.keys().next_back() else {
            return Ok(());
        };
        self.failpoints.reach("erasure-recorded");
        // A snapshot has digests of what was signed. The next one is of a state that has forgotten them.
        self.snapshot.retire(*newest);
        let bodies = destroy(
            self.disk.as_ref(),
            &self.folder,
            self.low_water_bytes,
            &outstanding,
            &mut |_| self.failpoints.reach("erasure-rewritten"),
        )?;
        // sled keeps old values in its files for as long as it likes: only a new index has none of them.
        if !self.index.rebuild() {
            return Err(EraseError::Index);
        }
        self.failpoints.reach("erasure-indexed");
        let erased: Vec<u64> = outstanding.into_keys().collect();
        let records = erased.len();
        let done = Event::ErasureDone(ErasureDone { erased });
        let _ = runtime.block_on(self.journal.record(done))?;
        tracing::info!(bodies, records, "bodies were erased");
        Ok(())
    }
}
