//! `docs/api/openapi.json` says what the daemon does: same endpoints, same error codes.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use sealwright_core::error::Code;
use sealwrightd::api::ROUTES;
use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("../../docs/api/openapi.json");

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

#[test]
fn nothing_stands_twice_in_the_document() {
    // Readers disagree about which of two members counts.
    sealwright_core::json::check(DOCUMENT.as_bytes()).unwrap();
}

#[test]
fn the_document_lists_the_endpoints_that_are_served_and_no_others() {
    let mut documented = BTreeSet::new();
    for (path, item) in document()["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            documented.insert((method.to_uppercase(), path.clone()));
        }
    }
    let served: BTreeSet<_> = ROUTES
        .iter()
        .map(|(method, path)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(documented, served);
}

#[test]
fn the_document_lists_every_error_code_with_its_status_and_title() {
    let document = document();
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(
        document["components"]["schemas"]["Code"]["enum"],
        json!(codes)
    );
    for code in Code::ALL {
        let expected = json!({"status": code.status(), "title": code.title()});
        assert_eq!(document["x-errors"][code.as_str()], expected, "{code}");
    }
    assert_eq!(
        document["x-errors"].as_object().unwrap().len(),
        Code::ALL.len()
    );
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    fn check(document: &Value, value: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    let target = document.pointer(reference.trim_start_matches('#'));
                    assert!(target.is_some(), "{reference}");
                }
                members.values().for_each(|member| check(document, member));
            }
            Value::Array(items) => items.iter().for_each(|item| check(document, item)),
            _ => {}
        }
    }
    let document = document();
    check(&document, &document);
}
