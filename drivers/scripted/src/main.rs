//! `sealwright-driver-scripted`: for tests only, see the library.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    sealwright_driver_scripted::DRIVER.main()
}
