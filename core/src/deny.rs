//! The list of public keys that no caller may use: text, one a line, read by the daemon and added to by the CLI.

use std::collections::HashSet;

use crate::digest::Sha256Digest;

/// Most keys on the list; beyond it the CA that issues the certificates is to be replaced.
pub const DENIED_MAX: usize = 10_000;
/// Longest text.
pub const DENY_BYTES_MAX: usize = 4 << 20;

/// SHA-256 of the SubjectPublicKeyInfo of each key that is denied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DenyList(HashSet<Sha256Digest>);

/// Why a text is no such list. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DenyError {
    /// A line that is neither empty, a comment, nor begins with a digest.
    #[error(
        "line {0}: expected the SHA-256 of a key's SPKI, 64 lower-case hex digits, and after a space whatever you like; # begins a comment"
    )]
    Line(usize),
    /// More than [`DENIED_MAX`] keys.
    #[error("more than {DENIED_MAX} keys are denied; replace the CA that issued them")]
    TooMany,
    /// More than [`DENY_BYTES_MAX`] bytes.
    #[error("{0} bytes, at most {DENY_BYTES_MAX} are read")]
    TooLarge(usize),
}

impl DenyList {
    /// Reads a list.
    ///
    /// # Errors
    /// [`DenyError`]: no key is denied by a list of which a part cannot be read.
    pub fn parse(text: &str) -> Result<Self, DenyError> {
        if text.len() > DENY_BYTES_MAX {
            return Err(DenyError::TooLarge(text.len()));
        }
        let mut denied = HashSet::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let digest = line.split_ascii_whitespace().next().unwrap_or_default();
            denied.insert(digest.parse().map_err(|_| DenyError::Line(number))?);
            if denied.len() > DENIED_MAX {
                return Err(DenyError::TooMany);
            }
        }
        Ok(Self(denied))
    }

    /// Whether the key with this SPKI is denied.
    pub fn contains(&self, spki_sha256: &Sha256Digest) -> bool {
        self.0.contains(spki_sha256)
    }

    /// How many keys are denied.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_a_digest_with_or_without_words_behind_it_or_a_comment() {
        let key = Sha256Digest([0xab; 32]);
        let list = DenyList::parse(&format!("# lost\n\n  {key} ci, stolen laptop\n{key}\r\n"));
        let list = list.unwrap();
        assert_eq!(list.len(), 1);
        assert!(list.contains(&key) && !list.contains(&Sha256Digest::default()));
        assert!(DenyList::parse("").unwrap().is_empty());
    }

    #[test]
    fn a_line_that_is_none_is_refused_with_its_number() {
        let key = "ab".repeat(32);
        for bad in [
            "x",
            &key[1..],
            &key.to_uppercase(),
            &format!("{key},{key}"),
            "sha256:ab",
        ] {
            assert_eq!(
                DenyList::parse(&format!("{key}\n{bad}")),
                Err(DenyError::Line(2)),
                "{bad}"
            );
        }
    }

    #[test]
    fn one_key_or_byte_more_than_the_limit_is_refused() {
        let many = |n: usize| (0..n).map(|n| format!("{n:064x}\n")).collect::<String>();
        assert_eq!(
            DenyList::parse(&many(DENIED_MAX)).unwrap().len(),
            DENIED_MAX
        );
        assert_eq!(
            DenyList::parse(&many(DENIED_MAX + 1)),
            Err(DenyError::TooMany)
        );
        assert!(DenyList::parse(&" ".repeat(DENY_BYTES_MAX)).is_ok());
        let error = DenyList::parse(&" ".repeat(DENY_BYTES_MAX + 1));
        assert_eq!(error, Err(DenyError::TooLarge(DENY_BYTES_MAX + 1)));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            let _ = DenyList::parse(&text);
        }
    }
}
