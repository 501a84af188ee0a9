//! Bounds on policy text, checked before Cedar's recursive parser sees it, and where each policy stands.

use std::ops::Range;

use crate::error::PolicyError;

/// Longest policy text in bytes.
pub const POLICY_BYTES_MAX: usize = 256 * 1024;

/// Deepest nesting of `(`, `[` and `{`. Cedar's parser overflows a 2 MiB stack, which aborts the process,
/// at about 150.
pub const DEPTH_MAX: usize = 64;

/// Most operators and brackets in one policy: each may be one more level of the expression tree, which is
/// validated, evaluated and dropped by recursion. 500 additions in a row use up 2 MiB of stack, at which
/// Cedar gives up with an error.
pub const CHAIN_MAX: usize = 256;

/// Finds the policies in `text`, in their order: statements that end with `;` outside brackets.
///
/// A text that does not parse may give any ranges; the parser then has the last word.
pub(crate) fn statements(text: &str) -> Result<Vec<Range<usize>>, PolicyError> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(PolicyError::TooLarge { bytes: text.len() });
    }
    let mut found = Vec::new();
    let (mut start, mut depth, mut operators) = (None, 0_usize, 0_usize);
    for (at, token) in Tokens::new(text) {
        let first = *start.get_or_insert(at);
        match token {
            Token::Open => (depth, operators) = (depth + 1, operators + 1),
            Token::Close => depth = depth.saturating_sub(1),
            Token::Operator => operators += 1,
            Token::Semicolon if depth == 0 => {
                found.push(first..at + 1);
                (start, operators) = (None, 0);
            }
            Token::Semicolon | Token::Other => {}
        }
        if depth > DEPTH_MAX {
            return Err(PolicyError::TooDeep {
                line: line_of(text, at),
            });
        }
        if operators > CHAIN_MAX {
            return Err(PolicyError::TooLong {
                line: line_of(text, first),
            });
        }
    }
    Ok(found)
}

/// The line, from 1, in which byte `at` stands.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

enum Token {
    Open,
    Close,
    Semicolon,
    Operator,
    Other,
}

/// Coarse tokens: what matters for nesting, with strings, comments and white space passed over.
struct Tokens<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl<'t> Tokens<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            bytes: text.as_bytes(),
            at: 0,
        }
    }

    fn take_while(&mut self, accept: impl Fn(u8) -> bool) {
        while self.bytes.get(self.at).is_some_and(|byte| accept(*byte)) {
            self.at += 1;
        }
    }

    /// Passes over the rest of a string; a backslash takes the next byte with it.
    fn finish_string(&mut self) {
        while let Some(byte) = self.bytes.get(self.at) {
            self.at += match byte {
                b'\\' => 2,
                b'"' => break,
                _ => 1,
            };
        }
        self.at += 1;
    }
}

impl Iterator for Tokens<'_> {
    type Item = (usize, Token);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let at = self.at;
            let byte = *self.bytes.get(at)?;
            self.at += 1;
            let token = match byte {
                b' ' | b'\t' | b'\r' | b'\n' => continue,
                b'/' if self.bytes.get(self.at) == Some(&b'/') => {
                    self.take_while(|byte| byte != b'\n');
                    continue;
                }
                b'"' => {
                    self.finish_string();
                    Token::Other
                }
                b'(' | b'[' | b'{' => Token::Open,
                b')' | b']' | b'}' => Token::Close,
                b';' => Token::Semicolon,
                b'&' | b'|' | b'=' | b'<' | b'>' | b'!' => {
                    self.take_while(|byte| byte == b'&' || byte == b'|' || byte == b'=');
                    Token::Operator
                }
                b'+' | b'-' | b'*' | b'.' => Token::Operator,
                _ => self.word(at),
            };
            return Some((at, token));
        }
    }
}

impl Tokens<'_> {
    fn word(&mut self, at: usize) -> Token {
        self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let word = self.bytes.get(at..self.at).unwrap_or_default();
        if matches!(word, b"if" | b"has" | b"like" | b"is" | b"in") {
            Token::Operator
        } else {
            Token::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<&str> {
        statements(text)
            .unwrap()
            .into_iter()
            .map(|range| &text[range])
            .collect()
    }

    #[test]
    fn strings_and_comments_neither_nest_nor_end_a_policy() {
        let text =
            "// a; b (\n@id(\"x;\\\"(\") permit (a); // (\n forbid (b) when { \"}\" == \"//\" };";
        assert_eq!(
            pieces(text),
            [
                "@id(\"x;\\\"(\") permit (a);",
                "forbid (b) when { \"}\" == \"//\" };"
            ]
        );
        let brackets = "(".repeat(DEPTH_MAX + 1);
        assert!(statements(&format!("// {brackets}\n\"{brackets}\"")).is_ok());
    }

    #[test]
    fn one_bracket_more_than_the_limit_is_refused_with_its_line() {
        let nested = |depth| format!("\n{}", "[".repeat(depth));
        assert!(statements(&nested(DEPTH_MAX)).is_ok());
        let error = statements(&nested(DEPTH_MAX + 1)).unwrap_err();
        assert!(matches!(error, PolicyError::TooDeep { line: 2 }), "{error}");
    }

    #[test]
    fn one_byte_more_than_the_limit_is_refused() {
        assert!(statements(&" ".repeat(POLICY_BYTES_MAX)).is_ok());
        let error = statements(&" ".repeat(POLICY_BYTES_MAX + 1)).unwrap_err();
        assert!(matches!(error, PolicyError::TooLarge { .. }), "{error}");
    }

    #[test]
    fn one_operator_more_than_the_limit_is_refused_and_each_policy_counts_anew() {
        let chain = |operators| format!("a{};\n", "+a".repeat(operators));
        assert!(statements(&chain(CHAIN_MAX).repeat(3)).is_ok());
        let error = statements(&(chain(CHAIN_MAX) + &chain(CHAIN_MAX + 1))).unwrap_err();
        assert!(matches!(error, PolicyError::TooLong { line: 2 }), "{error}");
    }

    #[test]
    fn an_open_string_ends_with_the_text() {
        assert!(statements("\"abc").unwrap().is_empty());
        assert!(statements("\"abc\\").unwrap().is_empty());
    }
}
