//! The string literals of conditions, read from Cedar's JSON form of a policy.

use std::collections::BTreeSet;

use cedar_policy::{Effect, PolicySet};
use serde_json::Value;

use crate::error::PolicyError;

/// Every string that a `when` clause of a `permit` compares with or looks for.
pub(crate) fn in_permits(policies: &PolicySet) -> Result<BTreeSet<String>, PolicyError> {
    let mut found = BTreeSet::new();
    for policy in policies
        .policies()
        .filter(|policy| policy.effect() == Effect::Permit)
    {
        let json = policy
            .to_json()
            .map_err(|e| PolicyError::Internal(e.to_string()))?;
        let clauses = json["conditions"].as_array().into_iter().flatten();
        for clause in clauses.filter(|clause| clause["kind"] == "when") {
            collect(&clause["body"], &mut found);
        }
    }
    Ok(found)
}

/// `{"Value": "text"}` is a literal; everything else is an operator around further expressions.
fn collect(expression: &Value, found: &mut BTreeSet<String>) {
    match expression {
        Value::Object(members) => {
            if let Some(Value::String(text)) = members.get("Value") {
                found.insert(text.clone());
            }
            members.values().for_each(|member| collect(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}
