//! Reading a text that is known to be JSON, and telling why one is not.
//!
//! The strict reader of `sealwright-core` has seen the text before: it is UTF-8, well-formed, at most 128 levels deep, and
//! no key stands twice. What is left is to cut it up without losing the digits of numbers, which no reader that
//! goes through doubles can do.

use std::borrow::Cow;

use sealwright_core::json::JsonError;
use serde_json::error::Error;

use super::CanonicalError;
use super::node::{Node, Text};

/// Cuts up a checked text.
pub(super) fn read(text: &[u8]) -> Result<Node<'_>, CanonicalError> {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let mut reader = Reader { text, at: 0 };
    reader.node()
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn node(&mut self) -> Result<Node<'t>, CanonicalError> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(),
            Some(b'"') => Ok(Node::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => Ok(Node::Number(self.take(is_of_number))),
            _ => Ok(Node::Word(self.take(u8::is_ascii_alphabetic))),
        }
    }

    fn array(&mut self) -> Result<Node<'t>, CanonicalError> {
        let mut elements = Vec::new();
        self.at += 1;
        while !self.ends(b']') {
            elements.push(self.node()?);
        }
        Ok(Node::Array(elements))
    }

    fn object(&mut self) -> Result<Node<'t>, CanonicalError> {
        let mut members = Vec::new();
        self.at += 1;
        while !self.ends(b'}') {
            let key = self.string()?;
            self.skip_space();
            self.at += 1; // the colon
            members.push((key, self.node()?));
        }
        Ok(Node::Object(members))
    }

    /// Moves on to the next element, or past the end; a text that is over ends everything.
    fn ends(&mut self, close: u8) -> bool {
        self.skip_space();
        if self.peek() == Some(b',') {
            self.at += 1;
            self.skip_space();
        }
        let ends = self.peek().is_none_or(|byte| byte == close);
        self.at += usize::from(ends);
        ends
    }

    fn string(&mut self) -> Result<Text<'t>, CanonicalError> {
        let begin = self.at + 1;
        let length = string_len(self.rest(begin));
        self.at = begin + length + 1;
        let raw = self.text.get(begin..begin + length).unwrap_or_default();
        if !raw.contains('\\') {
            let value = Cow::Borrowed(raw);
            return Ok(Text { raw, value });
        }
        let quoted = self
            .text
            .get(begin - 1..=begin + length)
            .unwrap_or_default();
        let value: String = serde_json::from_str(quoted).map_err(not_json)?;
        Ok(Text {
            raw,
            value: Cow::Owned(value),
        })
    }

    fn take(&mut self, belongs: fn(&u8) -> bool) -> &'t str {
        let rest = self.rest(self.at).iter();
        let length = rest.take_while(|byte| belongs(byte)).count();
        let taken = self.text.get(self.at..self.at + length);
        self.at += length;
        taken.unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self, at: usize) -> &'t [u8] {
        self.text.as_bytes().get(at..).unwrap_or_default()
    }
}

fn not_json(error: Error) -> CanonicalError {
    CanonicalError::Json(JsonError::Syntax(error))
}

fn is_of_number(byte: &u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// Bytes up to the closing quote.
fn string_len(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match bytes.get(at) {
            None | Some(b'"') => return at.min(bytes.len()),
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// What the strict reader stumbled over in a text that is UTF-8, where it is one of the faults that have a name.
pub(super) fn diagnose(text: &[u8]) -> Option<CanonicalError> {
    let text = std::str::from_utf8(text).ok()?;
    let mut reader = Reader { text, at: 0 };
    while let Some(byte) = reader.peek() {
        let offset = reader.at;
        match byte {
            b'"' => {
                let inside = reader.rest(offset + 1);
                let length = string_len(inside);
                if let Some(at) = lone_surrogate(inside.get(..length)?) {
                    let offset = offset + 1 + at;
                    return Some(CanonicalError::LoneSurrogate { offset });
                }
                reader.at += length + 2;
            }
            b'-' | b'0'..=b'9' => {
                let number = reader.take(is_of_number);
                if number == "-" && reader.peek() == Some(b'I') {
                    return Some(CanonicalError::NotANumber { offset });
                }
                if number.parse().is_ok_and(f64::is_infinite) {
                    return Some(CanonicalError::out_of_range(number));
                }
            }
            b'A'..=b'Z' | b'a'..=b'z' => match reader.take(u8::is_ascii_alphabetic) {
                "NaN" | "Infinity" => return Some(CanonicalError::NotANumber { offset }),
                _ => {}
            },
            _ => reader.at += 1,
        }
    }
    None
}

/// Where the first `\u` escape stands that is half of a pair.
fn lone_surrogate(raw: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(byte) = raw.get(at) {
        if *byte != b'\\' {
            at += 1;
            continue;
        }
        match escape(raw, at) {
            Some(0xd800..=0xdbff) => match escape(raw, at + 6) {
                Some(0xdc00..=0xdfff) => at += 12,
                _ => return Some(at),
            },
            Some(0xdc00..=0xdfff) => return Some(at),
            Some(_) => at += 6,
            None => at += 2,
        }
    }
    None
}

/// The code unit of a `\u` escape at `at`.
fn escape(raw: &[u8], at: usize) -> Option<u16> {
    let text = raw.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}
