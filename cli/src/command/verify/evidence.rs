//! `sealwright verify --evidence`: what a token says of a key's origin, judged anew and offline.

use std::path::Path;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::evidence::{Document, Finding, Nonce, Statement, TokenIdentity};
use serde::Serialize;

use super::{Args, inputs};
use crate::failure::Failure;
use crate::files;
use crate::output::{Output, printable};

#[derive(Serialize)]
struct Judged {
    spki_sha256: Sha256Digest,
    /// To be compared with the one in the key's record.
    evidence_sha256: Sha256Digest,
    nonce: Nonce,
    /// Whether the nonce was the one that was asked with.
    fresh: bool,
    token: TokenIdentity,
    /// Whether the word of the daemon that asked is needed for which device it was: the device has answered its challenge.
    challenged_by_daemon: bool,
    #[serde(flatten)]
    finding: Finding,
    /// When the key wants PIN and touch, where its card tells.
    #[serde(flatten)]
    policies: Option<Policies>,
}

#[derive(Serialize)]
struct Policies {
    pin_policy: &'static str,
    touch_policy: &'static str,
}

impl Policies {
    fn of(statement: &Statement) -> Option<Self> {
        let Statement::PivAttestation(piv) = statement else {
            return None;
        };
        let facts = piv.facts().ok()?;
        Some(Self {
            pin_policy: facts.pin_policy(),
            touch_policy: facts.touch_policy(),
        })
    }
}

pub(super) fn run(args: &Args, file: &Path, output: Output) -> Result<(), Failure> {
    let key = key(args)?;
    let bytes = files::read(file)?;
    let roots = inputs::device_roots(args)?;
    let not_good = |error| Failure::NotGood(format!("{}: {error}", file.display()));
    let document = Document::parse(&bytes).map_err(not_good)?;
    let finding = document.verify(key, args.nonce, &roots).map_err(not_good)?;
    let challenged = document.activation([0; 96]).map_err(not_good)?.is_some();
    let judged = Judged {
        spki_sha256: key,
        evidence_sha256: Sha256Digest::of(&[&bytes]),
        nonce: document.nonce,
        fresh: args.nonce.is_some(),
        policies: Policies::of(&document.statement),
        token: document.token,
        challenged_by_daemon: challenged,
        finding,
    };
    output.answer(&judged, || text(file, &judged))
}

/// The one key that the evidence has to be about.
fn key(args: &Args) -> Result<Sha256Digest, Failure> {
    match (args.spki, args.keys.as_slice()) {
        (Some(digest), []) => Ok(digest),
        (None, [path]) => Ok(inputs::trusted(path, args.scheme)?.spki().sha256()),
        _ => Err(Failure::Local(
            "--evidence is about one key: give one --key PEM or one --spki SHA256".to_owned(),
        )),
    }
}

fn text(file: &Path, judged: &Judged) -> String {
    let age = if judged.fresh {
        "it answers your nonce"
    } else {
        "its age is not known: no --nonce was given"
    };
    let proved = if judged.challenged_by_daemon {
        "\nthat the certified device is the one that signed was proved to the daemon that asked, by a challenge; its record \
         says so, this file does not"
    } else {
        ""
    };
    let token = &judged.token;
    let policies = judged
        .policies
        .as_ref()
        .map_or_else(String::new, |policies| {
            let Policies {
                pin_policy,
                touch_policy,
            } = policies;
            format!("\nit wants the PIN: {pin_policy}; a touch: {touch_policy}")
        });
    format!(
        "{}: {}{policies}\ntoken {} {}, {} {}, firmware {}, as it says itself; {age}{proved}\nSHA-256 {}, to be compared with the key's record",
        file.display(),
        judged.finding,
        printable(&token.label),
        printable(&token.serial),
        printable(&token.manufacturer),
        printable(&token.model),
        printable(&token.firmware),
        judged.evidence_sha256,
    )
}
