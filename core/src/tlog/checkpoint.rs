//! Checkpoints: the text with which a log commits to its tree (C2SP `tlog-checkpoint` v1.0.0).

use std::fmt;
use std::str::FromStr;

use super::merkle::Hash;
use super::text;

/// What a log signs: who it is, how many leaves its tree has, and the tree's root.
///
/// Its [`Display`](fmt::Display) is the text of the note, `<origin>\n<size>\n<base64 root>\n` and the extension
/// lines; [`FromStr`] reads that text back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

/// Why a text is no checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// A control character other than the line feeds between lines.
    #[error(
        "control character {0:#04x} in a checkpoint: only line feeds are allowed, check for \\r"
    )]
    Control(u32),
    /// Fewer than three lines, or the last has no line feed.
    #[error(
        "a checkpoint has at least three lines, each ended by a line feed: origin, size, root hash"
    )]
    Lines,
    /// The first line is empty.
    #[error("the origin line of a checkpoint must not be empty")]
    Origin,
    /// The second line is no number in its only spelling.
    #[error(
        "the size line of a checkpoint must be a decimal below 2^64 without sign or leading zero"
    )]
    Size,
    /// The third line is no hash.
    #[error("the root line of a checkpoint must be 32 bytes in standard base64")]
    Root,
    /// A further line is empty.
    #[error("an extension line of a checkpoint must not be empty")]
    Extension,
}

impl Checkpoint {
    /// A checkpoint without extension lines.
    ///
    /// # Errors
    /// [`CheckpointError`]: the origin is empty or has a control character (a line feed is one).
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        check_line(origin, CheckpointError::Origin)?;
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
            extensions: Vec::new(),
        })
    }

    /// The name of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Leaves in the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree of that size.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// Further lines, which witnesses sign without a statement about them.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(body: &str) -> Result<Self, CheckpointError> {
        let body = body.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Lines);
        };
        check_line(origin, CheckpointError::Origin)?;
        check_line(size, CheckpointError::Size)?;
        check_line(root, CheckpointError::Root)?;
        let mut extensions = Vec::new();
        for line in lines {
            check_line(line, CheckpointError::Extension)?;
            extensions.push(line.to_owned());
        }
        Ok(Self {
            origin: origin.to_owned(),
            size: text::decimal(size).ok_or(CheckpointError::Size)?,
            root: text::hash(root).ok_or(CheckpointError::Root)?,
            extensions,
        })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = text::encode(&self.root);
        writeln!(f, "{}\n{}\n{root}", self.origin, self.size)?;
        self.extensions
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn check_line(line: &str, empty: CheckpointError) -> Result<(), CheckpointError> {
    if line.is_empty() {
        return Err(empty);
    }
    match line.chars().find(|c| c.is_control()) {
        Some(control) => Err(CheckpointError::Control(control.into())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tlog::merkle::EMPTY_ROOT;

    const BODY: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let checkpoint: Checkpoint = BODY.parse().expect("a good checkpoint");
        assert_eq!(checkpoint.origin(), "example.com/behind-the-sofa");
        assert_eq!(checkpoint.size(), 20_852_163);
        assert_eq!(checkpoint.extensions(), &[] as &[String]);
        assert_eq!(checkpoint.to_string(), BODY);
        let root = *checkpoint.root();
        let again = Checkpoint::new(checkpoint.origin(), checkpoint.size(), root);
        assert_eq!(again, Ok(checkpoint));
    }

    #[test]
    fn extension_lines_are_kept_and_must_not_be_empty() {
        let body = format!("{BODY}one\ntwo two\n");
        let checkpoint: Checkpoint = body.parse().expect("a good checkpoint");
        assert_eq!(checkpoint.extensions(), ["one", "two two"]);
        assert_eq!(checkpoint.to_string(), body);
        for body in [
            format!("{BODY}\n"),
            format!("{BODY}\nx\n"),
            format!("{BODY}x\n\n"),
        ] {
            assert_eq!(body.parse::<Checkpoint>(), Err(CheckpointError::Extension));
        }
    }

    #[test]
    fn each_malformed_line_has_an_error_of_its_own() {
        let refused = |from: &str, to: &str| {
            let body = BODY.replacen(from, to, 1);
            assert_ne!(body, BODY);
            body.parse::<Checkpoint>().expect_err("must be refused")
        };
        assert_eq!(
            refused("example.com/behind-the-sofa", ""),
            CheckpointError::Origin
        );
        assert_eq!(refused("20852163", ""), CheckpointError::Size);
        assert_eq!(refused("20852163", "020852163"), CheckpointError::Size);
        assert_eq!(
            refused("20852163", "18446744073709551616"),
            CheckpointError::Size
        );
        assert_eq!(refused("CsU", "Cs"), CheckpointError::Root);
        assert_eq!(refused("m/X", "m_X"), CheckpointError::Root);
        assert_eq!(refused("I=\n", "I\n"), CheckpointError::Root);
        assert_eq!(refused("I=\n", "I="), CheckpointError::Lines);
        assert_eq!(refused("63\n", "63 "), CheckpointError::Lines);
        assert_eq!(refused("63\n", "63\r\n"), CheckpointError::Control(13));
        assert_eq!(refused("com/", "com\t/"), CheckpointError::Control(9));
        assert_eq!("".parse::<Checkpoint>(), Err(CheckpointError::Lines));
    }

    #[test]
    fn an_origin_that_would_add_a_line_is_refused() {
        let refused = |origin| Checkpoint::new(origin, 0, EMPTY_ROOT);
        assert_eq!(refused("log\n7"), Err(CheckpointError::Control(10)));
        assert_eq!(refused("log\u{7f}"), Err(CheckpointError::Control(127)));
        assert_eq!(refused(""), Err(CheckpointError::Origin));
        assert!(refused("rekor.sigstore.dev - 1193050959916656506").is_ok());
    }

    proptest! {
        #[test]
        fn a_checkpoint_is_read_back_as_it_was_written(origin in "[^\\p{C}]{1,20}", size: u64, root: Hash) {
            let checkpoint = Checkpoint::new(&origin, size, root).expect("a good origin");
            prop_assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
        }

        #[test]
        fn any_text_is_refused_or_keeps_its_spelling(body in "[a-z]{0,3}\\n[0-9]{1,3}\\n[A-Za-z+/]{42}[A-Z]=\\n([a-z]{0,2}\\n){0,2}") {
            if let Ok(parsed) = body.parse::<Checkpoint>() {
                prop_assert_eq!(parsed.to_string(), body);
            }
        }
    }
}
