//! How far long work has come: for a person at a terminal, on stderr.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::output::Output;

/// Between two lines.
const PAUSE: Duration = Duration::from_millis(200);

/// Shows nothing where stderr is no terminal, or where a program reads.
pub(crate) struct Progress {
    next: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    /// Nothing is shown for work that is done at once.
    pub(crate) fn new(output: Output) -> Self {
        let is_wanted = std::io::stderr().is_terminal() && !output.is_json();
        Self {
            next: is_wanted.then(|| Instant::now() + PAUSE),
            is_shown: false,
        }
    }

    /// `done` of `all` things are done.
    pub(crate) fn show(&mut self, what: &str, done: usize, all: usize) {
        let now = Instant::now();
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = Some(now + PAUSE);
        self.is_shown = true;
        // Overwrites its own line. Who cannot see it misses nothing.
        let _ = write!(std::io::stderr(), "\r\x1b[K{what}: {done} of {all}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
