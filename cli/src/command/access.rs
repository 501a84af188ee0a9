//! `sealwright policy who-can` and `access-review`: who could do what, for somebody to sign off.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sealwright_core::digest::Sha256Digest;
use sealwright_core::identity::{Principal, Role};
use sealwright_core::key::Purpose;
use sealwright_core::name::{KeyName, Tenant};
use sealwright_core::permit::{Action, Demands, PolicyEngine as _, Resource};
use sealwright_policy::{CedarPolicy, Concerned, Effect, Verdict};
use serde::Serialize;

use crate::config::{DEFAULT_CONFIG, Site};
use crate::connect::Connection;
use crate::failure::Failure;
use crate::files;
use crate::output::{Output, table};

/// What can be done with a key, and what with a tenant as a whole.
const WITH_KEYS: [Action; 4] = [
    Action::Sign,
    Action::IssueReceipt,
    Action::ReadKey,
    Action::ManageKey,
];
const WITH_TENANTS: [Action; 5] = [
    Action::ReadReceipt,
    Action::ReadAudit,
    Action::EraseAudit,
    Action::Operate,
    Action::Anchor,
];

#[derive(Debug, clap::Args)]
pub(crate) struct Policies {
    /// The policy [default: the one that the configuration names].
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The configuration with the [[principal]] sections.
    #[arg(long, value_name = "FILE", env = "SEALWRIGHT_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct WhoCan {
    /// The key, `[tenant/]label`.
    key: KeyName,
    #[command(flatten)]
    policies: Policies,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Review {
    /// A key; may be repeated. With a certificate, all that the daemon shows you besides.
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<KeyName>,
    /// Comma-separated values for a spreadsheet.
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    policies: Policies,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Serialize)]
struct Answer {
    policy_sha256: Sha256Digest,
    /// SHA-256 of `sealwright.toml` alone: of the principals below.
    config_file_sha256: Sha256Digest,
    /// What the daemon says, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon: Option<InForce>,
    access: Vec<Row>,
}

#[derive(Serialize)]
struct InForce {
    origin: String,
    records: u64,
    policy_digest: Sha256Digest,
    config_digest: Sha256Digest,
}

/// One principal, one thing, one action.
#[derive(Serialize)]
struct Row {
    principal: String,
    tenant: Tenant,
    roles: Vec<Role>,
    /// The only user whose processes may be this principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    action: &'static str,
    /// A key, or `tenant:` and its label.
    resource: String,
    verdict: Verdict,
    policies: Vec<Concerned>,
}

pub(crate) fn who_can(args: WhoCan, output: Output) -> Result<(), Failure> {
    let answer = args
        .policies
        .answer(BTreeSet::from([args.key]), None, false)?;
    output.answer(&answer, || text(&answer))
}

pub(crate) fn review(args: Review, output: Output) -> Result<(), Failure> {
    let mut keys: BTreeSet<KeyName> = args.keys.into_iter().collect();
    let mut daemon = None;
    if args.connection.has_identity() {
        let (status, shown) = args.connection.run(async |mut client| {
            let status = client.status().await?;
            Ok::<_, sealwright_client::ClientError>((status, client.keys().await?))
        })?;
        keys.extend(shown.into_iter().map(|key| key.key.key));
        daemon = Some(InForce {
            origin: status.origin,
            records: status.log.size,
            policy_digest: status.policy_digest,
            config_digest: status.config_digest,
        });
    }
    let answer = args.policies.answer(keys, daemon, true)?;
    if args.csv {
        return Ok(files::write_product("-".as_ref(), csv(&answer).as_bytes())?);
    }
    output.answer(&answer, || text(&answer))
}

impl Policies {
    fn answer(
        &self,
        keys: BTreeSet<KeyName>,
        daemon: Option<InForce>,
        with_tenants: bool,
    ) -> Result<Answer, Failure> {
        let site = Site::read(&self.config)?;
        let file = self.policy.as_deref().unwrap_or(&site.policy.file);
        let principals = site.principals();
        let policy = super::policy::load(file, &principals)?;
        if let Some(daemon) = &daemon
            && daemon.policy_digest != policy.digest()
        {
            return Err(not_in_force(file, daemon));
        }
        let tenants = principals.iter().map(|principal| principal.tenant.clone());
        let tenants: BTreeSet<Tenant> = tenants.filter(|_| with_tenants).collect();
        let rows = principals.iter().flat_map(|principal| {
            let uid = site.uid_of(&principal.id);
            rows(&policy, principal, uid, &keys, &tenants)
        });
        Ok(Answer {
            policy_sha256: policy.digest(),
            config_file_sha256: files::sha256(&self.config)?,
            daemon,
            access: rows.collect(),
        })
    }
}

/// A review of another policy than the one that decides would be signed off for nothing.
fn not_in_force(file: &Path, daemon: &InForce) -> Failure {
    Failure::NotGood(format!(
        "{} is not the policy in force at {} (sha256:{}); reload it there, or name the right file with --policy",
        file.display(),
        daemon.origin,
        daemon.policy_digest
    ))
}

fn rows(
    policy: &CedarPolicy,
    principal: &Principal,
    uid: Option<u32>,
    keys: &BTreeSet<KeyName>,
    tenants: &BTreeSet<Tenant>,
) -> Vec<Row> {
    let row = |action: Action, resource: Resource<'_>, name: String| {
        let access = policy.access(principal, action, &resource);
        Row {
            principal: principal.id.clone(),
            tenant: principal.tenant.clone(),
            roles: principal.roles.clone(),
            uid,
            action: action.as_str(),
            resource: name,
            verdict: access.verdict,
            policies: access.policies,
        }
    };
    // No scope speaks of a purpose.
    let purpose = Purpose::Dsse;
    let of_keys = keys.iter().flat_map(|name| {
        WITH_KEYS.map(|action| row(action, Resource::Key { name, purpose }, name.to_string()))
    });
    let of_tenants = tenants.iter().flat_map(|tenant| {
        let name = format!("tenant:{tenant}");
        WITH_TENANTS.map(|action| row(action, Resource::Tenant(tenant), name.clone()))
    });
    of_keys.chain(of_tenants).collect()
}

/// Those who could; what is left out, nobody may.
fn text(answer: &Answer) -> String {
    let could = answer
        .access
        .iter()
        .filter(|row| row.verdict != Verdict::No);
    let rows: Vec<_> = could
        .clone()
        .map(|row| {
            let user = row.uid.map(|uid| uid.to_string());
            [
                row.principal.clone(),
                roles(row),
                user.unwrap_or_default(),
                row.action.to_owned(),
                row.resource.clone(),
                because(row).join(", "),
            ]
        })
        .collect();
    let header = ["PRINCIPAL", "ROLES", "UID", "ACTION", "WITH", "BY"];
    let mut lines = vec![
        format!("policy sha256:{}", answer.policy_sha256),
        String::new(),
    ];
    lines.push(table(header, &rows));
    let conditions: BTreeSet<(usize, &str)> = could
        .flat_map(|row| &row.policies)
        .filter(|policy| policy.conditional)
        .map(|policy| (policy.line, policy.text.as_str()))
        .collect();
    let conditions = conditions.into_iter();
    lines.extend(conditions.map(|(line, text)| format!("\nline {line}:\n{text}")));
    lines.join("\n")
}

fn roles(row: &Row) -> String {
    let roles: Vec<_> = row.roles.iter().map(|role| role.as_str()).collect();
    roles.join(" ")
}

/// Each policy with its condition and its price.
fn because(row: &Row) -> Vec<String> {
    let one = |policy: &Concerned| {
        let not = if policy.effect == Effect::Forbid {
            "not "
        } else {
            ""
        };
        let conditional = if policy.conditional { " (if)" } else { "" };
        let Demands {
            approvals,
            once,
            token,
        } = policy.demands;
        let approvals = (approvals > 0).then(|| format!(" (approvals {approvals})"));
        let once = if once { " (once)" } else { "" };
        let token = if token.is_nothing() { "" } else { " (token)" };
        format!(
            "{not}{}{conditional}{}{once}{token}",
            policy.id,
            approvals.unwrap_or_default()
        )
    };
    row.policies.iter().map(one).collect()
}

fn csv(answer: &Answer) -> String {
    let daemon = answer
        .daemon
        .as_ref()
        .map(|daemon| daemon.config_digest.to_string());
    let head = "principal,tenant,roles,uid,action,resource,verdict,policies,policy_sha256,config_file_sha256,config_digest\r\n";
    let mut text = head.to_owned();
    for row in &answer.access {
        let verdict = match row.verdict {
            Verdict::No => "no",
            Verdict::Conditional => "conditional",
            Verdict::Yes => "yes",
        };
        let cells = [
            row.principal.clone(),
            row.tenant.to_string(),
            roles(row),
            row.uid.map(|uid| uid.to_string()).unwrap_or_default(),
            row.action.to_owned(),
            row.resource.clone(),
            verdict.to_owned(),
            because(row).join("; "),
            answer.policy_sha256.to_string(),
            answer.config_file_sha256.to_string(),
            daemon.clone().unwrap_or_default(),
        ];
        text.push_str(&cells.map(|cell| quoted(&cell)).join(","));
        text.push_str("\r\n");
    }
    text
}

/// RFC 4180. A cell that a spreadsheet would calculate is text.
fn quoted(cell: &str) -> String {
    let guard = if cell.starts_with(['=', '+', '-', '@']) {
        "'"
    } else {
        ""
    };
    format!("\"{guard}{}\"", cell.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_text_whatever_stands_in_it() {
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(quoted("=1+1"), "\"'=1+1\"");
        assert_eq!(quoted(""), "\"\"");
    }
}
