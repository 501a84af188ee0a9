//! What records say of a freeze.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Actor, Warrant};
use crate::name::{NameError, Tenant};

/// What is frozen: in JSON `"all"` or `"tenant:<label>"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FreezeScope {
    /// Every key of every tenant.
    All,
    /// The keys of one tenant.
    Tenant(Tenant),
}

/// Neither of the two forms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadScope {
    /// Neither word.
    #[error("{0:?} is no scope: `all`, or `tenant:` and its label")]
    Form(String),
    /// No label behind it.
    #[error(transparent)]
    Tenant(#[from] NameError),
}

impl TryFrom<String> for FreezeScope {
    type Error = BadScope;

    fn try_from(text: String) -> Result<Self, BadScope> {
        match text.strip_prefix("tenant:") {
            Some(label) => Ok(Self::Tenant(label.parse()?)),
            None if text == "all" => Ok(Self::All),
            None => Err(BadScope::Form(text)),
        }
    }
}

impl From<FreezeScope> for String {
    fn from(scope: FreezeScope) -> Self {
        match scope {
            FreezeScope::All => "all".to_owned(),
            FreezeScope::Tenant(tenant) => format!("tenant:{tenant}"),
        }
    }
}

/// As sentences name it.
impl fmt::Display for FreezeScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("everything"),
            Self::Tenant(tenant) => write!(f, "tenant {tenant}"),
        }
    }
}

/// A freeze was set, or lifted; which of them is the event's kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeChanged {
    /// What is concerned.
    pub scope: FreezeScope,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who did it.
    pub by: Actor,
    /// By which approvals it was lifted. Setting one needs none.
    #[serde(flatten)]
    pub warrant: Warrant,
}
