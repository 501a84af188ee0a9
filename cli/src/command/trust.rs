//! `sealwright trust`: what verifiers need to know about the keys, from one source.

use std::path::PathBuf;

use sealwright_client::{Key, PredecessorStatus};
use sealwright_core::key::Purpose;
use sealwright_core::name::KeyName;
use sealwright_core::record::FormerLog;
use sealwright_core::spki::Spki;
use sealwright_core::time::Timestamp;
use sealwright_core::trust::jwk::{Jwk, JwkSet};
use sealwright_core::trust::sigstore::{self, Certified};
use sealwright_core::trust::{Compromised, Document, Log, Version};

use super::enrol::purpose;
use crate::clock;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::files;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Write the public keys for verifiers, with or without their lives.
    Export(Export),
}

/// Write the public keys for verifiers: those of every version that you may see.
///
/// `document` has each version's life; `sealwright verify --trust` judges old signatures with it. With --signed-by the
/// daemon makes, numbers and signs it: the tenant's word, which verifiers check with one pinned key. `pem` and `jwks`
/// are for verifiers that cannot judge: no version that was ever compromised is in them.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// Only this key, with all of its versions; may be repeated.
    #[arg(long = "key", value_name = "NAME")]
    keys: Vec<KeyName>,
    /// What to write.
    #[arg(long, value_enum)]
    format: Format,
    /// Keys for what, in `pem` and `jwks` [default: dsse].
    #[arg(long, value_parser = purpose)]
    purpose: Option<Purpose>,
    /// Publish the document of all keys of the tenant, signed by the active version of this key.
    #[arg(long, value_name = "KEY", conflicts_with = "keys")]
    signed_by: Option<KeyName>,
    /// Until when verifiers shall rely on the published document [default: without an end].
    #[arg(long, value_name = "TIME", requires = "signed_by")]
    valid_until: Option<Timestamp>,
    /// Where it goes; `-` is stdout.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Our trust document: docs/trust-document.md.
    Document,
    /// PUBLIC KEY blocks, each under a line with the version's name.
    Pem,
    /// A JSON Web Key set (RFC 7517).
    Jwks,
    /// Sigstore's trusted_root.json: the log, and the authorities of the keys with certificates.
    TrustedRoot,
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    let Command::Export(args) = command;
    if args.format == Format::Document && args.purpose.is_some() {
        let why =
            "--purpose goes with --format pem and jwks: a document holds keys of every purpose";
        return Err(Failure::local(why));
    }
    match &args.signed_by {
        Some(_) if args.format != Format::Document => Err(Failure::local(
            "--signed-by goes with --format document: the other formats hold bare keys",
        )),
        Some(signed_by) => publish(&args, signed_by),
        None => export(&args),
    }
}

fn publish(args: &Export, signed_by: &KeyName) -> Result<(), Failure> {
    let connection = args.connection.clone();
    let published = connection
        .run(async |mut client| client.publish_trust(signed_by, args.valid_until).await)?;
    let envelope = published.envelope.get().as_bytes();
    Ok(files::write_product(&args.output, envelope)?)
}

fn export(args: &Export) -> Result<(), Failure> {
    let (keys, log_key, status) = args.connection.clone().run(async |mut client| {
        let (keys, log_key) = (client.keys().await?, client.log_key().await?);
        Ok::<_, Failure>((keys, log_key, client.status().await?))
    })?;
    let keys = named(keys, &args.keys)?;
    let former = status.predecessor.map_or_else(Vec::new, former_logs);
    let purpose = args.purpose.unwrap_or(Purpose::Dsse);
    let text = match args.format {
        Format::Document => {
            let document = document(keys, &log_key, former)?;
            document.to_json().map_err(Failure::local)?
        }
        Format::Pem => pem(&document(keys, &log_key, former)?, purpose),
        Format::Jwks => jwks(&document(keys, &log_key, former)?, purpose)?,
        Format::TrustedRoot => trusted_root(keys, &log_key, purpose)?,
    };
    Ok(files::write_product(&args.output, text.as_bytes())?)
}

fn document(keys: Vec<Key>, log_key: &str, former: Vec<Log>) -> Result<Document, Failure> {
    let versions = keys
        .into_iter()
        .map(|key| Ok((key.key.key.clone(), version(key)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    Document::new(clock::now(), log_key, former, versions).map_err(Failure::not_good)
}

fn trusted_root(keys: Vec<Key>, log_key: &str, purpose: Purpose) -> Result<String, Failure> {
    // No record that a key of ours signed is older than the first enrolment.
    let since = keys.iter().filter_map(|key| key.enrolled_at).min();
    let certified = keys.into_iter().filter(|key| key.purpose == purpose);
    let certified: Vec<_> = certified.filter_map(certified_key).collect();
    let log_key = log_key.trim_end().parse().map_err(Failure::not_good)?;
    let since = since.unwrap_or_else(clock::now);
    let root = sigstore::trusted_root(&log_key, since, &certified).map_err(Failure::not_good)?;
    for left_out in &root.left_out {
        eprintln!("sealwright: left out: {left_out}");
    }
    let text = serde_json::to_string_pretty(&root.json).map_err(Failure::local)?;
    Ok(text + "\n")
}

/// A key with a certificate; whose it is cannot be said of one that was enrolled without its chain.
fn certified_key(key: Key) -> Option<Certified> {
    key.certificate.as_ref()?;
    Some(Certified {
        is_compromised: key.compromise.is_some(),
        key: key.key,
        chain: key.certificate_chain,
    })
}

/// The versions of the keys with these names; of all keys where there are none.
fn named(mut keys: Vec<Key>, names: &[KeyName]) -> Result<Vec<Key>, Failure> {
    let missing = |name: &&KeyName| !keys.iter().any(|key| key.key.key == **name);
    if let Some(name) = names.iter().find(missing) {
        return Err(Failure::NotGood(format!("no key {name} that you may see")));
    }
    keys.retain(|key| names.is_empty() || names.contains(&key.key.key));
    Ok(keys)
}

/// The logs whose place the log took, oldest first.
fn former_logs(predecessor: PredecessorStatus) -> Vec<Log> {
    let last = FormerLog {
        origin: predecessor.origin,
        vkey: predecessor.vkey,
    };
    let all = predecessor.earlier.into_iter().chain([last]);
    all.map(|FormerLog { origin, vkey }| Log { origin, vkey })
        .collect()
}

fn version(key: Key) -> Result<Version, Failure> {
    let spki = Spki::from_pem(&key.public_key_pem)
        .map_err(|e| Failure::NotGood(format!("{}: {e}", key.key)))?;
    Ok(Version {
        version: key.key.version,
        state: key.state,
        purpose: key.purpose,
        scheme: key.scheme,
        keyid: key.keyid,
        spki,
        active_from: key.active_from,
        active_until: key.active_until,
        compromise: key.compromise.map(|compromise| Compromised {
            effective_time: compromise.effective_time,
            decided_index: compromise.decided_index,
            log: compromise.log,
        }),
        succession: key.succession,
    })
}

fn pem(document: &Document, purpose: Purpose) -> String {
    let versions = document.unharmed(purpose);
    versions
        .map(|(id, version)| format!("# {id}, {}\n{}", version.scheme, version.spki.to_pem()))
        .collect()
}

fn jwks(document: &Document, purpose: Purpose) -> Result<String, Failure> {
    let keys = document.unharmed(purpose).map(|(id, version)| {
        Jwk::new(&version.spki, version.scheme)
            .map_err(|e| Failure::NotGood(format!("{id} as a JSON Web Key: {e}")))
    });
    let set = JwkSet {
        keys: keys.collect::<Result<_, _>>()?,
    };
    let text = serde_json::to_string_pretty(&set).map_err(Failure::local)?;
    Ok(text + "\n")
}
