//! Proves, before any vendor code is loaded, that landlock binds the threads that will run it.
//!
//! A ruleset binds the thread that enters it and those made later. One thread too early, a change of the order in
//! [`crate::Driver`], and the workers would be free while everything looks well; so one of them is asked.

use std::io;
use std::path::Path;

use sealwright_driver_api::DriverError;

use crate::sandbox::Enforced;

/// Listing it is allowed to everybody by its bits, and to nobody by any ruleset of ours: only what lies below is named.
const FORBIDDEN: &str = "/";

/// Has a thread like the workers' try what must fail.
pub(crate) fn run(enforced: Enforced) -> Result<(), DriverError> {
    if enforced != Enforced::Yes {
        return Ok(());
    }
    let tried = std::thread::Builder::new()
        .name("self-test".into())
        .spawn(|| std::fs::read_dir(Path::new(FORBIDDEN)).map(drop))
        .map(std::thread::JoinHandle::join);
    judge(tried.unwrap_or_else(|error| Ok(Err(error))))
}

/// Refused as it should be, or why there is no trusting the sandbox.
fn judge(tried: std::thread::Result<io::Result<()>>) -> Result<(), DriverError> {
    let why = match tried {
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
        Ok(Ok(())) => "a worker thread can read what landlock forbids".to_owned(),
        Ok(Err(error)) => format!("a worker thread could not try it: {error}"),
        Err(_) => "a worker thread panicked over it".to_owned(),
    };
    Err(DriverError::config(format!(
        "self-test of the sandbox: {why}; this is a defect of Sealwright"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_landlock_does_not_bind_is_found() {
        // This test's process never entered a sandbox.
        let refused = run(Enforced::Yes).unwrap_err().to_string();
        assert!(
            refused.contains("can read what landlock forbids"),
            "{refused}"
        );
    }

    #[test]
    fn where_nothing_is_forbidden_nothing_is_tried() {
        assert!(run(Enforced::No).is_ok());
        assert!(run(Enforced::Everything).is_ok());
    }
}
