//! `sealwright policy check`: decisions explained offline.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Folder, Run, run};

const CONFIG: &str = "[api]\nsocket='s'\ncertificate='c'\nkey='k'\n[state]\ndir='s'\n\
    [[domain]]\nname='local'\nca='ca.pem'\n\
    [[domain]]\nname='acme'\nca='acme.pem'\ntenant='acme'\n\
    [[principal]]\nid='spiffe://site/ci'\nroles=['client']\n\
    [[principal]]\nid='spiffe://acme/ci'\nroles=['client']\ndomain='acme'\n";

const POLICY: &str = "@id(\"provenance-only\")\npermit (\n  principal in Sealwright::Role::\"client\",\n  \
    action == Sealwright::Action::\"sign\",\n  resource == Sealwright::Key::\"default/release\"\n)\n\
    when { context has predicate_type && [\"https://slsa.dev/provenance/v1\", \"urn:own\"].contains(context.predicate_type) };\n";

fn site(policy: &str) -> Folder {
    let folder = Folder::new();
    folder.write("sealwright.toml", CONFIG);
    folder.write("policy.cedar", policy);
    folder
}

fn check(folder: &Folder, words: &str) -> Run {
    let config = folder.join("sealwright.toml");
    let fixed = ["policy", "check", "--json", "--config", &config].map(str::to_owned);
    run(fixed
        .into_iter()
        .chain(words.split_whitespace().map(str::to_owned)))
}

#[test]
fn an_allowed_question_names_the_policy_and_its_text() {
    let words =
        "--principal spiffe://site/ci --action sign --key release --predicate-type slsa-provenance";
    let answer = check(&site(POLICY), words).expect(0).json();
    assert_eq!(answer["allowed"], true);
    let policy = &answer["explanation"]["determining"][0];
    assert_eq!(
        (&policy["id"], &policy["line"]),
        (&"provenance-only".into(), &1.into())
    );
    assert!(
        policy["text"]
            .as_str()
            .unwrap()
            .starts_with("@id(\"provenance-only\")\npermit")
    );
}

#[test]
fn an_allow_that_costs_something_says_what() {
    let site = site(
        "@id(\"two\") @approvals(\"2\") @once(\"subject\")\npermit (principal, action, resource);",
    );
    let words = "--principal spiffe://site/ci --action sign --key release";
    let answer = check(&site, words).expect(0).json();
    let expected = serde_json::json!({"approvals": 2, "once": true});
    assert_eq!(answer["explanation"]["demands"], expected);
    let config = site.join("sealwright.toml");
    let fixed = ["policy", "check", "--config", &config].map(str::to_owned);
    let shown = run(fixed
        .into_iter()
        .chain(words.split_whitespace().map(str::to_owned)))
    .expect(0);
    for part in ["once 2 other(s) approve", "never signed again"] {
        assert!(shown.stdout.contains(part), "{shown:?}");
    }
}

#[test]
fn what_is_not_permitted_exits_with_one() {
    let site = site(POLICY);
    for words in [
        "--principal spiffe://site/ci --action sign --key release --predicate-type cyclonedx",
        "--principal spiffe://site/ci --action sign --key other --predicate-type slsa-provenance",
        "--principal spiffe://site/ci --action manageKey --key release",
        "--principal spiffe://site/ci --action operate",
    ] {
        assert_eq!(
            check(&site, words).expect(1).json()["allowed"],
            false,
            "{words}"
        );
    }
}

#[test]
fn an_unknown_predicate_type_counts_only_where_a_permit_names_it() {
    let ask = |folder: &Folder, uri: &str| {
        check(
            folder,
            &format!(
                "--principal spiffe://site/ci --action sign --key release --predicate-type {uri}"
            ),
        )
    };
    ask(&site(POLICY), "urn:own").expect(0);
    let anything = site("@id(\"all\") permit (principal, action, resource);");
    let answer = ask(&anything, "urn:own").expect(1).json();
    assert_eq!(answer["unknown_predicate_type"], true);
    ask(&anything, "slsa-provenance").expect(0);
}

#[test]
fn a_principal_is_in_the_tenant_of_its_domain() {
    let site = site(POLICY);
    let words = "--principal spiffe://acme/ci --action sign --predicate-type slsa-provenance --key";
    check(&site, &format!("{words} release")).expect(1);
    check(&site, &format!("{words} default/release")).expect(0);
}

#[test]
fn a_policy_alone_is_checked_and_its_fault_named() {
    let folder = site("@id(\"a\") permit (principal, action, resource");
    let file = folder.join("policy.cedar");
    let refused = run(["policy", "check", "--policy", &file]).expect(1);
    assert!(
        refused.stderr.contains("policy.cedar: line 1"),
        "{refused:?}"
    );
    folder.write("policy.cedar", POLICY);
    run(["policy", "check", "--policy", &file]).expect(0);
}

#[test]
fn an_unknown_principal_and_a_missing_configuration_are_usage_errors() {
    let run = check(
        &site(POLICY),
        "--principal spiffe://site/x --action sign --key release",
    )
    .expect(2);
    assert!(run.stderr.contains("spiffe://site/x"), "{run:?}");
    check(&Folder::new(), "--principal spiffe://site/ci --action sign").expect(2);
}

const REVIEWED: &str = "@id(\"clients\") permit (principal in Sealwright::Role::\"client\", \
        action == Sealwright::Action::\"sign\", resource in Sealwright::Tenant::\"default\");\n\
    @id(\"two\") @approvals(\"2\") permit (principal, action == Sealwright::Action::\"sign\", \
        resource == Sealwright::Key::\"default/release\") when { context.peer_uid == 7 };\n\
    @id(\"not-acme\") forbid (principal in Sealwright::Tenant::\"acme\", action, \
        resource == Sealwright::Key::\"default/sealed\");\n";

/// Rows of `review`: principal, action, resource, verdict.
fn verdicts(answer: &serde_json::Value) -> Vec<[String; 4]> {
    let rows = answer["access"].as_array().unwrap().iter();
    let cell = |row: &serde_json::Value, name: &str| row[name].as_str().unwrap().to_owned();
    let names = ["principal", "action", "resource", "verdict"];
    rows.map(|row| names.map(|name| cell(row, name))).collect()
}

fn review(folder: &Folder, args: &[&str]) -> Run {
    let config = folder.join("sealwright.toml");
    let fixed = ["policy", args[0], "--config", &config];
    run(fixed.iter().chain(&args[1..]).copied())
}

#[test]
fn who_can_tells_every_principal_with_conditions_demands_and_policies() {
    let site = site(REVIEWED);
    let answer = review(&site, &["who-can", "release", "--json"])
        .expect(0)
        .json();
    let signs: Vec<_> = verdicts(&answer)
        .into_iter()
        .filter(|[_, action, ..]| action == "sign")
        .map(|[principal, _, resource, verdict]| (principal, resource, verdict))
        .collect();
    let row = |principal: &str, verdict: &str| {
        (
            principal.to_owned(),
            "default/release".to_owned(),
            verdict.to_owned(),
        )
    };
    assert_eq!(
        signs,
        [
            row("spiffe://site/ci", "conditional"),
            row("spiffe://acme/ci", "conditional")
        ]
    );
    let policies = &answer["access"][0]["policies"];
    assert_eq!(
        (&policies[0]["id"], &policies[1]["id"]),
        (&"clients".into(), &"two".into())
    );
    assert_eq!(policies[1]["demands"]["approvals"], 2);
    assert_eq!(policies[1]["conditional"], true);
    let text = review(&site, &["who-can", "release"]).expect(0).stdout;
    for part in [
        "two (if) (approvals 2)",
        "context.peer_uid == 7",
        "policy sha256:",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("manageKey"), "nobody may: {text}");
}

#[test]
fn a_review_has_each_principal_key_and_action_and_agrees_with_check() {
    let site = site(REVIEWED);
    let keys = [
        "access-review",
        "--key",
        "sealed",
        "--key",
        "acme/x",
        "--json",
    ];
    let answer = review(&site, &keys).expect(0).json();
    let all = verdicts(&answer);
    // Two principals: two keys with four actions, two tenants with five.
    assert_eq!(all.len(), 2 * (2 * 4 + 2 * 5));
    let of = |principal: &str, resource: &str| {
        let found = all.iter().find(|[who, action, what, _]| {
            who == principal && action == "sign" && what == resource
        });
        found.unwrap()[3].clone()
    };
    assert_eq!(of("spiffe://site/ci", "default/sealed"), "yes");
    assert_eq!(of("spiffe://acme/ci", "default/sealed"), "no");
    assert_eq!(of("spiffe://site/ci", "acme/x"), "no");
    let policy = std::fs::read(site.join("policy.cedar")).unwrap();
    let digest = sealwright_core::digest::Sha256Digest::of(&[&policy]);
    assert_eq!(answer["policy_sha256"], digest.to_string());
    let csv = review(&site, &["access-review", "--key", "sealed", "--csv"])
        .expect(0)
        .stdout;
    assert_eq!(csv.lines().count(), 1 + 2 * (4 + 2 * 5));
    let forbidden = "\"spiffe://acme/ci\",\"acme\",\"client\",\"\",\"sign\",\"default/sealed\",\"no\",\"clients; not not-acme\"";
    assert!(csv.contains(forbidden), "{csv}");
}

#[test]
fn the_schema_is_printed() {
    assert!(
        run(["policy", "schema"])
            .expect(0)
            .stdout
            .contains("namespace Sealwright")
    );
}
