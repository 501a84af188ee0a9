//! The policy in force: text, principals, and the answers.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;

use cedar_policy::{Authorizer, Decision, Entity, EntityUid, PolicySet, Response, Schema};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::identity::Principal;
use sealwright_core::permit::{Action, Answer, Demands, PolicyEngine, Question, Resource};

use crate::access::{Access, Concerned};
use crate::error::PolicyError;
use crate::load::{Loaded, load};
use crate::names::Names;
use crate::scope::{Node, could_allow, fitting};
use crate::stores::Stores;
use crate::{explain, question};

/// A loaded policy together with the principals it is asked about. Immutable: a new policy or directory
/// is a new value that takes the old one's place.
pub struct CedarPolicy {
    text: String,
    digest: Sha256Digest,
    names: Names,
    schema: Schema,
    policies: PolicySet,
    places: BTreeMap<String, Range<usize>>,
    demands: BTreeMap<String, Demands>,
    permitted_strings: BTreeSet<String>,
    principals: HashMap<String, Known>,
}

/// What the scopes of policies are compared with.
struct Asked<'n> {
    caller: Node,
    action: &'n EntityUid,
    target: Node,
}

/// A principal of the directory and its entity.
struct Known {
    principal: Principal,
    entity: Entity,
    stores: Stores,
}

impl CedarPolicy {
    /// Loads `text` for a directory of `principals`. A question by anybody else, or by a principal whose
    /// roles or tenant differ from those given here, is denied.
    pub fn parse(text: &str, principals: &[Principal]) -> Result<Self, PolicyError> {
        let Loaded {
            policies,
            schema,
            places,
            demands,
            permitted_strings,
        } = load(text)?;
        let names = Names::new()?;
        let mut known = HashMap::with_capacity(principals.len());
        for principal in principals {
            let entry = Known {
                principal: principal.clone(),
                entity: question::principal_entity(&names, principal)?,
                stores: Stores::default(),
            };
            if known.insert(principal.id.clone(), entry).is_some() {
                return Err(PolicyError::RepeatedPrincipal(principal.id.clone()));
            }
        }
        Ok(Self {
            text: text.to_owned(),
            digest: Sha256Digest::of(&[text.as_bytes()]),
            names,
            schema,
            policies,
            places,
            demands,
            permitted_strings,
            principals: known,
        })
    }

    /// The text it was loaded from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Answers `question` and says why: which policies decided, with their text, and what went wrong.
    pub fn explain(&self, question: &Question<'_>) -> explain::Explanation {
        let could = self.could_allow(question.principal, question.action, &question.resource);
        explain::explanation(self, could, &self.evaluate(question))
    }

    /// The policy with this id and its text.
    pub(crate) fn source(&self, id: &str) -> Option<(&cedar_policy::Policy, &Range<usize>)> {
        let policy = self.policies.policy(&cedar_policy::PolicyId::new(id))?;
        Some((policy, self.places.get(id)?))
    }

    /// What the permits with these ids demand together.
    pub(crate) fn demands(&self, permits: &[String]) -> Demands {
        if self.demands.is_empty() {
            return Demands::default();
        }
        let each = permits.iter().filter_map(|id| self.demands.get(id));
        each.fold(Demands::default(), |all, one| all.and(*one))
    }

    /// Whether `principal` could do this, whatever the payload, and which policies are about it.
    pub fn access(&self, principal: &Principal, action: Action, resource: &Resource<'_>) -> Access {
        let concerned = self.asked(principal, action, resource).map(|asked| {
            let fitting = fitting(&self.policies, &asked.caller, asked.action, &asked.target);
            let ids = fitting.filter_map(|policy| self.concerned(policy.id().as_ref()));
            ids.collect()
        });
        Access::of(concerned.unwrap_or_default())
    }

    fn concerned(&self, id: &str) -> Option<Concerned> {
        let policy = explain::determining(self, id)?;
        let (parsed, _) = self.source(id)?;
        Some(Concerned {
            conditional: parsed.has_non_scope_constraint(),
            demands: self.demands.get(id).copied().unwrap_or_default(),
            id: policy.id,
            effect: policy.effect,
            line: policy.line,
            text: policy.text,
        })
    }

    fn asked(
        &self,
        principal: &Principal,
        action: Action,
        resource: &Resource<'_>,
    ) -> Option<Asked<'_>> {
        self.known(principal)?;
        let tenant = self.names.tenant(&principal.tenant);
        let roles = principal.roles.iter().map(|role| self.names.role(*role));
        Some(Asked {
            action: self.names.action(action)?,
            caller: Node {
                uid: self.names.principal(&principal.id),
                parents: roles.chain([tenant]).collect(),
            },
            target: Node {
                uid: self.names.resource(resource),
                parents: match resource {
                    Resource::Key { name, .. } => [self.names.tenant(name.tenant())].into(),
                    Resource::Tenant(_) => [].into(),
                },
            },
        })
    }

    fn known(&self, principal: &Principal) -> Option<&Known> {
        let known = self.principals.get(&principal.id)?;
        (known.principal == *principal).then_some(known)
    }

    fn evaluate(&self, question: &Question<'_>) -> Verdict {
        match self.ask(question) {
            Ok(response) => Verdict::of(&response),
            Err(message) => Verdict {
                allow: false,
                policies: Vec::new(),
                errors: vec![(None, message)],
            },
        }
    }

    fn ask(&self, question: &Question<'_>) -> Result<Response, String> {
        let known = self.known(question.principal).ok_or_else(|| {
            format!(
                "principal {:?} is not in the directory the policy was loaded with",
                question.principal.id
            )
        })?;
        let request = question::request(&self.names, &self.schema, question)?;
        let entities = known.stores.get(&question.resource, || {
            question::entities(&self.names, &known.entity, &question.resource)
        })?;
        Ok(Authorizer::new().is_authorized(&request, &self.policies, &entities))
    }
}

impl PolicyEngine for CedarPolicy {
    fn decide(&self, question: &Question<'_>) -> Answer {
        let Verdict {
            allow,
            policies,
            errors,
        } = self.evaluate(question);
        if allow {
            let demands = self.demands(&policies);
            return Answer::Allow { policies, demands };
        }
        let errors = errors.into_iter().map(|(policy, message)| match policy {
            Some(policy) => format!("policy {policy:?}: {message}"),
            None => message,
        });
        Answer::Deny {
            policies,
            errors: errors.collect(),
        }
    }

    fn could_allow(&self, principal: &Principal, action: Action, resource: &Resource<'_>) -> bool {
        self.asked(principal, action, resource)
            .is_some_and(|asked| {
                could_allow(&self.policies, &asked.caller, asked.action, &asked.target)
            })
    }

    fn forbids_outright(
        &self,
        principal: &Principal,
        action: Action,
        resource: &Resource<'_>,
    ) -> Vec<String> {
        let concerned = self
            .access(principal, action, resource)
            .policies
            .into_iter();
        concerned
            .filter(|policy| policy.effect == explain::Effect::Forbid && !policy.conditional)
            .map(|policy| policy.id)
            .collect()
    }

    /// Only strings in the `when` clause of a `permit` count: an annotation or a `forbid` unlocks nothing.
    fn names_predicate_type(&self, predicate_type: &str) -> bool {
        self.permitted_strings.contains(predicate_type)
    }

    fn digest(&self) -> Sha256Digest {
        self.digest
    }
}

impl fmt::Debug for CedarPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CedarPolicy")
            .field("digest", &self.digest)
            .field("policies", &self.places.keys())
            .field("principals", &self.principals.len())
            .finish_non_exhaustive()
    }
}

/// What an evaluation came to.
pub(crate) struct Verdict {
    pub(crate) allow: bool,
    /// Ids of the deciding policies, sorted.
    pub(crate) policies: Vec<String>,
    /// Failed policies (none: the question itself) and how they failed.
    pub(crate) errors: Vec<(Option<String>, String)>,
}

impl Verdict {
    fn of(response: &Response) -> Self {
        let mut policies: Vec<String> = response
            .diagnostics()
            .reason()
            .map(|id| id.to_string())
            .collect();
        policies.sort();
        let errors: Vec<_> = response.diagnostics().errors().map(failure).collect();
        // Cedar skips a policy that fails. A `forbid` that was skipped must not turn into an allow.
        let allow = response.decision() == Decision::Allow && errors.is_empty();
        Self {
            allow,
            policies,
            errors,
        }
    }
}

fn failure(error: &cedar_policy::AuthorizationError) -> (Option<String>, String) {
    let cedar_policy::AuthorizationError::PolicyEvaluationError(failed) = error;
    (
        Some(failed.policy_id().to_string()),
        failed.inner().to_string(),
    )
}
