//! What a key says in a signed statement of one predicate type.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Accept, PAYLOAD_TYPE, StatementError, StatementSummary, check};
use crate::dsse::{Envelope, Options, ThresholdError, TrustedKey};
use crate::json::{self, JsonError};

/// A signed payload is not a statement of the predicate type that was looked for.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Another kind of statement.
    #[error("the signed statement is of type {got}, not {want}")]
    Type {
        /// What it is.
        got: String,
        /// What was looked for.
        want: &'static str,
    },
    /// Another payload type.
    #[error("the signed payload is of type {0}, not {PAYLOAD_TYPE}")]
    Payload(String),
    /// The predicate lacks something.
    #[error("its predicate cannot be read: {0}")]
    Predicate(JsonError),
}

/// The predicate of a statement.
pub(crate) fn predicate<P: DeserializeOwned>(payload: &[u8]) -> Result<P, JsonError> {
    #[derive(Deserialize)]
    struct Whole<P> {
        predicate: P,
    }
    json::from_slice(payload).map(|Whole { predicate }| predicate)
}

/// The statement in `envelope`, which `by` signed, and its predicate of type `want`.
///
/// # Errors
/// Of the caller's own kind, which says in its words whose signature is missing and what is no statement.
pub fn signed<P, E>(
    envelope: Envelope,
    by: &TrustedKey,
    want: &'static str,
) -> Result<(StatementSummary, P), E>
where
    P: DeserializeOwned,
    E: From<ThresholdError> + From<StatementError> + From<Unfit>,
{
    let payload = envelope.verify(std::slice::from_ref(by), 1, Options::default())?;
    if payload.payload_type != PAYLOAD_TYPE {
        return Err(Unfit::Payload(payload.payload_type).into());
    }
    let summary = check(&payload.payload, Accept::V1)?;
    if summary.predicate_type != want {
        let got = summary.predicate_type;
        return Err(Unfit::Type { got, want }.into());
    }
    let predicate = predicate(&payload.payload).map_err(Unfit::Predicate)?;
    Ok((summary, predicate))
}
