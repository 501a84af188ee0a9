//! Why a text has no canonical form.

use sealwright_core::error::Code;
use sealwright_core::json::JsonError;

use super::read;

/// Characters of a number that an error repeats.
const SHOWN_MAX: usize = 40;

/// Why a text has no canonical form. Each fault has a code of its own: what to mend differs.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// Not UTF-8, with a byte order mark, a member name twice in one object, nested too deeply, or not JSON for another
    /// reason than those below.
    #[error(transparent)]
    Json(JsonError),
    /// Half of a surrogate pair, which is no character.
    #[error("byte {offset}: a \\u escape is one half of a surrogate pair, which is no character")]
    LoneSurrogate {
        /// Bytes before it.
        offset: usize,
    },
    /// `NaN`, `Infinity` and the like.
    #[error("byte {offset}: NaN and Infinity are no numbers in JSON; leave the member out")]
    NotANumber {
        /// Bytes before it.
        offset: usize,
    },
    /// More than four decimals, or a double, can hold.
    #[error(
        "the number {number} is out of range: integers up to 9007199254740991, fractions up to 99999999999.9999 and four decimals are kept; carry more digits as a string"
    )]
    OutOfRange {
        /// As it stands in the text, its beginning.
        number: String,
    },
}

impl CanonicalError {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            Self::Json(JsonError::DuplicateKey { .. }) => Code::DuplicateKey,
            Self::Json(JsonError::TooDeep { .. }) => Code::NestedTooDeeply,
            Self::Json(_) => Code::InvalidJson,
            Self::LoneSurrogate { .. } => Code::LoneSurrogate,
            Self::NotANumber { .. } => Code::NotANumber,
            Self::OutOfRange { .. } => Code::NumberOutOfRange,
        }
    }

    pub(super) fn out_of_range(number: &str) -> Self {
        let number = number.chars().take(SHOWN_MAX).collect();
        Self::OutOfRange { number }
    }

    /// The error for a text that the strict reader refused.
    pub(super) fn of(error: JsonError, text: &[u8]) -> Self {
        match error {
            // The reader knows that it could not go on, not which of these it met.
            JsonError::Syntax(_) => read::diagnose(text).unwrap_or(Self::Json(error)),
            _ => Self::Json(error),
        }
    }
}
