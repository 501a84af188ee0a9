//! `sealwright keys`: listing keys and moving them through their life. Making and enrolling is in [`super::enrol`].

use sealwright_client::{Client, Gate, Key};
use sealwright_core::evidence::Exclusive;
use sealwright_core::key::{KeyEvent, KeyState};
use sealwright_core::name::{KeyName, KeyVersionId};
use sealwright_core::time::Timestamp;
use serde_json::json;

use super::{attest, destroy, enrol, revocation, rotate};
use crate::connect::Connection;
use crate::failure::Failure;
use crate::gate::Approvals;
use crate::output::{Output, table};
use crate::rotation;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the key versions you may see.
    List(List),
    /// Show one key, with its public key.
    Show(Show),
    /// Ask a token for a key; enrols nothing.
    Describe(enrol::Describe),
    /// Make a key on a token; it signs nothing before it is enrolled.
    Generate(enrol::Generate),
    /// Take a key into use, after its fingerprint was confirmed.
    Enrol(enrol::Enrol),
    Attest(attest::Args),
    /// Let an enrolled version sign.
    Activate(Change),
    /// Take a key out of use for a while.
    Suspend(Change),
    /// Let a suspended key sign again.
    Resume(Change),
    /// Take a key out of use for good; its signatures still verify.
    Deactivate(Change),
    /// Let a successor take over: make or find it, enrol it, switch, now or at a time.
    Rotate(rotate::Args),
    Destroy(destroy::Args),
    Revoke(revocation::Revoke),
    Revocation(revocation::Restate),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The key: release, or tenant/release.
    key: KeyName,
    /// Print only the public key of the version that signs, PEM.
    #[arg(long)]
    pem: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Change {
    /// The key, or one of its versions: release, release#2.
    key: String,
    /// Why; goes into the audit log.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    approvals: Approvals,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(command: Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::List(List { connection }) => {
            let keys = connection.run(async |mut client| client.keys().await)?;
            output.answer(&json!({ "keys": keys }), || listing(&keys))
        }
        Command::Show(args) => show(args, output),
        Command::Describe(args) => enrol::describe(args, output),
        Command::Generate(args) => enrol::generate(args, output),
        Command::Enrol(args) => enrol::enrol(args, output),
        Command::Attest(args) => attest::run(args, output),
        Command::Activate(args) => change(args, KeyEvent::Activate, output),
        Command::Suspend(args) => change(args, KeyEvent::Suspend, output),
        Command::Resume(args) => change(args, KeyEvent::Resume, output),
        Command::Deactivate(args) => change(args, KeyEvent::Deactivate, output),
        Command::Rotate(args) => rotate::run(args, output),
        Command::Destroy(args) => destroy::run(args, output),
        Command::Revoke(args) => revocation::revoke(args, output),
        Command::Revocation(args) => revocation::restate(args, output),
    }
}

fn listing(keys: &[Key]) -> String {
    let row = |key: &Key| {
        [
            key.key.to_string(),
            format!("{:?}", key.state),
            key.scheme.to_string(),
            key.purpose.as_str().to_owned(),
            key.token.clone(),
            key.spki_sha256.to_string(),
            rotation_of(key),
        ]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    table(
        [
            "KEY",
            "STATE",
            "SCHEME",
            "PURPOSE",
            "TOKEN",
            "SPKI SHA-256",
            "ROTATION",
        ],
        &rows,
    )
}

fn show(args: Show, output: Output) -> Result<(), Failure> {
    let Show {
        key,
        pem,
        connection,
    } = args;
    let versions = connection.run(async |mut client| client.key(&key).await)?;
    if pem {
        let active = versions
            .iter()
            .find(|version| version.state == KeyState::Active);
        let active =
            active.ok_or_else(|| Failure::NotGood(format!("no version of {key} is active")))?;
        return Ok(crate::files::write_product(
            "-".as_ref(),
            active.public_key_pem.as_bytes(),
        )?);
    }
    output.answer(&json!({ "keys": versions }), || {
        versions.iter().map(details).collect::<Vec<_>>().join("\n")
    })
}

fn optional(time: Option<Timestamp>) -> String {
    time.map_or_else(String::new, |time| time.to_string())
}

fn rotation_of(key: &Key) -> String {
    rotation::ahead(key.rotation_due.as_ref(), key.rotation_scheduled.as_ref())
}

/// How far its origin is proved, and whether it can sign elsewhere, too.
fn evidence_of(key: &Key) -> String {
    let exclusive = match key.exclusive {
        Exclusive::Proven => "proven",
        Exclusive::Claimed => "claimed",
        Exclusive::No => "no",
    };
    format!("{:?}, exclusive: {exclusive}", key.evidence)
}

/// Everything about one version.
pub(super) fn details(key: &Key) -> String {
    let rows = [
        ("key", key.key.to_string()),
        ("state", format!("{:?}", key.state)),
        ("token", format!("{}, {}", key.token, key.uri)),
        ("scheme", key.scheme.to_string()),
        ("purpose", key.purpose.as_str().to_owned()),
        ("signs", key.payload_types.join(", ")),
        ("SPKI SHA-256", key.spki_sha256.to_string()),
        ("keyid", key.keyid.clone()),
        ("signatures", key.signatures.to_string()),
        ("rotation", rotation_of(key)),
        ("signs from", optional(key.active_from)),
        ("signed until", optional(key.active_until)),
        ("destroy from", optional(key.destroy_from)),
        (
            "destroying",
            key.destroy_intent
                .map_or_else(String::new, |index| format!("since record {index}")),
        ),
        (
            "compromised",
            optional(key.compromise.as_ref().map(|c| c.effective_time)),
        ),
        ("evidence", evidence_of(key)),
        (
            "evidence file",
            key.evidence_sha256
                .map_or_else(String::new, |digest| digest.to_string()),
        ),
    ];
    let lines = rows.iter().filter(|(_, value)| !value.is_empty());
    let lines = lines.map(|(name, value)| format!("{name:<13} {value}\n"));
    lines.collect::<String>() + &key.public_key_pem
}

fn change(args: Change, event: KeyEvent, output: Output) -> Result<(), Failure> {
    let Change {
        key,
        reason,
        approvals,
        connection,
    } = args;
    let wanted = Wanted::parse(&key)?;
    let changed = connection.run(async |mut client| {
        let id = match wanted {
            Wanted::Version(id) => id,
            Wanted::Key(name) => the_one(&mut client, &name, event).await?,
        };
        let call = async |client: &mut Client, gate: &Gate| {
            client.change_key(&id, event, &reason, gate).await
        };
        Ok::<_, Failure>(approvals.pass(&mut client, call).await?)
    })?;
    output.answer(&changed, || {
        format!("{} is now {:?}", changed.key, changed.state)
    })
}

enum Wanted {
    Key(KeyName),
    Version(KeyVersionId),
}

impl Wanted {
    fn parse(text: &str) -> Result<Self, Failure> {
        if text.contains('#') {
            return text.parse().map(Self::Version).map_err(Failure::local);
        }
        text.parse().map(Self::Key).map_err(Failure::local)
    }
}

/// The only version of a key that `event` is possible for.
async fn the_one(
    client: &mut Client,
    name: &KeyName,
    event: KeyEvent,
) -> Result<KeyVersionId, Failure> {
    let versions = client.key(name).await?;
    let mut fitting = versions
        .iter()
        .filter(|version| version.state.after(event).is_ok());
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Ok(only.key.clone()),
        (None, _) => Err(Failure::NotGood(format!(
            "no version of {name} can {event:?}: {}",
            versions
                .iter()
                .map(|v| format!("{} is {:?}", v.key, v.state))
                .collect::<Vec<_>>()
                .join(", ")
        ))),
        (Some(_), Some(_)) => Err(Failure::Local(format!(
            "several versions of {name} can {event:?}; name one, as in {name}#1"
        ))),
    }
}
