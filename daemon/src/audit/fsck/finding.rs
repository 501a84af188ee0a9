//! What can be wrong, each with its own words.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::audit::recovery::RecoveryError;

/// One damage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `journal`, `tile`, `checkpoint`, `index` or `snapshot`.
    pub part: &'static str,
    /// The file, or the folder of the index.
    pub path: PathBuf,
    /// Where in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// What is wrong and what to do next.
    pub message: String,
}

impl Finding {
    pub(super) fn of_journal(error: &RecoveryError) -> Self {
        let (path, offset) = error.place();
        Self {
            part: "journal",
            path: path.to_owned(),
            offset,
            message: error.to_string(),
        }
    }

    pub(super) fn tile(path: &Path, offset: Option<u64>, what: &str) -> Self {
        const NEXT: &str = "Tiles follow from the journal: stop sealwrightd, remove the file `snapshot` from the state directory, and start again; that makes all of them anew";
        Self::new("tile", path, offset, what, NEXT)
    }

    pub(super) fn checkpoint(path: &Path, what: &str, next: &str) -> Self {
        Self::new("checkpoint", path, None, what, next)
    }

    pub(super) fn index(path: &Path, what: &str) -> Self {
        const NEXT: &str = "The index follows from the journal: run `sealwrightd reindex`";
        Self::new("index", path, None, what, NEXT)
    }

    pub(super) fn snapshot(path: &Path, what: &str) -> Self {
        const NEXT: &str = "It was altered, and a daemon that continued from it knows wrong key states: stop \
                            sealwrightd, remove it, start again, and find out who wrote it";
        Self::new("snapshot", path, None, what, NEXT)
    }

    fn new(part: &'static str, path: &Path, offset: Option<u64>, what: &str, next: &str) -> Self {
        let at = offset.map_or_else(String::new, |offset| format!(" at byte {offset}"));
        Self {
            part,
            path: path.to_owned(),
            offset,
            message: format!("{}{at} {what}. {next}", path.display()),
        }
    }
}
