//! Properties over small generated policies: each draws scopes and conditions that overlap often.
#![allow(clippy::unwrap_used)]

mod support;

use proptest::prelude::*;
use sealwright_core::identity::{Principal, Role};
use sealwright_core::key::Purpose;
use sealwright_core::permit::{Action, Answer, PolicyEngine as _, Resource};
use sealwright_policy::{CedarPolicy, Verdict};
use support::*;

fn directory() -> Vec<Principal> {
    vec![
        ci(),
        operator(),
        principal("a", "acme", &[Role::Client, Role::Auditor]),
        principal("b", "acme", &[]),
    ]
}

fn principals() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "principal",
        "principal == Sealwright::Principal::\"a\"",
        "principal == Sealwright::Principal::\"spiffe://sealwright.demo/ci\"",
        "principal in Sealwright::Role::\"client\"",
        "principal in Sealwright::Role::\"operator\"",
        "principal in Sealwright::Tenant::\"acme\"",
        "principal is Sealwright::Principal",
        "principal is Sealwright::Principal in Sealwright::Role::\"auditor\"",
    ])
}

fn actions() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "action",
        "action == Sealwright::Action::\"sign\"",
        "action == Sealwright::Action::\"readKey\"",
        "action in [Sealwright::Action::\"sign\", Sealwright::Action::\"manageKey\"]",
        "action in [Sealwright::Action::\"readAudit\", Sealwright::Action::\"operate\"]",
    ])
}

fn resources() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "resource",
        "resource == Sealwright::Key::\"acme/release\"",
        "resource == Sealwright::Key::\"default/release\"",
        "resource in Sealwright::Tenant::\"acme\"",
        "resource is Sealwright::Key",
        "resource is Sealwright::Key in Sealwright::Tenant::\"default\"",
    ])
}

fn conditions() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "when { context.time > 0 }",
        "unless { context.peer_uid == 0 }",
        "when { context.peer_uid == 0 }",
        "when { resource in principal.tenant }",
        "when { 9223372036854775807 + context.time > 0 }",
    ])
}

fn policies(effects: &'static [&'static str]) -> impl Strategy<Value = String> {
    let one = (
        prop::sample::select(effects),
        principals(),
        actions(),
        resources(),
        conditions(),
    );
    prop::collection::vec(one, 1..5).prop_map(|drawn| {
        let text = drawn.iter().enumerate().map(
            |(i, (effect, principal, action, resource, condition))| {
                format!(
                    "@id(\"{}{i}\") {effect} ({principal}, {action}, {resource}) {condition};\n",
                    &effect[..1]
                )
            },
        );
        text.collect()
    })
}

fn loaded(text: &str) -> Option<CedarPolicy> {
    // Some draws can never apply (an action that is not for the resource): validation refuses those.
    CedarPolicy::parse(text, &directory()).ok()
}

/// Calls `check` with every principal, action and resource there is.
fn every_question(mut check: impl FnMut(&Principal, Action, Resource<'_>)) {
    let keys = ["acme/release", "default/release", "acme/other"].map(key);
    let tenants = ["acme", "default"].map(|tenant| tenant.parse().unwrap());
    for who in directory() {
        for action in Action::ALL {
            for name in &keys {
                check(
                    &who,
                    action,
                    Resource::Key {
                        name,
                        purpose: Purpose::Dsse,
                    },
                );
            }
            for tenant in &tenants {
                check(&who, action, Resource::Tenant(tenant));
            }
        }
    }
}

fn ask(policy: &CedarPolicy, who: &Principal, action: Action, resource: &Resource<'_>) -> Answer {
    let sign = match action {
        Action::Sign => Some(facts(&[])),
        Action::IssueReceipt => Some(receipt_facts("generic/1", &[])),
        _ => None,
    };
    policy.decide(&question(who, action, resource.clone(), sign))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn could_allow_never_says_no_where_decide_says_allow(text in policies(&["permit", "forbid"])) {
        let Some(policy) = loaded(&text) else { return Err(TestCaseError::reject("never applies")) };
        every_question(|who, action, resource| {
            if allowed(&ask(&policy, who, action, &resource)) {
                assert!(policy.could_allow(who, action, &resource), "{text}{who:?} {action:?} {resource:?}");
            }
        });
    }

    #[test]
    fn a_review_says_no_exactly_where_no_body_is_read_and_yes_only_where_it_is_allowed(text in policies(&["permit", "forbid"])) {
        let Some(policy) = loaded(&text) else { return Err(TestCaseError::reject("never applies")) };
        every_question(|who, action, resource| {
            let verdict = policy.access(who, action, &resource).verdict;
            assert_eq!(verdict != Verdict::No, policy.could_allow(who, action, &resource), "{text}{who:?} {action:?} {resource:?}");
            // Nobody signs with a tenant: the schema has no such question.
            let is_with_key = matches!(action, Action::Sign | Action::IssueReceipt);
            let is_question = !is_with_key || matches!(resource, Resource::Key { .. });
            if verdict == Verdict::Yes && is_question {
                assert!(allowed(&ask(&policy, who, action, &resource)), "{text}{who:?} {action:?} {resource:?}");
            }
        });
    }

    #[test]
    fn one_more_forbid_never_allows(text in policies(&["permit"]), more in policies(&["forbid"])) {
        let both = format!("{text}{more}");
        let (Some(before), Some(after)) = (loaded(&text), loaded(&both)) else {
            return Err(TestCaseError::reject("never applies"));
        };
        every_question(|who, action, resource| {
            if allowed(&ask(&after, who, action, &resource)) {
                assert!(allowed(&ask(&before, who, action, &resource)), "{both}{who:?} {action:?} {resource:?}");
            }
        });
    }

    #[test]
    fn an_allow_always_has_a_permit_and_no_error(text in policies(&["permit", "forbid"])) {
        let Some(policy) = loaded(&text) else { return Err(TestCaseError::reject("never applies")) };
        every_question(|who, action, resource| {
            if let Answer::Allow { policies, .. } = ask(&policy, who, action, &resource) {
                assert!(!policies.is_empty() && policies.iter().all(|id| id.starts_with('p')), "{text}");
            }
        });
    }

    #[test]
    fn no_text_makes_the_loader_panic(text in "\\PC{0,200}") {
        let _ = CedarPolicy::parse(&text, &[]);
    }
}
