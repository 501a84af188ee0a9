//! Tokens that returned something that must not be believed.
//!
//! The mark is for people: it stands in the log and in `status` until an operator clears it. What protects
//! callers is that every signature is verified before it is released.

use sealwright_core::record::{Event, TokenMark};

use crate::audit::writer::Journal;

/// Marks tokens, each once until it is cleared.
#[derive(Clone)]
pub struct Suspects(Journal);

impl Suspects {
    /// Marks in `journal`.
    pub fn new(journal: Journal) -> Self {
        Self(journal)
    }

    /// Whether a token is marked.
    pub fn contains(&self, token: &str) -> bool {
        self.0
            .with_state(|state| state.suspect_tokens().contains(token))
    }

    /// Marks a token, for `reason`.
    pub async fn mark(&self, token: &str, reason: &str) {
        if self.contains(token) {
            return;
        }
        tracing::error!(token, reason, "token marked suspect");
        let mark = TokenMark {
            token: token.to_owned(),
            reason: reason.to_owned(),
        };
        if let Err(error) = self.0.record(Event::TokenSuspect(mark)).await {
            tracing::error!(token, %error, "the mark could not be recorded");
        }
    }
}
