//! `sealwright init` with a driver that is a shell script: what it writes, and when it writes nothing.
#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::PermissionsExt as _;

use sealwright_core::record::Genesis;
use sealwright_core::scheme::Scheme;
use support::signing::{Key, Log, ORIGIN};
use support::{Folder, Run, run};

const TOKEN: &str =
    "kind = 'pkcs11'\nsocket = '/run/t.sock'\nlabel = 'a'\nserial = 'b'\nstate_dir = '/s'\n";

/// A host before its first start: one token, whose driver knows the log key.
struct Host {
    folder: Folder,
    log: Log,
}

impl Host {
    fn new() -> Self {
        let host = Self {
            folder: Folder::new(),
            log: Log::new(5),
        };
        host.folder.write("etc/tokens/hsm.toml", TOKEN);
        host.driver(&host.log.spki(), "ed25519");
        host
    }

    /// A driver that answers every describe and generate with this key.
    fn driver(&self, spki: &sealwright_core::spki::Spki, scheme: &str) {
        let spki = serde_json::to_string(spki).unwrap();
        let answer = format!(
            "{{\"uri\":\"pkcs11:object=log;token=a\",\"spki_der\":{spki},\"schemes\":[\"{scheme}\"],\"evidence\":\"claimed\",\"claims\":[]}}"
        );
        let seen = self.folder.join("driver-args");
        self.script(&format!("echo \"$@\" >{seen}\necho '{answer}'"));
    }

    fn script(&self, text: &str) {
        let path = self.folder.write("driver", format!("#!/bin/sh\n{text}\n"));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn init(&self, more: &[&str]) -> Run {
        let (etc, state) = (self.folder.join("etc"), self.folder.join("state"));
        let driver = self.folder.join("driver");
        let mut args = vec![
            "init",
            "--config-dir",
            &etc,
            "--state-dir",
            &state,
            "--origin",
            ORIGIN,
        ];
        args.extend([
            "--log-token",
            "hsm",
            "--log-key",
            "pkcs11:object=log",
            "--log-driver",
            &driver,
        ]);
        args.extend([
            "--operator",
            "spiffe://site/op",
            "--client",
            "spiffe://site/ci",
        ]);
        args.extend(more);
        run(args)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap()
    }

    fn exists(&self, name: &str) -> bool {
        std::path::Path::new(&self.folder.join(name)).exists()
    }
}

#[test]
fn a_host_is_set_up_with_certificates_configuration_policy_and_genesis() {
    let host = Host::new();
    let fingerprint = host.log.spki().sha256().to_string();
    let done = host
        .init(&["--with-ca", "--confirm", &fingerprint])
        .expect(0);
    assert!(done.stdout.contains(&host.log.vkey.to_string()), "{done:?}");
    let genesis: Genesis = serde_json::from_str(&host.read("state/genesis.json")).unwrap();
    assert_eq!(
        (genesis.origin.as_str(), genesis.log_key.scheme),
        (ORIGIN, Scheme::Ed25519)
    );
    assert_eq!(genesis.log_key.uri.to_string(), "pkcs11:object=log;token=a");
    assert_eq!(genesis.operators, ["spiffe://site/op"]);
    let policy = host.read("etc/policy.cedar");
    assert_eq!(
        genesis.policy_digest,
        sealwright_core::digest::Sha256Digest::of(&[policy.as_bytes()])
    );
    assert_eq!(host.read("etc/log.vkey"), format!("{}\n", host.log.vkey));
    for name in ["ca", "server", "ci", "op"] {
        assert!(host.exists(&format!("etc/tls/{name}.pem")), "{name}");
    }
    let mode = |name: &str| {
        std::fs::metadata(host.folder.join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(
        (
            mode("state"),
            mode("state/genesis.json"),
            mode("etc/tls/op.key")
        ),
        (0o700, 0o600, 0o600)
    );
    // What was written decides as the default policy does.
    let config = host.folder.join("etc/sealwright.toml");
    let ask = |who: &str, action: &str| {
        run([
            "policy",
            "check",
            "--config",
            &config,
            "--principal",
            who,
            "--action",
            action,
            "--key",
            "release",
        ])
    };
    ask("spiffe://site/ci", "sign").expect(0);
    ask("spiffe://site/op", "sign").expect(1);
    ask("spiffe://site/op", "manageKey").expect(0);
}

#[test]
fn a_second_run_changes_nothing() {
    let host = Host::new();
    host.init(&["--yes"]).expect(0);
    let before = host.read("state/genesis.json");
    host.driver(&Log::new(6).spki(), "ed25519");
    let refused = host.init(&["--yes"]).expect(2);
    assert!(refused.stderr.contains("genesis.json"), "{refused:?}");
    assert_eq!(host.read("state/genesis.json"), before);
    // The daemon has taken the genesis into its journal.
    std::fs::remove_file(host.folder.join("state/genesis.json")).unwrap();
    host.folder.write("state/journal/00000000.seg", "");
    let refused = host.init(&["--yes"]).expect(2);
    assert!(refused.stderr.contains("journal"), "{refused:?}");
}

#[test]
fn the_public_log_key_of_an_older_log_makes_way() {
    let host = Host::new();
    let older = Log::new(6).vkey.to_string();
    host.folder.write("etc/log.vkey", &older);
    host.init(&["--yes"]).expect(0);
    assert_eq!(host.read("etc/log.vkey"), format!("{}\n", host.log.vkey));
}

#[test]
fn a_log_takes_the_place_of_no_file_that_is_none() {
    let host = Host::new();
    let file = host.folder.join("shard.json");
    let continues = ["--yes", "--continues", &file];
    assert!(
        host.init(&continues)
            .expect(2)
            .stderr
            .contains("cannot read")
    );
    for (text, why) in [("{}", "`format` says"), ("", "cannot be read")] {
        host.folder.write("shard.json", text);
        let refused = host.init(&continues).expect(2);
        assert!(
            refused.stderr.contains("shard.json") && refused.stderr.contains(why),
            "{refused:?}"
        );
    }
    assert!(!host.exists("state") && !host.exists("driver-args"));
}

#[test]
fn a_key_that_is_not_the_confirmed_one_writes_nothing() {
    let host = Host::new();
    let other = Key::new(1).spki().sha256().to_string();
    let refused = host.init(&["--with-ca", "--confirm", &other]).expect(1);
    assert!(refused.stderr.contains(&other), "{refused:?}");
    // No terminal to ask at, and no flag: the fingerprint is shown, to be compared.
    let unconfirmed = host.init(&["--with-ca"]).expect(2);
    assert!(
        unconfirmed
            .stderr
            .contains(&host.log.spki().sha256().to_string()),
        "{unconfirmed:?}"
    );
    assert!(
        !host.exists("state") && !host.exists("etc/tls") && !host.exists("etc/sealwright.toml")
    );
}

#[test]
fn older_configuration_stays_and_what_it_lacks_is_said() {
    let host = Host::new();
    let state = host.folder.join("state");
    let config = format!(
        "[api]\nsocket='s'\ncertificate='c'\nkey='k'\n[state]\ndir='{state}'\n[[domain]]\nname='d'\nca='ca.pem'\n"
    );
    host.folder.write("etc/sealwright.toml", &config);
    let done = host.init(&["--yes"]).expect(0);
    assert_eq!(host.read("etc/sealwright.toml"), config);
    assert!(
        done.stdout.contains("kept") && done.stdout.contains("spiffe://site/op"),
        "{done:?}"
    );
}

#[test]
fn configuration_for_another_state_folder_is_refused_before_anything_is_written() {
    let host = Host::new();
    let config = "[api]\nsocket='s'\ncertificate='c'\nkey='k'\n[state]\ndir='/elsewhere'\n[[domain]]\nname='d'\nca='ca.pem'\n";
    host.folder.write("etc/sealwright.toml", config);
    let refused = host.init(&["--with-ca", "--yes"]).expect(2);
    assert!(refused.stderr.contains("/elsewhere"), "{refused:?}");
    assert!(!host.exists("state") && !host.exists("etc/tls"));
}

#[test]
fn an_older_policy_that_does_not_load_is_refused_before_anything_is_written() {
    let host = Host::new();
    host.folder
        .write("etc/policy.cedar", "permit (principal, action, resource);");
    let refused = host.init(&["--with-ca", "--yes"]).expect(2);
    assert!(
        refused.stderr.contains("policy.cedar: line 1"),
        "{refused:?}"
    );
    assert!(!host.exists("state") && !host.exists("etc/tls"));
}

#[test]
fn a_key_is_not_made_where_nobody_could_confirm_it() {
    let host = Host::new();
    let refused = host.init(&["--generate-log-key"]).expect(2);
    assert!(refused.stderr.contains("--yes"), "{refused:?}");
    assert!(!host.exists("driver-args"));
}

#[test]
fn certificates_that_exist_are_named_before_the_token_is_asked() {
    let host = Host::new();
    host.folder.write("etc/tls/server.key", "precious");
    let refused = host.init(&["--with-ca", "--yes"]).expect(2);
    assert!(refused.stderr.contains("server.key"), "{refused:?}");
    assert_eq!(host.read("etc/tls/server.key"), "precious");
    assert!(!host.exists("driver-args"));
}

#[test]
fn the_log_key_is_made_on_request_and_a_p256_log_is_told_that_it_cannot_be_witnessed() {
    let host = Host::new();
    host.driver(&Key::new(7).spki(), "ecdsa-p256-sha256");
    let mismatch = host.init(&["--yes"]).expect(2);
    assert!(mismatch.stderr.contains("--log-scheme"), "{mismatch:?}");
    let done = host
        .init(&[
            "--yes",
            "--generate-log-key",
            "--log-scheme",
            "ecdsa-p256-sha256",
        ])
        .expect(0);
    assert!(done.stdout.contains("witness"), "{done:?}");
    assert!(
        host.read("driver-args")
            .contains("generate --scheme ecdsa-p256-sha256 pkcs11:object=log")
    );
}

#[test]
fn each_way_a_driver_can_fail_is_named() {
    let host = Host::new();
    host.script("echo 'token a: CKR_PIN_INCORRECT' >&2\nexit 1");
    let failed = host.init(&["--yes"]).expect(2);
    assert!(
        failed.stderr.contains("CKR_PIN_INCORRECT") && failed.stderr.contains("hsm.toml"),
        "{failed:?}"
    );
    host.script("echo nonsense");
    assert!(host.init(&["--yes"]).expect(2).stderr.contains("JSON"));
    std::fs::remove_file(host.folder.join("driver")).unwrap();
    assert!(
        host.init(&["--yes"])
            .expect(2)
            .stderr
            .contains("--log-driver")
    );
    std::fs::remove_file(host.folder.join("etc/tokens/hsm.toml")).unwrap();
    assert!(host.init(&["--yes"]).expect(2).stderr.contains("hsm.toml"));
    assert!(!host.exists("state"));
}

#[test]
fn an_origin_that_no_checkpoint_can_carry_is_refused() {
    let host = Host::new();
    let (etc, state, driver) = (
        host.folder.join("etc"),
        host.folder.join("state"),
        host.folder.join("driver"),
    );
    let refused = run([
        "init",
        "--config-dir",
        &etc,
        "--state-dir",
        &state,
        "--origin",
        "a b",
        "--log-token",
        "hsm",
        "--log-key",
        "pkcs11:object=log",
        "--log-driver",
        &driver,
        "--operator",
        "spiffe://site/op",
        "--yes",
    ])
    .expect(2);
    assert!(refused.stderr.contains("\"a b\""), "{refused:?}");
}
