//! `sealwright doctor`: each finding is caused once, and a host in order has none.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use support::daemon::{Daemon, problem};
use support::{Folder, Run, run};

/// A host where everything is in order: certificates, policy, a log, sockets, one token with its driver.
struct Host {
    folder: Folder,
    _sockets: [UnixListener; 2],
}

const POLICY: &str = "@id(\"all\") permit (principal, action, resource);\n";

impl Host {
    fn new() -> Self {
        let folder = Folder::new();
        let tls = folder.join("etc/tls");
        run(["pki", "init", "--out", &tls]).expect(0);
        run(["pki", "server", "--ca-dir", &tls]).expect(0);
        folder.write("etc/policy.cedar", POLICY);
        folder.write("state/journal/00000000.seg", "");
        folder.write("module.so", "");
        set_mode(&folder.write("pin", "1234"), 0o600);
        let sockets =
            ["api.sock", "hsm.sock"].map(|name| UnixListener::bind(folder.join(name)).unwrap());
        let host = Self {
            folder,
            _sockets: sockets,
        };
        host.config("");
        host.token("");
        host.driver("{\"token\":\"hsm\",\"findings\":[{\"check\":\"credential\",\"ok\":true,\"detail\":\"fine\"}]}", 0);
        host
    }

    fn config(&self, more: &str) {
        let join = |name| self.folder.join(name);
        let text = format!(
            "[api]\nsocket='{}'\ncertificate='tls/server.pem'\nkey='tls/server.key'\n[state]\ndir='{}'\n\
             [[domain]]\nname='local'\nca='tls/ca.pem'\n{more}",
            join("api.sock"),
            join("state"),
        );
        self.folder.write("etc/sealwright.toml", text);
    }

    fn token(&self, more: &str) {
        let join = |name| self.folder.join(name);
        let text = format!(
            "kind='pkcs11'\nsocket='{}'\nlabel='a'\nserial='b'\nstate_dir='/s'\ncredential='{}'\n{more}[driver]\nmodule='{}'\n",
            join("hsm.sock"),
            join("pin"),
            join("module.so"),
        );
        self.folder.write("etc/tokens/hsm.toml", text);
    }

    fn driver(&self, answer: &str, code: i32) {
        let text = format!("#!/bin/sh\necho broken >&2\necho '{answer}'\nexit {code}\n");
        set_mode(
            &self.folder.write("bin/sealwright-driver-pkcs11", text),
            0o755,
        );
    }

    fn reports(&self, check: &str) {
        let finding = format!(
            "{{\"check\":\"{check}\",\"ok\":false,\"class\":\"Auth\",\"detail\":\"told by the device\"}}"
        );
        self.driver(
            &format!("{{\"token\":\"hsm\",\"findings\":[{finding}]}}"),
            1,
        );
    }

    fn replace(&self, name: &str) {
        let path = self.folder.join(name);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(path, "").unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.folder.join(name)).unwrap();
    }

    fn server_certificate(&self, days: &str) {
        self.remove("etc/tls/server.pem");
        self.remove("etc/tls/server.key");
        run([
            "pki",
            "server",
            "--ca-dir",
            &self.folder.join("etc/tls"),
            "--days",
            days,
        ])
        .expect(0);
    }

    fn doctor(&self, more: &[&str]) -> Run {
        let (config, bin) = (
            self.folder.join("etc/sealwright.toml"),
            self.folder.join("bin"),
        );
        run([
            "--json",
            "doctor",
            "--config",
            &config,
            "--driver-dir",
            &bin,
        ]
        .iter()
        .chain(more))
    }

    /// Exactly these findings, the first about `subject`.
    #[track_caller]
    fn finds(&self, id: &str, subject: &str) {
        let run = self.doctor(&[]).expect(1);
        let answer = run.json();
        let findings = answer["findings"].as_array().unwrap();
        let ids: Vec<_> = findings
            .iter()
            .map(|finding| finding["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, [id], "{answer}");
        assert!(
            findings[0]["subject"].as_str().unwrap().contains(subject),
            "{answer}"
        );
        assert!(!findings[0]["next"].as_str().unwrap().is_empty());
    }
}

fn set_mode(path: &str, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

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
fn client_settings_and_an_unreachable_daemon() {
    let host = Host::new();
    let (tls, ca) = (
        host.folder.join("etc/tls"),
        host.folder.join("etc/tls/ca.pem"),
    );
    run([
        "pki",
        "client",
        "--ca-dir",
        &tls,
        "--id",
        "spiffe://site/ci",
    ])
    .expect(0);
    let (cert, key) = (
        host.folder.join("etc/tls/client.pem"),
        host.folder.join("etc/tls/client.key"),
    );
    let ids = |args: &[&str]| {
        let answer = host.doctor(args).expect(1).json();
        answer["findings"][0]["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(ids(&["--ca", &ca]), "client.settings");
    let nowhere = host.folder.join("nowhere.sock");
    let all = [
        "--socket",
        &nowhere,
        "--cert",
        &cert,
        "--client-key",
        &key,
        "--ca",
        &ca,
    ];
    assert_eq!(ids(&all), "daemon.unreachable");
    let broken = [
        "--socket",
        &nowhere,
        "--cert",
        &cert,
        "--client-key",
        &ca,
        "--ca",
        &ca,
    ];
    assert_eq!(ids(&broken), "client.unreadable");
}

/// Ids found over a live connection, with the certificate of one CA and trust in another.
fn live(host: &Host, daemon: &Daemon, identity: &str, trust: &str) -> Vec<String> {
    let flags = daemon.flags(identity, trust);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let answer = host.doctor(&flags).json();
    let findings = answer["findings"].as_array().unwrap().clone();
    findings
        .iter()
        .map(|finding| finding["id"].as_str().unwrap().to_owned())
        .collect()
}

fn status(log: &str, token: &str) -> Option<(u16, String)> {
    let zero = "0".repeat(64);
    let body = format!(
        "{{\"version\":\"0\",\"origin\":\"o\",\"principal\":{{\"id\":\"i\",\"tenant\":\"default\",\"roles\":[]}},\
         \"log\":{{\"size\":1,\"checkpoint_size\":1,\"state\":\"{log}\"}},\"policy_digest\":\"{zero}\",\
         \"config_digest\":\"{zero}\",\"tokens\":[{{\"name\":\"hsm\",{token},\"queued\":0,\"in_flight\":0}}]}}"
    );
    Some((200, body))
}

const READY: &str = "\"state\":\"ready\",\"suspect\":false";

#[test]
fn client_wrong_ca_and_certificate_refused() {
    let (host, daemon) = (Host::new(), Daemon::start(|_, _| status("ok", READY)));
    assert_eq!(live(&host, &daemon, "tls", "tls"), Vec::<String>::new());
    assert_eq!(live(&host, &daemon, "tls", "other"), ["client.wrong-ca"]);
    let refused = live(&host, &daemon, "other", "tls");
    assert_eq!(refused, ["client.certificate-refused"]);
}

#[test]
fn client_certificate_refused_by_the_daemons_own_rules() {
    let host = Host::new();
    let daemon = Daemon::start(|_, _| problem(403, "certificate_refused"));
    assert_eq!(
        live(&host, &daemon, "tls", "tls"),
        ["client.certificate-refused"]
    );
}

#[test]
fn client_unknown_principal() {
    let (host, daemon) = (Host::new(), Daemon::start(|_, _| problem(403, "denied")));
    assert_eq!(
        live(&host, &daemon, "tls", "tls"),
        ["client.unknown-principal"]
    );
}

#[test]
fn log_refuses_work_and_token_suspect_and_out_of_service() {
    let host = Host::new();
    let full = Daemon::start(|_, _| status("log_full", READY));
    assert_eq!(live(&host, &full, "tls", "tls"), ["log.refuses-work"]);
    let suspect = Daemon::start(|_, _| status("ok", "\"state\":\"ready\",\"suspect\":true"));
    assert_eq!(live(&host, &suspect, "tls", "tls"), ["token.suspect"]);
    let gone = Daemon::start(|_, _| {
        status(
            "ok",
            "\"state\":\"out-of-service\",\"reason\":\"no such token\",\"suspect\":false",
        )
    });
    assert_eq!(live(&host, &gone, "tls", "tls"), ["token.out-of-service"]);
}

/// Writes a certificate that is valid for a day, beginning so many days from now.
fn certificate_of(folder: &Folder, stem: &str, begins_in_days: i64, is_ca: bool) {
    let mut params = rcgen::CertificateParams::new(["sealwright.localhost".to_owned()]).unwrap();
    if is_ca {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now + time::Duration::days(begins_in_days);
    params.not_after = now + time::Duration::days(begins_in_days + 1);
    let key = rcgen::KeyPair::generate().unwrap();
    folder.write(
        &format!("{stem}.pem"),
        params.self_signed(&key).unwrap().pem(),
    );
    set_mode(
        &folder.write(&format!("{stem}.key"), key.serialize_pem()),
        0o600,
    );
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

#[test]
fn client_certificate_expired() {
    let (host, daemon) = (Host::new(), Daemon::start(|_, _| status("ok", READY)));
    let folder = Folder::new();
    certificate_of(&folder, "client", -5, false);
    std::fs::copy(folder.join("client.pem"), daemon.join("tls/client.pem")).unwrap();
    assert_eq!(
        live(&host, &daemon, "tls", "tls"),
        ["client.certificate-expired"]
    );
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
