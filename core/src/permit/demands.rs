//! What an allow costs before it counts.

use serde::{Deserialize, Serialize};

/// What a policy asks for beside its conditions; nothing by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demands {
    /// How many others must approve this very request first.
    pub approvals: u32,
    /// Whether each subject of the statement is signed with one set of digests only, ever. Counts for
    /// [`super::Action::Sign`] alone.
    pub once: bool,
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
        }
    }
}
