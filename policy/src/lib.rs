//! Authorisation by Cedar: [`CedarPolicy`] answers the questions of [`sealwright_core::permit`].
//!
//! Default deny. Cedar skips a policy whose evaluation fails, also a `forbid`; here any evaluation error
//! turns the answer into a deny. The text is bounded in size and nesting before Cedar's parser sees it,
//! must pass strict validation against `schema.cedarschema` without a warning, and every policy carries an
//! `@id` that records and explanations use. A permit may also say what its allow costs, see
//! [`sealwright_core::permit::Demands`]: `@approvals("2")`, `@once("subject")`.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod access;
mod demands;
mod engine;
mod error;
mod explain;
mod literals;
mod load;
mod names;
mod question;
mod scope;
mod stores;
mod text;

pub use access::{Access, Concerned, Verdict};
pub use demands::APPROVALS_MAX;
pub use engine::CedarPolicy;
pub use error::{Finding, PolicyError};
pub use explain::{Determining, Effect, Explanation, FailedPolicy};
pub use question::{SUBJECT_TEXT_MAX, SUBJECTS_MAX};
pub use text::{CHAIN_MAX, DEPTH_MAX, POLICY_BYTES_MAX};

/// The policy file that `sealwright init` writes: clients sign, operators manage, auditors read.
pub const DEFAULT_POLICY: &str = include_str!("default.cedar");

/// The vocabulary of policies, in Cedar's schema language.
pub const SCHEMA: &str = include_str!("schema.cedarschema");
