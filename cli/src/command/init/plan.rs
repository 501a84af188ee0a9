//! What `init` looks at before it writes anything.

use std::path::{Path, PathBuf};

use sealwright_core::name::Tenant;
use sealwright_core::record::LogKey;
use sealwright_core::scheme::Scheme;
use sealwright_core::shard::Shard;
use sealwright_core::spki::Spki;
use sealwright_core::tlog::VerifierKey;
use sealwright_core::tlog::vkey::KeyType;
use sealwright_driver_api::TokenConfig;
use sealwright_policy::CedarPolicy;

use super::Args;
use crate::config::Site;
use crate::driver::{self, DriverProgram};
use crate::failure::Failure;
use crate::files;
use crate::pki::paths;

/// Paths, and the driver of the log key.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) config: PathBuf,
    pub(super) policy: PathBuf,
    pub(super) tls: PathBuf,
    pub(super) genesis: PathBuf,
    pub(super) vkey: PathBuf,
    /// Identity and file stem of each client certificate.
    pub(super) certificates: Vec<(String, String)>,
    /// The log whose place this one takes.
    pub(super) shard: Option<Shard>,
    driver: DriverProgram,
}

impl Plan {
    /// Checks everything that can be checked without asking the token.
    pub(super) fn make(args: &Args) -> Result<Self, Failure> {
        check_approvers(args)?;
        refuse_existing_log(&args.state_dir)?;
        let log_scheme = args.log_scheme;
        if !matches!(log_scheme, Scheme::Ed25519 | Scheme::EcdsaP256Sha256) {
            return Err(Failure::Local(format!(
                "--log-scheme {log_scheme}: a log key signs with ed25519 or ecdsa-p256-sha256"
            )));
        }
        let plan = Self {
            config: args.config_dir.join("sealwright.toml"),
            policy: args.config_dir.join("policy.cedar"),
            tls: args.config_dir.join("tls"),
            genesis: args.state_dir.join("genesis.json"),
            vkey: args.config_dir.join("log.vkey"),
            certificates: certificates(args)?,
            shard: shard(args)?,
            driver: driver(args)?,
        };
        plan.refuse_existing_certificates(args)?;
        plan.check_older_files(args)?;
        Ok(plan)
    }

    /// Asks the driver for the log key, or to make it.
    pub(super) fn log_key(&self, args: &Args) -> Result<LogKey, Failure> {
        let found = if args.generate_log_key {
            self.driver.generate(&args.log_key, args.log_scheme)?
        } else {
            self.driver.describe(&args.log_key)?
        };
        if !found.schemes.contains(&args.log_scheme) {
            return Err(Failure::Local(format!(
                "the key {} signs with {}, not {}; see --log-scheme",
                found.uri,
                found
                    .schemes
                    .iter()
                    .map(Scheme::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
                args.log_scheme
            )));
        }
        let key = LogKey {
            token: args.log_token.clone(),
            uri: found.uri,
            spki: found.spki_der,
            scheme: args.log_scheme,
        };
        verifier_key(&args.origin, &key)?;
        Ok(key)
    }

    /// What will be kept has to be usable: configuration for this state folder, and a policy that loads.
    fn check_older_files(&self, args: &Args) -> Result<(), Failure> {
        let (principals, policy) = if self.config.exists() {
            let site = Site::read(&self.config)?;
            let (config, dir) = (self.config.display(), site.state.dir.display());
            if site.state.dir != args.state_dir {
                let why = format!("{config} has state.dir = {dir}; give the same --state-dir");
                return Err(Failure::Local(why));
            }
            (site.principals(), site.policy.file)
        } else {
            (Vec::new(), self.policy.clone())
        };
        if policy != self.policy && !policy.exists() {
            let why = format!("{}: there is no such policy file", policy.display());
            return Err(Failure::Local(why));
        }
        if policy.exists() {
            let loaded = CedarPolicy::parse(&files::read_text(&policy)?, &principals);
            loaded.map_err(|e| Failure::Local(format!("{}: {e}", policy.display())))?;
        }
        Ok(())
    }

    fn refuse_existing_certificates(&self, args: &Args) -> Result<(), Failure> {
        let stems = self.certificates.iter().map(|(_, stem)| stem.as_str());
        let stems = if args.with_ca {
            Some(stems.chain(["ca", "server"]))
        } else {
            None
        };
        let mut files = stems
            .into_iter()
            .flatten()
            .flat_map(|stem| paths(&self.tls, stem));
        match files.find(|path| path.exists()) {
            Some(path) => Err(Failure::Local(format!(
                "{} exists already; move it away, or leave --with-ca out to keep it",
                path.display()
            ))),
            None => Ok(()),
        }
    }
}

/// Whoever asks cannot approve: each operator needs enough others.
fn check_approvers(args: &Args) -> Result<(), Failure> {
    let needed = args.approvals as usize;
    let mut approvers = args.approvers.clone();
    approvers.sort();
    approvers.dedup();
    let short = |operator: &&String| approvers.iter().filter(|id| id != operator).count() < needed;
    match args.operators.iter().find(short) {
        None => Ok(()),
        Some(operator) => Err(Failure::Local(format!(
            "--approvals {needed}: what {operator} asks for could never happen, name {needed} --approver beside him"
        ))),
    }
}

fn refuse_existing_log(state_dir: &Path) -> Result<(), Failure> {
    let journal = state_dir.join("journal");
    let has_journal = std::fs::read_dir(&journal).is_ok_and(|mut entries| entries.next().is_some());
    let genesis = state_dir.join("genesis.json");
    let found = if has_journal { journal } else { genesis };
    if has_journal || found.exists() {
        return Err(Failure::Local(format!(
            "{} exists: this host has a log already, and a log begins only once; nothing was changed. To let a new log \
             take its place, move {} away (docs/runbooks/restore.md)",
            found.display(),
            state_dir.display()
        )));
    }
    Ok(())
}

/// What the old log leaves to this one, if there is an old log.
fn shard(args: &Args) -> Result<Option<Shard>, Failure> {
    let read = |path: &PathBuf| {
        let shard = Shard::parse(&files::read(path)?, &args.origin);
        shard.map_err(|e| Failure::Local(format!("{}: {e}", path.display())))
    };
    args.continues.as_ref().map(read).transpose()
}

fn driver(args: &Args) -> Result<DriverProgram, Failure> {
    // The rule for token names is that for labels; it keeps paths out of the flag.
    args.log_token
        .parse::<Tenant>()
        .map_err(|e| Failure::Local(format!("--log-token: {e}")))?;
    let config = driver::token_config(&args.config_dir, &args.log_token);
    let token = TokenConfig::read(&config).map_err(Failure::local)?;
    let path = match &args.log_driver {
        Some(path) => path.clone(),
        None => driver::find(&token.kind)?,
    };
    Ok(DriverProgram {
        path,
        config,
        user: args.driver_user,
    })
}

/// The file of an identity is named by the last part of it, or by all of it where two would share a name.
fn certificates(args: &Args) -> Result<Vec<(String, String)>, Failure> {
    let mut ids: Vec<&String> = args
        .operators
        .iter()
        .chain(&args.approvers)
        .chain(&args.clients)
        .chain(&args.auditors)
        .collect();
    ids.sort();
    ids.dedup();
    let short = |id: &str| file_stem(id.trim_end_matches('/').rsplit('/').next().unwrap_or(id));
    let stem = |id: &&String| {
        let alone = ids.iter().filter(|other| short(other) == short(id)).count() == 1;
        let reserved = ["ca", "server"].contains(&short(id).as_str());
        if alone && !reserved {
            short(id)
        } else {
            file_stem(id)
        }
    };
    let named: Vec<_> = ids.iter().map(|id| ((*id).clone(), stem(id))).collect();
    match named
        .iter()
        .find(|(_, stem)| stem.is_empty() || stem.starts_with('.'))
    {
        Some((id, _)) => Err(Failure::Local(format!(
            "{id:?} is no identity; use a URI such as spiffe://site/ci"
        ))),
        None => Ok(named),
    }
}

fn file_stem(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '-'
        }
    };
    text.chars().map(plain).collect()
}

/// The log's key as verifiers take it; also the check that origin and key can be one.
pub(super) fn verifier_key(origin: &str, key: &LogKey) -> Result<VerifierKey, Failure> {
    let made = match key.scheme {
        Scheme::Ed25519 => VerifierKey::new(origin, KeyType::Ed25519, ed25519(&key.spki)?),
        _ => VerifierKey::new(origin, KeyType::EcdsaP256, key.spki.der()),
    };
    made.map_err(|e| Failure::Local(format!("origin {origin:?} with key {}: {e}", key.uri)))
}

/// The 32 bytes of the key: an Ed25519 SubjectPublicKeyInfo has one form (RFC 8410 section 4).
fn ed25519(spki: &Spki) -> Result<&[u8], Failure> {
    spki.der()
        .get(12..)
        .ok_or_else(|| Failure::local("the log key's SubjectPublicKeyInfo is too short"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Args as Top, Command};
    use clap::Parser as _;

    fn stems(ids: &[&str]) -> Vec<String> {
        let mut line = vec![
            "sealwright",
            "init",
            "--origin",
            "o",
            "--log-token",
            "t",
            "--log-key",
            "pkcs11:object=l",
        ];
        line.extend(ids.iter().flat_map(|id| ["--operator", id]));
        let Command::Init(args) = Top::parse_from(line).command else {
            panic!("not init")
        };
        certificates(&args)
            .unwrap()
            .into_iter()
            .map(|(_, stem)| stem)
            .collect()
    }

    #[test]
    fn certificates_are_named_by_the_last_part_unless_two_share_it() {
        assert_eq!(
            stems(&["spiffe://site/ci", "spiffe://site/op"]),
            ["ci", "op"]
        );
        assert_eq!(
            stems(&["spiffe://a/ci", "spiffe://b/ci"]),
            ["spiffe---a-ci", "spiffe---b-ci"]
        );
        assert_eq!(stems(&["spiffe://a/ca"]), ["spiffe---a-ca"]);
        assert_eq!(stems(&["spiffe://a/ci", "spiffe://a/ci"]), ["ci"]);
    }
}
