//! `sealwright status`.

use sealwright_client::{
    AnchorStatus, Approvals, ExpiringCertificate, FreezeStatus, LogStatus, PredecessorStatus,
    RotationAhead, Status, TokenStatus, WitnessStatus,
};

use crate::connect::Connection;
use crate::failure::Failure;
use crate::output::{Output, table};
use crate::rotation;

/// How the daemon, its log and its tokens are.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let status = args
        .connection
        .run(async |mut client| client.status().await)?;
    output.answer(&status, || text(&status))
}

fn text(status: &Status) -> String {
    let (you, log) = (&status.principal, &status.log);
    let roles = you.roles.join(", ");
    let (all, covered) = (log.size, log.checkpoint_size);
    let mut lines = vec![
        format!("daemon   {}", status.version),
        format!("you      {} ({roles}) in tenant {}", you.id, you.tenant),
        format!("log      {}", status.origin),
        format!(
            "records  {all}, {covered} of them under a checkpoint; {}",
            log.state
        ),
        format!("policy   sha256:{}", status.policy_digest),
        format!("config   sha256:{}", status.config_digest),
    ];
    if let Some(predecessor) = &status.predecessor {
        lines.insert(3, before(predecessor));
    }
    lines.extend(status.freezes.iter().map(freeze));
    lines.extend(status.clock.iter().map(|doubt| format!("CLOCK    {doubt}")));
    lines.extend(approvals(status));
    lines.extend(status.rotations.iter().map(rotation));
    lines.extend(erasing(log));
    lines.extend(status.certificates.iter().map(certificate));
    if let Some(denied) = status.denied_keys.filter(|denied| *denied > 0) {
        lines.push(format!(
            "denied   {denied} keys of callers, by the deny list"
        ));
    }
    lines.extend(log.witnesses.iter().map(witness));
    if log.anchor.quorum > 0 {
        lines.push(anchor(&log.anchor));
    }
    let tokens: Vec<_> = status.tokens.iter().map(row).collect();
    let header = ["TOKEN", "STATE", "WAITING", "AT WORK", "SERIAL", "NOTE"];
    format!("{}\n\n{}", lines.join("\n"), table(header, &tokens))
}

fn approvals(status: &Status) -> Vec<String> {
    let Approvals { waiting, owed, .. } = status.approvals;
    let mut lines = Vec::new();
    if owed > 0 {
        lines.push(format!(
            "OWED     {owed} by break-glass, to be approved: `sealwright approve list`"
        ));
    }
    if waiting > 0 {
        lines.push(format!(
            "waiting  {waiting} for approvals: `sealwright approve list`"
        ));
    }
    if let Some(digest) = status.policy_waiting {
        lines.push(format!(
            "waiting  policy file sha256:{digest}: `sealwright policy activate`"
        ));
    }
    lines
}

fn freeze(freeze: &FreezeStatus) -> String {
    let FreezeStatus {
        scope,
        since,
        record,
        ..
    } = freeze;
    let why = freeze.reason.iter().zip(&freeze.by);
    let why: String = why.map(|(why, by)| format!(", by {by}: {why}")).collect();
    format!("FROZEN   {scope}, since {since} (record {record}){why}")
}

fn rotation(ahead: &RotationAhead) -> String {
    let what = rotation::ahead(
        ahead.rotation_due.as_ref(),
        ahead.rotation_scheduled.as_ref(),
    );
    format!("rotate   {}: {what}", ahead.key)
}

fn certificate(expiring: &ExpiringCertificate) -> String {
    let ExpiringCertificate {
        kind,
        name,
        not_after,
    } = expiring;
    format!("expires  {not_after}: {kind} {name}")
}

fn before(old: &PredecessorStatus) -> String {
    let PredecessorStatus { origin, size, .. } = old;
    let why = old.because.as_ref();
    let why = why.map_or_else(String::new, |why| format!(", not all of it: {why}"));
    format!("before   {origin}, {size} records{why}")
}

fn erasing(log: &LogStatus) -> Option<String> {
    let records: Vec<String> = log.erasing.iter().map(ToString::to_string).collect();
    let why = log.erasing_failed.as_ref();
    let why = why.map_or_else(String::new, |why| format!("; {why}"));
    let records = records.join(", ");
    (!log.erasing.is_empty()).then(|| format!("erasing  bodies named by records {records}{why}"))
}

fn witness(witness: &WitnessStatus) -> String {
    let name = &witness.name;
    match (witness.size, witness.age_s) {
        (Some(size), Some(age)) => format!("witness  {name}: {size} records, {age} s ago"),
        _ => format!("witness  {name}: has not cosigned yet; look at sealwright-courier"),
    }
}

fn anchor(anchor: &AnchorStatus) -> String {
    let (size, quorum) = (anchor.size, anchor.quorum);
    let stale = if anchor.stale { "; too long ago" } else { "" };
    match anchor.age_s {
        Some(age) => format!("quorum   of {quorum}: {size} records, {age} s ago{stale}"),
        None => format!("quorum   of {quorum}: not reached yet{stale}"),
    }
}

fn row(token: &TokenStatus) -> [String; 6] {
    let suspect =
        "suspect: returned what did not verify; look into it, then `sealwright token clear`";
    let note = match (&token.reason, token.suspect) {
        (Some(reason), _) => reason.clone(),
        (None, true) => suspect.to_owned(),
        (None, false) => String::new(),
    };
    [
        token.name.clone(),
        token.state.clone(),
        token.queued.to_string(),
        token.in_flight.to_string(),
        token.serial.clone().unwrap_or_default(),
        note,
    ]
}
