//! `sealwright doctor` with a client certificate: the way to the daemon, and what it says of itself.
#![allow(clippy::unwrap_used)]

mod support;

use support::daemon::{Daemon, problem};
use support::host::{Host, certificate_of};
use support::{Folder, run};

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
