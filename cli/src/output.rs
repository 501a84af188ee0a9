//! What commands print: tables and sentences for people, JSON for programs.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use sealwright_client::ClientError;
use serde::Serialize;

use crate::failure::Failure;

/// Answers go to stdout, everything else to stderr.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a program reads.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// The command's answer.
    pub(crate) fn answer(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let text = if self.json { to_json(value)? } else { text() };
        print(text.trim_end_matches('\n')).map(|_| ())
    }

    /// One line of an answer that has no end yet. `false`: nobody reads any more.
    pub(crate) fn line(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<bool, Failure> {
        let line = if self.json {
            serde_json::to_string(value).map_err(Failure::local)?
        } else {
            printable(&text())
        };
        print(&line)
    }

    /// The answer of a command whose product went to `path`: on stderr where that is `-`, as stdout carries the product.
    pub(crate) fn beside(
        self,
        path: &Path,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if path != Path::new("-") {
            return self.answer(value, text);
        }
        let text = if self.json { to_json(value)? } else { text() };
        eprintln!("{}", text.trim_end_matches('\n'));
        Ok(())
    }

    /// Why the command did not succeed.
    pub(crate) fn failure(self, failure: &Failure) {
        if !self.json {
            eprintln!("sealwright: {}", printable(&failure.to_string()));
            return;
        }
        let refusal = match failure {
            Failure::Client(ClientError::Api(refusal)) => Some(refusal),
            _ => None,
        };
        let operation = match failure {
            Failure::Client(ClientError::Waits(operation)) => Some(operation.operation),
            Failure::Waits { operation, .. } => Some(*operation),
            _ => None,
        };
        let error = serde_json::json!({
            "error": failure.to_string(),
            "exit_code": failure.exit_code(),
            "code": refusal.map(|refusal| &refusal.code),
            "operation": operation,
            "request_id": refusal.map(|refusal| &refusal.request_id),
        });
        eprintln!("{error}");
    }
}

fn to_json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(Failure::local)
}

/// `false`: the reader has seen enough, as in `sealwright keys list | head -1`.
fn print(text: &str) -> Result<bool, Failure> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Local(format!("cannot write to stdout: {error}"))),
    }
}

/// Columns as wide as their widest cell, two spaces apart.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let header = header.map(str::to_owned);
    let all = || std::iter::once(&header).chain(rows);
    let mut widths = [0; N];
    for row in all() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(printable(cell).chars().count());
        }
    }
    let mut text = String::new();
    for row in all() {
        let cells = row.iter().zip(widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{:width$}", printable(cell)))
            .collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Text from elsewhere without control characters: a reason in a record must not steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    let clean = |c: char| {
        if c.is_control() && c != '\n' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(clean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_control_characters_do_not_reach_the_terminal() {
        let rows = [
            ["a".to_owned(), "long cell".to_owned()],
            ["bbb".to_owned(), "\u{1b}[31m".to_owned()],
        ];
        let text = table(["K", "VALUE"], &rows);
        assert_eq!(text, "K    VALUE\na    long cell\nbbb  \u{fffd}[31m\n");
    }
}
