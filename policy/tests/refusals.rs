//! Texts that are not taken: each with its own message, naming the line.
#![allow(clippy::unwrap_used)]

mod support;

use sealwright_core::permit::PolicyEngine as _;
use sealwright_policy::{CHAIN_MAX, CedarPolicy, DEPTH_MAX, PolicyError};
use support::*;

#[test]
fn a_syntax_error_names_its_line() {
    let error = refusal("// first\n@id(\"a\")\npermit (principal, action resource);");
    assert!(error.starts_with("line 3: "), "{error}");
}

#[test]
fn a_policy_without_a_printable_id_names_its_line() {
    for annotation in [
        "",
        "@id ",
        "@id(\"\") ",
        "@id(\"a\\nb\") ",
        &format!("@id(\"{}\") ", "a".repeat(129)),
    ] {
        let error = refusal(&format!(
            "// first\n\n{annotation}permit (principal, action, resource);"
        ));
        assert!(
            error.starts_with("line 3: ") && error.contains("@id"),
            "{annotation:?}: {error}"
        );
    }
}

#[test]
fn an_id_that_stands_twice_names_both_lines() {
    let one = "@id(\"a\") forbid (principal, action, resource);\n";
    let error = refusal(&one.repeat(2));
    assert!(
        error.starts_with("line 2: ") && error.contains("line 1"),
        "{error}"
    );
}

#[test]
fn a_template_is_refused_because_it_would_never_apply() {
    let error = refusal("@id(\"t\") permit (principal == ?principal, action, resource);");
    assert!(error.contains("template"), "{error}");
}

#[test]
fn strict_validation_names_policy_and_line() {
    let with = |head: &str, condition: &str| {
        refusal(&format!(
            "\n@id(\"odd\") permit ({head}) when {{ {condition} }};"
        ))
    };
    let sign = "principal, action == Sealwright::Action::\"sign\", resource";
    for (head, condition, part) in [
        (sign, "context.payload_typ == \"a\"", "payload_typ"),
        (sign, "context.predicate_type == \"a\"", "predicate_type"),
        (sign, "context.payload_len == \"a\"", ""),
        (
            "principal in Sealwright::Role::\"clinet\", action, resource",
            "true",
            "clinet",
        ),
        (
            "principal, action == Sealwright::Action::\"sing\", resource",
            "true",
            "sing",
        ),
        (
            "principal in Role::\"client\", action, resource",
            "true",
            "Role",
        ),
        (sign, "resource == Sealwright::Tenant::\"default\"", ""),
    ] {
        let error = with(head, condition);
        assert!(
            error.contains("line 2: policy \"odd\"") && error.contains(part),
            "{condition}: {error}"
        );
    }
}

#[test]
fn a_policy_that_can_never_apply_is_a_warning_and_refused() {
    let error = refusal("@id(\"never\") permit (principal, action, resource) when { false };");
    assert!(
        error.contains("never") && error.contains("line 1"),
        "{error}"
    );
}

#[test]
fn a_principal_that_is_configured_twice_is_refused() {
    let error = CedarPolicy::parse("", &[ci(), ci()]).unwrap_err();
    assert!(
        matches!(error, PolicyError::RepeatedPrincipal(_)),
        "{error}"
    );
}

/// Every shape that makes a deep expression tree, at the limit, loaded, asked and dropped on a stack of
/// 2 MiB: what a worker thread of the daemon has.
#[test]
fn the_deepest_allowed_policies_load_decide_and_drop_on_a_small_stack() {
    let work = || {
        for condition in deepest() {
            let text = format!(
                "@id(\"deep\") permit (principal, action == Sealwright::Action::\"sign\", resource) when {{ {condition} }};"
            );
            match CedarPolicy::parse(&text, &[ci()]) {
                Ok(policy) => {
                    let answer = sign_with(&policy, &ci(), &key("release"), &[]);
                    assert!(allowed(&answer), "{}: {answer:?}", &condition[..60]);
                    assert_eq!(policy.digest(), policy.digest());
                }
                Err(error) => panic!("{}: {error}", &condition[..40]),
            }
        }
    };
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap();
}

fn deepest() -> Vec<String> {
    // The head and the braces of the condition take a few of the policy's operators and one level.
    let (depth, chain) = (DEPTH_MAX - 1, CHAIN_MAX - 8);
    let truth = "context.peer_uid == 64010";
    vec![
        format!("{}{truth}{}", "(".repeat(depth), ")".repeat(depth)),
        format!(
            "{0}64010{1} == {0}context.peer_uid{1}",
            "[".repeat(depth),
            "]".repeat(depth)
        ),
        vec![truth; chain / 3].join(" && "),
        format!("{truth} || {}", vec![truth; chain / 3 - 1].join(" || ")),
        format!("{}64010 == context.peer_uid", "0 + ".repeat(chain - 2)),
        format!(
            "{}{truth}",
            format!("if context.peer_uid == 1 then {truth} else ").repeat(chain / 5 - 1)
        ),
    ]
}
