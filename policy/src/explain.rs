//! The long answer, for `sealwright policy check`.

use std::collections::BTreeMap;

use sealwright_core::permit::Demands;
use serde::Serialize;

use crate::engine::{CedarPolicy, Verdict};
use crate::text::line_of;

/// What a policy does when its scope and conditions hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Allows, unless something forbids.
    Permit,
    /// Denies, whatever permits.
    Forbid,
}

/// A policy that decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Determining {
    /// Its `@id`.
    pub id: String,
    /// What it does.
    pub effect: Effect,
    /// Line of the policy file in which it begins, from 1.
    pub line: usize,
    /// All its annotations, `id` among them.
    pub annotations: BTreeMap<String, String>,
    /// Its text as it stands in the file.
    pub text: String,
}

/// A policy that could not be evaluated, or (without a name) the question itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedPolicy {
    /// Its `@id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What went wrong.
    pub message: String,
}

/// Why a question is answered as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Whether the request would get as far as having its body read.
    pub could_be_allowed: bool,
    /// For an allow every permit that applied; for a deny the forbids, none for default deny.
    pub determining: Vec<Determining>,
    /// What an allow costs: the strictest of what the determining permits demand. Nothing for a deny.
    pub demands: Demands,
    /// Evaluation errors; one alone is a deny.
    pub errors: Vec<FailedPolicy>,
}

pub(crate) fn explanation(
    policy: &CedarPolicy,
    could_be_allowed: bool,
    verdict: &Verdict,
) -> Explanation {
    let errors = verdict.errors.iter();
    Explanation {
        demands: if verdict.allow {
            policy.demands(&verdict.policies)
        } else {
            Demands::default()
        },
        allowed: verdict.allow,
        could_be_allowed,
        determining: verdict
            .policies
            .iter()
            .filter_map(|id| determining(policy, id))
            .collect(),
        errors: errors
            .map(|(policy, message)| FailedPolicy {
                policy: policy.clone(),
                message: message.clone(),
            })
            .collect(),
    }
}

pub(crate) fn determining(policy: &CedarPolicy, id: &str) -> Option<Determining> {
    let (parsed, range) = policy.source(id)?;
    let annotations = parsed
        .annotations()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Some(Determining {
        id: id.to_owned(),
        effect: match parsed.effect() {
            cedar_policy::Effect::Permit => Effect::Permit,
            cedar_policy::Effect::Forbid => Effect::Forbid,
        },
        line: line_of(policy.text(), range.start),
        annotations: annotations.collect(),
        text: policy
            .text()
            .get(range.clone())
            .unwrap_or_default()
            .to_owned(),
    })
}
