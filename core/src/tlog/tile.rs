//! Where the hashes and entries of a log stand: tiles, entry bundles and their paths (C2SP `tlog-tiles`).

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::text::decimal;

/// Hashes in a full tile, and entries in a full bundle.
pub const FULL_WIDTH: u32 = 256;

/// Levels of the tree that one tile spans: its hashes are 8 levels below the root of a full tile.
pub const TILE_HEIGHT: u32 = 8;

/// The highest level a tile of a log of fewer than 2^64 entries can have. The format counts to 63.
pub const MAX_LEVEL: u32 = 7;

/// The longest path: `tile/entries/`, seven groups of four, and `.p/255`.
pub const MAX_PATH_BYTES: usize = 64;

/// Consecutive hashes of one level: at level 0 leaf hashes, above it the roots of full tiles one level below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// 0 to [`MAX_LEVEL`].
    pub level: u32,
    /// Position of the tile within its level.
    pub index: u64,
    /// Hashes in it, 1 to [`FULL_WIDTH`]; below that it is a partial tile.
    pub width: u32,
}

/// The entries whose hashes stand in the level-0 tile of the same index and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryBundle {
    /// Position of the bundle.
    pub index: u64,
    /// Entries in it, 1 to [`FULL_WIDTH`].
    pub width: u32,
}

/// What a path below a log's prefix names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TilePath {
    /// `tile/<L>/<N>[.p/<W>]`
    Hashes(Tile),
    /// `tile/entries/<N>[.p/<W>]`
    Entries(EntryBundle),
}

/// The path names no tile and no entry bundle, or is not how one is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a tile path: expected tile/<level 0-7 or entries>/<x001/x234/067>[.p/<width 1-255>]")]
pub struct PathError;

impl Tile {
    /// The path below the log's prefix, such as `tile/0/x001/x234/067.p/8`.
    pub fn path(&self) -> String {
        format!(
            "tile/{}/{}",
            self.level,
            Coordinates::of(self.index, self.width)
        )
    }

    /// The tile, as wide as it is in a tree of `size` leaves, that holds the root of the subtree over the
    /// leaves `index << level .. (index + 1) << level`, and which of its hashes combine to that root.
    /// `None` where the subtree is not complete in that tree.
    pub fn containing(level: u32, index: u64, size: u64) -> Option<(Self, Range<usize>)> {
        let leaves = size.checked_shr(level)?;
        if index >= leaves {
            return None;
        }
        let inner = level % TILE_HEIGHT;
        let first = index << inner;
        let tile = Self::at(level / TILE_HEIGHT, first / u64::from(FULL_WIDTH), size)?;
        let offset = usize::try_from(first % u64::from(FULL_WIDTH)).ok()?;
        Some((tile, offset..offset + (1 << inner)))
    }

    /// The tile at a level and index, as wide as it is in a tree of `size` leaves; `None` where it is empty.
    fn at(level: u32, index: u64, size: u64) -> Option<Self> {
        let hashes = hashes_at(level, size);
        let before = index.checked_mul(u64::from(FULL_WIDTH))?;
        let width = hashes.checked_sub(before)?.min(u64::from(FULL_WIDTH));
        let width = u32::try_from(width).ok().filter(|&width| width > 0)?;
        Some(Self {
            level,
            index,
            width,
        })
    }
}

impl EntryBundle {
    /// The path below the log's prefix, such as `tile/entries/x001/x234/067.p/8`.
    pub fn path(&self) -> String {
        format!("tile/entries/{}", Coordinates::of(self.index, self.width))
    }
}

/// The tiles that a tree of `new` leaves has and one of `old` leaves has not, level by level, left to right.
/// A partial tile that grows is another tile, under another path: no file is ever changed.
pub fn new_tiles(old: u64, new: u64) -> impl Iterator<Item = Tile> {
    (0..=MAX_LEVEL).flat_map(move |level| {
        let first = hashes_at(level, old) / u64::from(FULL_WIDTH);
        let unchanged = Tile::at(level, first, old);
        (first..)
            .map_while(move |index| Tile::at(level, index, new))
            .filter(move |tile| Some(*tile) != unchanged)
    })
}

/// How many hashes stand in all tiles of `level` together.
pub(super) fn hashes_at(level: u32, size: u64) -> u64 {
    size.checked_shr(level * TILE_HEIGHT).unwrap_or(0)
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hashes(tile) => f.write_str(&tile.path()),
            Self::Entries(bundle) => f.write_str(&bundle.path()),
        }
    }
}

impl FromStr for TilePath {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, PathError> {
        let parsed = Self::parse(path).ok_or(PathError)?;
        // What was read leniently must be the one spelling: no leading zeros or groups, no foreign digits.
        if parsed.to_string() == path {
            Ok(parsed)
        } else {
            Err(PathError)
        }
    }
}

impl TilePath {
    fn parse(path: &str) -> Option<Self> {
        if path.len() > MAX_PATH_BYTES {
            return None;
        }
        let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let Coordinates { index, width } = Coordinates::parse(rest)?;
        if kind == "entries" {
            return Some(Self::Entries(EntryBundle { index, width }));
        }
        let level = u32::try_from(decimal(kind)?).ok()?;
        (level <= MAX_LEVEL).then_some(Self::Hashes(Tile {
            level,
            index,
            width,
        }))
    }
}

/// `<N>[.p/<W>]`: the index in groups of three digits, all but the last with an `x` before them.
struct Coordinates {
    index: u64,
    width: u32,
}

impl Coordinates {
    fn of(index: u64, width: u32) -> Self {
        Self { index, width }
    }

    fn parse(text: &str) -> Option<Self> {
        let (number, width) = match text.split_once(".p/") {
            Some((number, width)) => (number, u32::try_from(decimal(width)?).ok()?),
            None => (text, FULL_WIDTH),
        };
        if width == 0 || width > FULL_WIDTH {
            return None;
        }
        let mut index = 0_u64;
        for group in number.split('/') {
            let digits = group.strip_prefix('x').unwrap_or(group);
            index = index.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
        }
        Some(Self { index, width })
    }
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.index.to_string();
        let groups = digits.len().div_ceil(3);
        let padded = format!("{:0>width$}", digits, width = groups * 3);
        for group in 0..groups {
            let last = group + 1 == groups;
            let text = padded.get(group * 3..group * 3 + 3).unwrap_or_default();
            write!(
                f,
                "{}{text}{}",
                if last { "" } else { "x" },
                if last { "" } else { "/" }
            )?;
        }
        if self.width < FULL_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn tile(level: u32, index: u64, width: u32) -> Tile {
        Tile {
            level,
            index,
            width,
        }
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(tile(0, 1_234_067, 256).path(), "tile/0/x001/x234/067");
        assert_eq!(tile(3, 0, 1).path(), "tile/3/000.p/1");
        assert_eq!(tile(1, 1000, 17).path(), "tile/1/x001/000.p/17");
        let bundle = EntryBundle {
            index: 273,
            width: 112,
        };
        assert_eq!(bundle.path(), "tile/entries/273.p/112");
    }

    #[test]
    fn another_spelling_of_a_path_is_refused() {
        for path in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "/tile/0/001",
            "tile/0/1",
            "tile/0/0001",
            "tile/00/001",
            "tile/8/001",
            "tile/63/001",
            "tile/data/001",
            "tile/-1/001",
            "tile/0/x001",
            "tile/0/001/002",
            "tile/0/x000/001",
            "tile/0/x1/001",
            "tile/0/x001/x234/067/",
            "tile/0/+01",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/01",
            "tile/0/001.p/",
            "tile/0/001.p/1.p/1",
            "tile/0/../001",
            "tile/entries/001.p/256",
            "tile/entries/",
            "tile/entries/X001/001",
            "tile/0/\u{0661}\u{0661}\u{0661}",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
        ] {
            assert_eq!(path.parse::<TilePath>(), Err(PathError), "{path}");
        }
        let long = format!("tile/0/{}001", "x000/".repeat(20));
        assert_eq!(long.parse::<TilePath>(), Err(PathError));
    }

    #[test]
    fn the_longest_path_is_within_the_limit() {
        let longest = EntryBundle {
            index: u64::MAX,
            width: 255,
        };
        assert!(longest.path().len() <= MAX_PATH_BYTES);
        assert_eq!(longest.path().parse(), Ok(TilePath::Entries(longest)));
    }

    #[test]
    fn a_tree_of_seventy_thousand_has_the_tiles_the_specification_counts() {
        let tiles: Vec<_> = new_tiles(0, 70_000).collect();
        assert_eq!(
            tiles
                .iter()
                .filter(|t| t.level == 0 && t.width == 256)
                .count(),
            273
        );
        assert!(tiles.contains(&tile(0, 273, 112)));
        assert!(tiles.contains(&tile(1, 0, 256)));
        assert!(tiles.contains(&tile(1, 1, 17)));
        assert!(tiles.contains(&tile(2, 0, 1)));
        assert_eq!(tiles.len(), 273 + 1 + 2 + 1);
        assert_eq!(
            new_tiles(0, 256).collect::<Vec<_>>(),
            [tile(0, 0, 256), tile(1, 0, 1)]
        );
    }

    #[test]
    fn only_nodes_of_complete_subtrees_stand_in_a_tile() {
        assert_eq!(Tile::containing(0, 0, 0), None);
        assert_eq!(
            Tile::containing(0, 300, 301),
            Some((tile(0, 1, 45), 44..45))
        );
        assert_eq!(Tile::containing(3, 33, 272), Some((tile(0, 1, 16), 8..16)));
        assert_eq!(Tile::containing(3, 33, 271), None);
        assert_eq!(Tile::containing(8, 0, 300), Some((tile(1, 0, 1), 0..1)));
        assert_eq!(
            Tile::containing(63, 0, u64::MAX),
            Some((tile(7, 0, 255), 0..128))
        );
        assert_eq!(Tile::containing(63, 1, u64::MAX), None);
        assert_eq!(Tile::containing(64, 0, u64::MAX), None);
    }

    proptest! {
        #[test]
        fn a_path_leads_back_to_its_tile(level in 0..=MAX_LEVEL, index: u64, width in 1..=FULL_WIDTH) {
            let hashes = TilePath::Hashes(tile(level, index, width));
            prop_assert_eq!(hashes.to_string().parse(), Ok(hashes));
            let entries = TilePath::Entries(EntryBundle { index, width });
            prop_assert_eq!(entries.to_string().parse(), Ok(entries));
        }

        #[test]
        fn a_path_that_parses_is_the_spelling_of_what_it_names(path in "(tile/)?([0-9]{1,2}|entries)/(x?[0-9]{2,4}/?){1,3}(\\.p/[0-9]{1,3})?") {
            if let Ok(parsed) = path.parse::<TilePath>() {
                prop_assert_eq!(parsed.to_string(), path);
            }
        }

        #[test]
        fn new_tiles_are_the_difference_of_two_trees(old in 0_u64..140_000, more in 0_u64..2_000) {
            let all = |size| new_tiles(0, size).collect::<BTreeSet<_>>();
            let (before, after) = (all(old), all(old + more));
            let new: Vec<_> = new_tiles(old, old + more).collect();
            prop_assert_eq!(new, after.difference(&before).copied().collect::<Vec<_>>());
        }
    }
}
