//! What the scope of a policy (`principal`, `action`, `resource` in its first bracket) says, without its
//! conditions: enough to turn a request away before its body is read.

use std::collections::BTreeSet;

use cedar_policy::{ActionConstraint, Effect, EntityTypeName, EntityUid, Policy, PolicySet};
use cedar_policy::{PrincipalConstraint, ResourceConstraint};

/// An entity with everything it is `in`, itself excepted.
pub(crate) struct Node {
    pub(crate) uid: EntityUid,
    pub(crate) parents: BTreeSet<EntityUid>,
}

impl Node {
    fn is_in(&self, group: &EntityUid) -> bool {
        self.uid == *group || self.parents.contains(group)
    }

    fn is(&self, kind: &EntityTypeName) -> bool {
        self.uid.type_name() == kind
    }
}

/// Whether conditions could still make Cedar allow this: some `permit` has a fitting scope, and no
/// `forbid` without conditions has.
pub(crate) fn could_allow(
    policies: &PolicySet,
    principal: &Node,
    action: &EntityUid,
    resource: &Node,
) -> bool {
    let (permits, forbids): (Vec<&Policy>, Vec<&Policy>) =
        fitting(policies, principal, action, resource)
            .partition(|policy| policy.effect() == Effect::Permit);
    !permits.is_empty()
        && forbids
            .iter()
            .all(|policy| policy.has_non_scope_constraint())
}

/// The policies that are about this, conditions aside.
pub(crate) fn fitting<'p>(
    policies: &'p PolicySet,
    principal: &Node,
    action: &EntityUid,
    resource: &Node,
) -> impl Iterator<Item = &'p Policy> {
    policies
        .policies()
        .filter(move |policy| fits(policy, principal, action, resource))
}

fn fits(policy: &Policy, principal: &Node, action: &EntityUid, resource: &Node) -> bool {
    principal_fits(&policy.principal_constraint(), principal)
        && action_fits(&policy.action_constraint(), action)
        && resource_fits(&policy.resource_constraint(), resource)
}

fn principal_fits(constraint: &PrincipalConstraint, node: &Node) -> bool {
    match constraint {
        PrincipalConstraint::Any => true,
        PrincipalConstraint::In(group) => node.is_in(group),
        PrincipalConstraint::Eq(uid) => node.uid == *uid,
        PrincipalConstraint::Is(kind) => node.is(kind),
        PrincipalConstraint::IsIn(kind, group) => node.is(kind) && node.is_in(group),
    }
}

fn action_fits(constraint: &ActionConstraint, action: &EntityUid) -> bool {
    match constraint {
        ActionConstraint::Any => true,
        ActionConstraint::In(actions) => actions.contains(action),
        ActionConstraint::Eq(uid) => uid == action,
    }
}

fn resource_fits(constraint: &ResourceConstraint, node: &Node) -> bool {
    match constraint {
        ResourceConstraint::Any => true,
        ResourceConstraint::In(group) => node.is_in(group),
        ResourceConstraint::Eq(uid) => node.uid == *uid,
        ResourceConstraint::Is(kind) => node.is(kind),
        ResourceConstraint::IsIn(kind, group) => node.is(kind) && node.is_in(group),
    }
}
