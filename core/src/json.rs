//! JSON from people we do not trust: one pass, and nothing that two readers could read differently.
//!
//! Refused: text that is not UTF-8, a byte order mark, a member name that stands twice in one object (after
//! unescaping, at any depth), nesting beyond [`DEPTH_MAX`], lone surrogates, numbers beyond a double, and
//! anything after the value. These are the rules of I-JSON (RFC 7493) except that integers beyond 2^53
//! are left alone: a payload is signed as bytes, not as numbers.

mod members;
mod node;
mod shape;
mod strict;

use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny};
use serde_json::error::Category;

pub use shape::{AnyArray, AnyObject, NonEmpty};

use strict::{Context, Fault};

/// Deepest nesting of arrays and objects.
pub const DEPTH_MAX: usize = 128;

/// Why a text is refused.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not UTF-8.
    #[error("byte {offset} is not UTF-8; JSON is exchanged as UTF-8 only")]
    NotUtf8 {
        /// Bytes before the fault.
        offset: usize,
    },
    /// A byte order mark in front.
    #[error("the text begins with a byte order mark; send it without")]
    ByteOrderMark,
    /// A member name twice in one object.
    #[error("the key {key:?} stands twice in one object, at line {line} column {column}")]
    DuplicateKey {
        /// The name, unescaped.
        key: String,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Too deep.
    #[error("nested deeper than {DEPTH_MAX} levels at line {line} column {column}")]
    TooDeep {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Not JSON.
    #[error("not JSON: {0}")]
    Syntax(#[source] serde_json::Error),
    /// JSON, but a member is missing or of another type than the format has.
    #[error("not of the expected form: {0}")]
    Form(#[source] serde_json::Error),
}

/// Checks a text without keeping anything of it.
pub fn check(bytes: &[u8]) -> Result<(), JsonError> {
    from_slice::<IgnoredAny>(bytes).map(|_| ())
}

/// Reads a `T` and checks the whole text, including members that `T` ignores, in the same pass.
///
/// Strings without escapes can be borrowed. Enums are read from strings only.
pub fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, JsonError> {
    from_slice_seed(bytes, PhantomData::<T>)
}

/// Like [`from_slice`], for a target that needs to know something beforehand.
pub fn from_slice_seed<'de, S: DeserializeSeed<'de>>(
    bytes: &'de [u8],
    seed: S,
) -> Result<S::Value, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|error| JsonError::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    if text.starts_with('\u{feff}') {
        return Err(JsonError::ByteOrderMark);
    }
    let context = Context::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    // serde_json would stop at 127 levels; the context stops at ours, long before the stack is at risk.
    reader.disable_recursion_limit();
    let result = seed.deserialize(context.wrap(&mut reader));
    match result.and_then(|value| reader.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(error) => Err(classify(error, context.into_fault())),
    }
}

fn classify(error: serde_json::Error, fault: Option<Fault>) -> JsonError {
    let (line, column) = (error.line(), error.column());
    match (fault, error.classify()) {
        (Some(Fault::DuplicateKey(key)), _) => JsonError::DuplicateKey { key, line, column },
        (Some(Fault::TooDeep), _) => JsonError::TooDeep { line, column },
        (None, Category::Data) => JsonError::Form(error),
        (None, _) => JsonError::Syntax(error),
    }
}

/// The canonical form (RFC 8785) of a text that passes [`check`].
///
/// Numbers become the nearest double, as the RFC has it: `9007199254740993` comes out as
/// `9007199254740992`. A format for which that matters has to refuse such numbers itself.
pub fn canonicalize(bytes: &[u8]) -> Result<Vec<u8>, JsonError> {
    let value: node::Node<'_> = from_slice(bytes)?;
    serde_json_canonicalizer::to_vec(&value).map_err(JsonError::Form)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nested(depth: usize) -> String {
        format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_at_every_depth_and_in_every_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[[{"x":{"a":[],"b":0,"a":[]}}]]"#,
        ] {
            let error = check(text.as_bytes()).unwrap_err();
            assert!(
                matches!(&error, JsonError::DuplicateKey { key, .. } if key == "a"),
                "{error}"
            );
        }
        check(br#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#).unwrap();
    }

    #[test]
    fn a_duplicate_is_found_among_few_keys_and_among_many() {
        for count in [2, 15, 16, 17, 18, 40, 100_000] {
            let mut text = String::from("{");
            for i in 0..count {
                text.push_str(&format!("\"k{i}\":{{\"inner\":1}},"));
            }
            let distinct = format!("{text}\"last\":1}}");
            check(distinct.as_bytes()).unwrap();
            for repeated in [0, count / 2, count - 1] {
                let text = format!("{text}\"k{repeated}\":1}}");
                let error = check(text.as_bytes()).unwrap_err();
                assert!(
                    matches!(error, JsonError::DuplicateKey { .. }),
                    "{count} {repeated}"
                );
            }
        }
    }

    #[test]
    fn nesting_is_bounded_also_where_the_target_ignores_it() {
        check(nested(DEPTH_MAX).as_bytes()).unwrap();
        for depth in [DEPTH_MAX + 1, 1_000_000] {
            let error = check(nested(depth).as_bytes()).unwrap_err();
            assert!(matches!(error, JsonError::TooDeep { .. }), "{error}");
        }
        #[derive(Debug, Deserialize)]
        struct Nothing {}
        let text = format!("{{\"ignored\":{}}}", nested(DEPTH_MAX));
        let error = from_slice::<Nothing>(text.as_bytes()).unwrap_err();
        assert!(matches!(error, JsonError::TooDeep { .. }), "{error}");
    }

    #[test]
    fn each_fault_of_the_text_has_its_own_error() {
        let error = |bytes: &[u8]| check(bytes).unwrap_err();
        assert!(matches!(
            error(b"\"ab\x80\""),
            JsonError::NotUtf8 { offset: 3 }
        ));
        assert!(matches!(error(b"\xef\xbb\xbf{}"), JsonError::ByteOrderMark));
        for text in [
            "",
            "{} {}",
            "[1,]",
            "[01]",
            "\"a\nb\"",
            r#""\ud800""#,
            "[1e400]",
            "NaN",
            "{'a':1}",
        ] {
            assert!(
                matches!(error(text.as_bytes()), JsonError::Syntax(_)),
                "{text:?}"
            );
        }
        let form = from_slice::<Vec<u8>>(b"{}").unwrap_err();
        assert!(matches!(form, JsonError::Form(_)), "{form}");
    }

    #[test]
    fn members_that_the_target_ignores_are_checked_like_the_others() {
        #[derive(Debug, Deserialize)]
        struct Wanted {
            #[expect(dead_code, reason = "only its presence is of interest")]
            a: u8,
        }
        from_slice::<Wanted>(br#"{"b":[{"c":1.5}],"a":1}"#).unwrap();
        for text in [
            r#"{"b":"\udc00","a":1}"#,
            r#"{"b":{"c":1,"c":1},"a":1}"#,
            r#"{"b":1e400,"a":1}"#,
        ] {
            from_slice::<Wanted>(text.as_bytes()).unwrap_err();
        }
    }

    #[test]
    fn canonical_bytes_are_sorted_by_utf16_and_keep_serde_jsons_markers_as_text() {
        let text = "{\"\u{fb33}\":1,\"\u{1f600}\":2.50,\"\u{20ac}\":-0,\"a\":[1e2]}";
        let canonical = canonicalize(text.as_bytes()).unwrap();
        let expected = "{\"a\":[100],\"\u{20ac}\":0,\"\u{1f600}\":2.5,\"\u{fb33}\":1}";
        assert_eq!(String::from_utf8(canonical).unwrap(), expected);
        let marker = br#"{"$serde_json::private::RawValue":"{}"}"#;
        assert_eq!(canonicalize(marker).unwrap(), marker);
    }

    proptest! {
        #[test]
        fn whatever_arrives_is_answered_without_a_panic(bytes in ".{0,64}") {
            let _ = check(bytes.as_bytes());
        }

        #[test]
        fn canonical_bytes_pass_and_stay_as_they_are(text in r#"(\{"[a-z]":[0-9]\.[0-9]{1,5}(,"[A-Z]":"[^"\\\x00-\x1f]{0,9}")?\}|\[(true|null|-?[1-9][0-9]{0,20})\])"#) {
            let once = canonicalize(text.as_bytes()).unwrap();
            prop_assert_eq!(&canonicalize(&once).unwrap(), &once);
        }
    }
}
