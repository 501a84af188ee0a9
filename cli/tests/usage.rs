//! Exit codes, JSON errors, completions and manual pages.
#![allow(clippy::unwrap_used)]

mod support;

use support::{Folder, run};

#[test]
fn what_is_not_set_is_named_with_variable_and_flag() {
    let run = run(["status"]).expect(2);
    assert!(
        run.stderr.contains("SEALWRIGHT_CERT") && run.stderr.contains("--cert"),
        "{run:?}"
    );
}

#[test]
fn a_daemon_that_is_not_there_exits_with_four_and_names_the_socket() {
    let folder = Folder::new();
    let tls = folder.join("tls");
    run(["pki", "init", "--out", &tls]).expect(0);
    run([
        "pki",
        "client",
        "--ca-dir",
        &tls,
        "--id",
        "spiffe://site/ci",
    ])
    .expect(0);
    let file = |name: &str| folder.join(&format!("tls/{name}"));
    let (socket, cert, key, ca) = (
        folder.join("api.sock"),
        file("client.pem"),
        file("client.key"),
        file("ca.pem"),
    );
    let connection = [
        "--socket",
        &socket,
        "--cert",
        &cert,
        "--client-key",
        &key,
        "--ca",
        &ca,
    ];
    let run = run(["--json", "status"].iter().chain(&connection)).expect(4);
    let error: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(error["exit_code"], 4);
    assert!(
        error["error"].as_str().unwrap().contains("api.sock"),
        "{error}"
    );
}

#[test]
fn a_statement_that_cannot_be_built_never_reaches_the_daemon() {
    let folder = Folder::new();
    let predicate = folder.write("predicate.json", "{\"a\":1,\"a\":2}");
    let sign = |predicate: &str, kind: &str, subject: &str| {
        run([
            "sign",
            "--key",
            "release",
            "--type",
            kind,
            "--predicate",
            predicate,
            subject,
        ])
        .expect(2)
    };
    let digest = format!("app=sha256:{}", "0".repeat(64));
    let refused = sign(&predicate, "https://example.com/x", &digest);
    assert!(refused.stderr.contains("predicate.json"), "{refused:?}");
    let predicate = folder.write("predicate.json", "{}");
    let refused = sign(&predicate, "cyclonedx", &digest);
    assert!(refused.stderr.contains("predicate.json"), "{refused:?}");
    let refused = sign(&predicate, "https://example.com/x", "app=sha256:00");
    assert!(refused.stderr.contains("subject 0"), "{refused:?}");
    let refused = sign(&predicate, "https://example.com/x", "/nowhere/app");
    assert!(refused.stderr.contains("/nowhere/app"), "{refused:?}");
    // All of it in order: what is missing now is the connection.
    let unconnected = sign(&predicate, "https://example.com/x", &digest);
    assert!(
        unconnected.stderr.contains("SEALWRIGHT_CERT"),
        "{unconnected:?}"
    );
}

#[test]
fn raw_bytes_need_their_payload_type_and_take_no_predicate() {
    let folder = Folder::new();
    let file = folder.write("payload", "hello");
    run(["sign", "--key", "k", "--raw", &file]).expect(2);
    run([
        "sign",
        "--key",
        "k",
        "--raw",
        &file,
        "--payload-type",
        "text/plain",
        "--type",
        "spdx",
    ])
    .expect(2);
    let unconnected = run([
        "sign",
        "--key",
        "k",
        "--raw",
        &file,
        "--payload-type",
        "text/plain",
    ])
    .expect(2);
    assert!(
        unconnected.stderr.contains("SEALWRIGHT_CERT"),
        "{unconnected:?}"
    );
}

#[test]
fn every_command_has_completions_and_a_manual_page() {
    assert!(
        run(["completions", "bash"])
            .expect(0)
            .stdout
            .contains("doctor")
    );
    assert!(run(["man"]).expect(0).stdout.contains("sealwright"));
    let folder = Folder::new();
    run(["man", "--dir", &folder.join("")]).expect(0);
    for page in [
        "sealwright.1",
        "sealwright-sign.1",
        "sealwright-keys-enrol.1",
    ] {
        assert!(std::path::Path::new(&folder.join(page)).exists(), "{page}");
    }
    assert!(run(["--help"]).expect(0).stdout.contains("Exit codes"));
}
