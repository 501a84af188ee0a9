//! `sealwright keys rotate`: a new key takes over from the one that signs, without a gap.
//!
//! Each step looks first whether it was done already, so that the same command goes on where one was cut off: a
//! key that the device made although its answer was lost is found by its address and taken, never made twice.
//! With `--at` the last step, the switch, is left to the daemon.

use std::path::PathBuf;

use sealwright_client::{Client, ClientError, DescribedKey, Generate, Key};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::key::KeyState;
use sealwright_core::name::{KeyName, KeyVersionId};
use sealwright_core::scheme::Scheme;
use sealwright_core::time::Timestamp;
use sealwright_core::uri::KeyUri;

use super::enrol::Enrolment;
use crate::clock;
use crate::confirm::Confirmation;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::files;
use crate::output::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key: release, or tenant/release.
    key: KeyName,
    /// The token that holds the successor [default: the one of the key that signs].
    #[arg(long)]
    token: Option<String>,
    /// Where the successor is, or shall be made.
    #[arg(long, required_unless_present = "cancel")]
    uri: Option<KeyUri>,
    /// Prepare the successor now, so that it can be published, and let it take over at this time (RFC 3339).
    #[arg(long, value_name = "TIME", conflicts_with = "output")]
    at: Option<Timestamp>,
    /// Take back what `--at` asked for; the successor stays, enrolled and unused.
    #[arg(long, conflicts_with_all = ["uri", "at", "token", "scheme", "confirm", "yes", "output"])]
    cancel: bool,
    /// What it shall sign with [default: as until now].
    #[arg(long)]
    scheme: Option<Scheme>,
    /// The SHA-256 fingerprint of the successor's SubjectPublicKeyInfo, where it is known.
    #[arg(long, value_name = "SHA256", conflicts_with = "yes")]
    confirm: Option<Sha256Digest>,
    /// Take the key that the driver finds or makes.
    #[arg(long)]
    yes: bool,
    /// Why; goes into the audit log.
    #[arg(long, default_value = "")]
    reason: String,
    /// Where the succession statement goes, a DSSE envelope signed by the old key; `-` is stdout.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

pub(super) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let Some(uri) = args.uri.clone() else {
        return cancel(args, output);
    };
    let confirmation = Confirmation::from_flags(args.confirm, args.yes);
    if !confirmation.is_possible() {
        let next = "give --confirm or --yes, or run it at a terminal to confirm the fingerprint";
        return Err(Failure::local(next));
    }
    let prepare = Prepare {
        args: &args,
        uri,
        confirmation,
    };
    match args.at {
        Some(at) => schedule(prepare, at, output),
        None => switch(prepare, output),
    }
}

fn switch(prepare: Prepare<'_>, output: Output) -> Result<(), Failure> {
    let args = prepare.args;
    let rotated = args.connection.clone().run(async |mut client| {
        let to = prepare.successor(&mut client).await?;
        Ok::<_, Failure>(client.rotate_key(&to, &args.reason).await?)
    })?;
    if let Some(path) = &args.output {
        files::write_product(path, rotated.succession.get().as_bytes())?;
    }
    let text = || {
        format!(
            "{} signs now; {} verifies old signatures",
            rotated.to.key, rotated.from
        )
    };
    match &args.output {
        Some(path) if path.as_os_str() == "-" => output.aside(&rotated, text),
        _ => output.answer(&rotated, text),
    }
}

fn schedule(prepare: Prepare<'_>, at: Timestamp, output: Output) -> Result<(), Failure> {
    let args = prepare.args;
    // The daemon decides by its own clock; this keeps a key from being made for nothing.
    if at <= clock::now() {
        let why = format!("{at} is over; give a later time, or leave --at out to rotate now");
        return Err(Failure::Local(why));
    }
    let (from, to) = args.connection.clone().run(async |mut client| {
        let to = prepare.successor(&mut client).await?;
        let from = client.schedule_rotation(&to, at, &args.reason).await?;
        Ok::<_, Failure>((from, to))
    })?;
    output.answer(&from, || {
        let from = &from.key;
        format!("{to} takes over from {from} at {at}; publish it until then")
    })
}

fn cancel(args: Args, output: Output) -> Result<(), Failure> {
    let Args { key, reason, .. } = args;
    let cancelled = args
        .connection
        .run(async |mut client| client.cancel_rotation(&key, &reason).await)?;
    output.answer(&cancelled, || format!("{} goes on signing", cancelled.key))
}

/// Everything in front of the switch.
struct Prepare<'a> {
    args: &'a Args,
    uri: KeyUri,
    confirmation: Confirmation,
}

impl Prepare<'_> {
    /// The successor, which is enrolled for what the old key signs and not active yet.
    async fn successor(&self, client: &mut Client) -> Result<KeyVersionId, Failure> {
        let name = &self.args.key;
        let versions = client.key(name).await?;
        let old = versions.iter().find(|v| v.state == KeyState::Active);
        let old = old.ok_or_else(|| {
            let why = format!("no version of {name} is active; activate one instead");
            Failure::NotGood(why)
        })?;
        let token = self.args.token.as_ref().unwrap_or(&old.token);
        let waiting = versions.iter().find(|version| {
            version.state == KeyState::PreActive
                && version.token == *token
                && version.uri == self.uri
        });
        match waiting {
            Some(version) => Ok(version.key.clone()),
            None => Ok(self.enrolled(client, old, token).await?.key),
        }
    }

    async fn enrolled(&self, client: &mut Client, old: &Key, token: &str) -> Result<Key, Failure> {
        let scheme = self.args.scheme.unwrap_or(old.scheme);
        let found = self.found_or_made(client, token, scheme).await?;
        let successor = Enrolment {
            key: self.args.key.to_string(),
            token: token.to_owned(),
            confirmation: self.confirmation,
            scheme: Some(scheme),
            purpose: old.purpose,
            payload_types: Some(old.payload_types.clone()),
            certificate: None,
            activate: false,
        };
        successor.carry_out(client, found).await?
    }

    async fn found_or_made(
        &self,
        client: &mut Client,
        token: &str,
        scheme: Scheme,
    ) -> Result<DescribedKey, ClientError> {
        match client.describe_key(token, &self.uri).await {
            Err(ClientError::Api(refusal)) if refusal.code == "unknown_key" => {}
            found => return found,
        }
        let wanted = Generate {
            key: self.args.key.to_string(),
            token: token.to_owned(),
            uri: self.uri.clone(),
            scheme,
            rsa_bits: None,
        };
        client.generate_key(&wanted).await
    }
}
