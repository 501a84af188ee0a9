//! The emergency stop: what it stops and what goes on, from the very next request, and who may pull it.
#![allow(clippy::unwrap_used)]

mod support;

use std::thread;

use sealwright_softhsm_tests::site::http::{Client, Request, Response};
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{OPERATOR, SOON, Site, TokenSpec, statement};
use serde_json::{Value, json};
use support::{assert_refused, text, verified, wait_in_flight, without_using_a_key};

/// An operator of another tenant than the site's own.
const BLUE: &str = "spiffe://sealwright.test/blue-operator";

fn site() -> Site {
    let blue = format!("[[principal]]\nid = '{BLUE}'\nroles = ['operator']\ntenant = 'blue'\n");
    Site::builder()
        .token(TokenSpec::scripted("soft").key("release").key("other"))
        .config(&blue)
        .start()
}

fn default_tenant() -> Value {
    json!("tenant:default")
}

fn freeze(client: &Client, scope: &Value) -> Response {
    let body = json!({"scope": scope, "reason": "something signs at night"});
    client.post("/v1/freeze", &body)
}

fn thaw(client: &Client, scope: &Value) -> Response {
    let body = json!({"scope": scope, "reason": "it was the backup"});
    client.post("/v1/freeze/lift", &body)
}

#[test]
fn the_very_next_request_after_a_freeze_is_refused_until_it_is_lifted() {
    let site = site();
    let (operator, mut connection) = (site.operator(), site.client().connect());
    for scope in [default_tenant(), json!("all")] {
        site.client().sign("key=release", &statement("before")).ok();
        freeze(&operator, &scope).ok();
        let request = Request::sign("key=release", &statement("a"));
        let answer = without_using_a_key(&site, "soft", || connection.send(&request).unwrap());
        assert_eq!(answer.status, 409);
        assert_refused(&site, &answer, "frozen", "denied");
        thaw(&operator, &scope).ok();
        let signed = site.client().sign("key=release", &statement("after")).ok();
        verified(&site, &["release"], &signed);
    }
    let set = &site.records("freeze.set")[0];
    assert_eq!(set["scope"], default_tenant());
    assert_eq!(text(&set["by"], "principal"), OPERATOR);
    assert_eq!(site.records("freeze.lifted")[1]["scope"], "all");
}

#[test]
fn a_signature_under_way_when_a_freeze_is_set_is_thrown_away_even_if_it_is_lifted_at_once() {
    for lifted in [false, true] {
        let site = site();
        let (soft, operator) = (site.token("soft"), site.operator());
        soft.fault("touch");
        thread::scope(|scope| {
            let client = site.client();
            let request = scope.spawn(move || client.sign("key=release", &statement("a")));
            wait_in_flight(&site, "soft", 1);
            freeze(&operator, &default_tenant()).ok();
            if lifted {
                thaw(&operator, &default_tenant()).ok();
            }
            soft.fault("none");
            soft.touch();
            let answer = request.join().unwrap();
            assert_eq!(answer.status, 409);
            assert_refused(&site, &answer, "discarded", "discarded");
        });
    }
}

#[test]
fn what_the_daemon_says_itself_is_thrown_away_when_a_freeze_was_set_and_lifted_meanwhile() {
    let site = site();
    let (soft, operator) = (site.token("soft"), site.operator());
    let next = json!({
        "key": "release", "token": "soft", "uri": "scripted:object=next", "scheme": "ecdsa-p256-sha256",
    });
    let made = operator.post("/v1/keys/generate", &next).ok().json();
    let enrol = json!({
        "key": "release", "token": "soft", "uri": made["uri"], "spki_sha256": made["spki_sha256"],
        "activate": false,
    });
    operator.post("/v1/keys", &enrol).ok();
    let calls = [
        ("/v1/keys/default/release/rotate", json!({"to": 2})),
        ("/v1/trust", json!({"signed_by": "release"})),
    ];
    for (path, body) in calls {
        soft.fault("touch");
        thread::scope(|scope| {
            let client = site.operator();
            let request = scope.spawn(move || client.post(path, &body));
            wait_in_flight(&site, "soft", 1);
            freeze(&operator, &default_tenant()).ok();
            thaw(&operator, &default_tenant()).ok();
            soft.fault("none");
            soft.touch();
            let answer = request.join().unwrap();
            assert_eq!(answer.code(), "discarded", "{path}: {answer:?}");
        });
    }
    assert!(site.records("key.rotated").is_empty());
    assert!(site.records("trust.published").is_empty());
    operator
        .post("/v1/keys/default/release/rotate", &json!({"to": 2}))
        .ok();
}

#[test]
fn while_frozen_no_key_is_made_or_taken_into_use_and_any_can_be_taken_out_of_it() {
    let site = site();
    let operator = site.operator();
    let new = |label: &str| {
        json!({
            "key": "release", "token": "soft", "uri": format!("scripted:object={label}"),
            "scheme": "ecdsa-p256-sha256",
        })
    };
    let made = operator
        .post("/v1/keys/generate", &new("second"))
        .ok()
        .json();
    let enrol = |made: &Value| {
        json!({
            "key": "release", "token": "soft", "uri": made["uri"], "spki_sha256": made["spki_sha256"],
            "activate": false,
        })
    };
    operator.post("/v1/keys", &enrol(&made)).ok();
    let third = operator
        .post("/v1/keys/generate", &new("third"))
        .ok()
        .json();
    let event = |key: &str, event: &str| {
        let body = json!({"event": event, "reason": "test"});
        operator.post(&format!("/v1/keys/default/{key}/1/events"), &body)
    };
    event("other", "suspend").ok();
    freeze(&operator, &default_tenant()).ok();
    let refused = [
        operator.post("/v1/keys/generate", &new("fourth")),
        operator.post("/v1/keys", &enrol(&third)),
        operator.post("/v1/keys/default/release/rotate", &json!({"to": 2})),
        event("other", "resume"),
    ];
    for answer in refused {
        assert_eq!((answer.status, answer.code().as_str()), (409, "frozen"));
    }
    event("release", "suspend").ok();
    event("release", "deactivate").ok();
    let stolen = json!({"reason": "stolen"});
    operator
        .post("/v1/keys/default/release/1/compromise", &stolen)
        .ok();
    assert_eq!(site.records("key.generate-intent").len(), 2);
    assert!(site.records("key.rotated").is_empty());
}

#[test]
fn a_freeze_survives_a_killed_daemon_and_shows_everywhere() {
    let mut site = site();
    let args = ["freeze", "--all", "--reason", "night", "--json"];
    let set = site.sealwright(OPERATOR, &args).ok().json();
    assert_eq!(set["frozen"], true);
    site.kill_daemon();
    site.spawn_daemon(&[]);
    wait_for("the daemon", SOON, || {
        site.monitor("/livez").ok().filter(|a| a.status == 200)
    });
    let ready = site.monitor("/readyz").unwrap();
    assert_eq!(ready.status, 503);
    assert!(
        ready.text().contains("frozen since record"),
        "{}",
        ready.text()
    );
    assert_eq!(
        site.client().sign("key=release", &statement("a")).code(),
        "frozen"
    );
    let row = "sealwright_frozen{scope=\"all\"}";
    assert!(site.metric(row) == 1.0);
    let said = site.sealwright(OPERATOR, &["status"]).ok().stdout;
    assert!(said.contains("FROZEN") && said.contains("night"), "{said}");
    // A client sees that, and not why.
    let seen = site.client().get("/v1/status").ok().json();
    assert_eq!(seen["freezes"][0]["scope"], "all");
    assert_eq!(seen["freezes"][0].get("reason"), None);
    let found = site.sealwright(OPERATOR, &["doctor", "--json"]);
    assert!(found.stdout.contains("freeze.in-force"), "{found:?}");
    let _ = site
        .sealwright(OPERATOR, &["thaw", "--all", "--reason", "day"])
        .ok();
    assert!(site.metric(row) == 0.0);
    assert_eq!(site.monitor("/readyz").unwrap().status, 200);
}

#[test]
fn a_second_freeze_and_a_lift_of_none_have_their_own_errors() {
    let site = site();
    let operator = site.operator();
    for scope in [default_tenant(), json!("all")] {
        assert_eq!(thaw(&operator, &scope).code(), "not_frozen");
        freeze(&operator, &scope).ok();
        let again = freeze(&operator, &scope);
        assert_eq!(
            (again.status, again.code().as_str()),
            (409, "already_frozen")
        );
    }
    // Each stands for itself.
    thaw(&operator, &json!("all")).ok();
    assert_eq!(
        site.client().sign("key=release", &statement("a")).code(),
        "frozen"
    );
    for bad in [json!("none"), json!("tenant:No Label"), json!(null)] {
        assert_eq!(freeze(&operator, &bad).code(), "invalid_json", "{bad}");
    }
    let neither = site.sealwright(OPERATOR, &["freeze", "--reason", "x"]);
    assert_eq!(neither.code, Some(2), "{neither:?}");
}

#[test]
fn an_operator_freezes_his_own_tenant_and_only_the_hosts_operators_everything() {
    let site = site();
    let (host, blue, client) = (site.operator(), site.caller_of(BLUE), site.client());
    let blue_tenant = json!("tenant:blue");
    for scope in [json!("all"), default_tenant()] {
        assert_eq!(freeze(&blue, &scope).code(), "denied");
        assert_eq!(freeze(&client, &scope).code(), "denied");
    }
    freeze(&blue, &blue_tenant).ok();
    client.sign("key=release", &statement("a")).ok();
    assert_eq!(client.get("/v1/status").ok().json().get("freezes"), None);
    thaw(&blue, &blue_tenant).ok();
    freeze(&host, &json!("all")).ok();
    assert_eq!(thaw(&blue, &json!("all")).code(), "denied");
}
