//! What an allow costs: `@approvals` and `@once` on permits.
#![allow(clippy::unwrap_used)]

mod support;

use sealwright_core::permit::{Answer, Demands, TokenDemand};
use sealwright_policy::{APPROVALS_MAX, CedarPolicy};
use support::*;

const SIGN: &str = "(principal, action == Sealwright::Action::\"sign\", resource)";

fn demands(policy: &CedarPolicy) -> Option<Demands> {
    match sign_with(policy, &ci(), &key("release"), &[]) {
        Answer::Allow { demands, .. } => Some(demands),
        Answer::Deny { .. } => None,
    }
}

#[test]
fn a_permit_says_what_its_allow_costs() {
    let cases = [
        ("", 0, false),
        ("@approvals(\"2\")", 2, false),
        ("@once(\"subject\")", 0, true),
        ("@approvals(\"16\") @once(\"subject\")", 16, true),
    ];
    for (annotations, approvals, once) in cases {
        let policy = load(&format!("@id(\"a\") {annotations} permit {SIGN};"));
        let expected = Demands {
            approvals,
            once,
            ..Demands::default()
        };
        assert_eq!(demands(&policy), Some(expected), "{annotations}");
    }
}

#[test]
fn the_strictest_of_all_permits_that_apply_counts() {
    let policy = load(&format!(
        "@id(\"free\") permit {SIGN};\n\
         @id(\"two\") @approvals(\"2\") permit {SIGN};\n\
         @id(\"three\") @approvals(\"3\") permit {SIGN};\n\
         @id(\"once\") @once(\"subject\") permit {SIGN};\n\
         @id(\"apart\") @approvals(\"9\") permit {SIGN} when {{ context.payload_len == 1 }};"
    ));
    let expected = Demands {
        approvals: 3,
        once: true,
        ..Demands::default()
    };
    assert_eq!(demands(&policy), Some(expected));
}

#[test]
fn a_permit_says_which_token_it_wants_and_two_permits_want_both() {
    let demand = |dpop, mtls| TokenDemand {
        bound: true,
        dpop,
        mtls,
    };
    for (text, expected) in [
        ("bound", demand(false, false)),
        ("dpop", demand(true, false)),
        ("mtls", demand(false, true)),
        ("dpop mtls", demand(true, true)),
    ] {
        let policy = load(&format!("@id(\"a\") @token(\"{text}\") permit {SIGN};"));
        assert_eq!(demands(&policy).unwrap().token, expected, "{text}");
    }
    let policy = load(&format!(
        "@id(\"free\") permit {SIGN};\n@id(\"a\") @token(\"dpop\") permit {SIGN};\n\
         @id(\"b\") @token(\"mtls\") permit {SIGN};"
    ));
    assert_eq!(demands(&policy).unwrap().token, demand(true, true));
    for text in ["", "DPoP", "mtls dpop", "dpop,mtls"] {
        let error = refusal(&format!("@id(\"a\") @token(\"{text}\") permit {SIGN};"));
        assert!(error.contains("\"dpop mtls\""), "{error}");
    }
}

#[test]
fn a_deny_demands_nothing() {
    let policy = load(&format!(
        "@id(\"two\") @approvals(\"2\") permit {SIGN}; @id(\"no\") forbid {SIGN};"
    ));
    assert_eq!(demands(&policy), None);
}

#[test]
fn an_annotation_without_a_meaning_is_refused_with_policy_line_and_the_known_ones() {
    let beyond = format!("@approvals(\"{}\")", APPROVALS_MAX + 1);
    let cases = [
        ("permit", "@aprovals(\"2\")", "@aprovals is not known"),
        ("forbid", "@doc(\"why\")", "@doc is not known"),
        ("permit", "@approvals", "from 1 to 16"),
        ("permit", "@approvals(\"0\")", "from 1 to 16"),
        ("permit", "@approvals(\"-1\")", "from 1 to 16"),
        ("permit", "@approvals(\"+2\")", "from 1 to 16"),
        ("permit", "@approvals(\"02\")", "from 1 to 16"),
        ("permit", "@approvals(\"two\")", "from 1 to 16"),
        ("permit", &beyond, "from 1 to 16"),
        ("permit", "@once", "@once(\"subject\")"),
        ("permit", "@once(\"subjects\")", "@once(\"subject\")"),
        ("forbid", "@approvals(\"2\")", "stands on a forbid"),
        ("forbid", "@once(\"subject\")", "stands on a forbid"),
        ("forbid", "@token(\"dpop\")", "stands on a forbid"),
    ];
    for (effect, annotation, part) in cases {
        let error = refusal(&format!("\n\n@id(\"odd\") {annotation} {effect} {SIGN};"));
        assert!(
            error.starts_with("line 3: policy \"odd\": ") && error.contains(part),
            "{annotation}: {error}"
        );
    }
}
