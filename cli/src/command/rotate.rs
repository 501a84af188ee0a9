//! `sealwright keys rotate`: a new key takes over from the one that signs, without a gap.
//!
//! Each step looks first whether it was done already, so that the same command goes on where one was cut off: a
//! key that the device made although its answer was lost is found by its address and taken, never made twice.
//! With `--at` the last step, the switch, is left to the daemon.

use std::path::PathBuf;

use sealwright_client::{Client, ClientError, DescribedKey, Gate, Generate, Key, Rotated};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::dsse::{Envelope, TrustedKey};
use sealwright_core::key::KeyState;
use sealwright_core::name::{KeyName, KeyVersionId};
use sealwright_core::scheme::Scheme;
use sealwright_core::spki::Spki;
use sealwright_core::succession;
use sealwright_core::time::Timestamp;
use sealwright_core::uri::KeyUri;
use serde_json::value::RawValue;

use super::enrol::Enrolment;
use crate::clock;
use crate::confirm::Confirmation;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::files;
use crate::gate::Approvals;
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
    approvals: Approvals,
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
        match prepare.successor(&mut client).await? {
            Successor::Waits(to) => {
                let call = async |client: &mut Client, gate: &Gate| {
                    client.rotate_key(&to, &args.reason, gate).await
                };
                Ok(args.approvals.pass(&mut client, call).await?)
            }
            Successor::Signs(versions, to) => rotated_before(&versions, *to),
        }
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
        Some(path) => output.beside(path, &rotated, text),
        None => output.answer(&rotated, text),
    }
}

/// The answer of the rotation by which `to` came to sign, from what is kept of it: it was lost on its way.
fn rotated_before(versions: &[Key], to: Key) -> Result<Rotated, Failure> {
    let statement = to.succession.as_ref().map(serde_json::to_string);
    let Some(statement) = statement.transpose().map_err(Failure::local)? else {
        return Err(signs_already(&to));
    };
    let named_by = |version: &&Key| {
        let spki = Spki::from_pem(&version.public_key_pem).ok()?;
        let key = TrustedKey::with_default_scheme(spki).ok()?;
        let link = Envelope::parse(statement.as_bytes()).ok()?;
        succession::follow(&key, [link]).ok()
    };
    let from = versions.iter().find(|version| named_by(version).is_some());
    let from = from.ok_or_else(|| signs_already(&to))?.key.clone();
    let succession = RawValue::from_string(statement).map_err(Failure::local)?;
    Ok(Rotated {
        from,
        to,
        succession,
    })
}

fn signs_already(key: &Key) -> Failure {
    let (key, uri) = (&key.key, &key.uri);
    Failure::NotGood(format!(
        "{key}, which is {uri}, signs already; name another --uri"
    ))
}

fn schedule(prepare: Prepare<'_>, at: Timestamp, output: Output) -> Result<(), Failure> {
    let args = prepare.args;
    // The daemon decides by its own clock; this keeps a key from being made for nothing.
    if at <= clock::now() {
        let why = format!("{at} is over; give a later time, or leave --at out to rotate now");
        return Err(Failure::Local(why));
    }
    let (from, to) = args.connection.clone().run(async |mut client| {
        let to = match prepare.successor(&mut client).await? {
            Successor::Waits(to) => to,
            Successor::Signs(_, key) => return Err(signs_already(&key)),
        };
        let call = async |client: &mut Client, gate: &Gate| {
            client.schedule_rotation(&to, at, &args.reason, gate).await
        };
        let from = args.approvals.pass(&mut client, call).await?;
        Ok((from, to))
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

/// How far an earlier attempt got.
enum Successor {
    /// Enrolled for what the old key signs, and not active yet.
    Waits(KeyVersionId),
    /// It took over already; with all versions of the key.
    Signs(Vec<Key>, Box<Key>),
}

impl Prepare<'_> {
    async fn successor(&self, client: &mut Client) -> Result<Successor, Failure> {
        let name = &self.args.key;
        let versions = client.key(name).await?;
        let old = versions.iter().find(|v| v.state == KeyState::Active);
        let old = old.ok_or_else(|| {
            let why = format!("no version of {name} is active; activate one instead");
            Failure::NotGood(why)
        })?;
        let token = self.args.token.as_ref().unwrap_or(&old.token);
        let scheme = self.args.scheme.unwrap_or(old.scheme);
        let found = self.found_or_made(client, token, scheme).await?;
        // By its public key: a token may know it under a longer address than it was made under.
        let known = versions.iter().find(|v| v.spki_sha256 == found.spki_sha256);
        match known {
            Some(known) if known.state == KeyState::PreActive => {
                Ok(Successor::Waits(known.key.clone()))
            }
            Some(known) if known.state == KeyState::Active => {
                let known = known.clone();
                Ok(Successor::Signs(versions, Box::new(known)))
            }
            _ => {
                let enrolment = self.enrolment(old, token, scheme);
                let made = enrolment.carry_out(client, found).await?;
                Ok(Successor::Waits(made.key))
            }
        }
    }

    fn enrolment(&self, old: &Key, token: &str, scheme: Scheme) -> Enrolment {
        Enrolment {
            key: self.args.key.to_string(),
            token: token.to_owned(),
            confirmation: self.confirmation,
            scheme: Some(scheme),
            purpose: old.purpose,
            payload_types: Some(old.payload_types.clone()),
            certificate: None,
            activate: false,
        }
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
        let call =
            async |client: &mut Client, gate: &Gate| client.generate_key(&wanted, gate).await;
        self.args.approvals.pass(client, call).await
    }
}
