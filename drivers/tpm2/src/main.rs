//! The driver of one TPM; see the crate's documentation for its configuration.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use sealwright_driver_host::Driver;
use sealwright_driver_tpm2::{KIND, open, sandbox};

fn main() -> ExitCode {
    Driver::new(KIND, open).sandboxed(sandbox).main()
}
