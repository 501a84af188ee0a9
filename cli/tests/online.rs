//! Commands that talk to a daemon, against one that answers from a list.
#![allow(clippy::unwrap_used)]

mod support;

use support::daemon::{Daemon, problem};
use support::signing::Key;

fn ok(body: impl Into<String>) -> Option<(u16, String)> {
    Some((200, body.into()))
}

fn sign_flags(daemon: &Daemon) -> Vec<String> {
    let predicate = daemon.write("predicate.json", "{}");
    let app = daemon.write("app", "artifact");
    let out = daemon.join("out.json");
    let words = [
        "sign",
        "--key",
        "release",
        "--type",
        "https://example.com/x",
        "--predicate",
        &predicate,
        &app,
        "-o",
        &out,
    ];
    words.map(str::to_owned).to_vec()
}

fn sign(daemon: &Daemon, more: &[&str]) -> support::Run {
    let flags = sign_flags(daemon);
    let args: Vec<&str> = flags
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    daemon.run(&args)
}

fn header<'t>(request: &'t str, name: &str) -> Option<&'t str> {
    request
        .lines()
        .find_map(|line| {
            line.split_once(": ")
                .filter(|(n, _)| n.eq_ignore_ascii_case(name))
        })
        .map(|(_, v)| v)
}

#[test]
fn a_statement_is_sent_and_what_comes_back_is_written_with_its_proof() {
    let daemon = Daemon::start(|head, _| {
        ok(if head.starts_with("POST") {
            "{\"envelope\":1}"
        } else {
            "the proof"
        })
    });
    let proof = daemon.join("proof");
    let run = sign(&daemon, &["--proof", &proof]).expect(0);
    assert!(run.stdout.contains("record 7"), "{run:?}");
    assert_eq!(
        daemon.asked(),
        [
            "POST /v1/sign?key=release&format=bundle",
            "GET /v1/log/proof/7?wait=true"
        ]
    );
    let request = &daemon.texts()[0];
    assert_eq!(
        header(request, "content-type"),
        Some("application/vnd.in-toto+json")
    );
    // SHA-256 of "artifact", under the file's own name.
    assert!(
        request.contains("c7c5c1d70c5dec4416ab6158afd0b223ef40c29b1dc1f97ed9428b94d4cadb1c"),
        "{request}"
    );
    assert!(request.contains("\"name\":\"app\""), "{request}");
    assert_eq!(
        std::fs::read_to_string(daemon.join("out.json")).unwrap(),
        "{\"envelope\":1}"
    );
    assert_eq!(std::fs::read_to_string(proof).unwrap(), "the proof");
}

#[test]
fn a_lost_answer_is_asked_for_again_under_the_same_idempotency_key() {
    let daemon = Daemon::start(|_, number| match number {
        1 => None,
        2 => problem(409, "idempotency_in_flight"),
        3 => problem(504, "outcome_unknown"),
        _ => ok("{}"),
    });
    sign(&daemon, &[]).expect(0);
    let keys: Vec<_> = daemon
        .texts()
        .iter()
        .map(|text| header(text, "idempotency-key").unwrap().to_owned())
        .collect();
    assert_eq!(keys.len(), 4);
    assert!(
        keys.iter().all(|key| *key == keys[0] && !key.is_empty()),
        "{keys:?}"
    );
}

#[test]
fn refusals_have_their_exit_codes_and_leave_no_file() {
    let denied = Daemon::start(|_, _| problem(403, "denied"));
    let run = sign(&denied, &[]).expect(3);
    assert!(
        run.stderr.contains("Title of denied") && run.stderr.contains("request r"),
        "{run:?}"
    );
    assert!(!std::path::Path::new(&denied.join("out.json")).exists());
    let run = sign(&denied, &["--json"]).expect(3);
    let error: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(
        (&error["code"], &error["request_id"]),
        (&"denied".into(), &"r".into())
    );
    sign(
        &Daemon::start(|_, _| problem(503, "token_unavailable")),
        &[],
    )
    .expect(5);
    sign(&Daemon::start(|_, _| None), &[]).expect(4);
}

#[test]
fn a_certificate_of_another_ca_is_denied_and_a_daemon_of_another_ca_not_believed() {
    let daemon = Daemon::start(|_, _| ok("{}"));
    let status = |identity: &str, trust: &str| {
        let flags = daemon.flags(identity, trust);
        support::run(std::iter::once("status".to_owned()).chain(flags))
    };
    let refused = status("other", "tls").expect(3);
    assert!(refused.stderr.contains("other/client.pem"), "{refused:?}");
    let foreign = status("tls", "other").expect(4);
    assert!(foreign.stderr.contains("other/ca.pem"), "{foreign:?}");
    assert!(daemon.asked().is_empty());
}

/// The key that the list's token holds.
fn described() -> String {
    let spki = Key::new(1).spki();
    format!(
        "{{\"uri\":\"pkcs11:object=release\",\"spki_sha256\":\"{}\",\"keyid\":\"k\",\"public_key_pem\":\"PEM\",\
         \"schemes\":[\"ecdsa-p256-sha256\"],\"evidence\":\"claimed\",\"claims\":[[\"sensitive\",\"true\"]]}}",
        spki.sha256()
    )
}

fn version(number: u32, state: &str) -> String {
    let spki = Key::new(1).spki();
    format!(
        "{{\"key\":\"default/release#{number}\",\"state\":\"{state}\",\"token\":\"hsm\",\"uri\":\"pkcs11:object=release\",\
         \"scheme\":\"ecdsa-p256-sha256\",\"purpose\":\"dsse\",\"spki_sha256\":\"{}\",\"keyid\":\"k\",\
         \"public_key_pem\":\"PEM\\n\",\"evidence\":\"claimed\",\"exclusive\":\"no\"}}",
        spki.sha256()
    )
}

fn key_daemon() -> Daemon {
    Daemon::start(|head, _| match head {
        "POST /v1/keys/describe" | "POST /v1/keys/generate" => ok(described()),
        "GET /v1/keys/default/release" => ok(format!(
            "{{\"keys\":[{},{}]}}",
            version(1, "Deactivated"),
            version(2, "Active")
        )),
        _ => ok(version(2, "Suspended")),
    })
}

const ENROL: [&str; 6] = ["keys", "enrol", "release", "--token", "hsm", "--uri"];

fn enrol(daemon: &Daemon, more: &[&str]) -> support::Run {
    daemon.run(&[&ENROL[..], &["pkcs11:object=release"], more].concat())
}

#[test]
fn a_key_is_enrolled_only_with_its_confirmed_fingerprint() {
    let daemon = key_daemon();
    let fingerprint = Key::new(1).spki().sha256().to_string();
    let unconfirmed = enrol(&daemon, &[]).expect(2);
    assert!(unconfirmed.stderr.contains(&fingerprint), "{unconfirmed:?}");
    enrol(
        &daemon,
        &["--confirm", &Key::new(2).spki().sha256().to_string()],
    )
    .expect(1);
    assert_eq!(
        daemon.asked(),
        ["POST /v1/keys/describe", "POST /v1/keys/describe"]
    );
    enrol(&daemon, &["--confirm", &fingerprint]).expect(0);
    assert_eq!(daemon.asked().last().unwrap(), "POST /v1/keys");
    assert!(
        daemon
            .texts()
            .last()
            .unwrap()
            .contains(&format!("\"spki_sha256\":\"{fingerprint}\""))
    );
}

#[test]
fn a_generated_key_is_enrolled_only_on_request() {
    let daemon = key_daemon();
    let generate = [
        "keys",
        "generate",
        "release",
        "--token",
        "hsm",
        "--uri",
        "pkcs11:object=release",
    ];
    let made = daemon.run(&generate).expect(0);
    assert!(made.stdout.contains("keys enrol release"), "{made:?}");
    assert_eq!(daemon.asked(), ["POST /v1/keys/generate"]);
    daemon
        .run(&[&generate[..], &["--enrol", "--yes"]].concat())
        .expect(0);
    assert_eq!(
        daemon.asked()[1..],
        ["POST /v1/keys/generate", "POST /v1/keys"]
    );
}

#[test]
fn the_version_that_can_change_is_found_and_one_that_cannot_is_said() {
    let daemon = key_daemon();
    daemon
        .run(&["keys", "suspend", "release", "--reason", "why"])
        .expect(0);
    assert_eq!(daemon.asked()[1], "POST /v1/keys/default/release/2/events");
    assert!(daemon.texts()[1].ends_with("{\"event\":\"suspend\",\"reason\":\"why\"}"));
    let refused = daemon
        .run(&["keys", "resume", "release", "--reason", "why"])
        .expect(1);
    assert!(
        refused.stderr.contains("default/release#2 is Active"),
        "{refused:?}"
    );
    daemon
        .run(&["keys", "suspend", "release#2", "--reason", "why"])
        .expect(0);
    assert_eq!(
        daemon.asked().last().unwrap(),
        "POST /v1/keys/default/release/2/events"
    );
}

#[test]
fn the_public_key_of_the_signing_version_is_printed_alone() {
    let daemon = key_daemon();
    assert_eq!(
        daemon
            .run(&["keys", "show", "release", "--pem"])
            .expect(0)
            .stdout,
        "PEM\n"
    );
    let all = daemon
        .run(&["keys", "show", "release", "--json"])
        .expect(0)
        .json();
    assert_eq!(all["keys"].as_array().unwrap().len(), 2);
}

#[test]
fn records_are_listed_with_where_to_go_on_and_the_query_is_passed() {
    let daemon = Daemon::start(|_, _| {
        ok(
            "{\"records\":[{\"index\":3,\"leaf\":\"l\",\"salt\":\"s\",\"record\":{\"kind\":\"sign\",\"time\":\"T\",\
            \"outcome\":\"denied\",\"key\":\"default/release\",\"principal\":\"spiffe://x\\u001b[2J\"}}],\"next\":4,\"end\":9}",
        )
    });
    let listed = daemon
        .run(&["audit", "log", "--outcome", "denied", "--from", "3"])
        .expect(0)
        .stdout;
    assert!(
        listed.contains("denied") && listed.contains("--from 4"),
        "{listed}"
    );
    assert!(!listed.contains('\u{1b}'), "{listed:?}");
    assert_eq!(
        daemon.asked(),
        ["GET /v1/audit/records?from=3&outcome=denied"]
    );
}
