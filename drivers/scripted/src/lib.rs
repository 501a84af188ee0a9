//! A driver that signs with software keys and misbehaves on demand. For tests only.
//!
//! Its keys are real, so whatever it signs verifies, unless its [`Fault`] says otherwise. Keys are files in
//! `state_dir`, addressed as `scripted:object=NAME`; `scripted:` alone matches every key.
//!
//! ```toml
//! [driver]
//! keys = ["p256", "ed25519"]   # made at the first start: p256 p384 rsa2048 rsa3072 ed25519
//! delay_ms = 0                 # what the device takes for a signature, per session
//! needs_touch = false          # each signature waits until state_dir/touch exists, and removes it
//! fault = "none"
//! fault_after = 0              # signatures that go well before the fault strikes
//! fault_file = "/path"         # names the fault instead, read again for each request
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod fault;
mod keys;
mod lies;
mod settings;
mod store;
mod token;
mod worker;

use sealwright_driver_host::Driver;

pub use fault::Fault;
pub use token::open;

/// Name of the file in `state_dir` whose creation is a touch.
pub const TOUCH: &str = "touch";

/// The whole driver.
pub const DRIVER: Driver = Driver::new("scripted", open)
    .sandboxed(settings::paths)
    .writing_through(lies::writer);
