//! `sealwright policy`: what a policy would decide, without a daemon; and the daemon's, to bring it into force.

use std::path::PathBuf;

use sealwright_client::{Client, Gate};
use sealwright_core::identity::{PeerCred, Principal};
use sealwright_core::key::Purpose;
use sealwright_core::name::KeyName;
use sealwright_core::permit::{
    Action, Demands, PolicyEngine as _, Question, ReceiptFacts, Resource, Shown, SignFacts,
};
use sealwright_core::predicate;
use sealwright_core::statement::{PAYLOAD_TYPE, Subject};
use sealwright_core::time::Timestamp;
use sealwright_policy::{CedarPolicy, Effect, Explanation, SCHEMA};
use serde::Serialize;

use crate::config::{DEFAULT_CONFIG, Site};
use crate::connect::Connection;
use crate::failure::Failure;
use crate::gate::Approvals;
use crate::output::Output;
use crate::{clock, files, subject};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Check a policy file; with a principal and an action, explain what it decides and why.
    Check(Box<Check>),
    /// Show who could use a key, with the policies that decide and their conditions.
    WhoCan(Box<super::access::WhoCan>),
    /// Show what every principal could do with every key and tenant, for an auditor to sign off.
    AccessReview(Box<super::access::Review>),
    /// Bring the daemon's policy file as it is now into force.
    Activate(Activate),
    /// Print what policies can speak of, in Cedar's schema language.
    Schema,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Activate {
    #[command(flatten)]
    approvals: Approvals,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// The policy [default: the one that the configuration names].
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The configuration with the [[principal]] sections.
    #[arg(long, value_name = "FILE", env = "SEALWRIGHT_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Who asks.
    #[arg(long, value_name = "ID", requires = "action")]
    principal: Option<String>,
    /// What it wants: sign, readKey, manageKey, readAudit, operate, anchor or eraseAudit.
    #[arg(long, value_parser = action, requires = "principal")]
    action: Option<Action>,
    /// With which key; without it the question is about the principal's tenant.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// DSSE payloadType, for sign.
    #[arg(long, value_name = "TYPE", default_value = PAYLOAD_TYPE)]
    payload_type: String,
    /// predicateType, a URI or an alias, for sign.
    #[arg(long, value_name = "URI|ALIAS")]
    predicate_type: Option<String>,
    /// A subject of the statement, a file or name=sha256:HEX, for sign; may be repeated.
    #[arg(long = "subject", value_name = "SUBJECT")]
    subjects: Vec<String>,
    /// Bytes of payload, for sign.
    #[arg(long, value_name = "BYTES", default_value_t = 1024)]
    payload_len: usize,
    /// The receipt's type, for issueReceipt.
    #[arg(long, value_name = "TYPE", default_value = "generic/1")]
    receipt_type: String,
    /// A group of metrics that the receipt changes, for issueReceipt; may be repeated.
    #[arg(long = "metric-group", value_name = "GROUP")]
    metric_groups: Vec<String>,
    /// The user the caller's process runs as.
    #[arg(long, default_value_t = 0)]
    uid: u32,
    /// When, RFC 3339 [default: now].
    #[arg(long)]
    time: Option<Timestamp>,
}

fn action(text: &str) -> Result<Action, String> {
    let known = || Action::ALL.map(Action::as_str).join(", ");
    let found = Action::ALL
        .into_iter()
        .find(|action| action.as_str() == text);
    found.ok_or_else(|| format!("the actions are {}", known()))
}

#[derive(Serialize)]
struct Answer {
    allowed: bool,
    /// A predicate type nobody knows, that no permit names: refused before the policy is asked.
    unknown_predicate_type: bool,
    explanation: Explanation,
}

pub(crate) fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Schema => Ok(files::write_product("-".as_ref(), SCHEMA.as_bytes())?),
        Command::WhoCan(args) => super::access::who_can(*args, output),
        Command::AccessReview(args) => super::access::review(*args, output),
        Command::Check(args) => check(&args, output),
        Command::Activate(args) => activate(args, output),
    }
}

fn activate(args: Activate, output: Output) -> Result<(), Failure> {
    let Activate {
        approvals,
        connection,
    } = args;
    let activated = connection.run(async |mut client| {
        let call = async |client: &mut Client, gate: &Gate| client.activate_policy(gate).await;
        approvals.pass(&mut client, call).await
    })?;
    output.answer(&activated, || {
        format!(
            "policy {} decides since record {}",
            activated.digest, activated.record
        )
    })
}

fn check(args: &Check, output: Output) -> Result<(), Failure> {
    let (Some(id), Some(action)) = (&args.principal, args.action) else {
        return check_text(args, output);
    };
    let site = Site::read(&args.config)?;
    let file = args.policy.as_ref().unwrap_or(&site.policy.file);
    let principals = site.principals();
    let policy = load(file, &principals)?;
    let principal = principals
        .iter()
        .find(|principal| principal.id == *id)
        .ok_or_else(|| {
            Failure::Local(format!(
                "{}: no [[principal]] has id = {id:?}",
                args.config.display()
            ))
        })?;
    let answer = ask(args, &policy, principal, action)?;
    output.answer(&answer, || text(&answer))?;
    if answer.allowed {
        Ok(())
    } else {
        Err(Failure::not_good("not allowed"))
    }
}

/// Only whether the text is a policy.
fn check_text(args: &Check, output: Output) -> Result<(), Failure> {
    let file = match &args.policy {
        Some(file) => file.clone(),
        None => Site::read(&args.config)?.policy.file,
    };
    let digest = load(&file, &[])?.digest();
    output.answer(
        &serde_json::json!({ "policy": file, "sha256": digest }),
        || format!("{}: a valid policy, sha256:{digest}", file.display()),
    )
}

pub(super) fn load(
    file: &std::path::Path,
    principals: &[Principal],
) -> Result<CedarPolicy, Failure> {
    let text = files::read_text(file)?;
    CedarPolicy::parse(&text, principals)
        .map_err(|e| Failure::NotGood(format!("{}: {e}", file.display())))
}

fn ask(
    args: &Check,
    policy: &CedarPolicy,
    principal: &Principal,
    action: Action,
) -> Result<Answer, Failure> {
    let tenant = &principal.tenant;
    let key = args
        .key
        .as_deref()
        .map(|key| KeyName::parse_in(tenant, key));
    let key = key.transpose().map_err(Failure::local)?;
    let subjects = args.subjects.iter().map(|text| subject::parse(text));
    let subjects = subjects.collect::<Result<Vec<_>, _>>()?;
    let groups: Vec<_> = args.metric_groups.iter().map(String::as_str).collect();
    let sign = match action {
        Action::Sign => Some(facts(args, &subjects)),
        Action::IssueReceipt => Some(receipt_facts(args, &groups)),
        _ => None,
    };
    let purpose = Purpose::Dsse;
    let question = Question {
        principal,
        peer: PeerCred {
            uid: args.uid,
            gid: args.uid,
            pid: 0,
        },
        action,
        resource: match &key {
            Some(name) => Resource::Key { name, purpose },
            None => Resource::Tenant(tenant),
        },
        sign,
        token: Shown::Nothing,
        now: args.time.unwrap_or_else(clock::now),
    };
    let explanation = policy.explain(&question);
    let unknown = sign.is_some_and(|facts| is_unknown(policy, &facts));
    Ok(Answer {
        allowed: explanation.allowed && !unknown,
        unknown_predicate_type: unknown,
        explanation,
    })
}

/// The rule of [`sealwright_core::permit::authorise`] for predicate types nobody knows.
fn is_unknown(policy: &CedarPolicy, facts: &SignFacts<'_>) -> bool {
    let named = |uri: &str| policy.names_predicate_type(uri);
    !facts.predicate_known && facts.predicate_type.is_some_and(|uri| !named(uri))
}

fn facts<'a>(args: &'a Check, subjects: &'a [Subject]) -> SignFacts<'a> {
    let predicate_type = args.predicate_type.as_deref().map(predicate::type_uri);
    SignFacts {
        payload_type: &args.payload_type,
        predicate_type,
        predicate_known: predicate_type.is_none_or(|uri| predicate::kind_of(uri).is_some()),
        subjects,
        payload_len: args.payload_len,
        receipt: None,
    }
}

fn receipt_facts<'a>(args: &'a Check, groups: &'a [&'a str]) -> SignFacts<'a> {
    SignFacts {
        predicate_type: None,
        predicate_known: true,
        receipt: Some(ReceiptFacts {
            receipt_type: &args.receipt_type,
            metric_groups: groups,
            follows: None,
        }),
        ..facts(args, &[])
    }
}

/// What an allow costs, as sentences.
fn demands(demands: &Demands) -> impl Iterator<Item = String> {
    let approvals = (demands.approvals > 0)
        .then(|| format!("once {} other(s) approve the request", demands.approvals));
    let once = demands
        .once
        .then(|| "each subject once: its name is never signed again with other digests".to_owned());
    approvals.into_iter().chain(once)
}

fn text(answer: &Answer) -> String {
    let explanation = &answer.explanation;
    let mut lines = vec![if answer.allowed { "allowed" } else { "denied" }.to_owned()];
    lines.extend(demands(&answer.explanation.demands));
    if answer.unknown_predicate_type {
        lines.push("the predicate type is not a known one, and no permit names it".to_owned());
    }
    for error in &explanation.errors {
        let policy = error.policy.as_deref().unwrap_or("the question itself");
        lines.push(format!(
            "error in {policy}: {} (an error is a deny)",
            error.message
        ));
    }
    if explanation.determining.is_empty() && explanation.errors.is_empty() && !explanation.allowed {
        lines.push("no policy permits it".to_owned());
    }
    for policy in &explanation.determining {
        let does = match policy.effect {
            Effect::Permit => "permitted by",
            Effect::Forbid => "forbidden by",
        };
        let body = policy.text.replace('\n', "\n    ");
        lines.push(format!(
            "{does} {:?}, line {}:\n    {body}",
            policy.id, policy.line
        ));
    }
    lines.join("\n")
}
