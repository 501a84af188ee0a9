//! `sealwright-driver-pkcs11`: one PKCS#11 token behind the driver socket.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use sealwright_driver_host::Driver;
use sealwright_driver_pkcs11::{KIND, Settings, open};

fn main() -> ExitCode {
    Driver::new(KIND, open).sandboxed(Settings::sandbox).main()
}
