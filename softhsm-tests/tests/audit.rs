//! Reading the log: everybody their own requests, auditors their tenant, nobody another one's.
#![allow(clippy::unwrap_used)]

mod support;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::record::Event;
use sealwright_core::tlog::TlogProof;
use sealwright_softhsm_tests::site::pki::{Authority, Leaf};
use sealwright_softhsm_tests::site::{CI, OTHER, Site, TokenSpec, sha256_hex, statement};
use serde_json::Value;
use support::{all_records, proved, proved_by, text};

const AUDITOR: &str = "spiffe://sealwright.test/auditor";
const STRANGER: &str = "spiffe://partner.test/auditor";

/// The site, and the authority of its second domain.
fn sites() -> (Site, Authority) {
    let more = format!(
        "[[principal]]\nid = '{AUDITOR}'\nroles = ['auditor']\n\
         [[domain]]\nname = 'partner'\nca = 'tls/partner.pem'\ntenant = 'partner'\n\
         [[principal]]\nid = '{STRANGER}'\ndomain = 'partner'\nroles = ['auditor']\n"
    );
    let partner = Authority::new("the partner's CA");
    let site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release").key("second"))
        .config(&more)
        .file("tls/partner.pem", &partner.pem())
        .start();
    (site, partner)
}

fn site() -> Site {
    sites().0
}

#[test]
fn a_client_reads_and_proves_its_own_requests_and_no_others() {
    let site = site();
    let mine = site
        .client()
        .sign("key=release", &statement("a"))
        .ok()
        .record()
        .unwrap();
    let theirs = site
        .caller_of(OTHER)
        .sign("key=release", &statement("b"))
        .ok()
        .record()
        .unwrap();
    let client = site.client();
    client.get(&format!("/v1/audit/records/{mine}")).ok();
    proved(&client, mine);
    for target in ["audit/records", "log/proof"] {
        assert_eq!(
            client.get(&format!("/v1/{target}/{theirs}")).code(),
            "unknown_record"
        );
        assert_eq!(
            client.get(&format!("/v1/{target}/0")).code(),
            "unknown_record"
        );
    }
    assert_eq!(client.get("/v1/audit/records").code(), "denied");
    assert_eq!(client.get("/v1/log/tile/0/000.p/1").code(), "denied");
}

#[test]
fn an_auditor_finds_records_by_what_they_are_about() {
    let site = site();
    let a = site
        .client()
        .sign("key=release", &statement("a"))
        .ok()
        .record()
        .unwrap();
    let b = site
        .caller_of(OTHER)
        .sign("key=second", &statement("b"))
        .ok()
        .record()
        .unwrap();
    let c = site
        .client()
        .sign("key=missing", &statement("c"))
        .record()
        .unwrap();
    let auditor = site.caller_of(AUDITOR);
    site.wait_for_index();
    let find = |query: &str| -> Vec<u64> {
        let page = auditor
            .get(&format!("/v1/audit/records?kind=sign&{query}"))
            .ok()
            .json();
        let records = page["records"].as_array().unwrap().clone();
        records
            .iter()
            .map(|view: &Value| view["index"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(find(""), [a, b, c]);
    assert_eq!(find("key=release"), [a]);
    assert_eq!(find(&format!("principal={CI}")), [a, c]);
    assert_eq!(find("outcome=denied"), [c]);
    assert_eq!(find(&format!("subject=sha256:{}", sha256_hex(b"b"))), [b]);
    assert_eq!(find(&format!("principal={CI}&outcome=signed")), [a]);
    assert_eq!(find(&format!("from={b}")), [b, c]);
    assert_eq!(find("limit=1"), [a]);
    assert_eq!(
        auditor.get("/v1/audit/records?colour=blue").code(),
        "invalid_request"
    );
    assert_eq!(
        auditor.sign("key=release", &statement("x")).code(),
        "denied"
    );
}

#[test]
fn a_signature_can_come_with_the_proof_of_its_record() {
    let site = site();
    let client = site.client();
    for query in ["key=release", "key=release&format=bundle"] {
        let answer = client
            .sign(&format!("{query}&proof=wait"), &statement("a"))
            .ok();
        let proved = answer.json();
        let plain = proved["signed"].to_string();
        let is_bundle = proved["signed"]["mediaType"].is_string();
        assert_eq!(is_bundle, query.ends_with("bundle"), "{plain}");
        let proof: TlogProof = proved["proof"].as_str().unwrap().parse().unwrap();
        assert_eq!(Some(proof.index), answer.record());
        let record = proved_by(&client, &proof);
        let Event::Sign(record) = record.event else {
            panic!("{record:?}")
        };
        let envelope = if is_bundle {
            proved["signed"]["dsseEnvelope"].clone()
        } else {
            proved["signed"].clone()
        };
        assert_eq!(record.payload_sha256.unwrap(), payload_digest(&envelope));
    }
    let wrong = client.sign("key=release&proof=soon", &statement("a"));
    assert_eq!(wrong.code(), "invalid_request");
}

fn payload_digest(envelope: &Value) -> Sha256Digest {
    let payload = envelope["payload"].as_str().unwrap();
    Sha256Digest::of(&[&STANDARD.decode(payload).unwrap()])
}

#[test]
fn the_whole_log_is_there_and_each_leaf_commits_to_its_record() {
    let site = site();
    for n in 0..5 {
        site.client()
            .sign("key=release", &statement(&n.to_string()))
            .ok();
    }
    let records = all_records(&site);
    let kinds: Vec<&str> = records
        .iter()
        .map(|(_, record)| text(record, "kind"))
        .collect();
    assert_eq!(kinds[..2], ["genesis", "daemon.started"]);
    assert_eq!(kinds.iter().filter(|kind| **kind == "sign").count(), 5);
    assert!(
        records
            .windows(2)
            .all(|pair| text(&pair[0].1, "time") <= text(&pair[1].1, "time"))
    );
}

#[test]
fn another_tenants_auditor_sees_none_of_it() {
    let (site, partner) = sites();
    let index = site
        .client()
        .sign("key=release", &statement("a"))
        .ok()
        .record()
        .unwrap();
    let stranger = site.caller(Some(&partner.client(&Leaf::uri(STRANGER))));
    let page = stranger.get("/v1/audit/records?kind=sign").ok().json();
    assert_eq!(page["records"], serde_json::json!([]));
    assert_eq!(
        stranger.get(&format!("/v1/audit/records/{index}")).code(),
        "unknown_record"
    );
    assert_eq!(
        stranger.get("/v1/keys/default/release").code(),
        "unknown_key"
    );
    let page = stranger
        .get("/v1/audit/records?kind=key.enrolled")
        .ok()
        .json();
    assert_eq!(page["records"], serde_json::json!([]));
}
