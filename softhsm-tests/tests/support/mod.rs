//! What a relying party does: verify envelopes and log proofs with nothing but public keys.
#![allow(clippy::unwrap_used, dead_code)] // each test file uses its part

pub mod tokens;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_core::dsse::{Envelope, Options, TrustedKey, VerifiedPayload};
use sealwright_core::record::{Leaf, Record, SALT_LEN};
use sealwright_core::spki::Spki;
use sealwright_core::tlog::merkle::leaf_hash;
use sealwright_core::tlog::{Policy, TlogProof, VerifierKey};
use sealwright_softhsm_tests::site::http::{Client, Request, Response};
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{SOON, Site, sha256_hex, statement};
use serde_json::Value;
use serde_json::value::RawValue;

/// The public key of an enrolled key.
pub fn trusted(site: &Site, label: &str) -> TrustedKey {
    let list = site
        .client()
        .get(&format!("/v1/keys/default/{label}"))
        .ok()
        .json();
    let pem = list["keys"][0]["public_key_pem"]
        .as_str()
        .unwrap()
        .to_owned();
    TrustedKey::with_default_scheme(Spki::from_pem(&pem).unwrap()).unwrap()
}

/// Verifies an answer's envelope under all of `labels`.
pub fn verified(site: &Site, labels: &[&str], answer: &Response) -> VerifiedPayload {
    let trusted: Vec<_> = labels.iter().map(|label| trusted(site, label)).collect();
    let envelope = Envelope::parse(&answer.body).unwrap();
    envelope
        .verify(&trusted, labels.len(), Options::default())
        .unwrap()
}

/// Asks key `release`, which is `key`, for one signature; what the record says. The answer says the same, and a signature
/// verifies.
pub fn accounted_for(site: &Site, key: &TrustedKey, number: u32, timeout_ms: u32) -> String {
    let payload = statement(&format!("s{number}"));
    let query = format!("key=release&timeout_ms={timeout_ms}");
    let answer = site.client().sign(&query, &payload);
    let record = site.record(answer.record().unwrap());
    if answer.status == 200 {
        let envelope = Envelope::parse(&answer.body).unwrap();
        let verified = envelope.verify(std::slice::from_ref(key), 1, Options::default());
        assert_eq!(verified.unwrap().payload, payload);
        assert_eq!(text(&record, "outcome"), "signed");
        return "signed".to_owned();
    }
    assert_eq!(text(&record, "code"), answer.code());
    assert_ne!(text(&record, "outcome"), "signed");
    answer.code()
}

/// SHA-256 (hex) of each signature in an answer's envelope.
pub fn signature_hashes(answer: &Response) -> Vec<String> {
    let envelope = Envelope::parse(&answer.body).unwrap();
    envelope
        .signatures()
        .iter()
        .map(|s| sha256_hex(s.sig.as_ref().unwrap()))
        .collect()
}

/// The log's verifier key.
pub fn log_key(client: &Client) -> VerifierKey {
    client
        .get("/v1/log/key")
        .ok()
        .text()
        .trim()
        .parse()
        .unwrap()
}

/// Fetches the proof of record `index`, verifies it offline, and returns the record it carries.
pub fn proved(client: &Client, index: u64) -> Record {
    let answer = wait_for("the index", SOON, || {
        let answer = client.get(&format!("/v1/log/proof/{index}?wait=true"));
        (answer.status == 200 || answer.code() != "index_rebuilding").then_some(answer)
    });
    let proof: TlogProof = answer.ok().text().parse().unwrap();
    assert_eq!(proof.index, index);
    proved_by(client, &proof)
}

/// Verifies a proof offline and returns the record it carries.
pub fn proved_by(client: &Client, proof: &TlogProof) -> Record {
    let extra = proof.extra.clone().unwrap();
    let (salt, body) = extra.split_first_chunk::<SALT_LEN>().unwrap();
    let record: Record = serde_json::from_slice(body).unwrap();
    let leaf = Leaf::new(record.seq, record.time, record.event.kind(), salt, body);
    let verified = proof
        .verify(
            &leaf_hash(&leaf.to_bytes()),
            &Policy::of_log(log_key(client)),
        )
        .unwrap();
    assert_eq!(verified.index, record.seq);
    record
}

/// A string member.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} is missing in {value}"))
}

/// Runs `requests` while a scripted token would die if one of its keys were used, and shows that none was.
pub fn without_using_a_key<T>(site: &Site, token: &str, requests: impl FnOnce() -> T) -> T {
    let token = site.token(token);
    token.fault("crash-before-sign");
    let before = token.driver_pid();
    assert!(before.is_some(), "no driver runs");
    let result = requests();
    assert_eq!(token.driver_pid(), before, "a key was used");
    token.fault("none");
    result
}

/// A refusal with `code`, whose record says the same with outcome `denied`.
pub fn assert_denied(site: &Site, answer: &Response, code: &str) {
    assert_refused(site, answer, code, "denied");
}

/// A refusal with `code`, whose record says the same with `outcome` and holds no signature.
pub fn assert_refused(site: &Site, answer: &Response, code: &str, outcome: &str) {
    assert_eq!(answer.code(), code, "{}", answer.text());
    let record = site.record(answer.record().expect("a record"));
    assert_eq!(
        (text(&record, "code"), text(&record, "outcome")),
        (code, outcome),
        "{record}"
    );
    assert_eq!(
        record["request_id"].as_str(),
        answer.header("sealwright-request-id")
    );
    assert_eq!(record.get("signature_sha256"), None, "{record}");
    assert_eq!(record.get("envelope_sha256"), None, "{record}");
}

/// Waits until a token's driver has `n` requests.
pub fn wait_in_flight(site: &Site, token: &str, n: u64) {
    wait_for(&format!("{n} requests at token {token}"), SOON, || {
        (site.token_status(token)["in_flight"] == n).then_some(())
    });
}

/// Whether a token is marked suspect.
pub fn is_suspect(site: &Site, token: &str) -> bool {
    site.token_status(token)["suspect"].as_bool().unwrap()
}

#[derive(serde::Deserialize)]
struct Page {
    records: Vec<View>,
    next: Option<u64>,
}

#[derive(serde::Deserialize)]
struct View {
    index: u64,
    leaf: String,
    salt: String,
    record: Box<RawValue>,
}

/// The whole log, oldest first: each leaf with the record that it commits to.
pub fn all_records(site: &Site) -> Vec<(String, Value)> {
    site.wait_for_index();
    let (operator, mut from, mut all) = (site.operator(), 0, Vec::new());
    loop {
        let page = operator
            .get(&format!("/v1/audit/records?limit=1000&from={from}"))
            .ok();
        let page: Page = serde_json::from_slice(&page.body).unwrap();
        for view in page.records {
            assert_eq!(view.index, all.len() as u64);
            let salt = STANDARD.decode(&view.salt).unwrap().try_into().unwrap();
            let leaf = Leaf::from_bytes(view.leaf.as_bytes()).unwrap();
            assert!(
                leaf.commits_to(&salt, view.record.get().as_bytes()),
                "record {}",
                view.index
            );
            all.push((view.leaf, serde_json::from_str(view.record.get()).unwrap()));
        }
        match page.next {
            Some(next) => from = next,
            None => return all,
        }
    }
}

/// Sends requests one by one while a used key of token `soft` would be noticed; then shows that the site signs.
pub fn refusals(site: &Site, requests: &[Request]) -> Vec<Response> {
    let client = site.client();
    let answers = without_using_a_key(site, "soft", || {
        requests
            .iter()
            .map(|request| client.send(request))
            .collect()
    });
    client.sign("key=release", &statement("after")).ok();
    answers
}
