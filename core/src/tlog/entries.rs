//! The inside of an entry bundle: entries with their length before them (C2SP `tlog-tiles`, "Log entries").

use super::tile::FULL_WIDTH;

/// The longest entry: its length is written in two bytes.
pub const MAX_ENTRY_BYTES: usize = u16::MAX as usize;

/// Why bytes are no entry bundle, or entries do not fit into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntriesError {
    /// The entry is longer than its length field can say.
    #[error(
        "an entry of {length} bytes does not fit into a bundle: at most {MAX_ENTRY_BYTES}, log a digest instead"
    )]
    EntryTooLong {
        /// Bytes of the entry.
        length: usize,
    },
    /// No entry, or more than a full bundle.
    #[error("a bundle has 1 to {FULL_WIDTH} entries, not {count}")]
    Count {
        /// Entries given or found.
        count: usize,
    },
    /// The bytes end inside an entry.
    #[error("the bundle ends inside entry {entry}: fetch or rebuild it")]
    Truncated {
        /// Zero-based position of the entry in the bundle.
        entry: usize,
    },
}

/// The bytes of a bundle: each entry with its length as a big-endian u16 before it.
///
/// # Errors
/// [`EntriesError`]: an entry is too long, or there are none or more than [`FULL_WIDTH`].
pub fn encode<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, EntriesError> {
    check_count(entries.len())?;
    let mut bytes = Vec::new();
    for entry in entries {
        let entry = entry.as_ref();
        let length = entry.len();
        let prefix = u16::try_from(length).map_err(|_| EntriesError::EntryTooLong { length })?;
        bytes.extend_from_slice(&prefix.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Ok(bytes)
}

/// The entries of a bundle, in order.
///
/// # Errors
/// [`EntriesError`]: the bytes end inside an entry, or there are none or more than [`FULL_WIDTH`].
pub fn decode(mut bytes: &[u8]) -> Result<Vec<&[u8]>, EntriesError> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let truncated = EntriesError::Truncated {
            entry: entries.len(),
        };
        let (prefix, rest) = bytes.split_first_chunk().ok_or(truncated)?;
        let length = usize::from(u16::from_be_bytes(*prefix));
        let (entry, rest) = rest.split_at_checked(length).ok_or(truncated)?;
        entries.push(entry);
        check_count(entries.len())?;
        bytes = rest;
    }
    check_count(entries.len())?;
    Ok(entries)
}

fn check_count(count: usize) -> Result<(), EntriesError> {
    if count == 0 || count > FULL_WIDTH as usize {
        return Err(EntriesError::Count { count });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bundle_is_lengths_and_entries() {
        let bytes = encode(&["ab", "", "c"]).expect("short entries");
        assert_eq!(bytes, b"\0\x02ab\0\0\0\x01c");
        assert_eq!(decode(&bytes), Ok(vec![&b"ab"[..], b"", b"c"]));
    }

    #[test]
    fn the_longest_entry_fits_and_one_byte_more_does_not() {
        let longest = vec![0; MAX_ENTRY_BYTES];
        let bytes = encode(&[&longest]).expect("fits");
        assert_eq!(decode(&bytes), Ok(vec![&longest[..]]));
        let length = MAX_ENTRY_BYTES + 1;
        assert_eq!(
            encode(&[vec![0; length]]),
            Err(EntriesError::EntryTooLong { length })
        );
    }

    #[test]
    fn a_bundle_has_at_least_one_and_at_most_a_full_tile_of_entries() {
        let count = FULL_WIDTH as usize;
        assert!(decode(&encode(&vec![""; count]).expect("full")).is_ok());
        let over = EntriesError::Count { count: count + 1 };
        assert_eq!(encode(&vec![""; count + 1]), Err(over));
        assert_eq!(decode(&vec![0; 2 * (count + 1)]), Err(over));
        let none = EntriesError::Count { count: 0 };
        assert_eq!(encode::<&str>(&[]), Err(none));
        assert_eq!(decode(b""), Err(none));
    }

    proptest! {
        #[test]
        fn a_bundle_cut_short_says_in_which_entry(entries in prop::collection::vec("[a-z]{0,9}", 1..20), cut: prop::sample::Index) {
            let bytes = encode(&entries).expect("short entries");
            let texts: Vec<_> = entries.iter().map(String::as_bytes).collect();
            prop_assert_eq!(decode(&bytes), Ok(texts));
            let cut = cut.index(bytes.len());
            match decode(&bytes[..cut]) {
                Ok(fewer) => prop_assert_eq!(encode(&fewer).expect("a prefix"), &bytes[..cut]),
                Err(EntriesError::Truncated { entry }) => prop_assert!(entry < entries.len()),
                Err(error) => prop_assert_eq!((cut, error), (0, EntriesError::Count { count: 0 })),
            }
        }
    }
}
