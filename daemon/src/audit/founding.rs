//! The file that `sealwright init` leaves, and how it becomes the first records of the log.

use std::io;
use std::path::{Path, PathBuf};

use sealwright_core::record::{Event, Genesis};
use sealwright_core::shard::Founding;
use sealwright_core::state::State;

use super::OpenError;
use super::writer::Journal;

/// `genesis.json` in the state directory. It is removed once everything in it is in the log.
pub(super) struct FoundingFile {
    path: PathBuf,
    founding: Founding,
}

impl FoundingFile {
    /// Reads it; `None` where there is none.
    pub(super) fn read(state_dir: &Path) -> Result<Option<Self>, OpenError> {
        let path = state_dir.join("genesis.json");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(OpenError::Io { path, source }),
        };
        let founding: Result<Founding, _> = serde_json::from_slice(&text);
        let founding = founding.map_err(|e| bad(&path, e.to_string()))?;
        founding.check().map_err(|e| bad(&path, e.to_string()))?;
        Ok(Some(Self { path, founding }))
    }

    pub(super) fn genesis(&self) -> &Genesis {
        &self.founding.genesis
    }

    /// What is still to be recorded of `file`; `None` for a log that has begun, whatever an old file says.
    pub(super) fn due(
        file: Result<Option<Self>, OpenError>,
        state: &State,
        state_dir: &Path,
    ) -> Result<Option<Self>, OpenError> {
        let Some(genesis) = state.genesis() else {
            let file = file?;
            return file.map_or_else(
                || Err(OpenError::NoGenesis(state_dir.to_owned())),
                |f| Ok(Some(f)),
            );
        };
        if state.to_inherit() == 0 {
            return Ok(None);
        }
        let missing = || OpenError::Founding {
            path: state_dir.join("genesis.json"),
            missing: state.to_inherit(),
        };
        let file = file?.ok_or_else(missing)?;
        if file.genesis() != genesis {
            return Err(bad(
                &file.path,
                "it is of another log than the journal".to_owned(),
            ));
        }
        Ok(Some(file))
    }

    /// Records genesis, unless a start before this one did.
    pub(super) async fn begin(&self, journal: &Journal) -> Result<(), OpenError> {
        if journal.with_state(|state| state.genesis().is_none()) {
            let genesis = self.genesis().clone();
            let _ = journal.record(Event::Genesis(genesis)).await?;
        }
        Ok(())
    }

    /// Records what comes over, from where a start before this one was cut off.
    pub(super) async fn finish(self, journal: &Journal) -> Result<(), OpenError> {
        let done = journal.with_state(State::inherited);
        let done = usize::try_from(done).unwrap_or(usize::MAX);
        for event in self.founding.inheritance.events().skip(done) {
            let _ = journal.record(event).await?;
        }
        // Removed only now: a crash in between leaves a file that the next start ignores, since the journal has all
        // that is in it.
        std::fs::remove_file(&self.path).map_err(|source| OpenError::Io {
            path: self.path,
            source,
        })
    }
}

fn bad(path: &Path, reason: String) -> OpenError {
    OpenError::BadGenesis {
        path: path.to_owned(),
        reason,
    }
}
