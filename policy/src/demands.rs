//! Annotations of policies: `@id`, and what a permit demands.

use std::collections::BTreeMap;
use std::ops::Range;

use cedar_policy::{Effect, Policy, PolicySet};
use sealwright_core::permit::{Demands, TokenDemand};

use crate::error::PolicyError;
use crate::text::line_of;

/// Most approvals that a permit can demand.
pub const APPROVALS_MAX: u32 = 16;

/// The one thing that is done once: the statement's subjects.
const ONCE: &str = "subject";

/// The demands of the permits that have any, by id; a policy without is not in the map, so that it costs nothing.
pub(crate) fn of_permits(
    text: &str,
    policies: &PolicySet,
    places: &BTreeMap<String, Range<usize>>,
) -> Result<BTreeMap<String, Demands>, PolicyError> {
    let mut found = BTreeMap::new();
    for (id, range) in places {
        let Some(policy) = policies.policy(&cedar_policy::PolicyId::new(id)) else {
            continue;
        };
        let demands = of(policy).map_err(|message| PolicyError::Annotation {
            policy: id.clone(),
            line: line_of(text, range.start),
            message,
        })?;
        if demands != Demands::default() {
            found.insert(id.clone(), demands);
        }
    }
    Ok(found)
}

/// A misspelt demand must not become a policy that demands nothing: every key has a meaning.
fn of(policy: &Policy) -> Result<Demands, String> {
    let mut demands = Demands::default();
    for (key, value) in policy.annotations() {
        match key {
            "id" => {}
            "approvals" | "once" | "token" if policy.effect() == Effect::Forbid => {
                return Err(format!(
                    "@{key} stands on a forbid, which demands nothing; put it on the permit"
                ));
            }
            "approvals" => demands.approvals = approvals(value)?,
            "once" if value == ONCE => demands.once = true,
            "once" => {
                return Err(format!(
                    "@once({value:?}) is not known; the one form is @once({ONCE:?})"
                ));
            }
            "token" => demands.token = token(value)?,
            key => {
                return Err(format!(
                    "the annotation @{key} is not known; there are @id, @approvals, @once and @token, write anything else as a comment"
                ));
            }
        }
    }
    Ok(demands)
}

fn approvals(value: &str) -> Result<u32, String> {
    let number = value.parse().ok();
    number
        .filter(|n: &u32| (1..=APPROVALS_MAX).contains(n) && n.to_string() == value)
        .ok_or_else(|| {
            format!("@approvals({value:?}) is not a whole number from 1 to {APPROVALS_MAX}")
        })
}

/// What the token has to be bound to.
fn token(value: &str) -> Result<TokenDemand, String> {
    let demand = |dpop, mtls| TokenDemand {
        bound: true,
        dpop,
        mtls,
    };
    match value {
        "bound" => Ok(demand(false, false)),
        "dpop" => Ok(demand(true, false)),
        "mtls" => Ok(demand(false, true)),
        "dpop mtls" => Ok(demand(true, true)),
        other => Err(format!(
            "@token({other:?}) is not known; there are \"bound\", \"dpop\", \"mtls\" and \"dpop mtls\""
        )),
    }
}
