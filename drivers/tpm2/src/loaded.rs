//! The keys that lie in the TPM's slots, least recently used first.

use tss_esapi::Context;
use tss_esapi::handles::KeyHandle;

use crate::blob::Blob;
use crate::fault::Fault;

/// Most keys kept loaded, however many slots a TPM has.
const LOADED_MAX: usize = 16;

/// A cache of loaded keys. They are found by their content and not by their name, so a file that was replaced
/// is another key.
#[derive(Debug)]
pub(crate) struct Loaded {
    keys: Vec<(Blob, KeyHandle)>,
    capacity: usize,
}

impl Loaded {
    /// For a TPM that promises `slots` transient objects; the storage root key has one of them.
    pub(crate) fn new(slots: u32) -> Self {
        let free = usize::try_from(slots)
            .unwrap_or(LOADED_MAX)
            .saturating_sub(1);
        Self {
            keys: Vec::new(),
            capacity: free.clamp(1, LOADED_MAX),
        }
    }

    /// The handle of a loaded key, which is then the most recently used one.
    pub(crate) fn find(&mut self, blob: &Blob) -> Option<KeyHandle> {
        let at = self.keys.iter().position(|(loaded, _)| loaded == blob)?;
        let key = self.keys.remove(at);
        let handle = key.1;
        self.keys.push(key);
        Some(handle)
    }

    /// Flushes keys until one more fits.
    pub(crate) fn make_room(&mut self, context: &mut Context) -> Result<(), Fault> {
        while self.keys.len() >= self.capacity {
            let (_, oldest) = self.keys.remove(0);
            context
                .flush_context(oldest.into())
                .map_err(|e| Fault::new("flushing the least recently used key", e))?;
        }
        Ok(())
    }

    /// Flushes all of them.
    pub(crate) fn clear(&mut self, context: &mut Context) -> Result<(), Fault> {
        while let Some((_, key)) = self.keys.pop() {
            context
                .flush_context(key.into())
                .map_err(|e| Fault::new("flushing a key", e))?;
        }
        Ok(())
    }

    /// Remembers a key that was loaded after [`Loaded::make_room`].
    pub(crate) fn add(&mut self, blob: Blob, handle: KeyHandle) {
        self.keys.push((blob, handle));
    }
}
