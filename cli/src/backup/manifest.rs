//! `manifest.json`: what a backup holds, and what it does not.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Entry;
use crate::failure::Failure;
use crate::files;

/// Its name.
pub(super) const MANIFEST: &str = "manifest.json";
/// Its version.
pub(super) const FORMAT: &str = "sealwright-backup/v1";

/// A file that stays on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    pub(crate) path: PathBuf,
    pub(crate) why: String,
}

/// Everything about a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) format: String,
    /// Of the program that made it.
    pub(crate) version: String,
    /// RFC 3339.
    pub(crate) made_at: String,
    pub(crate) files: Vec<Entry>,
    pub(crate) left_out: Vec<LeftOut>,
}

impl Manifest {
    pub(super) fn to_json(&self) -> Result<Vec<u8>, Failure> {
        let mut text = serde_json::to_vec_pretty(self).map_err(Failure::local)?;
        text.push(b'\n');
        Ok(text)
    }

    pub(super) fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(MANIFEST);
        Self::parse(&files::read(&path)?)
            .map_err(|reason| Failure::local(format!("{}: {reason}", path.display())))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if manifest.format != FORMAT {
            return Err(format!("{:?} is not {FORMAT:?}", manifest.format));
        }
        let is_inside = |path: &Path| {
            let mut parts = path.components();
            parts.all(|part| matches!(part, Component::Normal(_)))
        };
        match manifest.files.iter().find(|file| !is_inside(&file.path)) {
            Some(outside) => Err(format!("{} lies outside", outside.path.display())),
            None => Ok(manifest),
        }
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_format_is_read_and_no_path_leads_outside() {
        let text = |format: &str, path: &str| {
            let sha256 = "0".repeat(64);
            format!(
                r#"{{"format":"{format}","version":"1","made_at":"t","left_out":[],
                    "files":[{{"path":"{path}","bytes":1,"sha256":"{sha256}"}}]}}"#
            )
        };
        let parse = |format, path| Manifest::parse(text(format, path).as_bytes());
        assert_eq!(parse(FORMAT, "state/a").unwrap().bytes(), 1);
        assert!(
            parse("sealwright-backup/v2", "a")
                .unwrap_err()
                .contains("v2")
        );
        for path in ["../a", "/etc/passwd", "a/../../b"] {
            assert!(
                parse(FORMAT, path).unwrap_err().contains("outside"),
                "{path}"
            );
        }
        assert!(Manifest::parse(b"{}").is_err());
    }
}
