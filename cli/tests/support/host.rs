//! A host for `sealwright doctor` where everything is in order, and ways to break it.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use super::{Folder, Run, run};

/// A host where everything is in order: certificates, policy, a log, sockets, one token with its driver.
pub(crate) struct Host {
    pub(crate) folder: Folder,
    _sockets: [UnixListener; 2],
}

const POLICY: &str = "@id(\"all\") permit (principal, action, resource);\n";

impl Host {
    pub(crate) fn new() -> Self {
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

    pub(crate) fn config(&self, more: &str) {
        let join = |name| self.folder.join(name);
        let text = format!(
            "[api]\nsocket='{}'\ncertificate='tls/server.pem'\nkey='tls/server.key'\n[state]\ndir='{}'\n\
             [[domain]]\nname='local'\nca='tls/ca.pem'\n{more}",
            join("api.sock"),
            join("state"),
        );
        self.folder.write("etc/sealwright.toml", text);
    }

    pub(crate) fn token(&self, more: &str) {
        let join = |name| self.folder.join(name);
        let text = format!(
            "kind='pkcs11'\nsocket='{}'\nlabel='a'\nserial='b'\nstate_dir='/s'\ncredential='{}'\n{more}[driver]\nmodule='{}'\n",
            join("hsm.sock"),
            join("pin"),
            join("module.so"),
        );
        self.folder.write("etc/tokens/hsm.toml", text);
    }

    pub(crate) fn driver(&self, answer: &str, code: i32) {
        let text = format!("#!/bin/sh\necho broken >&2\necho '{answer}'\nexit {code}\n");
        set_mode(
            &self.folder.write("bin/sealwright-driver-pkcs11", text),
            0o755,
        );
    }

    pub(crate) fn reports(&self, check: &str) {
        let finding = format!(
            "{{\"check\":\"{check}\",\"ok\":false,\"class\":\"Auth\",\"detail\":\"told by the device\"}}"
        );
        self.driver(
            &format!("{{\"token\":\"hsm\",\"findings\":[{finding}]}}"),
            1,
        );
    }

    pub(crate) fn replace(&self, name: &str) {
        let path = self.folder.join(name);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(path, "").unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.folder.join(name)).unwrap();
    }

    pub(crate) fn server_certificate(&self, days: &str) {
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

    pub(crate) fn doctor(&self, more: &[&str]) -> Run {
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
    pub(crate) fn finds(&self, id: &str, subject: &str) {
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

pub(crate) fn set_mode(path: &str, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Writes a certificate that is valid for a day, beginning so many days from now.
pub(crate) fn certificate_of(folder: &Folder, stem: &str, begins_in_days: i64, is_ca: bool) {
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
