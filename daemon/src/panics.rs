//! What a panic ends: the process, unless it happens inside sled.
//!
//! A daemon in doubt stops, and its start-up reads the disk. sled alone is not worth that: it is derived, and
//! known to panic over its own files, so its panics are caught and it is made anew while signing goes on.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::process::abort;

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// sled's own threads have names that begin like this; what they leave undone, the next call into sled finds.
const SLED_THREADS: &str = "sled-";

/// Something panicked, and what it worked on is not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("panicked")]
pub struct Panicked;

/// Runs `run`; a panic in it ends nothing else.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, Panicked> {
    let before = IS_CAUGHT.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    IS_CAUGHT.set(before);
    result.map_err(|_| Panicked)
}

/// From now on every other panic ends the process, after the usual message.
pub fn end_the_process() {
    let message = take_hook();
    set_hook(Box::new(move |info| {
        message(info);
        let thread = std::thread::current();
        let is_sleds = thread
            .name()
            .is_some_and(|name| name.starts_with(SLED_THREADS));
        if !IS_CAUGHT.get() && !is_sleds {
            abort();
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_where_it_is_caught_and_leaves_no_trace() {
        assert_eq!(caught(|| 7), Ok(7));
        let nested = caught(|| {
            assert_eq!(caught(|| -> u8 { panic!("inside") }), Err(Panicked));
            IS_CAUGHT.get()
        });
        assert_eq!(nested, Ok(true));
        assert!(!IS_CAUGHT.get());
    }
}
