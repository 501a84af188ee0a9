//! Dual control: what a second person approves, and how the approval is written down.
//!
//! A [`Request`] says exactly what is asked, as canonical JSON; approvers sign its SHA-256 in an in-toto statement of
//! predicate type [`PREDICATE_TYPE`] (shape in `docs/predicates.md`). Statement and certificates travel as an
//! [`ApprovalFile`], which anybody can verify offline. Which approvals count, and what they let happen, is folded from
//! the journal: [`crate::state::approvals`].

mod error;
mod file;
mod request;

pub use error::ApprovalError;
pub use file::{
    ApprovalFile, BadApproval, CERTIFICATES_MAX, FIDO2_SCHEME, FILE_MAX, PREDICATE_TYPE, Predicate,
    Verdict, encode, read_statement, statement,
};
pub use request::{BadRequest, NONCE_LEN, Params, REQUEST_MAX, Request, Requester, SigningKey};
