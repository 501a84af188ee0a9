//! What an allow costs before it counts.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::token::BoundToken;

/// What a policy asks for beside its conditions; nothing by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demands {
    /// How many others must approve this very request first.
    pub approvals: u32,
    /// Whether each subject of the statement is signed with one set of digests only, ever. Counts for
    /// [`super::Action::Sign`] alone.
    pub once: bool,
    /// Which token has to be shown.
    #[serde(default, skip_serializing_if = "TokenDemand::is_nothing")]
    pub token: TokenDemand,
}

impl Demands {
    /// Both together: whatever one of them asks for.
    ///
    /// So a second permit that also applies and asks for less is no way around the first.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            approvals: self.approvals.max(other.approvals),
            once: self.once || other.once,
            token: self.token.and(other.token),
        }
    }
}

/// An access token that has to be shown, and what it has to be bound to; nothing by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenDemand {
    /// A token, whatever binds it.
    pub bound: bool,
    /// One that is bound to a DPoP key.
    pub dpop: bool,
    /// One that is bound to the connection's certificate.
    pub mtls: bool,
}

impl TokenDemand {
    /// Whether nothing is demanded.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            bound: self.bound || other.bound,
            dpop: self.dpop || other.dpop,
            mtls: self.mtls || other.mtls,
        }
    }

    /// Whether what was shown is what is demanded.
    pub fn is_met_by(self, shown: Shown<'_>) -> bool {
        match shown {
            Shown::Earlier => true,
            Shown::Nothing => self.is_nothing(),
            Shown::Bound(token) => {
                (!self.dpop || token.is_dpop_bound())
                    && (!self.mtls || token.is_certificate_bound())
            }
        }
    }
}

impl fmt::Display for TokenDemand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.dpop, self.mtls) {
            (true, true) => "a DPoP key and to the client certificate",
            (true, false) => "a DPoP key",
            (false, true) => "the client certificate",
            (false, false) => "a DPoP key or to the client certificate",
        })
    }
}

/// The token behind a question.
#[derive(Debug, Clone, Copy)]
pub enum Shown<'a> {
    /// None came along.
    Nothing,
    /// This one.
    Bound(&'a BoundToken),
    /// It was shown when this was asked for, and that is recorded; now the daemon does it by itself.
    Earlier,
}

impl<'a> Shown<'a> {
    /// What came along with a request, if anything did.
    pub fn of(token: Option<&'a BoundToken>) -> Self {
        token.map_or(Self::Nothing, Self::Bound)
    }
}
