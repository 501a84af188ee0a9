//! Checkpoints against the journal: signature, name, size and root.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use sealwright_core::state::State;
use sealwright_core::tlog::{Checkpoint, Frontier, Hash, Note, VerifierKey};

use super::{Finding, Report, Scope};
use crate::audit::checkpoint::log_verifier_key;

const DAMAGED: &str =
    "Put the file back from a backup, or remove it if newer ones are there and sound";
const CUT: &str = "The log was cut, rewritten or restored from an older copy: do not continue it. Keep everything, put \
                   back the newest backup that has what the checkpoint covers, or let a new log take its place with \
                   `sealwrightd shard` (docs/runbooks/restore.md)";

/// One checkpoint file.
struct Claim {
    path: PathBuf,
    is_own: bool,
    note: Note,
    checkpoint: Checkpoint,
    /// The journal's root at its size, once it is that long.
    root: Option<Hash>,
}

/// What the checkpoints say, by size.
#[derive(Default)]
pub(in crate::audit) struct Claims {
    all: Vec<Claim>,
    /// How many are reached by the journal as it is read.
    reached: usize,
}

impl Claims {
    /// Reads the files; what is none is a finding at once.
    pub(in crate::audit) fn read(scope: &Scope, report: &mut Report) -> io::Result<Self> {
        let own = own_files(&scope.state_dir.join("checkpoints"))?;
        let own = own.into_iter().map(|path| (path, true));
        let outside = scope.outside.iter().map(|path| (path.clone(), false));
        let mut this = Self::default();
        for (path, is_own) in own.chain(outside) {
            match parse(&path, is_own)? {
                Ok(claim) => this.all.extend(claim),
                Err(what) => report
                    .findings
                    .push(Finding::checkpoint(&path, &what, DAMAGED)),
            }
        }
        this.all.sort_by_key(|claim| claim.checkpoint.size());
        Ok(this)
    }

    /// Size of the newest in the state directory.
    pub(super) fn newest_own(&self) -> u64 {
        let own = self.all.iter().filter(|claim| claim.is_own);
        own.map(|claim| claim.checkpoint.size()).max().unwrap_or(0)
    }

    /// The journal has so many records now.
    pub(in crate::audit) fn reached(&mut self, frontier: &Frontier) {
        while let Some(claim) = self.all.get_mut(self.reached)
            && claim.checkpoint.size() <= frontier.size()
        {
            // In order of their sizes and one record at a time, so the sizes are equal here, but for size 0.
            claim.root = (claim.checkpoint.size() == frontier.size()).then(|| frontier.root());
            self.reached += 1;
        }
    }

    /// Those that `key` signed, by size.
    pub(in crate::audit) fn signed_by(&self, key: &VerifierKey) -> BTreeMap<u64, Note> {
        let signed = self
            .all
            .iter()
            .filter(|claim| claim.note.verify([key]).is_ok());
        signed
            .map(|claim| (claim.checkpoint.size(), claim.note.clone()))
            .collect()
    }

    /// Leaves out what covers more than `records`, sound or not: that part of the log is given up.
    pub(in crate::audit) fn forget_beyond(&mut self, records: u64, report: &mut Report) {
        let is_beyond = |finding: &Finding| {
            let name = finding
                .path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            name.parse::<u64>().is_ok_and(|size| size > records)
        };
        let findings = std::mem::take(&mut report.findings);
        let (beyond, kept): (Vec<_>, _) = findings.into_iter().partition(is_beyond);
        report.findings = kept;
        let left = beyond.into_iter().map(|finding| finding.message);
        report
            .notes
            .extend(left.map(|message| format!("left behind: {message}")));
        self.all.retain(|claim| claim.checkpoint.size() <= records);
    }

    /// The journal is read to its end.
    pub(in crate::audit) fn judge(self, state: &State, records: u64, report: &mut Report) {
        let genesis = state.genesis();
        let key = genesis.and_then(|g| log_verifier_key(&g.origin, &g.log_key).ok());
        for claim in self.all {
            match claim.verdict(key.as_ref(), records) {
                Ok(()) => report.checkpoints += 1,
                Err(finding) => report.findings.push(finding),
            }
        }
    }
}

impl Claim {
    fn verdict(&self, key: Option<&VerifierKey>, records: u64) -> Result<(), Finding> {
        let size = self.checkpoint.size();
        let finding = |what: &str, next| Err(Finding::checkpoint(&self.path, what, next));
        if key.is_none_or(|key| self.note.verify([key]).is_err()) {
            return finding("is not signed by this log's key", DAMAGED);
        }
        match &self.root {
            None => finding(
                &format!("covers {size} records, and the journal has {records}"),
                CUT,
            ),
            Some(root) if root != self.checkpoint.root() => finding(
                &format!("covers {size} records, and the journal has other ones"),
                CUT,
            ),
            Some(_) => Ok(()),
        }
    }
}

/// The files that hold a checkpoint: their names are sizes. No folder: no checkpoint.
fn own_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.bytes().all(|b| b.is_ascii_digit()) {
            files.push(path);
        }
    }
    Ok(files)
}

fn parse(path: &Path, is_own: bool) -> io::Result<Result<Option<Claim>, String>> {
    let bytes = match std::fs::read(path) {
        // The daemon removes old ones while it runs.
        Err(e) if e.kind() == io::ErrorKind::NotFound && is_own => {
            return Ok(Ok(None));
        }
        bytes => bytes.map_err(|e| {
            io::Error::new(e.kind(), format!("cannot read {}: {e}", path.display()))
        })?,
    };
    let parse = || -> Result<Claim, String> {
        let text = String::from_utf8(bytes).map_err(|_| "is no text".to_owned())?;
        let note = Note::parse(&text).map_err(|e| format!("is no signed note: {e}"))?;
        let checkpoint: Checkpoint = note
            .text()
            .parse()
            .map_err(|e| format!("is no checkpoint: {e}"))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_own && name.parse() != Ok(checkpoint.size()) {
            let size = checkpoint.size();
            return Err(format!(
                "covers {size} records, which its name does not say"
            ));
        }
        Ok(Claim {
            path: path.to_owned(),
            is_own,
            note,
            checkpoint,
            root: None,
        })
    };
    Ok(parse().map(Some))
}
