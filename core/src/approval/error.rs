//! Why an approval does not count, or is not enough.

use crate::digest::Sha256Digest;
use crate::error::Code;
use crate::time::Timestamp;

/// Why an approval is not taken, or what it is for may not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// Nothing was asked for.
    #[error(
        "{action} needs {needed} approvals; ask for them by the same call without an operation"
    )]
    Required {
        /// What was tried.
        action: &'static str,
        /// How many.
        needed: u32,
    },
    /// No such request, or one that ended long ago.
    #[error(
        "there is no request for approvals at record {0}; `sealwright approve list` shows those that are open"
    )]
    Unknown(u64),
    /// Too late.
    #[error("the request at record {index} ran out at {expires_at}; ask again")]
    Expired {
        /// The request.
        index: u64,
        /// When.
        expires_at: Timestamp,
    },
    /// The approval itself is too old.
    #[error("the approval ran out at {expires_at}; sign it again")]
    Stale {
        /// When.
        expires_at: Timestamp,
    },
    /// An approver said no.
    #[error("the request at record {index} was denied by {approver}")]
    Denied {
        /// The request.
        index: u64,
        /// Who.
        approver: String,
    },
    /// An approval serves once.
    #[error("the approvals of the request at record {index} were used by record {by}; ask again")]
    Used {
        /// The request.
        index: u64,
        /// The record.
        by: u64,
    },
    /// The approvals are for something else.
    #[error("the request at record {index} is for something else: {what} differs")]
    Mismatch {
        /// The request.
        index: u64,
        /// What is not the same.
        what: &'static str,
    },
    /// An approval of another request.
    #[error("the approval is for the request {got}, not {want}")]
    OtherRequest {
        /// SHA-256 of the request that was named.
        want: Sha256Digest,
        /// SHA-256 of the request that was approved.
        got: Sha256Digest,
    },
    /// Nobody approves his own request.
    #[error("{approver} made the request, by name or by key: another approver has to look at it")]
    IsRequester {
        /// Who.
        approver: String,
    },
    /// Not one of the approvers of this log.
    #[error("{approver} is not an approver of this log; the genesis record lists them")]
    NotAnApprover {
        /// Who.
        approver: String,
    },
    /// One person, one key, one voice.
    #[error(
        "{approver}, or the key that signed, has spoken on the request at record {index} already"
    )]
    Repeated {
        /// The request.
        index: u64,
        /// Who.
        approver: String,
    },
    /// Some are missing.
    #[error("the request at record {index} has {got} of {needed} approvals")]
    Incomplete {
        /// The request.
        index: u64,
        /// How many count now.
        got: u32,
        /// How many are needed.
        needed: u32,
    },
    /// The approval itself is no good.
    #[error("the approval is not acceptable: {0}")]
    Invalid(String),
    /// Too many wait already.
    #[error(
        "{0} requests of this tenant wait for approvals already; grant or deny some, or let them run out"
    )]
    TooMany(usize),
    /// Too many of the one that asks wait already.
    #[error(
        "{0} of your requests wait for approvals already; have some granted or denied, or let them run out"
    )]
    TooManyOfOne(usize),
}

impl ApprovalError {
    /// What a client is told.
    pub const fn code(&self) -> Code {
        match self {
            Self::Required { .. } => Code::ApprovalRequired,
            Self::Unknown(_) => Code::UnknownOperation,
            Self::Expired { .. } | Self::Stale { .. } => Code::ApprovalExpired,
            Self::Denied { .. } => Code::ApprovalDenied,
            Self::Used { .. } => Code::ApprovalUsed,
            Self::Mismatch { .. } | Self::OtherRequest { .. } => Code::ApprovalMismatch,
            Self::IsRequester { .. } => Code::ApproverIsRequester,
            Self::NotAnApprover { .. } => Code::NotAnApprover,
            Self::Repeated { .. } => Code::ApprovalRepeated,
            Self::Incomplete { .. } => Code::ApprovalIncomplete,
            Self::Invalid(_) => Code::ApprovalInvalid,
            Self::TooMany(_) | Self::TooManyOfOne(_) => Code::TooManyOperations,
        }
    }
}
