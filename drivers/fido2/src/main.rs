//! The driver of one FIDO2 security key; see the crate's documentation for its configuration.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use sealwright_driver_fido2::{KIND, open, sandbox};
use sealwright_driver_host::Driver;

fn main() -> ExitCode {
    Driver::new(KIND, open).sandboxed(sandbox).main()
}
