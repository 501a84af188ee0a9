//! A request that ends without its result: what the client is told, and what only record and log say.

use sealwright_core::approval::ApprovalError;
use sealwright_core::error::Code;
use sealwright_core::json::JsonError;
use sealwright_core::permit::Denial;
use sealwright_core::record::Outcome;
use sealwright_core::sign::{BadSignature, NotPermitted};
use sealwright_core::state::StateError;
use sealwright_core::statement::StatementError;
use sealwright_driver_api::ErrorClass;

use crate::audit::writer::RecordError;
use crate::tokens::CallError;

/// Two audiences, two fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code; it brings status and title.
    pub code: Code,
    /// For the client: only about what it sent itself.
    pub detail: Option<String>,
    /// For record and log.
    pub reason: String,
    /// How the record calls it.
    pub outcome: Outcome,
    /// A token that returned something that does not verify.
    pub suspect: Option<String>,
    /// The record, where the journal's writer has made it already.
    pub recorded: Option<u64>,
    /// The operation whose approvals it waits for: no refusal for good.
    pub operation: Option<u64>,
}

impl Refusal {
    /// Refused before a key was used; the reason stays here.
    pub fn denied(code: Code, reason: impl Into<String>) -> Self {
        Self {
            code,
            detail: None,
            reason: reason.into(),
            outcome: Outcome::Denied,
            suspect: None,
            recorded: None,
            operation: None,
        }
    }

    /// Refused because of what the client sent, which it may be told.
    pub fn bad_input(code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            detail: Some(detail.clone()),
            ..Self::denied(code, detail)
        }
    }

    /// No fault of the client's.
    pub fn failed(code: Code, reason: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Failed,
            ..Self::denied(code, reason)
        }
    }

    /// Nothing was done yet: it waits for the approvals of `operation`.
    pub fn waits(operation: u64) -> Self {
        Self {
            operation: Some(operation),
            ..Self::denied(
                Code::ApprovalRequired,
                format!("it waits for approvals, as operation {operation}"),
            )
        }
    }

    /// A token returned something that must not be believed.
    pub fn suspect(token: &str, reason: impl Into<String>) -> Self {
        Self {
            suspect: Some(token.to_owned()),
            ..Self::failed(Code::SignatureRejected, reason)
        }
    }

    /// What the client is told: the detail, else the title of the code.
    pub fn told(&self) -> &str {
        self.detail.as_deref().unwrap_or_else(|| self.code.title())
    }

    /// The device's answer was refused by the verifier.
    pub fn bad_signature(token: &str, bad: &BadSignature) -> Self {
        Self::suspect(token, bad.to_string())
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        let reason = denial.to_string();
        match denial.code() {
            code @ Code::Denied => Self::denied(code, reason),
            code => Self::bad_input(code, reason),
        }
    }
}

impl From<ApprovalError> for Refusal {
    fn from(error: ApprovalError) -> Self {
        Self::bad_input(error.code(), error.to_string())
    }
}

impl From<StateError> for Refusal {
    fn from(error: StateError) -> Self {
        Self::bad_input(error.code(), error.to_string())
    }
}

impl From<StatementError> for Refusal {
    fn from(error: StatementError) -> Self {
        let code = match error {
            // A member that is missing or of another type: good JSON, but no statement.
            StatementError::Json(JsonError::Form(_)) => Code::InvalidStatement,
            StatementError::Json(_) => Code::InvalidJson,
            _ => Code::InvalidStatement,
        };
        Self::bad_input(code, error.to_string())
    }
}

impl From<NotPermitted> for Refusal {
    fn from(error: NotPermitted) -> Self {
        Self::failed(Code::Internal, error.to_string())
    }
}

impl From<RecordError> for Refusal {
    fn from(error: RecordError) -> Self {
        let reason = error.to_string();
        match error {
            RecordError::Poisoned => Self::failed(Code::LogPoisoned, reason),
            RecordError::Full => Self::failed(Code::LogFull, reason),
            RecordError::Closed => Self::failed(Code::ShuttingDown, reason),
            RecordError::Discarded {
                index,
                code,
                reason: why,
            } => Self {
                outcome: Outcome::Discarded,
                recorded: Some(index),
                // The title of the plain code says it all; the others name what is in the way.
                detail: (code != Code::Discarded).then_some(why),
                ..Self::failed(code, reason)
            },
            RecordError::Void(conflict) => Self::failed(conflict.code(), reason),
            RecordError::State(error) => error.into(),
            RecordError::TooLarge(_) | RecordError::Encoding => {
                Self::failed(Code::Internal, reason)
            }
        }
    }
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        let reason = error.to_string();
        match error {
            CallError::UnknownToken(_) | CallError::Unavailable { .. } => {
                Self::failed(Code::TokenUnavailable, reason)
            }
            CallError::Busy { .. } => Self::failed(Code::TokenBusy, reason),
            CallError::Expired(_) => Self::failed(Code::DeadlineExceeded, reason),
            CallError::Lost { .. } => Self {
                outcome: Outcome::OutcomeUnknown,
                ..Self::failed(Code::OutcomeUnknown, reason)
            },
            CallError::Misbehaved { token, .. } => Self::suspect(&token, reason),
            CallError::Driver { error, .. } => match error.class {
                // The daemon checked the request: a driver that still objects cannot serve the key.
                ErrorClass::BadRequest | ErrorClass::Unsupported => {
                    Self::failed(Code::Internal, reason)
                }
                ErrorClass::Lost => Self {
                    outcome: Outcome::OutcomeUnknown,
                    ..Self::failed(Code::OutcomeUnknown, reason)
                },
                _ => Self::failed(Code::TokenUnavailable, reason),
            },
        }
    }
}
