//! Claims of tokens and proofs, read without believing them.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use crate::jose::Thumbprint;

/// Most scopes in a token, and most audiences.
pub const SCOPES_MAX: usize = 64;

/// Seconds since 1970 (RFC 7519 NumericDate); a fraction is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NumericDate(pub(super) i64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        /// Year 9999: nothing that is added to it overflows.
        const LAST: i64 = 253_402_300_799;
        impl Visitor<'_> for Number {
            type Value = NumericDate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of seconds between 1970 and 9999")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<NumericDate, E> {
                let seconds = i64::try_from(value).ok().filter(|seconds| *seconds <= LAST);
                seconds
                    .map(NumericDate)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(value), &self))
            }

            #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<NumericDate, E> {
                match (0.0..=253_402_300_799.0).contains(&value) {
                    true => Ok(NumericDate(value as i64)),
                    false => Err(E::invalid_value(de::Unexpected::Float(value), &self)),
                }
            }
        }
        deserializer.deserialize_any(Number)
    }
}

/// `aud`: one text or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Audience(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Audience;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a text or up to {SCOPES_MAX} texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Audience, E> {
                Ok(Audience(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Audience, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = seq.next_element()? {
                    if texts.len() == SCOPES_MAX {
                        return Err(de::Error::invalid_length(SCOPES_MAX + 1, &self));
                    }
                    texts.push(text);
                }
                Ok(Audience(texts))
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

/// `scope` (RFC 6749 section 3.3): words of visible ASCII with single spaces between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Scopes(pub(super) BTreeSet<String>);

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self::default());
        }
        let words: Vec<&str> = text.split(' ').collect();
        let is_word = |word: &&str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
        };
        if words.len() > SCOPES_MAX || !words.iter().all(is_word) {
            return Err(de::Error::custom(format_args!(
                "scope is not up to {SCOPES_MAX} words with single spaces between them"
            )));
        }
        Ok(Self(words.into_iter().map(str::to_owned).collect()))
    }
}

/// `cnf` (RFC 7800): what the token is bound to. Other methods of confirmation are ignored, so a token that has only
/// such ones is bound to nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Confirmation {
    #[serde(default)]
    pub(super) jkt: Option<Thumbprint>,
    #[serde(default, rename = "x5t#S256")]
    pub(super) x5t: Option<Thumbprint>,
}
