//! `sealwright keys rotate`: a new key takes over from the one that signs, without a gap.
//!
//! Each step looks first whether it was done already, so that the same command goes on where one was cut off: a
//! key that the device made although its answer was lost is found by its address and taken, never made twice.

use std::path::PathBuf;

use sealwright_client::{Client, ClientError, DescribedKey, Generate, Key, Rotated};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::key::KeyState;
use sealwright_core::name::KeyName;
use sealwright_core::scheme::Scheme;
use sealwright_core::uri::KeyUri;

use super::enrol::Enrolment;
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
    #[arg(long)]
    uri: KeyUri,
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
    let confirmation = Confirmation::from_flags(args.confirm, args.yes);
    if !confirmation.is_possible() {
        let next = "give --confirm or --yes, or run it at a terminal to confirm the fingerprint";
        return Err(Failure::local(next));
    }
    let (to_file, connection) = (args.output.clone(), args.connection.clone());
    let rotated =
        connection.run(async |mut client| rotate(&mut client, args, confirmation).await)?;
    if let Some(path) = &to_file {
        files::write_product(path, rotated.succession.get().as_bytes())?;
    }
    let text = || {
        format!(
            "{} signs now; {} verifies old signatures",
            rotated.to.key, rotated.from
        )
    };
    match &to_file {
        Some(path) if path.as_os_str() == "-" => output.aside(&rotated, text),
        _ => output.answer(&rotated, text),
    }
}

async fn rotate(
    client: &mut Client,
    args: Args,
    confirmation: Confirmation,
) -> Result<Rotated, Failure> {
    let versions = client.key(&args.key).await?;
    let old = versions.iter().find(|v| v.state == KeyState::Active);
    let old = old.ok_or_else(|| {
        let why = format!("no version of {} is active; activate one instead", args.key);
        Failure::NotGood(why)
    })?;
    let token = args.token.clone().unwrap_or_else(|| old.token.clone());
    let waiting = versions.iter().find(|version| {
        version.state == KeyState::PreActive && version.token == token && version.uri == args.uri
    });
    let to = match waiting {
        Some(version) => version.key.clone(),
        None => enrolled(client, &args, old, token, confirmation).await?.key,
    };
    Ok(client.rotate_key(&to, &args.reason).await?)
}

/// The successor, enrolled for what the old key signs and not active yet.
async fn enrolled(
    client: &mut Client,
    args: &Args,
    old: &Key,
    token: String,
    confirmation: Confirmation,
) -> Result<Key, Failure> {
    let scheme = args.scheme.unwrap_or(old.scheme);
    let found = found_or_made(client, args, &token, scheme).await?;
    let successor = Enrolment {
        key: args.key.to_string(),
        token,
        confirmation,
        scheme: Some(scheme),
        purpose: old.purpose,
        payload_types: Some(old.payload_types.clone()),
        certificate: None,
        activate: false,
    };
    successor.carry_out(client, found).await?
}

async fn found_or_made(
    client: &mut Client,
    args: &Args,
    token: &str,
    scheme: Scheme,
) -> Result<DescribedKey, ClientError> {
    match client.describe_key(token, &args.uri).await {
        Err(ClientError::Api(refusal)) if refusal.code == "unknown_key" => {}
        found => return found,
    }
    let wanted = Generate {
        key: args.key.to_string(),
        token: token.to_owned(),
        uri: args.uri.clone(),
        scheme,
        rsa_bits: None,
    };
    client.generate_key(&wanted).await
}
