//! The driver of one YubiKey's PIV application; see the crate's documentation for its configuration.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use sealwright_driver_host::Driver;
use sealwright_driver_piv::{KIND, open, sandbox};

fn main() -> ExitCode {
    Driver::new(KIND, open).sandboxed(sandbox).main()
}
