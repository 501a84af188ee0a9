//! `sealwright pki deny`: one more key that no caller may use.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sealwright_core::deny::{DenyError, DenyList};
use sealwright_core::digest::Sha256Digest;
use serde::Serialize;

use crate::config::{DEFAULT_CONFIG, Site};
use crate::failure::Failure;
use crate::output::Output;
use crate::{certificate, files};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The caller's certificate, PEM, or the SHA-256 of its SPKI in hex.
    #[arg(value_name = "PEM|SHA256")]
    key: String,
    /// Why, for whoever reads the list.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// The configuration.
    #[arg(long, value_name = "FILE", env = "SEALWRIGHT_CONFIG", default_value = DEFAULT_CONFIG)]
    config: PathBuf,
}

#[derive(Serialize)]
struct Denied {
    spki_sha256: Sha256Digest,
    list: PathBuf,
    /// Whether the list did not name it yet.
    added: bool,
}

pub(crate) fn run(args: Args, output: Output) -> Result<(), Failure> {
    let spki_sha256 = match args.key.parse() {
        Ok(digest) => digest,
        Err(_) => Sha256Digest::of(&[&certificate::read_first(args.key.as_ref())
            .map_err(Failure::local)?
            .spki]),
    };
    if args.reason.contains(['\n', '\r']) {
        return Err(Failure::Local("the reason is one line".to_owned()));
    }
    let list = Site::read(&args.config)?.api.deny_spki;
    let added = add(&list, spki_sha256, &args.reason)?;
    let denied = Denied {
        spki_sha256,
        list,
        added,
    };
    output.answer(&denied, || {
        let (what, list) = (if added { "denied" } else { "denied already" }, denied.list.display());
        format!("{what}: {spki_sha256} in {list}\nnext: `systemctl reload sealwrightd`, then `sealwright status`")
    })
}

/// Adds a line unless the key is denied already. A list that the daemon would not take is not made longer.
fn add(list: &Path, key: Sha256Digest, reason: &str) -> Result<bool, Failure> {
    let text = match list.exists() {
        true => files::read_text(list)?,
        false => String::new(),
    };
    let parse = |text: &str| {
        DenyList::parse(text)
            .map_err(|e: DenyError| Failure::Local(format!("{}: {e}", list.display())))
    };
    if parse(&text)?.contains(&key) {
        return Ok(false);
    }
    let start = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let line = format!("{start}{key} {reason}").trim_end().to_owned() + "\n";
    parse(&format!("{text}{line}"))?;
    append(list, &line).map_err(|e| Failure::Local(format!("{}: {e}", list.display())))?;
    Ok(true)
}

/// In one write: half a line would keep the daemon from taking the list.
fn append(list: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(list)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()
}
