//! Rules of rotation: what is due is shown everywhere, and nothing is done about it.
#![allow(clippy::unwrap_used)]

mod support;

use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{OPERATOR, SOON, Site, TokenSpec, statement};
use serde_json::{Value, json};
use support::text;

fn site(rules: &str) -> Site {
    Site::builder()
        .token(TokenSpec::scripted("soft").key("release").key("other"))
        .config(rules)
        .start()
}

fn key(site: &Site, label: &str) -> Value {
    let keys = site.operator().get(&format!("/v1/keys/default/{label}"));
    keys.ok().json()["keys"][0].clone()
}

fn sign(site: &Site, query: &str, times: usize) {
    for n in 0..times {
        site.client().sign(query, &statement(&n.to_string())).ok();
    }
}

#[test]
fn signatures_are_counted_by_key_and_a_restart_counts_the_same() {
    let mut site = site("[[rotation]]\nkey = 'default/release'\nmax_signatures = 10\n");
    sign(&site, "key=release", 8);
    assert_eq!(key(&site, "release").get("rotation_due"), None);
    let refused = site
        .client()
        .sign("key=release&key=absent", &statement("a"));
    assert_eq!(refused.code(), "unknown_key");
    sign(&site, "key=other&key=release", 1);
    let soon = json!({"urgency": "soon", "because": "signatures"});
    assert_eq!(key(&site, "release")["rotation_due"], soon);
    site.kill_daemon();
    site.start_daemon();
    assert_eq!(key(&site, "release")["signatures"], 9);
    assert_eq!(key(&site, "other")["signatures"], 1);
    assert_eq!(key(&site, "other").get("rotation_due"), None);
    sign(&site, "key=release", 1);
    assert_eq!(key(&site, "release")["rotation_due"]["urgency"], "due");
    // Shown, not done: it goes on signing.
    sign(&site, "key=release", 1);
}

#[test]
fn what_is_due_shows_in_status_metrics_doctor_and_log() {
    let mut site = site("[[rotation]]\nkey = '*'\nbefore = 2020-02-29\n");
    let status = site.status();
    let ahead = &status["rotations"][1];
    assert_eq!(text(ahead, "key"), "default/release#1");
    let due = json!({"urgency": "due", "because": "date", "at": "2020-02-29T00:00:00.000Z"});
    assert_eq!(ahead["rotation_due"], due);
    let metric = |name: &str| site.metric(&format!("{name}{{key=\"default/release\"}}"));
    assert!(metric("sealwright_key_rotation_due") == 1.0);
    assert!(metric("sealwright_key_rotation_soon") == 0.0);
    for args in [&["status"][..], &["keys", "list"]] {
        let said = site.sealwright(OPERATOR, args).ok().stdout;
        assert!(said.contains("due since 2020-02-29"), "{said}");
    }
    let found = site.sealwright(OPERATOR, &["doctor", "--json"]);
    assert!(found.stdout.contains("key.rotation-due"), "{found:?}");
    site.kill_daemon();
    site.start_daemon();
    wait_for("the warning", SOON, || {
        let log = site.daemon_log();
        log.contains("the key is due for rotation").then_some(())
    });
    // A successor has a life of its own, and a date that is over is over for it as well.
    let args = [
        "keys",
        "rotate",
        "other",
        "--uri",
        "scripted:object=next",
        "--yes",
    ];
    let _ = site.sealwright(OPERATOR, &args).ok();
    let status = site.status();
    assert_eq!(status["rotations"].as_array().unwrap().len(), 2);
    assert_eq!(status["rotations"][0]["key"], "default/other#2");
}
