//! Tokens and whole signing hosts for tests: each test starts its own, in its own folder, and nothing of the
//! machine is touched.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test without its token must fail loudly

pub mod activated;
pub mod fault;
pub mod fido;
pub mod piv;
pub mod site;
pub mod softhsm;
pub mod swtpm;
