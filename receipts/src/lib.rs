//! Receipts: what was found out about something, from which inputs, in a form that gives one hash.
//!
//! Pure like `sealwright-core`, and apart from it because drivers and the log have no use for it.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod canonical;
pub mod cvss;
