//! Tiles against the journal's leaves, level by level, with one unfinished tile of each level in memory.

use std::io;
use std::path::{Path, PathBuf};

use sealwright_core::tlog::tile::{FULL_WIDTH, TILE_HEIGHT, Tile};
use sealwright_core::tlog::{Frontier, Hash};

use super::{Finding, Report};

const HASH: usize = size_of::<Hash>();

/// One level of the tree as it grows.
#[derive(Default)]
struct Level {
    /// The tile that is being filled.
    index: u64,
    hashes: Vec<Hash>,
}

/// The tiles as they ought to be.
pub(super) struct TileCheck {
    folder: PathBuf,
    /// Tiles must be there for this many records: a checkpoint covers them.
    covered: u64,
    levels: Vec<Level>,
    tiles: u64,
    findings: Vec<Finding>,
}

impl TileCheck {
    pub(super) fn new(folder: &Path, covered: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            covered,
            levels: Vec::new(),
            tiles: 0,
            findings: Vec::new(),
        }
    }

    /// The next record's leaf.
    pub(super) fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for number in 0.. {
            if self.levels.len() == number {
                self.levels.push(Level::default());
            }
            let Some(level) = self.levels.get_mut(number) else {
                return;
            };
            level.hashes.push(hash);
            if level.hashes.len() < FULL_WIDTH as usize {
                return;
            }
            let (hashes, index) = (std::mem::take(&mut level.hashes), level.index);
            level.index += 1;
            self.check(number, index, &hashes);
            hash = root(&hashes);
        }
    }

    /// The journal is read to its end.
    pub(super) fn finish(mut self, report: &mut Report) {
        for (number, level) in std::mem::take(&mut self.levels).into_iter().enumerate() {
            self.check(number, level.index, &level.hashes);
        }
        report.tiles = self.tiles;
        report.findings.append(&mut self.findings);
    }

    /// All files of one tile, the full one and partial ones, against its hashes so far.
    fn check(&mut self, level: usize, index: u64, hashes: &[Hash]) {
        let Ok(level) = u32::try_from(level) else {
            return;
        };
        let tile = |width| Tile {
            level,
            index,
            width,
        };
        let covered = self.covered.checked_shr(level * TILE_HEIGHT).unwrap_or(0);
        let covered = covered.saturating_sub(index * u64::from(FULL_WIDTH));
        let needed = u32::try_from(covered).unwrap_or(FULL_WIDTH).min(FULL_WIDTH);
        let expected = hashes.concat();
        let full = self.folder.join(tile(FULL_WIDTH).path());
        let is_full = self.compare(&full, FULL_WIDTH, &expected);
        let mut widths = partial_widths(&full.with_extension("p"));
        if needed > 0 && needed < FULL_WIDTH && !widths.contains(&needed) && !is_full {
            widths.push(needed);
        }
        for width in widths {
            let path = self.folder.join(tile(width).path());
            let is_there = self.compare(&path, width, &expected) || is_full;
            // A running daemon removes partial tiles, but only once the full one stands.
            if !is_there && width == needed && !full.exists() {
                self.findings.push(Finding::tile(&path, None, "is missing"));
            }
        }
        if needed == FULL_WIDTH && !is_full {
            self.findings.push(Finding::tile(&full, None, "is missing"));
        }
    }

    /// Whether the file is there; what is wrong with it is a finding.
    fn compare(&mut self, path: &Path, width: u32, expected: &[u8]) -> bool {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return false,
            Err(e) => {
                let what = format!("cannot be read: {e}");
                self.findings.push(Finding::tile(path, None, &what));
                return true;
            }
        };
        let len = width as usize * HASH;
        // A running daemon may have made it for records that came after the end that was read.
        let differs = bytes.iter().zip(expected).position(|(a, b)| a != b);
        if let Some(at) = differs {
            let what = "has another hash than the journal's records give";
            let at = (at / HASH * HASH) as u64;
            self.findings.push(Finding::tile(path, Some(at), what));
        } else if bytes.len() != len {
            let what = format!("has {} bytes instead of {len}", bytes.len());
            self.findings.push(Finding::tile(path, None, &what));
        } else {
            self.tiles += 1;
        }
        true
    }
}

fn partial_widths(folder: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect()
}

/// The root over the hashes of a full tile.
fn root(hashes: &[Hash]) -> Hash {
    let mut frontier = Frontier::new();
    hashes.iter().for_each(|hash| frontier.push(*hash));
    frontier.root()
}
