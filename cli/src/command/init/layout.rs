//! What `init` writes, in an order in which every interruption can be repeated.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sealwright_core::digest::Sha256Digest;
use sealwright_core::record::{Genesis, LogKey};
use sealwright_core::scheme::Scheme;
use sealwright_core::shard::Founding;
use sealwright_policy::DEFAULT_POLICY;
use serde::Serialize;

use super::Args;
use super::inheritance;
use super::plan::{Plan, verifier_key};
use crate::config::Site;
use crate::failure::Failure;
use crate::files;
use crate::pki::{Authority, CA_DAYS, LEAF_DAYS};

/// What was done, for people and programs.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    written: Vec<PathBuf>,
    kept: Vec<PathBuf>,
    log_vkey: String,
    log_spki_sha256: Sha256Digest,
    notes: Vec<String>,
}

pub(super) fn write(args: &Args, plan: &Plan, log_key: LogKey) -> Result<Done, Failure> {
    let vkey = verifier_key(&args.origin, &log_key)?.to_string();
    let mut done = Done {
        written: Vec::new(),
        kept: Vec::new(),
        log_vkey: vkey.clone(),
        log_spki_sha256: log_key.spki.sha256(),
        notes: Vec::new(),
    };
    files::create_folder(&args.config_dir, 0o755, None)?;
    if args.with_ca {
        certificates(args, plan, &mut done)?;
    }
    done.file(&plan.config, &configuration(args, plan))?;
    done.file(&plan.policy, DEFAULT_POLICY)?;
    done.vkey(&plan.vkey, &format!("{vkey}\n"))?;
    let policy_digest = digest_of_policy(plan, &mut done)?;
    note_scheme(log_key.scheme, &mut done);
    if let Some(shard) = &plan.shard {
        inheritance::note(&args.config_dir, shard, policy_digest, &mut done.notes);
    }
    genesis(args, plan, log_key, policy_digest, &mut done)?;
    Ok(done)
}

fn certificates(args: &Args, plan: &Plan, done: &mut Done) -> Result<(), Failure> {
    files::create_folder(&plan.tls, 0o755, None)?;
    let (ca, issued) = Authority::create(&format!("Sealwright CA of {}", args.origin), CA_DAYS)?;
    done.written.extend(issued.write(&plan.tls, "ca", None)?);
    done.written.extend(
        ca.server(LEAF_DAYS)?
            .write(&plan.tls, "server", args.daemon_user)?,
    );
    for (id, stem) in &plan.certificates {
        done.written
            .extend(ca.client(id, LEAF_DAYS)?.write(&plan.tls, stem, None)?);
    }
    done.notes.push(format!(
        "move {} off this host, and each client's key to its user",
        plan.tls.join("ca.key").display()
    ));
    Ok(())
}

/// SHA-256 of the policy in force. Notes which identities an older configuration does not know.
fn digest_of_policy(plan: &Plan, done: &mut Done) -> Result<Sha256Digest, Failure> {
    let site = Site::read(&plan.config)?;
    let principals = site.principals();
    for (id, _) in &plan.certificates {
        if !principals.iter().any(|principal| principal.id == *id) {
            let config = plan.config.display();
            done.notes
                .push(format!("add a [[principal]] with id = {id:?} to {config}"));
        }
    }
    Ok(Sha256Digest::of(&[&files::read(&site.policy.file)?]))
}

fn note_scheme(scheme: Scheme, done: &mut Done) {
    if scheme != Scheme::Ed25519 {
        done.notes
            .push("witnesses cosign Ed25519 logs only: this log cannot be witnessed".to_owned());
    }
}

/// Last: with this file there, the next start of the daemon begins the log.
fn genesis(
    args: &Args,
    plan: &Plan,
    log_key: LogKey,
    policy_digest: Sha256Digest,
    done: &mut Done,
) -> Result<(), Failure> {
    files::create_folder(&args.state_dir, 0o700, args.daemon_user)?;
    let shard = plan.shard.as_ref();
    let genesis = Genesis {
        origin: args.origin.clone(),
        log_key,
        operators: args.operators.clone(),
        approvers: args.approvers.clone(),
        approvals_required: args.approvals,
        policy_digest,
        predecessor: shard.map(|shard| Box::new(shard.predecessor.clone())),
    };
    let inheritance = shard.map(|shard| shard.inheritance.clone());
    let founding = Founding {
        genesis,
        inheritance: inheritance.unwrap_or_default(),
    };
    let text = serde_json::to_vec_pretty(&founding).map_err(Failure::local)?;
    files::create(&plan.genesis, &text, 0o600, args.daemon_user)?;
    done.written.push(plan.genesis.clone());
    Ok(())
}

/// `sealwright.toml` for this site; every limit has its default.
fn configuration(args: &Args, plan: &Plan) -> String {
    let path = |path: &Path| toml::Value::from(path.display().to_string()).to_string();
    let mut text = format!(
        "# Sealwright's configuration. Paths count from this file's folder. Check it: sealwrightd --check-config\n\
         [api]\nsocket = {}\ncertificate = \"tls/server.pem\"\nkey = \"tls/server.key\"\n\n\
         [monitor]\nsocket = {}\n\n\
         [state]\ndir = {}\n\n\
         [policy]\nfile = \"policy.cedar\"\n\n\
         # Whose certificates count, and as whose.\n\
         [[domain]]\nname = \"local\"\nca = \"tls/ca.pem\"\ntenant = \"default\"\n",
        path(&args.run_dir.join("api.sock")),
        path(&args.run_dir.join("monitor.sock")),
        path(&args.state_dir),
    );
    for (id, roles) in roles(args, plan) {
        let id = toml::Value::from(id).to_string();
        text.push_str(&format!(
            "\n[[principal]]\nid = {id}\nroles = {}\n",
            toml::Value::from(roles)
        ));
    }
    text
}

fn roles<'a>(args: &'a Args, plan: &'a Plan) -> BTreeMap<&'a str, Vec<&'static str>> {
    let lists = [
        (&args.clients, "client"),
        (&args.operators, "operator"),
        (&args.approvers, "approver"),
        (&args.auditors, "auditor"),
    ];
    let of = |id: &String| {
        lists
            .iter()
            .filter(|(ids, _)| ids.contains(id))
            .map(|(_, role)| *role)
            .collect()
    };
    plan.certificates
        .iter()
        .map(|(id, _)| (id.as_str(), of(id)))
        .collect()
}

impl Done {
    /// Writes a file that is missing; one that is there stays as it is.
    fn file(&mut self, path: &Path, text: &str) -> Result<(), Failure> {
        if path.exists() {
            self.kept.push(path.to_owned());
            return Ok(());
        }
        files::create(path, text.as_bytes(), 0o644, None)?;
        self.written.push(path.to_owned());
        Ok(())
    }

    /// The public half of the log key. One of an older log makes way: it stands in that log's own genesis.
    fn vkey(&mut self, path: &Path, text: &str) -> Result<(), Failure> {
        let is_other = path.exists() && files::read_text(path)? != text;
        if !is_other {
            return self.file(path, text);
        }
        files::write_product(path, text.as_bytes())?;
        self.written.push(path.to_owned());
        Ok(())
    }

    pub(super) fn text(&self) -> String {
        let mut lines: Vec<_> = self
            .written
            .iter()
            .map(|path| format!("wrote {}", path.display()))
            .collect();
        lines.extend(
            self.kept
                .iter()
                .map(|path| format!("kept  {}", path.display())),
        );
        lines.push(format!("log key {}", self.log_spki_sha256));
        lines.push(format!("log     {}", self.log_vkey));
        lines.extend(self.notes.iter().map(|note| format!("note: {note}")));
        lines.push("next: start sealwrightd (it takes the genesis file into its log), then `sealwright status`".to_owned());
        lines.join("\n")
    }
}
