//! Scalars as proto3 JSON writes them.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};

use crate::dsse::decode_base64;

/// Bytes in base64, of either alphabet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base64(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Base64Visitor)
    }
}

struct Base64Visitor;

impl Visitor<'_> for Base64Visitor {
    type Value = Base64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Base64, E> {
        let bytes = decode_base64(text);
        bytes
            .map(Base64)
            .ok_or_else(|| E::invalid_value(Unexpected::Other("other text"), &self))
    }
}

/// A 64-bit integer that cannot be negative: a decimal string, or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsigned(pub(super) u64);

impl<'de> Deserialize<'de> for Unsigned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnsignedVisitor)
    }
}

struct UnsignedVisitor;

impl Visitor<'_> for UnsignedVisitor {
    type Value = Unsigned;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a 64-bit integer from 0, as a string or a number")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Unsigned, E> {
        Ok(Unsigned(value))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Unsigned, E> {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let value = text.parse().ok().filter(|_| digits);
        value
            .map(Unsigned)
            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_as_strings_or_numbers_and_are_never_negative() {
        let read = |text: &str| serde_json::from_str::<Unsigned>(text).ok().map(|n| n.0);
        assert_eq!(read("\"18446744073709551615\""), Some(u64::MAX));
        assert_eq!(read("7"), Some(7));
        for bad in [
            "\"-1\"",
            "-1",
            "\"+1\"",
            "\"\"",
            "1.5",
            "\"18446744073709551616\"",
            "null",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
