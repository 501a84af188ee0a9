//! `sealwright doctor` on files, sockets and drivers: each finding is caused once, and a host in order has none.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::net::UnixListener;

use support::host::{Host, certificate_of, set_mode};
use support::run;

#[test]
fn a_host_in_order_has_no_findings() {
    let run = Host::new().doctor(&[]).expect(0);
    assert_eq!(run.json()["findings"].as_array().unwrap().len(), 0);
}

#[test]
fn config_unreadable() {
    let host = Host::new();
    host.remove("etc/sealwright.toml");
    host.finds("config.unreadable", "sealwright.toml");
}

#[test]
fn config_invalid() {
    let host = Host::new();
    host.folder
        .write("etc/sealwright.toml", "[api]\nsocket = 3\n");
    host.finds("config.invalid", "sealwright.toml");
}

#[test]
fn config_refused_by_the_daemon_itself() {
    let host = Host::new();
    host.config("[limits]\nmax_connection = 3\n");
    host.finds("config.refused", "sealwright.toml");
}

#[test]
fn policy_unreadable() {
    let host = Host::new();
    host.remove("etc/policy.cedar");
    host.finds("policy.unreadable", "policy.cedar");
}

#[test]
fn policy_invalid() {
    let host = Host::new();
    host.folder
        .write("etc/policy.cedar", "permit (principal, action, resource);");
    host.finds("policy.invalid", "policy.cedar");
}

#[test]
fn state_no_log() {
    let host = Host::new();
    host.remove("state/journal/00000000.seg");
    host.finds("state.no-log", "state");
    host.folder.write("state/genesis.json", "{}");
    host.doctor(&[]).expect(0);
}

#[test]
fn socket_missing() {
    let host = Host::new();
    host.remove("api.sock");
    host.finds("socket.missing", "api.sock");
}

#[test]
fn socket_not_a_socket() {
    let host = Host::new();
    host.replace("api.sock");
    host.finds("socket.not-a-socket", "api.sock");
}

#[test]
fn socket_nobody_listens() {
    let host = Host::new();
    host.remove("api.sock");
    drop(UnixListener::bind(host.folder.join("api.sock")).unwrap());
    host.finds("socket.nobody-listens", "api.sock");
}

#[test]
fn certificate_unreadable() {
    let host = Host::new();
    host.replace("etc/tls/server.pem");
    host.finds("certificate.unreadable", "server.pem");
}

#[test]
fn certificate_expires_soon() {
    let host = Host::new();
    host.server_certificate("3");
    host.finds("certificate.expires-soon", "server.pem");
}

#[test]
fn certificate_wrong_name() {
    let host = Host::new();
    let tls = host.folder.join("etc/tls");
    run([
        "pki",
        "client",
        "--ca-dir",
        &tls,
        "--id",
        "spiffe://site/x",
        "--name",
        "x",
    ])
    .expect(0);
    for extension in ["pem", "key"] {
        let from = host.folder.join(&format!("etc/tls/x.{extension}"));
        std::fs::rename(
            from,
            host.folder.join(&format!("etc/tls/server.{extension}")),
        )
        .unwrap();
    }
    host.finds("certificate.wrong-name", "server.pem");
}

#[test]
fn certificate_key_mismatch() {
    let host = Host::new();
    std::fs::copy(
        host.folder.join("etc/tls/ca.key"),
        host.folder.join("etc/tls/server.key"),
    )
    .unwrap();
    host.finds("certificate.key-mismatch", "server.key");
}

#[test]
fn key_unreadable() {
    let host = Host::new();
    host.remove("etc/tls/server.key");
    host.finds("key.unreadable", "server.key");
}

#[test]
fn key_permission() {
    let host = Host::new();
    set_mode(&host.folder.join("etc/tls/server.key"), 0o644);
    host.finds("key.permission", "server.key");
}

#[test]
fn ca_unreadable() {
    let host = Host::new();
    host.remove("etc/tls/ca.pem");
    host.finds("ca.unreadable", "ca.pem");
}

#[test]
fn ca_expires_soon() {
    let host = Host::new();
    let other = host.folder.join("other");
    run(["pki", "init", "--out", &other, "--days", "2"]).expect(0);
    std::fs::copy(
        host.folder.join("other/ca.pem"),
        host.folder.join("etc/tls/ca.pem"),
    )
    .unwrap();
    host.finds("ca.expires-soon", "ca.pem");
}

#[test]
fn domain_none() {
    let host = Host::new();
    host.config("");
    let path = host.folder.join("etc/sealwright.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.split("[[domain]]").next().unwrap()).unwrap();
    host.finds("domain.none", "sealwright.toml");
}

#[test]
fn tokens_none() {
    let host = Host::new();
    host.remove("etc/tokens/hsm.toml");
    host.finds("tokens.none", "tokens");
    std::fs::remove_dir(host.folder.join("etc/tokens")).unwrap();
    host.finds("tokens.none", "tokens");
}

#[test]
fn token_config() {
    let host = Host::new();
    host.token("sesions=2\n");
    host.finds("token.config", "hsm.toml");
}

#[test]
fn token_module_missing() {
    let host = Host::new();
    host.remove("module.so");
    host.finds("token.module-missing", "module.so");
}

#[test]
fn token_credential_missing() {
    let host = Host::new();
    host.remove("pin");
    host.finds("token.credential-missing", "pin");
}

#[test]
fn token_credential_permission() {
    let host = Host::new();
    set_mode(&host.folder.join("pin"), 0o640);
    host.finds("token.credential-permission", "pin");
}

#[test]
fn token_socket_missing() {
    let host = Host::new();
    host.remove("hsm.sock");
    host.finds("token.socket-missing", "hsm.sock");
}

#[test]
fn token_socket_not_a_socket() {
    let host = Host::new();
    host.replace("hsm.sock");
    host.finds("token.socket-not-a-socket", "hsm.sock");
}

#[test]
fn token_driver_missing() {
    let host = Host::new();
    host.remove("bin/sealwright-driver-pkcs11");
    host.finds("token.driver-missing", "hsm");
    host.doctor(&["--no-drivers"]).expect(0);
}

#[test]
fn token_driver_failed() {
    let host = Host::new();
    host.driver("nonsense", 1);
    host.finds("token.driver-failed", "hsm");
}

#[test]
fn what_the_driver_reports_is_passed_on() {
    let host = Host::new();
    for (check, id) in [
        ("credential", "token.credential-refused"),
        ("token", "token.not-found"),
        ("session", "token.session"),
        ("something-new", "token.driver-reports"),
    ] {
        host.reports(check);
        host.finds(id, "hsm");
        assert!(host.doctor(&[]).stdout.contains("told by the device"));
    }
}

#[test]
fn independent_causes_are_all_found_and_told_to_people_too() {
    let host = Host::new();
    host.remove("module.so");
    host.remove("api.sock");
    let config = host.folder.join("etc/sealwright.toml");
    let run = run(["doctor", "--config", &config]).expect(1);
    assert!(
        run.stdout.contains("token.module-missing") && run.stdout.contains("socket.missing"),
        "{run:?}"
    );
    assert!(run.stderr.contains("2 findings"), "{run:?}");
}

#[test]
fn certificates_expired_and_not_yet_valid() {
    let host = Host::new();
    certificate_of(&host.folder, "etc/tls/server", -5, false);
    host.finds("certificate.expired", "server.pem");
    certificate_of(&host.folder, "etc/tls/server", 5, false);
    host.finds("certificate.not-yet-valid", "server.pem");
    let host = Host::new();
    certificate_of(&host.folder, "etc/tls/ca", -5, true);
    host.finds("ca.expired", "ca.pem");
    certificate_of(&host.folder, "etc/tls/ca", 5, true);
    host.finds("ca.not-yet-valid", "ca.pem");
}

/// Permissions stop everybody but root: as root, doctor runs as nobody.
#[test]
fn socket_permission_and_state_unreadable() {
    use std::os::unix::process::CommandExt as _;
    let host = Host::new();
    set_mode(host.folder.path().to_str().unwrap(), 0o755);
    set_mode(&host.folder.join("api.sock"), 0);
    set_mode(&host.folder.join("state"), 0);
    let (config, bin) = (
        host.folder.join("etc/sealwright.toml"),
        host.folder.join("bin"),
    );
    let mut command = support::command();
    command.args([
        "--json",
        "doctor",
        "--config",
        &config,
        "--driver-dir",
        &bin,
    ]);
    if rustix::process::getuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    set_mode(&host.folder.join("state"), 0o755);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = answer["findings"].as_array().unwrap();
    let found = |id: &str| findings.iter().any(|finding| finding["id"] == id);
    assert!(
        found("socket.permission") && found("state.unreadable"),
        "{answer}"
    );
}
