//! A small directory, one tenant wall apart, and questions about it.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;

use sealwright_core::identity::{PeerCred, Principal, Role};
use sealwright_core::key::Purpose;
use sealwright_core::name::KeyName;
use sealwright_core::permit::{
    Action, Answer, PolicyEngine as _, Question, ReceiptFacts, Resource, Shown, SignFacts,
};
use sealwright_core::statement::Subject;
use sealwright_core::time::Timestamp;
use sealwright_policy::CedarPolicy;

pub(crate) const CI: &str = "spiffe://sealwright.demo/ci";
pub(crate) const OPERATOR: &str = "spiffe://sealwright.demo/operator";
pub(crate) const STATEMENT: &str = "application/vnd.in-toto+json";

pub(crate) fn principal(id: &str, tenant: &str, roles: &[Role]) -> Principal {
    Principal {
        id: id.to_owned(),
        tenant: tenant.parse().unwrap(),
        roles: roles.to_vec(),
    }
}

pub(crate) fn ci() -> Principal {
    principal(CI, "default", &[Role::Client])
}

pub(crate) fn operator() -> Principal {
    principal(OPERATOR, "default", &[Role::Operator])
}

pub(crate) fn load(text: &str) -> CedarPolicy {
    CedarPolicy::parse(text, &[ci(), operator()]).unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) fn refusal(text: &str) -> String {
    CedarPolicy::parse(text, &[ci()])
        .err()
        .unwrap_or_else(|| panic!("was taken: {text}"))
        .to_string()
}

pub(crate) fn key(name: &str) -> KeyName {
    name.parse().unwrap()
}

pub(crate) fn subject(name: &str, digest: &str) -> Subject {
    Subject {
        name: Some(name.to_owned()),
        digests: BTreeMap::from([("sha256".to_owned(), digest.to_owned())]),
    }
}

pub(crate) fn facts(subjects: &[Subject]) -> SignFacts<'_> {
    SignFacts {
        payload_type: STATEMENT,
        predicate_type: Some("https://slsa.dev/provenance/v1"),
        predicate_known: true,
        subjects,
        payload_len: 1000,
        receipt: None,
    }
}

pub(crate) fn receipt_facts<'a>(receipt_type: &'a str, groups: &'a [&'a str]) -> SignFacts<'a> {
    SignFacts {
        receipt: Some(ReceiptFacts {
            receipt_type,
            metric_groups: groups,
            follows: None,
        }),
        ..facts(&[])
    }
}

pub(crate) fn question<'a>(
    principal: &'a Principal,
    action: Action,
    resource: Resource<'a>,
    sign: Option<SignFacts<'a>>,
) -> Question<'a> {
    let peer = PeerCred {
        uid: 64010,
        gid: 64010,
        pid: 7,
    };
    Question {
        principal,
        peer,
        action,
        resource,
        sign,
        token: Shown::Nothing,
        now: Timestamp::from_unix_millis(1_795_593_600_123),
    }
}

pub(crate) fn sign_with(
    policy: &CedarPolicy,
    who: &Principal,
    name: &KeyName,
    subjects: &[Subject],
) -> Answer {
    let resource = Resource::Key {
        name,
        purpose: Purpose::Dsse,
    };
    policy.decide(&question(
        who,
        Action::Sign,
        resource,
        Some(facts(subjects)),
    ))
}

pub(crate) fn allowed(answer: &Answer) -> bool {
    matches!(answer, Answer::Allow { .. })
}
