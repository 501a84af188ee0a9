//! One question as Cedar wants it: request, context, and the few entities it can reach.

use cedar_policy::{Context, Entities, Entity, Request, RestrictedExpression, Schema};
use sealwright_core::identity::Principal;
use sealwright_core::permit::{Question, ReceiptFacts, Resource, Shown, SignFacts};
use sealwright_core::statement::Subject;
use sealwright_core::token::BoundToken;

use crate::error::PolicyError;
use crate::names::Names;

/// Subjects that `context.subjects` and `context.subject_names` hold; for more they are absent.
pub const SUBJECTS_MAX: usize = 256;

/// Bytes of digests and names together that the context holds; for more both sets are absent.
pub const SUBJECT_TEXT_MAX: usize = 64 * 1024;

/// The principal's entity; the same for all its requests.
pub(crate) fn principal_entity(
    names: &Names,
    principal: &Principal,
) -> Result<Entity, PolicyError> {
    let tenant = names.tenant(&principal.tenant);
    let attributes = [
        ("id".to_owned(), text(&principal.id)),
        (
            "tenant".to_owned(),
            RestrictedExpression::new_entity_uid(tenant.clone()),
        ),
    ];
    let roles = principal.roles.iter().map(|role| names.role(*role));
    let parents = roles.chain([tenant]).collect();
    Entity::new(names.principal(&principal.id), attributes.into(), parents)
        .map_err(|e| PolicyError::Internal(format!("principal {:?}: {e}", principal.id)))
}

/// Everything that this question's evaluation may look at: the principal, the resource, and as their
/// parents roles and tenants, which have neither attributes nor parents and so need no entity.
pub(crate) fn entities(
    names: &Names,
    principal: &Entity,
    resource: &Resource<'_>,
) -> Result<Entities, String> {
    let resource = resource_entity(names, resource)?;
    Entities::from_entities([principal.clone(), resource], None).map_err(|e| e.to_string())
}

fn resource_entity(names: &Names, resource: &Resource<'_>) -> Result<Entity, String> {
    let uid = names.resource(resource);
    let Resource::Key { name, purpose } = resource else {
        return Ok(Entity::with_uid(uid));
    };
    let tenant = names.tenant(name.tenant());
    let attributes = [
        ("label".to_owned(), text(name.label())),
        (
            "tenant".to_owned(),
            RestrictedExpression::new_entity_uid(tenant.clone()),
        ),
        ("purpose".to_owned(), text(purpose.as_str())),
    ];
    Entity::new(uid, attributes.into(), [tenant].into()).map_err(|e| e.to_string())
}

/// The request, checked against the schema: an action that does not apply to the resource is an error.
pub(crate) fn request(
    names: &Names,
    schema: &Schema,
    question: &Question<'_>,
) -> Result<Request, String> {
    let action = names
        .action(question.action)
        .ok_or("the action has no name in the policy schema")?;
    let context = Context::from_pairs(context(question)).map_err(|e| e.to_string())?;
    Request::new(
        names.principal(&question.principal.id),
        action.clone(),
        names.resource(&question.resource),
        context,
        Some(schema),
    )
    .map_err(|e| e.to_string())
}

type Pair = (String, RestrictedExpression);

fn context(question: &Question<'_>) -> Vec<Pair> {
    let mut pairs = vec![
        pair(
            "peer_uid",
            RestrictedExpression::new_long(question.peer.uid.into()),
        ),
        pair(
            "peer_gid",
            RestrictedExpression::new_long(question.peer.gid.into()),
        ),
        pair(
            "time",
            RestrictedExpression::new_long(question.now.unix_seconds()),
        ),
    ];
    if let Shown::Bound(token) = question.token {
        pairs.push(pair("token", token_record(token)));
    }
    match &question.sign {
        Some(SignFacts {
            receipt: Some(receipt),
            ..
        }) => add_receipt(&mut pairs, receipt),
        Some(facts) => add_payload(&mut pairs, facts),
        None => {}
    }
    pairs
}

fn add_receipt(pairs: &mut Vec<Pair>, receipt: &ReceiptFacts<'_>) {
    let groups = receipt.metric_groups.iter();
    pairs.push(pair("receipt_type", text(receipt.receipt_type)));
    pairs.push(pair(
        "metric_groups",
        set(groups.map(|group| (*group).to_owned())),
    ));
    if let Some(relation) = receipt.follows {
        pairs.push(pair("follows", text(relation.as_str())));
    }
}

/// Whom the token was issued to, and for what.
fn token_record(token: &BoundToken) -> RestrictedExpression {
    let facts = token.facts();
    let yes_no = RestrictedExpression::new_bool;
    let members = [
        pair("issuer", text(&facts.issuer)),
        pair("subject", text(&facts.subject)),
        pair("client_id", text(&facts.client_id)),
        pair("scopes", set(token.scopes().iter().cloned())),
        pair("dpop", yes_no(token.is_dpop_bound())),
        pair("mtls", yes_no(token.is_certificate_bound())),
    ];
    // Fails only where a member stands twice; the schema would refuse the text that is put in its place.
    RestrictedExpression::new_record(members).unwrap_or_else(|_| text(""))
}

fn add_payload(pairs: &mut Vec<Pair>, facts: &SignFacts<'_>) {
    pairs.push(pair("payload_type", text(facts.payload_type)));
    pairs.push(pair("payload_len", count(facts.payload_len)));
    pairs.push(pair("subject_count", count(facts.subjects.len())));
    if let Some(predicate_type) = facts.predicate_type {
        pairs.push(pair("predicate_type", text(predicate_type)));
    }
    if fits(facts.subjects) {
        pairs.push(pair(
            "subjects",
            set(facts.subjects.iter().flat_map(digests)),
        ));
        pairs.push(pair(
            "subject_names",
            set(facts.subjects.iter().filter_map(|s| s.name.clone())),
        ));
    }
}

fn fits(subjects: &[Subject]) -> bool {
    let length = |subject: &Subject| {
        let name = subject.name.as_ref().map_or(0, String::len);
        name + digests(subject).map(|digest| digest.len()).sum::<usize>()
    };
    subjects.len() <= SUBJECTS_MAX && subjects.iter().map(length).sum::<usize>() <= SUBJECT_TEXT_MAX
}

fn digests(subject: &Subject) -> impl Iterator<Item = String> {
    subject
        .digests
        .iter()
        .map(|(algorithm, hex)| format!("{algorithm}:{hex}"))
}

fn pair(name: &str, value: RestrictedExpression) -> Pair {
    (name.to_owned(), value)
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn set(values: impl Iterator<Item = String>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.map(RestrictedExpression::new_string))
}

fn count(value: usize) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(value).unwrap_or(i64::MAX))
}
