//! What policies decide, and that no failure on the way turns into an allow.
#![allow(clippy::unwrap_used)]

mod support;

use sealwright_core::identity::Role;
use sealwright_core::key::Purpose;
use sealwright_core::permit::{Action, Answer, Demands, PolicyEngine as _, Resource};
use sealwright_policy::{CedarPolicy, DEFAULT_POLICY, Effect, SUBJECT_TEXT_MAX, SUBJECTS_MAX};
use support::*;

const PERMIT_ALL: &str = "@id(\"all\") permit (principal, action, resource);\n";

#[test]
fn an_empty_policy_denies_everything() {
    let policy = load("");
    let answer = sign_with(&policy, &ci(), &key("release"), &[]);
    assert_eq!(
        answer,
        Answer::Deny {
            policies: vec![],
            errors: vec![]
        }
    );
}

#[test]
fn the_default_policy_lets_each_role_do_its_own_work_only() {
    let policy = load(DEFAULT_POLICY);
    let (release, tenant) = (key("release"), "default".parse().unwrap());
    let of_key = || Resource::Key {
        name: &release,
        purpose: Purpose::Dsse,
    };
    let may =
        |who: &_, action, resource| allowed(&policy.decide(&question(who, action, resource, None)));
    assert!(allowed(&sign_with(&policy, &ci(), &release, &[])));
    assert!(!allowed(&sign_with(&policy, &operator(), &release, &[])));
    for (action, ci_may, operator_may) in [
        (Action::ReadKey, true, true),
        (Action::ManageKey, false, true),
        (Action::ReadAudit, false, true),
        (Action::Operate, false, true),
        (Action::Anchor, false, false),
        (Action::EraseAudit, false, false),
    ] {
        assert_eq!(may(&ci(), action, of_key()), ci_may, "{action:?}");
        assert_eq!(
            may(&operator(), action, of_key()),
            operator_may,
            "{action:?}"
        );
        assert_eq!(
            may(&operator(), action, Resource::Tenant(&tenant)),
            operator_may,
            "{action:?}"
        );
    }
}

#[test]
fn the_default_policy_keeps_tenants_apart() {
    let policy = load(DEFAULT_POLICY);
    let answer = sign_with(&policy, &ci(), &key("acme/release"), &[]);
    assert_eq!(
        answer,
        Answer::Deny {
            policies: vec!["tenants-stay-apart".into()],
            errors: vec![]
        }
    );
}

#[test]
fn a_forbid_that_fails_to_evaluate_denies_although_a_permit_applies() {
    let overflow = "@id(\"broken\") forbid (principal, action == Sealwright::Action::\"sign\", resource)\n\
        when { 9223372036854775807 + context.payload_len == 0 };";
    let policy = load(&format!("{PERMIT_ALL}{overflow}"));
    let Answer::Deny { errors, .. } = sign_with(&policy, &ci(), &key("release"), &[]) else {
        panic!("a skipped forbid let it through");
    };
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0].contains("\"broken\"") && errors[0].contains("overflow"),
        "{errors:?}"
    );
}

#[test]
fn a_principal_unknown_or_with_other_roles_than_the_directory_says_is_denied() {
    let policy = load(PERMIT_ALL);
    let stranger = principal("spiffe://sealwright.demo/x", "default", &[Role::Client]);
    let promoted = principal(CI, "default", &[Role::Client, Role::Operator]);
    let moved = principal(CI, "acme", &[Role::Client]);
    for who in [stranger, promoted, moved] {
        let Answer::Deny { errors, .. } = sign_with(&policy, &who, &key("release"), &[]) else {
            panic!("{who:?} was let through");
        };
        assert!(errors[0].contains("directory"), "{errors:?}");
        let resource = Resource::Key {
            name: &key("release"),
            purpose: Purpose::Dsse,
        };
        assert!(!policy.could_allow(&who, Action::Sign, &resource));
    }
}

#[test]
fn a_question_the_schema_does_not_know_is_an_error_and_a_deny() {
    let policy = load(PERMIT_ALL);
    let tenant = "default".parse().unwrap();
    let who = ci();
    let on_a_tenant = question(
        &who,
        Action::Sign,
        Resource::Tenant(&tenant),
        Some(facts(&[])),
    );
    let answer = policy.decide(&on_a_tenant);
    assert!(
        matches!(&answer, Answer::Deny { errors, .. } if errors.len() == 1),
        "{answer:?}"
    );
    let name = key("release");
    let resource = Resource::Key {
        name: &name,
        purpose: Purpose::Dsse,
    };
    let without_payload = policy.decide(&question(&who, Action::Sign, resource, None));
    assert!(!allowed(&without_payload));
}

#[test]
fn conditions_see_payload_subjects_peer_and_time() {
    let conditions = [
        "context.payload_type == \"application/vnd.in-toto+json\"",
        "context has predicate_type && context.predicate_type == \"https://slsa.dev/provenance/v1\"",
        "context has subjects && context.subjects.contains(\"sha256:aa\")",
        "context has subject_names && context.subject_names == [\"app\"]",
        "context.subject_count == 1 && context.payload_len == 1000",
        "context.peer_uid == 64010 && context.peer_gid == 64010",
        "context.time == 1795593600",
        "resource.purpose == \"dsse\" && resource.label == \"release\" && resource.tenant == principal.tenant",
        "principal.id == \"spiffe://sealwright.demo/ci\"",
    ];
    for condition in conditions {
        let policy = |keyword: &str| {
            let head = "permit (principal, action == Sealwright::Action::\"sign\", resource is Sealwright::Key)";
            load(&format!("@id(\"c\") {head} {keyword} {{ {condition} }};"))
        };
        let ask = |keyword| {
            sign_with(
                &policy(keyword),
                &ci(),
                &key("release"),
                &[subject("app", "aa")],
            )
        };
        assert_eq!(
            ask("when"),
            Answer::Allow {
                policies: vec!["c".into()],
                demands: Demands::default(),
            },
            "{condition}"
        );
        assert!(!allowed(&ask("unless")), "{condition}");
    }
}

#[test]
fn subjects_beyond_the_limits_are_absent_not_shortened() {
    let policy = load(
        "@id(\"few\") permit (principal, action == Sealwright::Action::\"sign\", resource)\n\
         when { context has subjects && context has subject_names };\n\
         @id(\"many\") permit (principal, action == Sealwright::Action::\"sign\", resource)\n\
         when { !(context has subjects) && !(context has subject_names) && context.subject_count > 0 };",
    );
    let decided_by = |subjects: &[_]| match sign_with(&policy, &ci(), &key("release"), subjects) {
        Answer::Allow { policies, .. } => policies.join(","),
        Answer::Deny { .. } => panic!("denied"),
    };
    let many = |n: usize| {
        (0..n)
            .map(|i| subject(&format!("f{i}"), &format!("{i:064x}")))
            .collect::<Vec<_>>()
    };
    assert_eq!(decided_by(&many(SUBJECTS_MAX)), "few");
    assert_eq!(decided_by(&many(SUBJECTS_MAX + 1)), "many");
    assert_eq!(decided_by(&many(5000)), "many");
    let room = SUBJECT_TEXT_MAX - "sha256:aa".len();
    assert_eq!(decided_by(&[subject(&"n".repeat(room), "aa")]), "few");
    assert_eq!(decided_by(&[subject(&"n".repeat(room + 1), "aa")]), "many");
}

#[test]
fn an_explanation_shows_the_deciding_policies_as_they_stand_in_the_file() {
    let forbid = "@id(\"freeze\") // release freeze\nforbid (principal, action, resource);";
    let policy = load(&format!("{PERMIT_ALL}// why\n{forbid}\n"));
    let name = key("release");
    let resource = Resource::Key {
        name: &name,
        purpose: Purpose::Dsse,
    };
    let who = ci();
    let explanation = policy.explain(&question(&who, Action::Sign, resource, Some(facts(&[]))));
    assert!(!explanation.allowed && !explanation.could_be_allowed && explanation.errors.is_empty());
    let [only] = explanation.determining.as_slice() else {
        panic!("{explanation:?}")
    };
    assert_eq!(
        (only.id.as_str(), only.effect, only.line),
        ("freeze", Effect::Forbid, 3)
    );
    assert_eq!(only.text, forbid);
    assert_eq!(only.annotations["id"], "freeze");
}

#[test]
fn whoever_is_not_admitted_is_told_apart_by_the_forbids_that_stand_in_the_way() {
    let forbid = |id: &str, condition: &str| {
        format!("@id(\"{id}\") forbid (principal, action, resource){condition};\n")
    };
    let conditional = forbid("night", " when { context.time == 1 }");
    let policy = load(&format!(
        "{PERMIT_ALL}{conditional}{}",
        forbid("freeze", "")
    ));
    let name = key("release");
    let resource = Resource::Key {
        name: &name,
        purpose: Purpose::Dsse,
    };
    let forbids = |policy: &CedarPolicy| policy.forbids_outright(&ci(), Action::Sign, &resource);
    assert_eq!(forbids(&policy), ["freeze"]);
    assert!(forbids(&load("")).is_empty());
}

#[test]
fn the_digest_is_that_of_the_text() {
    let digest = load(PERMIT_ALL).digest();
    assert_eq!(
        digest,
        sealwright_core::digest::Sha256Digest::of(&[PERMIT_ALL.as_bytes()])
    );
    assert_ne!(digest, load(&format!("{PERMIT_ALL} ")).digest());
}

#[test]
fn a_predicate_type_is_named_only_by_the_when_clause_of_a_permit() {
    let sign = "(principal, action == Sealwright::Action::\"sign\", resource)";
    let is =
        |uri: &str| format!("context has predicate_type && context.predicate_type == \"{uri}\"");
    let policy = load(&format!(
        "@id(\"urn:annotation\") permit {sign} when {{ {} }} unless {{ {} }};\n\
         @id(\"b\") forbid {sign} when {{ {} }};\n\
         @id(\"c\") permit {sign} when {{ context has predicate_type && [\"urn:set\"].contains(context.predicate_type) }};",
        is("urn:when"),
        is("urn:unless"),
        is("urn:forbid"),
    ));
    for (uri, named) in [
        ("urn:when", true),
        ("urn:set", true),
        ("urn:unless", false),
        ("urn:forbid", false),
        ("urn:annotation", false),
        ("urn:whe", false),
    ] {
        assert_eq!(policy.names_predicate_type(uri), named, "{uri}");
    }
}

#[test]
fn each_role_issues_receipts_that_change_its_own_groups_and_no_others() {
    let roles = [
        Role::SecurityEngineer,
        Role::SocAnalyst,
        Role::CustomerAdmin,
        Role::Viewer,
        Role::Client,
    ];
    let people = roles.map(|role| principal(role.as_str(), "default", &[role]));
    let both = principal(
        "both",
        "default",
        &[Role::SecurityEngineer, Role::SocAnalyst],
    );
    let everybody: Vec<_> = people.iter().chain([&both]).cloned().collect();
    let policy = CedarPolicy::parse(DEFAULT_POLICY, &everybody).unwrap();
    let name = key("receipts");
    let may = |who: &_, receipt_type: &str, groups: &[&str]| {
        let resource = Resource::Key {
            name: &name,
            purpose: Purpose::Dsse,
        };
        let facts = receipt_facts(receipt_type, groups);
        allowed(&policy.decide(&question(who, Action::IssueReceipt, resource, Some(facts))))
    };
    let who_may = |groups: &[&str]| {
        let may = |who: &&_| may(who, "cvss-v4.0/1", groups);
        let allowed = everybody.iter().filter(may);
        allowed.map(|who| who.id.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(who_may(&["base"]), ["security-engineer", "both"]);
    assert_eq!(who_may(&["supplemental"]), ["security-engineer", "both"]);
    assert_eq!(who_may(&["threat"]), ["soc-analyst", "both"]);
    assert_eq!(who_may(&["environmental"]), ["customer-admin"]);
    assert_eq!(who_may(&["base", "threat"]), ["both"]);
    assert!(who_may(&["base", "environmental"]).is_empty());
    for who in &everybody {
        let is_client = who.has(Role::Client);
        assert_eq!(may(who, "generic/1", &[]), is_client, "{}", who.id);
        let tenant = "default".parse().unwrap();
        let read = question(who, Action::ReadReceipt, Resource::Tenant(&tenant), None);
        assert!(allowed(&policy.decide(&read)), "{}", who.id);
        let other = "acme".parse().unwrap();
        let read = question(who, Action::ReadReceipt, Resource::Tenant(&other), None);
        assert!(!allowed(&policy.decide(&read)), "{}", who.id);
    }
}
