//! The canonical form of a receipt's inputs: RFC 8785 with numbers of four decimals.
//!
//! RFC 8785 prints a number as the nearest double. What is scored and compared here are decimal fractions, so each number
//! is rounded as the decimal *text* it is, never as a double, and then printed by one of two rules:
//!
//! * [`Rule::Q4`] prints as few digits as are needed. Its output is a fixed point of RFC 8785, so any JCS library
//!   recomputes the hash of a receipt.
//! * [`Rule::Fixed4`] prints four decimals always. That is not RFC 8785, and it takes a serialiser like this one to
//!   recompute a hash.
//!
//! The rule's id stands inside the document that is hashed.

mod error;
mod node;
mod number;
mod read;
mod write;

use std::fmt;
use std::str::FromStr;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::json;

pub use error::CanonicalError;
pub use number::{Decimal, DecimalError};

/// How numbers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rule {
    /// Rounded to four decimals, printed without trailing zeros.
    #[default]
    Q4,
    /// Rounded to four decimals, printed with all four.
    Fixed4,
}

/// No rule has this id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no canonical form {0:?}; take jcs-rfc8785+q4 or fixed4")]
pub struct UnknownRule(String);

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 2] = [Self::Q4, Self::Fixed4];

    /// The id that stands in the document.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Q4 => "jcs-rfc8785+q4",
            Self::Fixed4 => "fixed4",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Rule {
    type Err = UnknownRule;

    fn from_str(text: &str) -> Result<Self, UnknownRule> {
        let known = Self::ALL.into_iter().find(|rule| rule.id() == text);
        known.ok_or_else(|| UnknownRule(text.chars().take(64).collect()))
    }
}

/// What becomes of `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nulls {
    /// It stays, as RFC 8785 has it.
    Keep,
    /// A member that is null is left out. Elements of arrays stay: without them the others would move.
    DropMembers,
}

/// The canonical form of one JSON text.
///
/// # Errors
/// For what is no I-JSON, and for a number that four decimals cannot hold; see [`CanonicalError`].
pub fn canonicalize(text: &[u8], rule: Rule, nulls: Nulls) -> Result<Vec<u8>, CanonicalError> {
    // Everything that a reader of JSON has to refuse is refused here; what follows reads a text that is known to be good.
    json::check(text).map_err(|error| CanonicalError::of(error, text))?;
    let node = read::read(text)?;
    let mut out = Vec::with_capacity(text.len());
    write::write(&mut out, &node, rule, nulls)?;
    Ok(out)
}

/// SHA-256 over the canonical form.
///
/// # Errors
/// Like [`canonicalize`].
pub fn hash(text: &[u8], rule: Rule, nulls: Nulls) -> Result<Sha256Digest, CanonicalError> {
    Ok(Sha256Digest::of(&[&canonicalize(text, rule, nulls)?]))
}

#[cfg(test)]
mod tests;
