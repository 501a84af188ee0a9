//! `sealwright pki`: certificates that TLS takes, in files that others cannot read.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use sealwright_core::identity::{Identity, identity_of};
use support::{Folder, run};

fn made() -> Folder {
    let folder = Folder::new();
    let ca = folder.join("tls");
    run(["pki", "init", "--out", &ca]).expect(0);
    run(["pki", "server", "--ca-dir", &ca]).expect(0);
    run([
        "pki",
        "client",
        "--ca-dir",
        &ca,
        "--id",
        "spiffe://site/ci",
        "--name",
        "ci",
    ])
    .expect(0);
    folder
}

fn chain(folder: &Folder, name: &str) -> Vec<CertificateDer<'static>> {
    vec![CertificateDer::from_pem_file(folder.join(name)).unwrap()]
}

fn key(folder: &Folder, name: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(folder.join(name)).unwrap()
}

#[test]
fn daemon_and_client_shake_hands_under_the_servers_name() {
    let folder = made();
    let mut roots = RootCertStore::empty();
    roots.add(chain(&folder, "tls/ca.pem").remove(0)).unwrap();
    let (roots, provider) = (Arc::new(roots), Arc::new(default_provider()));
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            chain(&folder, "tls/server.pem"),
            key(&folder, "tls/server.key"),
        )
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain(&folder, "tls/ci.pem"), key(&folder, "tls/ci.key"))
        .unwrap();
    let name = "sealwright.localhost".try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().unwrap();
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().unwrap();
    }
    let seen = server.peer_certificates().unwrap()[0].clone();
    assert_eq!(
        identity_of(&seen, false),
        Ok(Identity::Uri("spiffe://site/ci".to_owned()))
    );
}

#[test]
fn keys_are_for_their_owner_only() {
    let folder = made();
    for name in ["tls/ca.key", "tls/server.key", "tls/ci.key"] {
        let mode = std::fs::metadata(folder.join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn nothing_is_overwritten() {
    let folder = made();
    let ca = folder.join("tls");
    let before = std::fs::read(folder.join("tls/ca.key")).unwrap();
    for args in [
        ["pki", "init", "--out", &ca],
        ["pki", "server", "--ca-dir", &ca],
    ] {
        let run = run(args).expect(2);
        assert!(run.stderr.contains("exists already"), "{run:?}");
    }
    assert_eq!(std::fs::read(folder.join("tls/ca.key")).unwrap(), before);
}

#[test]
fn an_identity_that_the_daemon_would_not_take_gets_no_certificate() {
    let folder = made();
    let ca = folder.join("tls");
    let run = run([
        "pki",
        "client",
        "--ca-dir",
        &ca,
        "--id",
        "two words",
        "--name",
        "x",
    ])
    .expect(2);
    assert!(run.stderr.contains("identity"), "{run:?}");
    assert!(!std::path::Path::new(&folder.join("tls/x.key")).exists());
}

#[test]
fn a_denied_key_stands_on_the_list_once_with_its_reason() {
    let folder = made();
    folder.write(
        "sealwright.toml",
        "[api]\nsocket='s'\ncertificate='c'\nkey='k'\n[state]\ndir='s'\n",
    );
    let (config, pem) = (folder.join("sealwright.toml"), folder.join("tls/ci.pem"));
    let deny = |key: &str| {
        let args = [
            "pki", "deny", key, "--reason", "stolen", "--config", &config, "--json",
        ];
        run(args)
    };
    let added = deny(&pem).expect(0).json();
    let key = added["spki_sha256"].as_str().unwrap().to_owned();
    assert_eq!((key.len(), &added["added"]), (64, &true.into()));
    assert_eq!(deny(&key).expect(0).json()["added"], false);
    let list = || std::fs::read_to_string(folder.join("deny-spki")).unwrap();
    assert_eq!(list(), format!("{key} stolen\n"));
    // An editor may leave the last line open.
    folder.write("deny-spki", list().trim_end());
    let other = "ab".repeat(32);
    deny(&other).expect(0);
    assert_eq!(list(), format!("{key} stolen\n{other} stolen\n"));
    folder.write("deny-spki", "broken\n");
    let refused = deny(&other).expect(2);
    assert!(refused.stderr.contains("deny-spki: line 1"), "{refused:?}");
    assert_eq!(list(), "broken\n");
}
