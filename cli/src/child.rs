//! Programs that this one runs.

use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

/// Runs `command` to its end with `bytes` as its standard input, through a pipe: an argument or a file could be seen.
pub(crate) fn fed(command: &mut Command, bytes: &[u8]) -> io::Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // One that ends before it has read says why in its output.
        let _ = input.write_all(bytes);
    }
    child.wait_with_output()
}
