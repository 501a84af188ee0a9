//! From a request to a receipt, and back.
#![allow(clippy::unwrap_used)]

use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::json;
use sealwright_core::name::Tenant;
use sealwright_core::receipt::{Follows, ReceiptId, Relation};
use sealwright_core::time::Timestamp;
use sealwright_receipts::chain::{BadChain, Chain};
use sealwright_receipts::cvss::{Group, Standard, Vector};
use sealwright_receipts::{
    BadReceipt, Origin, REQUEST_MAX, Receipt, ReceiptType, Request, Statement,
};
use serde_json::{Value, json};

const BASE: &str = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N";

fn cvss(inputs: Value) -> Value {
    json!({"type": "cvss-v4.0/1", "subject": "CVE-2026-1", "inputs": inputs})
}

fn generic(inputs: Value) -> Value {
    json!({"type": "generic/1", "subject": "build 7", "inputs": inputs})
}

fn read(request: &Value) -> Request {
    Request::read(request.to_string().as_bytes()).unwrap()
}

fn made_by(request: &Request, tenant: &str, millis: i64) -> Statement {
    let tenant: Tenant = tenant.parse().unwrap();
    let origin = Origin {
        tenant: &tenant,
        created_at: Timestamp::from_unix_millis(millis),
        created_by: "spiffe://site/engineer",
    };
    request.statement(&origin).unwrap()
}

fn made(request: &Value) -> Statement {
    made_by(&read(request), "default", 1_795_593_600_000)
}

fn code(request: &Value) -> Code {
    code_of(request.to_string().as_bytes())
}

fn code_of(text: &[u8]) -> Code {
    Request::read(text).unwrap_err().code()
}

#[test]
fn a_receipt_says_what_it_was_made_of_and_what_follows() {
    let statement = made(&cvss(json!({"vector": BASE, "rationale": null})));
    let json: Value = serde_json::from_slice(&statement.bytes).unwrap();
    let predicate = &json["predicate"];
    assert_eq!(
        predicate["document"],
        json!({
            "canonicalization": "jcs-rfc8785+q4", "inputs": {"vector": BASE}, "subject": "CVE-2026-1",
            "tenantId": "default", "type": "cvss-v4.0/1",
        })
    );
    assert_eq!(
        predicate["result"],
        json!({
            "score": 9.3, "severity": "Critical", "nomenclature": "CVSS-B", "macroVector": "000200",
            "vector": BASE, "source": "vector",
        })
    );
    assert_eq!(predicate["createdAt"], "2026-11-25T08:00:00Z");
    let hash = Sha256Digest::of(&[predicate["document"].to_string().as_bytes()]);
    assert_eq!(hash, statement.inputs_hash);
    assert_eq!(predicate["inputsHash"], format!("sha256:{hash}"));
    assert_eq!(
        json["subject"],
        json!([{"name": "CVE-2026-1", "digest": {"sha256": hash}}])
    );
    assert_eq!(
        statement.id,
        ReceiptId(Sha256Digest::of(&[&statement.bytes]))
    );
}

#[test]
fn milliseconds_are_written_where_there_are_some() {
    let statement = made_by(&read(&generic(json!({}))), "default", 1_795_593_600_070);
    let json: Value = serde_json::from_slice(&statement.bytes).unwrap();
    assert_eq!(json["predicate"]["createdAt"], "2026-11-25T08:00:00.070Z");
}

#[test]
fn a_statement_is_a_fixed_point_of_rfc_8785_under_the_default_rule_only() {
    let mut request = generic(json!({"n": 7.50, "deep": [{"z": 1, "a": 0.00005}]}));
    let statement = made(&request);
    assert_eq!(
        json::canonicalize(&statement.bytes).unwrap(),
        statement.bytes
    );
    request["canonicalization"] = "fixed4".into();
    let fixed = made(&request);
    assert_ne!(json::canonicalize(&fixed.bytes).unwrap(), fixed.bytes);
    assert!(String::from_utf8_lossy(&fixed.bytes).contains("\"n\":7.5000"));
    assert_ne!(statement.inputs_hash, fixed.inputs_hash);
    Receipt::read(&fixed.bytes).unwrap();
}

#[test]
fn the_hash_depends_on_tenant_rule_and_inputs_and_on_nothing_else() {
    let hash = |request: &Value, tenant: &str, at| made_by(&read(request), tenant, at).inputs_hash;
    let request = generic(json!({"a": 1, "b": "x"}));
    let first = hash(&request, "default", 1);
    assert_eq!(
        hash(
            &generic(json!({"b": "x", "a": 1.0, "c": null})),
            "default",
            2
        ),
        first
    );
    assert_ne!(hash(&request, "acme", 1), first);
    assert_ne!(
        hash(&generic(json!({"a": 1, "b": "y"})), "default", 1),
        first
    );
}

#[test]
fn a_converted_vector_carries_method_range_original_and_hash() {
    let original = "CVSS:3.1/AV:N/AC:H/PR:L/UI:R/S:C/C:H/I:H/A:N";
    let statement = made(&cvss(json!({"vectorV31": original})));
    let json: Value = serde_json::from_slice(&statement.bytes).unwrap();
    let result = &json["predicate"]["result"];
    assert_eq!(
        (&result["source"], &result["score"]),
        (&json!("converted-v3.1"), &json!(8.7))
    );
    let conversion = &result["conversion"];
    assert_eq!(conversion["range"], json!([7.2, 8.7]));
    assert_eq!(conversion["originalVector"], original);
    assert_eq!(conversion["confidence"], "low");
    let hash = Sha256Digest::of(&[json!(original).to_string().as_bytes()]);
    assert_eq!(conversion["conversionHash"], format!("sha256:{hash}"));
}

#[test]
fn each_fault_of_a_request_has_a_code_of_its_own() {
    let id = made(&generic(json!({}))).id;
    let with = |name: &str, value: Value| {
        let mut request = generic(json!({}));
        request[name] = value;
        request
    };
    let mut both = with("supersedesReceiptId", json!(id));
    both["amendsReceiptId"] = json!(id);
    for (request, expected) in [
        (
            with("canonicalization", json!("jcs")),
            Code::UnknownCanonicalization,
        ),
        (with("type", json!("generic/2")), Code::UnknownReceiptType),
        (with("subject", json!("")), Code::InvalidReceipt),
        (with("subject", json!("a\nb")), Code::InvalidReceipt),
        (
            with("subject", json!("x".repeat(513))),
            Code::InvalidReceipt,
        ),
        (with("inputs", json!([])), Code::InvalidReceipt),
        (with("score", json!(9.9)), Code::InvalidReceipt),
        (
            with("amendsReceiptId", json!("sha256:00")),
            Code::InvalidReceipt,
        ),
        (both, Code::InvalidReceipt),
        (with("inputs", json!({"n": 1e21})), Code::NumberOutOfRange),
        (cvss(json!({})), Code::InvalidReceipt),
        (
            cvss(json!({"vector": BASE, "vectorV31": "CVSS:3.1/"})),
            Code::InvalidReceipt,
        ),
        (
            cvss(json!({"vector": BASE, "score": 1})),
            Code::InvalidReceipt,
        ),
        (
            cvss(json!({"vector": BASE, "rationale": "x".repeat(4097)})),
            Code::InvalidReceipt,
        ),
        (
            cvss(json!({"vector": BASE.to_ascii_lowercase()})),
            Code::CvssMalformed,
        ),
        (
            cvss(json!({"vector": BASE.replace("AV:N", "AV:n")})),
            Code::CvssCase,
        ),
    ] {
        assert_eq!(code(&request), expected, "{request:.200}");
    }
    assert_eq!(
        code_of(b"{\"type\":\"generic/1\",\"type\":\"generic/1\"}"),
        Code::DuplicateKey
    );
    assert_eq!(code_of(b"{\"subject\":\"\\ud800\"}"), Code::LoneSurrogate);
    assert_eq!(code_of(b"{\"inputs\":{\"n\":NaN}}"), Code::NotANumber);
    const { assert!(REQUEST_MAX >= 1 << 20) };
}

#[test]
fn a_receipt_that_was_changed_is_not_believed() {
    let statement = made(&cvss(json!({"vector": BASE})));
    let text = String::from_utf8(statement.bytes.clone()).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        Receipt::read(text.replacen(from, to, 1).as_bytes()).unwrap_err()
    };
    assert!(matches!(
        changed("\"score\":9.3", "\"score\":2.3"),
        BadReceipt::Result(_)
    ));
    assert!(matches!(
        changed("\"tenantId\":\"default\"", "\"tenantId\":\"acme\""),
        BadReceipt::HashMismatch { .. }
    ));
    assert!(matches!(
        changed("\"inputsHash\":\"sha256:", "\"inputsHash\":\"sha256:00"),
        BadReceipt::HashMismatch { .. }
    ));
    assert!(matches!(
        changed(
            "{\"sha256\":\"",
            "{\"md5\":\"00000000000000000000000000000000\",\"sha512\":\""
        ),
        BadReceipt::Statement(_)
    ));
    assert!(matches!(
        changed("receipt/v1", "receipt/v2"),
        BadReceipt::Type(_)
    ));
    assert!(matches!(changed(":9.3", ":9.30"), BadReceipt::NotCanonical));
    assert!(matches!(
        changed("\"engine\":\"", "\"engines\":\""),
        BadReceipt::Receipt(_)
    ));
}

#[test]
fn what_was_signed_is_read_back() {
    let mut request = cvss(json!({"vector": format!("{BASE}/E:A")}));
    let before = made(&request).id;
    request["amendsReceiptId"] = json!(before);
    let statement = made(&request);
    let receipt = Receipt::read(&statement.bytes).unwrap();
    assert_eq!(
        (receipt.id, receipt.inputs_hash),
        (statement.id, statement.inputs_hash)
    );
    assert_eq!(receipt.receipt_type, ReceiptType::Cvss40V1);
    assert_eq!(
        (receipt.subject.as_str(), receipt.tenant.as_str()),
        ("CVE-2026-1", "default")
    );
    let follows = Follows {
        relation: Relation::Amends,
        receipt: before,
    };
    assert_eq!(receipt.follows, Some(follows));
    assert_eq!(receipt.created_by, "spiffe://site/engineer");
}

#[test]
fn a_change_touches_the_groups_in_which_it_differs() {
    let groups = |inputs: Value, before: Option<&str>| -> Vec<Group> {
        let before = before.map(|text| Vector::parse(Standard::V40, text).unwrap());
        read(&cvss(inputs))
            .metric_groups(before.as_ref())
            .into_iter()
            .collect()
    };
    let scored = json!({"vector": format!("{BASE}/E:A")});
    assert_eq!(groups(scored.clone(), None), [Group::Base, Group::Threat]);
    assert_eq!(groups(scored.clone(), Some(BASE)), [Group::Threat]);
    assert_eq!(groups(scored, Some(&format!("{BASE}/E:A"))), []);
    assert_eq!(read(&generic(json!({}))).metric_groups(None).len(), 0);
}

/// Receipts one after the other, a second apart.
fn chain(tenants: &[&str]) -> Vec<Receipt> {
    let mut receipts: Vec<Receipt> = Vec::new();
    for (number, tenant) in (0..).zip(tenants) {
        let mut request = generic(json!({"n": number}));
        if let Some(before) = receipts.last() {
            request["supersedesReceiptId"] = json!(before.id);
        }
        let statement = made_by(&read(&request), tenant, 1000 * number);
        receipts.push(Receipt::read(&statement.bytes).unwrap());
    }
    receipts
}

#[test]
fn the_current_receipt_is_the_newest_that_was_there_at_the_time() {
    let receipts = chain(&["a", "a", "a"]);
    let ids: Vec<_> = receipts.iter().map(|receipt| receipt.id).collect();
    let shuffled = vec![
        receipts[2].clone(),
        receipts[0].clone(),
        receipts[1].clone(),
    ];
    let chain = Chain::of(shuffled).unwrap();
    let current = |millis| {
        chain
            .current(Timestamp::from_unix_millis(millis))
            .map(|r| r.id)
    };
    assert_eq!(current(0), Some(ids[0]));
    assert_eq!(current(1999), Some(ids[1]));
    assert_eq!(current(99_999), Some(ids[2]));
}

#[test]
fn what_is_no_chain_is_told_by_its_fault() {
    let fault = |receipts: Vec<Receipt>| Chain::of(receipts).unwrap_err();
    let good = chain(&["a", "a", "a"]);
    let id = |n: usize| good[n].id;
    assert_eq!(fault(Vec::new()), BadChain::Empty);
    assert_eq!(
        fault(vec![good[0].clone(), good[2].clone()]),
        BadChain::Missing {
            receipt: id(2),
            missing: id(1)
        }
    );
    let follows = |n: usize| {
        Some(Follows {
            relation: Relation::Supersedes,
            receipt: id(n),
        })
    };
    let with = |n: usize, change: &dyn Fn(&mut Receipt)| {
        let mut receipts = good.clone();
        change(&mut receipts[n]);
        fault(receipts)
    };
    assert_eq!(
        with(1, &|r| r.follows = follows(1)),
        BadChain::Itself(id(1))
    );
    assert_eq!(
        with(2, &|r| r.follows = follows(0)),
        BadChain::TwoSuccessors(id(1), id(2))
    );
    assert_eq!(
        with(2, &|r| r.follows = None),
        BadChain::TwoBeginnings(id(0), id(2))
    );
    assert_eq!(with(0, &|r| r.follows = follows(2)), BadChain::Cycle);
    assert_eq!(
        fault(chain(&["a", "b"])),
        BadChain::OtherTenant(chain(&["a", "b"])[1].id)
    );
    assert_eq!(
        with(1, &|r| r.subject = "other".into()),
        BadChain::OtherSubject(id(1))
    );
    let late = Timestamp::from_unix_millis(1500);
    assert_eq!(with(0, &|r| r.created_at = late), BadChain::Older(id(1)));
}

#[test]
fn schemas_and_program_accept_the_same_inputs() {
    let vector = |text: &str| json!({"vector": text});
    for (receipt_type, inputs) in [
        (ReceiptType::Generic1, json!({})),
        (ReceiptType::Generic1, json!([])),
        (ReceiptType::Cvss40V1, vector(BASE)),
        (
            ReceiptType::Cvss40V1,
            vector(&format!("{BASE}/E:A/MSI:S/U:Amber")),
        ),
        (ReceiptType::Cvss40V1, vector(&format!("{BASE}/"))),
        (ReceiptType::Cvss40V1, vector(&format!("{BASE}/U:Red/E:A"))),
        (ReceiptType::Cvss40V1, vector(&BASE.to_ascii_lowercase())),
        (ReceiptType::Cvss40V1, json!({})),
        (ReceiptType::Cvss40V1, json!({"vector": BASE, "x": 1})),
        (
            ReceiptType::Cvss40V1,
            json!({"vectorV31": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}),
        ),
        (ReceiptType::Cvss40V1, json!({"vectorV31": 3.1})),
    ] {
        let schema: Value = serde_json::from_str(receipt_type.schema()).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let request = json!({"type": receipt_type.id(), "subject": "s", "inputs": inputs});
        let is_read = Request::read(request.to_string().as_bytes()).is_ok();
        assert_eq!(validator.is_valid(&inputs), is_read, "{request}");
    }
}
