//! Who could do what: the scopes of policies, with their conditions left to whoever reads them.

use sealwright_core::permit::Demands;
use serde::Serialize;

use crate::explain::Effect;

/// Whether somebody could do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No permit is about it, or a forbid without conditions is.
    No,
    /// It depends on conditions: of the permits, of a forbid, or only in that one which cannot be evaluated is a deny and
    /// that a permit which applies as well may demand more.
    Conditional,
    /// Permits without conditions are about it, and nothing else.
    Yes,
}

/// A policy whose scope fits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Concerned {
    /// Its `@id`.
    pub id: String,
    /// What it does.
    pub effect: Effect,
    /// Line of the policy file in which it begins, from 1.
    pub line: usize,
    /// Whether it has `when` or `unless`.
    pub conditional: bool,
    /// What its allow costs.
    pub demands: Demands,
    /// Its text.
    pub text: String,
}

/// An answer with everything that it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Access {
    /// The answer.
    pub verdict: Verdict,
    /// Every policy that is about it, in the order of the file.
    pub policies: Vec<Concerned>,
}

impl Access {
    pub(crate) fn of(mut policies: Vec<Concerned>) -> Self {
        policies.sort_by_key(|policy| policy.line);
        let of = |effect| move |policy: &&Concerned| policy.effect == effect;
        let permits = || policies.iter().filter(of(Effect::Permit));
        let forbids = || policies.iter().filter(of(Effect::Forbid));
        let verdict = if permits().next().is_none() || forbids().any(|forbid| !forbid.conditional) {
            Verdict::No
        } else if policies.iter().any(|policy| policy.conditional) {
            Verdict::Conditional
        } else {
            Verdict::Yes
        };
        Self { verdict, policies }
    }
}
