//! Beside a segment whose bodies were removed: where they are. `<segment>.archived` in the journal's folder.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::archive::Manifest;
use super::disk::Disk;

/// Longest stub in bytes: a path and some digests.
const STUB_MAX: usize = 64 << 10;
/// Extension of its file's name.
pub const ARCHIVED: &str = "archived";

/// Where the bodies of a segment are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stub {
    /// The compressed segment.
    pub file: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
}

/// File name of the stub of segment `number`.
pub fn stub_name(number: u64) -> String {
    format!("{number:010}.{ARCHIVED}")
}

impl Stub {
    /// The stub of segment `number`; `None` where its bodies were never removed.
    pub fn read(disk: &dyn Disk, number: u64) -> io::Result<Option<Self>> {
        let name = stub_name(number);
        match disk.read(&name, 0, STUB_MAX) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            bytes => Ok(Some(serde_json::from_slice(&bytes?)?)),
        }
    }

    /// All of them, in the order of their segments.
    pub fn all(disk: &dyn Disk) -> io::Result<Vec<Self>> {
        let names = disk.list()?;
        let numbers = names.iter().filter_map(|name| {
            let number = name.strip_suffix(ARCHIVED)?.strip_suffix('.')?;
            number.parse().ok()
        });
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        let stubs = numbers.into_iter().map(|number| Self::read(disk, number));
        stubs.filter_map(Result::transpose).collect()
    }

    /// Whether it speaks of record `index`.
    pub fn covers(&self, index: u64) -> bool {
        (self.manifest.from.index..self.manifest.to.index).contains(&index)
    }
}
