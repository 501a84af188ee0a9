//! Receipts: what was found out about something, from which inputs, in a form that gives one hash.
//!
//! Pure like `sealwright-core`, and apart from it because drivers and the log have no use for it.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod canonical;
pub mod chain;
pub mod cvss;
mod error;
mod receipt;
mod registry;
mod request;

pub use error::ReceiptError;
pub use receipt::{BadReceipt, Receipt};
pub use registry::{ConversionResult, CvssResult, Outcome, ReceiptType};
pub use request::{ENGINE, Origin, REQUEST_MAX, Request, SUBJECT_MAX, Statement};
