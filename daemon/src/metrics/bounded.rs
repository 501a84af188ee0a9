//! A bound on the rows of a metric: names come from enrolments and certificates, and monitoring must not grow with them.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// The row that stands for all beyond the limit.
pub const OTHER: &str = "other";

/// Lets the first `limit` names through; each further one is [`OTHER`].
#[derive(Debug)]
pub struct Bounded {
    limit: usize,
    // Held for a look or an insertion.
    known: Mutex<HashSet<String>>,
}

impl Bounded {
    /// With rows for so many names.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            known: Mutex::default(),
        }
    }

    /// The label for `name`.
    pub fn label(&self, name: String) -> String {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&name) {
            return name;
        }
        if known.len() < self.limit {
            known.insert(name.clone());
            return name;
        }
        OTHER.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_limit_share_one_row_and_known_ones_keep_theirs() {
        let bounded = Bounded::new(2);
        let labels = ["a", "b", "c", "a", "d"].map(|name| bounded.label(name.to_owned()));
        assert_eq!(labels, ["a", "b", OTHER, "a", OTHER]);
    }
}
