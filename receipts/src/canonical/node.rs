//! A JSON value with its numbers as text.

use std::borrow::Cow;

pub(super) enum Node<'t> {
    /// `null`, `true` or `false`, as they stand there.
    Word(&'t str),
    Number(&'t str),
    Text(Text<'t>),
    Array(Vec<Node<'t>>),
    Object(Vec<(Text<'t>, Node<'t>)>),
}

impl Node<'_> {
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Word("null"))
    }
}

/// A string.
pub(super) struct Text<'t> {
    /// As it stands between the quotes.
    pub(super) raw: &'t str,
    /// What it means.
    pub(super) value: Cow<'t, str>,
}

impl Text<'_> {
    /// Whether the raw text is what is written too: it has no escape, so nothing in it needs one.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.value, Cow::Borrowed(_))
    }
}
