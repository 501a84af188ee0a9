//! `sealwright verify --log` without a file: the whole log, and nothing else.

use std::path::Path;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::tlog::Policy;
use serde::Serialize;

use super::{Args, inputs};
use crate::exported::{Checked, Folder};
use crate::failure::Failure;
use crate::output::Output;
use crate::proof::Recorded;

#[derive(Serialize)]
struct Verified {
    verified: bool,
    log: Checked,
}

pub(super) fn run(args: &Args, output: Output) -> Result<(), Failure> {
    let folder = args.log.as_deref().unwrap_or(Path::new("."));
    let (log, _) = check(folder, &inputs::log_policy(args, None)?, None)?;
    let verified = Verified {
        verified: true,
        log,
    };
    output.answer(&verified, || text(folder, &verified.log))
}

/// Checks the folder under the policy.
pub(super) fn check(
    folder: &Path,
    policy: &Policy,
    envelope: Option<Sha256Digest>,
) -> Result<(Checked, Option<Recorded>), Failure> {
    let checked = Folder(folder.to_owned()).check(policy, envelope);
    checked.map_err(|e| Failure::NotGood(format!("{}: {e}", folder.display())))
}

fn text(folder: &Path, checked: &Checked) -> String {
    let mut text = format!(
        "{}: verified, {} entries of {}; {} records are what was logged",
        folder.display(),
        checked.size,
        checked.origin,
        checked.records
    );
    if checked.without_body > 0 {
        let count = checked.without_body;
        text.push_str(&format!(
            "\n  no body    {count} records, erased or archived"
        ));
    }
    for name in &checked.cosigners {
        text.push_str(&format!("\n  witness    {name}"));
    }
    text
}
