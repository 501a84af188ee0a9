//! Rotation and compromise: what clients, operators and verifiers see of them.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use sealwright_core::dsse::{Envelope, TrustedKey};
use sealwright_core::spki::Spki;
use sealwright_core::succession;
use sealwright_softhsm_tests::site::http::Request;
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{OPERATOR, SOON, Site, TokenSpec, statement};
use serde_json::{Value, json};
use support::text;

/// Clients that sign at the same time.
const CLIENTS: usize = 16;

fn site() -> Site {
    Site::builder()
        .token(TokenSpec::softhsm("hsm").key("release"))
        .start()
}

/// `keys rotate` to a new key of that name on the token.
fn rotate(site: &Site, successor: &str) -> Value {
    let uri = format!("pkcs11:object={successor}");
    let args = [
        "keys", "rotate", "release", "--uri", &uri, "--yes", "--reason", "yearly", "--json",
    ];
    site.sealwright(OPERATOR, &args).ok().json()
}

fn versions(site: &Site) -> Vec<(String, String)> {
    let keys = site.operator().get("/v1/keys/default/release").ok().json();
    let keys = keys["keys"].as_array().unwrap().clone();
    let pair = |key: &Value| (text(key, "key").to_owned(), text(key, "state").to_owned());
    keys.iter().map(pair).collect()
}

fn trusted(site: &Site, version: usize) -> TrustedKey {
    let keys = site.operator().get("/v1/keys/default/release").ok().json();
    let pem = text(&keys["keys"][version - 1], "public_key_pem").to_owned();
    TrustedKey::with_default_scheme(Spki::from_pem(&pem).unwrap()).unwrap()
}

#[test]
fn clients_that_sign_during_a_rotation_see_no_error() {
    let site = site();
    let (stop, signed) = (AtomicBool::new(false), AtomicUsize::new(0));
    let get_on = |more: usize| {
        let goal = signed.load(Ordering::Relaxed) + more;
        wait_for("the clients to get on", SOON, || {
            (signed.load(Ordering::Relaxed) >= goal).then_some(())
        });
    };
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (caller, stop, signed) = (site.client(), &stop, &signed);
            scope.spawn(move || {
                let mut connection = caller.connect();
                for n in 0.. {
                    let request =
                        Request::sign("key=release", &statement(&format!("{client}-{n}")));
                    connection.send(&request).unwrap().ok();
                    signed.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        get_on(50);
        for successor in ["release-2", "release-3", "release-4"] {
            rotate(&site, successor);
            get_on(50);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let states: Vec<_> = versions(&site)
        .into_iter()
        .map(|(_, state)| state)
        .collect();
    assert_eq!(
        states,
        ["Deactivated", "Deactivated", "Deactivated", "Active"]
    );
    assert_eq!(site.records("key.rotated").len(), 3);
    // What was thrown away was never released, and its request was signed by the successor.
    for record in site.records("sign") {
        let outcome = text(&record, "outcome");
        assert!(["signed", "discarded"].contains(&outcome), "{record}");
    }
}

#[test]
fn the_old_key_names_its_successor_and_the_chain_verifies_offline() {
    let site = site();
    let first = rotate(&site, "release-2");
    let second = rotate(&site, "release-3");
    assert_eq!(text(&second, "from"), "default/release#2");
    let links = [&first, &second].map(|rotated| {
        let bytes = serde_json::to_vec(&rotated["succession"]).unwrap();
        Envelope::parse(&bytes).unwrap()
    });
    let chain = succession::follow(&trusted(&site, 1), links).unwrap();
    let keys: Vec<_> = chain.iter().map(|link| link.key.clone()).collect();
    assert_eq!(keys, [trusted(&site, 2), trusted(&site, 3)]);
    let record = &site.records("key.rotated")[0];
    let recorded: Value = serde_json::from_str(text(record, "succession")).unwrap();
    assert_eq!(recorded, first["succession"]);
}

#[test]
fn a_rotation_that_was_cut_off_goes_on_where_it_was() {
    let site = site();
    let operator = site.operator();
    // The device made the key and its answer was lost: nobody knows of it but the token.
    let uri = "pkcs11:object=release-2";
    let wanted = json!({
        "key": "release", "token": "hsm", "uri": uri, "scheme": "ecdsa-p256-sha256",
    });
    let made = operator.post("/v1/keys/generate", &wanted).ok().json();
    let rotated = rotate(&site, "release-2");
    assert_eq!(rotated["to"]["spki_sha256"], made["spki_sha256"]);

    // Enrolled and not switched to.
    let wanted = json!({
        "key": "release", "token": "hsm", "uri": "pkcs11:object=release-3", "scheme": "ecdsa-p256-sha256",
    });
    let made = operator.post("/v1/keys/generate", &wanted).ok().json();
    let enrolment = json!({
        "key": "release", "token": "hsm", "uri": made["uri"], "spki_sha256": made["spki_sha256"],
        "activate": false,
    });
    operator.post("/v1/keys", &enrolment).ok();
    let uri = text(&made, "uri");
    let args = ["keys", "rotate", "release", "--uri", uri, "--yes"];
    let _ = site.sealwright(OPERATOR, &args).ok();
    let states: Vec<_> = versions(&site)
        .into_iter()
        .map(|(_, state)| state)
        .collect();
    assert_eq!(states, ["Deactivated", "Deactivated", "Active"]);
    site.client().sign("key=release", &statement("a")).ok();
}

#[test]
fn a_rotation_survives_a_restart_and_a_compromised_key_stays_compromised() {
    let mut site = site();
    rotate(&site, "release-2");
    let client = site.client();
    client.sign("key=release", &statement("a")).ok();
    let args = [
        "keys",
        "revoke",
        "release#2",
        "--reason",
        "found on a pastebin",
        "--json",
    ];
    let revoked = site.sealwright(OPERATOR, &args).ok().json();
    assert_eq!(text(&revoked, "state"), "Deactivated");
    // The very next request.
    let refused = client.sign("key=release", &statement("b"));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "key_not_active")
    );
    site.kill_daemon();
    site.start_daemon();
    assert_eq!(
        site.client().sign("key=release", &statement("c")).code(),
        "key_not_active"
    );
    for step in ["activate", "resume"] {
        let again = site.sealwright(OPERATOR, &["keys", step, "release#2", "--reason", "x"]);
        assert_eq!(again.code, Some(5), "{again:?}");
    }
    let again = site.sealwright(OPERATOR, &args);
    assert!(again.stderr.contains("already"), "{again:?}");
    let tomorrow = "2999-01-01T00:00:00.000Z";
    let future = [&args[..6], &["--effective-time", tomorrow]].concat();
    let future = site.sealwright(OPERATOR, &future);
    assert!(future.stderr.contains("in the future"), "{future:?}");
}

#[test]
fn a_rotation_to_what_is_no_successor_is_refused_by_name() {
    let site = site();
    let operator = site.operator();
    let rotate = |body: &Value| operator.post("/v1/keys/default/release/rotate", body);
    for (to, why) in [(1, "cannot succeed"), (7, "no key version")] {
        let refused = rotate(&json!({ "to": to }));
        assert_eq!(refused.code(), "invalid_request");
        let detail = refused.json();
        assert!(text(&detail, "detail").contains(why), "{detail}");
    }
    assert_eq!(
        site.client()
            .post("/v1/keys/default/release/rotate", &json!({"to": 1}))
            .code(),
        "denied"
    );
    assert_eq!(rotate(&json!({ "to": "two" })).code(), "invalid_json");
    assert!(site.records("key.rotated").is_empty());
}
