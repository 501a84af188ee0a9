//! Receipts from end to end: signed by a SoftHSM key, recorded, proved, read, and kept apart by role and tenant.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use sealwright_core::dsse::{Envelope, Options};
use sealwright_core::receipt::{ReceiptId, Relation};
use sealwright_core::record::Event;
use sealwright_core::tlog::TlogProof;
use sealwright_receipts::Receipt;
use sealwright_receipts::chain::Chain;
use sealwright_softhsm_tests::site::http::{Client, Request, Response};
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{SOON, Site, TokenSpec, sha256_hex};
use serde_json::{Value, json};
use support::{assert_denied, proved_by, refusals, text, trusted};

const BASE: &str = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N";
const ENGINEER: &str = "spiffe://site/engineer";
const ANALYST: &str = "spiffe://site/analyst";
const ADMIN: &str = "spiffe://site/admin";
const VIEWER: &str = "spiffe://site/viewer";
const STRANGER: &str = "spiffe://site/stranger";

fn principals() -> String {
    let mut text = format!(
        "[[principal]]\nid = '{STRANGER}'\nroles = ['client', 'viewer', 'security-engineer']\ntenant = 'acme'\n"
    );
    for (id, role) in [
        (ENGINEER, "security-engineer"),
        (ANALYST, "soc-analyst"),
        (ADMIN, "customer-admin"),
        (VIEWER, "viewer"),
    ] {
        text += &format!("[[principal]]\nid = '{id}'\nroles = ['{role}']\n");
    }
    text
}

fn site() -> Site {
    Site::builder()
        .config(&principals())
        .token(TokenSpec::softhsm("hsm").key("receipts"))
        .start()
}

fn generic(subject: &str) -> Value {
    json!({"type": "generic/1", "subject": subject, "inputs": {"n": 7.50}})
}

fn cvss(vector: &str, amends: Option<&str>) -> Value {
    let mut request =
        json!({"type": "cvss-v4.0/1", "subject": "CVE-2026-1", "inputs": {"vector": vector}});
    if let Some(id) = amends {
        request["amendsReceiptId"] = id.into();
    }
    request
}

fn issue(client: &Client, request: &Value) -> Response {
    client.post("/v1/receipts?key=receipts", request)
}

fn id_of(answer: &Response) -> String {
    answer.header("sealwright-receipt").unwrap().to_owned()
}

/// The receipt in an envelope that the site's key signed.
fn receipt(site: &Site, envelope: &[u8]) -> Receipt {
    let key = trusted(site, "receipts");
    let payload = Envelope::parse(envelope)
        .unwrap()
        .verify(&[key], 1, Options::default());
    Receipt::read(&payload.unwrap().payload).unwrap()
}

#[test]
fn a_receipt_is_signed_recorded_proved_and_read_again() {
    let site = site();
    let client = site.client();
    let answer = issue(&client, &generic("build 7")).ok();
    let receipt = receipt(&site, &answer.body);
    assert_eq!(id_of(&answer), receipt.id.to_string());
    assert_eq!(receipt.subject, "build 7");

    let record = site.record(answer.record().unwrap());
    assert_eq!(text(&record, "outcome"), "signed");
    assert_eq!(text(&record, "payload_sha256"), receipt.id.0.to_string());
    assert_eq!(
        text(&record["subjects"][0]["digest"], "sha256"),
        receipt.inputs_hash.to_string()
    );
    assert_eq!(text(&record["receipt"], "type"), "generic/1");

    let shown = client
        .get(&format!("/v1/receipts/{}?wait=true", receipt.id))
        .ok()
        .json();
    assert_eq!(shown["envelope"], answer.json());
    let proof: TlogProof = text(&shown, "proof").parse().unwrap();
    let Event::Sign(sign) = proved_by(&client, &proof).event else {
        panic!("not a signature")
    };
    assert_eq!(
        sign.envelope_sha256.unwrap().to_string(),
        sha256_hex(&answer.body)
    );
    // With the statement that was kept, the record alone gives the envelope.
    let signature = sign.receipt.unwrap().signature.unwrap();
    assert_eq!(signature, text(&answer.json()["signatures"][0], "sig"));
}

#[test]
fn a_chain_has_a_history_and_one_current_receipt_at_every_time() {
    let site = site();
    let (engineer, analyst) = (site.caller_of(ENGINEER), site.caller_of(ANALYST));
    let first = id_of(&issue(&engineer, &cvss(BASE, None)).ok());
    let amended = format!("{BASE}/E:U");
    let second = issue(&analyst, &cvss(&amended, Some(&first))).ok();
    let viewer = site.caller_of(VIEWER);
    let history = viewer
        .get(&format!("/v1/receipts/{first}/history"))
        .ok()
        .json();
    let links = history["receipts"].as_array().unwrap();
    assert_eq!(links.len(), 2);
    assert_eq!(text(&links[0], "followed_by"), id_of(&second));
    assert_eq!(
        text(&links[1]["follows"], "relation"),
        Relation::Amends.as_str()
    );

    let about = "/v1/receipts?type=cvss-v4.0/1&subject=CVE-2026-1";
    let now = viewer.get(about).ok().json();
    assert_eq!(text(&now, "receipt_id"), id_of(&second));
    let before = text(&links[0], "issued_at");
    let then = viewer.get(&format!("{about}&at={before}")).ok().json();
    assert_eq!(text(&then, "receipt_id"), first);
    assert_eq!(
        viewer
            .get(&format!("{about}&at=2020-01-01T00:00:00Z"))
            .code(),
        "unknown_receipt"
    );

    let envelopes = links.iter().map(|link| {
        let shown = viewer
            .get(&format!("/v1/receipts/{}", text(link, "receipt_id")))
            .ok();
        receipt(&site, shown.json()["envelope"].to_string().as_bytes())
    });
    let chain = Chain::of(envelopes.collect()).unwrap();
    assert_eq!(chain.receipts().len(), 2);
}

#[test]
fn each_role_changes_its_own_metrics_and_a_denial_is_recorded() {
    let site = site();
    let caller = |id| site.caller_of(id);
    for id in [ANALYST, ADMIN, VIEWER] {
        let answer = issue(&caller(id), &cvss(BASE, None));
        assert_denied(&site, &answer, "denied");
    }
    let first = id_of(&issue(&caller(ENGINEER), &cvss(BASE, None)).ok());
    let threat = cvss(&format!("{BASE}/E:P"), Some(&first));
    for id in [ENGINEER, ADMIN] {
        assert_denied(&site, &issue(&caller(id), &threat), "denied");
    }
    let second = id_of(&issue(&caller(ANALYST), &threat).ok());
    let environment = cvss(&format!("{BASE}/E:P/CR:L"), Some(&second));
    assert_denied(&site, &issue(&caller(ANALYST), &environment), "denied");
    let third = id_of(&issue(&caller(ADMIN), &environment).ok());
    // The analyst may not take the administrator's metrics back either.
    let back = cvss(&format!("{BASE}/E:P"), Some(&third));
    assert_denied(&site, &issue(&caller(ANALYST), &back), "denied");
    assert_denied(&site, &issue(&site.client(), &back), "denied");
}

#[test]
fn another_tenant_gets_the_same_answer_for_a_receipt_that_is_not_its_own_and_one_that_is_not() {
    let site = site();
    let id = id_of(&issue(&site.client(), &generic("a")).ok());
    let none = ReceiptId(sha256_hex(b"none").parse().unwrap()).to_string();
    let stranger = site.caller_of(STRANGER);
    let said = |path: &str, id: &str| {
        let answer = stranger.get(&format!("/v1/receipts/{id}{path}"));
        assert_eq!(answer.code(), "unknown_receipt");
        let mut problem = answer.json();
        problem["request_id"] = Value::Null;
        problem.to_string().replace(id, "ID")
    };
    for path in ["", "/history"] {
        assert_eq!(said(path, &id), said(path, &none));
    }
    let about = stranger.get("/v1/receipts?type=generic/1&subject=a");
    assert_eq!(about.code(), "unknown_receipt");
    // Nor can it sign with a key of the other tenant, whatever it would follow.
    let answer = stranger.post("/v1/receipts?key=default/receipts", &generic("a"));
    assert_eq!(answer.code(), "denied");
}

#[test]
fn every_bad_request_is_refused_with_its_code_before_a_key_is_used() {
    let site = Site::builder()
        .config(&principals())
        .token(TokenSpec::scripted("soft").key("release"))
        .start();
    let post = |body: &[u8]| Request::new("POST", "/v1/receipts?key=release").body(body.to_vec());
    let generic = |inputs: &str| {
        let text = format!("{{\"type\":\"generic/1\",\"subject\":\"s\",\"inputs\":{inputs}}}");
        post(text.as_bytes())
    };
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let large = format!("\"{}\"", "x".repeat(10 << 20));
    let unknown = format!("sha256:{}", sha256_hex(b"none"));
    let follows =
        json!({"type": "generic/1", "subject": "s", "inputs": {}, "supersedesReceiptId": unknown});
    let cases = [
        (generic("{\"n\":NaN}"), "not_a_number"),
        (generic("{\"n\":1e400}"), "number_out_of_range"),
        (generic("{\"n\":9007199254740993}"), "number_out_of_range"),
        (generic("{\"s\":\"\\ud800\"}"), "lone_surrogate"),
        (generic("{\"a\":1,\"a\":1}"), "duplicate_key"),
        (generic(&deep), "nested_too_deeply"),
        (generic(&large), "payload_too_large"),
        (generic("{"), "invalid_json"),
        (generic("7"), "invalid_receipt"),
        (post(follows.to_string().as_bytes()), "unknown_receipt"),
        (
            post(cvss("CVSS:4.0/AC:L/AV:N", None).to_string().as_bytes()),
            "cvss_metric_order",
        ),
        (
            post(cvss("CVSS:4.0/AV:n", None).to_string().as_bytes()),
            "cvss_case",
        ),
        (
            post(cvss("CVSS:4.0/AV:N/XX:N", None).to_string().as_bytes()),
            "cvss_unknown_metric",
        ),
        (
            post(cvss("CVSS:4.0/AV:N", None).to_string().as_bytes()),
            "cvss_metric_missing",
        ),
    ];
    let requests: Vec<Request> = cases.iter().map(|(request, _)| request.clone()).collect();
    let answers = refusals(&site, &requests);
    for (answer, (_, code)) in answers.iter().zip(&cases) {
        assert_denied(&site, answer, code);
    }
}

#[test]
fn a_second_receipt_about_the_same_or_a_second_successor_is_refused() {
    let site = site();
    let client = site.client();
    let first = id_of(&issue(&client, &generic("a")).ok());
    let again = issue(&client, &generic("a"));
    assert_denied(&site, &again, "receipt_exists");
    assert!(again.text().contains(&first), "{}", again.text());
    let mut successor = generic("a");
    successor["supersedesReceiptId"] = first.clone().into();
    issue(&client, &successor).ok();
    assert_denied(&site, &issue(&client, &successor), "receipt_followed");
    let mut other = generic("b");
    other["supersedesReceiptId"] = first.into();
    assert_denied(&site, &issue(&client, &other), "receipt_other_subject");
}

#[test]
fn two_successors_at_the_same_time_leave_one() {
    let site = site();
    let client = site.client();
    let first = id_of(&issue(&client, &generic("a")).ok());
    let mut successor = generic("a");
    successor["supersedesReceiptId"] = first.into();
    let answers: Vec<Response> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let mut request = successor.clone();
                request["inputs"]["n"] = n.into();
                let client = &client;
                scope.spawn(move || issue(client, &request))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let (good, bad): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((good.len(), bad.len()), (1, 7));
    bad.iter()
        .for_each(|answer| assert_eq!(answer.code(), "receipt_followed"));
}

#[test]
fn an_envelope_that_was_not_kept_is_put_together_from_its_record_after_a_restart() {
    let mut site = site();
    let answer = issue(&site.client(), &generic("a")).ok();
    let id = id_of(&answer);
    let folder = site.state_dir().join("receipts/default");
    let kept = folder.join(format!("{}.dsse.json", id.trim_start_matches("sha256:")));
    assert_eq!(fs::read(&kept).unwrap(), answer.body);
    site.kill_daemon();
    fs::write(&kept, b"").unwrap();
    site.start_daemon();
    let shown = wait_for("the index", SOON, || {
        let shown = site.client().get(&format!("/v1/receipts/{id}"));
        (shown.status == 200).then_some(shown)
    });
    assert_eq!(shown.json()["envelope"], answer.json());
    assert_eq!(fs::read(&kept).unwrap(), answer.body);
}

#[test]
fn a_statement_on_disk_that_was_changed_is_not_given_out_and_is_counted() {
    let mut site = site();
    let answer = issue(&site.client(), &generic("a")).ok();
    let id = id_of(&answer);
    let digest = id.trim_start_matches("sha256:").to_owned();
    let folder = site.state_dir().join("receipts/default");
    site.stop_daemon();
    fs::remove_file(folder.join(format!("{digest}.dsse.json"))).unwrap();
    fs::write(folder.join(format!("{digest}.json")), b"{}").unwrap();
    site.start_daemon();
    site.wait_for_index();
    assert_eq!(
        site.client().get(&format!("/v1/receipts/{id}")).code(),
        "internal"
    );
    assert!(site.metric("cvss_hash_mismatch_total") >= 1.0);
}

#[test]
fn a_client_cannot_have_a_receipts_statement_signed_by_itself() {
    let site = site();
    let client = site.client();
    let answer = issue(&client, &generic("a")).ok();
    let statement = Envelope::parse(&answer.body)
        .unwrap()
        .pae()
        .payload
        .to_vec();
    let refused = client.sign("key=receipts", &statement);
    assert_denied(&site, &refused, "unsupported_predicate_type");
}
