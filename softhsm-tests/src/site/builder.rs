//! Laying a site out: certificates, configuration, tokens, genesis.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::binaries::Binaries;
use super::disk::SmallDisk;
use super::http::SERVER_NAME;
use super::pki::Authority;
use super::spec::{Kind, TokenSpec};
use super::token::{Token, own};
use super::{CI, DAEMON_UID, DRIVER_UID, OPERATOR, ORIGIN, OTHER, Site, sha256_hex, write};

/// The policy that `sealwright init` writes.
pub const DEFAULT_POLICY: &str = include_str!("../../../policy/src/default.cedar");

/// The token of the log key, and the key's label on it.
const LOG: &str = "log";

/// A site to be.
#[derive(Debug)]
pub struct Builder {
    tokens: Vec<TokenSpec>,
    log_token: TokenSpec,
    policy: String,
    limits: String,
    monitor: String,
    more: String,
    files: Vec<(String, String)>,
    segment_bytes: u64,
    low_water_bytes: u64,
    state_mib: Option<u32>,
    checkpoint_interval_ms: u32,
    approvers: Vec<String>,
    approvals: u32,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            log_token: TokenSpec::scripted(LOG),
            policy: DEFAULT_POLICY.to_owned(),
            limits: String::new(),
            monitor: String::new(),
            more: String::new(),
            files: Vec::new(),
            segment_bytes: 4 << 20,
            low_water_bytes: 1 << 20,
            state_mib: None,
            checkpoint_interval_ms: 50,
            approvers: Vec::new(),
            approvals: 0,
        }
    }
}

impl Builder {
    /// With a token; its keys are enrolled under their labels.
    #[must_use]
    pub fn token(mut self, token: TokenSpec) -> Self {
        self.tokens.push(token);
        self
    }

    /// With the log key on another kind of token than a scripted one.
    #[must_use]
    pub fn log_on(mut self, kind: Kind) -> Self {
        self.log_token = TokenSpec::new(LOG, kind);
        self
    }

    /// With another policy than the default.
    #[must_use]
    pub fn policy(mut self, text: &str) -> Self {
        text.clone_into(&mut self.policy);
        self
    }

    /// With a line under `[limits]`.
    #[must_use]
    pub fn limit(mut self, line: &str) -> Self {
        self.limits.push_str(line);
        self.limits.push('\n');
        self
    }

    /// With a line under `[monitor]`.
    #[must_use]
    pub fn monitor_line(mut self, line: &str) -> Self {
        self.monitor.push_str(line);
        self.monitor.push('\n');
        self
    }

    /// With further tables at the end of `sealwright.toml`.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.more.push_str(text);
        self
    }

    /// With a file beside `sealwright.toml`.
    #[must_use]
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// With other sizes than 4 MiB segments and 1 MiB low water.
    #[must_use]
    pub fn sizes(mut self, segment_bytes: u64, low_water_bytes: u64) -> Self {
        (self.segment_bytes, self.low_water_bytes) = (segment_bytes, low_water_bytes);
        self
    }

    /// With a checkpoint after so many milliseconds instead of 50.
    #[must_use]
    pub fn checkpoint_interval_ms(mut self, interval: u32) -> Self {
        self.checkpoint_interval_ms = interval;
        self
    }

    /// Under dual control: so many of these approve each step of a key's life. No key is enrolled at the start.
    #[must_use]
    pub fn approvers(mut self, needed: u32, ids: &[&str]) -> Self {
        self.approvals = needed;
        for id in ids {
            self.approvers.push((*id).to_owned());
            if *id != OPERATOR {
                self.more.push_str(&format!(
                    "[[principal]]\nid = '{id}'\nroles = ['approver']\n"
                ));
            }
        }
        self
    }

    /// With the state folder on a file system of its own with so many MiB.
    #[must_use]
    pub fn small_disk(mut self, mib: u32) -> Self {
        self.state_mib = Some(mib);
        self
    }

    /// Makes and starts everything, and enrols the tokens' keys.
    #[must_use]
    pub fn start(self) -> Site {
        let enrols = self.approvals == 0;
        let mut site = self.lay_out();
        site.tokens.values_mut().for_each(Token::serve);
        site.start_daemon();
        let keys = site
            .tokens
            .iter()
            .filter(|(name, _)| enrols && *name != LOG);
        let keys =
            keys.flat_map(|(name, token)| token.keys().iter().map(move |key| (name, &key.label)));
        for (token, label) in keys {
            site.enrol(token, label);
        }
        site
    }

    /// Makes everything and starts nothing.
    #[must_use]
    pub fn lay_out(self) -> Site {
        let dir = tempfile::Builder::new()
            .prefix("sw-")
            .tempdir_in("/tmp")
            .expect("a folder in /tmp");
        let root = dir.path();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).expect("an open folder");
        for folder in [
            "etc",
            "etc/tokens",
            "etc/tls",
            "run",
            "state",
            "tokens",
            "logs",
        ] {
            fs::create_dir(root.join(folder)).expect("a folder");
        }
        let disk = self
            .state_mib
            .map(|mib| SmallDisk::mount(&root.join("state"), mib));
        let binaries = Binaries::find(root);
        let ca = Authority::new("the site's CA");
        self.write_tls(root, &ca);
        write(&root.join("etc/policy.cedar"), &self.policy);
        write(&root.join("etc/sealwright.toml"), &self.config_text());
        for (name, text) in &self.files {
            write(&root.join("etc").join(name), text);
        }
        let tokens = self.make_tokens(root, &binaries);
        let genesis = self.genesis(&tokens[LOG]);
        write(&root.join("state/genesis.json"), &genesis.to_string());
        own(&root.join("state"), DAEMON_UID);
        own(&root.join("run"), DAEMON_UID);
        Site {
            daemon: None,
            tokens,
            ca,
            answers: Arc::default(),
            binaries,
            _disk: disk,
            dir,
        }
    }

    fn write_tls(&self, root: &Path, ca: &Authority) {
        let server = ca.server(SERVER_NAME);
        write(&root.join("etc/tls/ca.pem"), &ca.pem());
        write(&root.join("etc/tls/server.pem"), &server.certificate_pem());
        let key = root.join("etc/tls/server.key");
        write(&key, &server.key_pem());
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("mode 0600");
        own(&key, DAEMON_UID);
    }

    fn config_text(&self) -> String {
        let Self {
            limits,
            monitor,
            more,
            segment_bytes,
            low_water_bytes,
            checkpoint_interval_ms,
            ..
        } = self;
        format!(
            "[api]\nsocket = '../run/api.sock'\ncertificate = 'tls/server.pem'\nkey = 'tls/server.key'\n\
             [monitor]\nsocket = '../run/monitor.sock'\n{monitor}\
             [state]\ndir = '../state'\nsegment_bytes = {segment_bytes}\nlow_water_bytes = {low_water_bytes}\n\
             [log]\ncheckpoint_interval_ms = {checkpoint_interval_ms}\n\
             [limits]\n{limits}\
             [[domain]]\nname = 'site'\nca = 'tls/ca.pem'\n\
             [[principal]]\nid = '{CI}'\nroles = ['client']\n\
             [[principal]]\nid = '{OTHER}'\nroles = ['client']\n\
             [[principal]]\nid = '{OPERATOR}'\nroles = ['operator']\n\
             {more}"
        )
    }

    fn make_tokens(&self, root: &Path, binaries: &Binaries) -> BTreeMap<String, Token> {
        let log = self.log_token.clone().key_of(LOG, "ed25519");
        let specs = self.tokens.iter().chain([&log]);
        let make = |(uid, spec): (u32, &TokenSpec)| {
            let token = Token::make(spec, root, binaries, uid, DAEMON_UID);
            (spec.name.clone(), token)
        };
        (DRIVER_UID..).zip(specs).map(make).collect()
    }

    fn genesis(&self, log: &Token) -> Value {
        let key = log.describe(LOG);
        json!({
            "origin": ORIGIN,
            "log_key": {
                "token": LOG, "uri": log.uri(LOG), "spki": key["spki_der"], "scheme": "ed25519",
            },
            "operators": [OPERATOR], "approvers": self.approvers, "approvals_required": self.approvals,
            "policy_digest": sha256_hex(self.policy.as_bytes()),
        })
    }
}
