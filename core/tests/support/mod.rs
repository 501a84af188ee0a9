//! What the vector runners share: finding a folder of vectors, and counting cases so that none is lost.
//!
//! `SEALWRIGHT_VECTORS` names the folder that holds one folder per kind of vector. Unset, nothing runs and
//! the output says so; set, a missing or empty folder, a file that no rule names, and a case without a
//! verdict are failures. Skipped cases are printed as `skip FOLDER/CASE: WHY`, one per line, so that the
//! caller can compare them with the skips it expects.
#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Names the folder with the vectors.
const VARIABLE: &str = "SEALWRIGHT_VECTORS";

/// A description that stands in every folder and is not a case.
const SOURCE: &str = "SOURCE.txt";

/// The folder of all vectors; `None` (and a line that says so) where the variable is not set.
pub(crate) fn vectors_dir() -> Option<PathBuf> {
    let dir = std::env::var_os(VARIABLE).map(PathBuf::from);
    if dir.is_none() {
        println!("{VARIABLE} is not set: no vectors ran");
    }
    dir
}

/// The folder of one kind of vector. Panics where the variable is set and the folder is missing.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let dir = vectors_dir()?.join(name);
    assert!(
        dir.is_dir(),
        "{} is not a folder: check {VARIABLE}",
        dir.display()
    );
    Some(dir)
}

/// Every file below `dir`, as `/`-separated paths relative to it, in order, without `SOURCE.txt`.
pub(crate) fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    walk(dir, "", &mut found);
    found.retain(|name| name != SOURCE);
    found.sort();
    found
}

fn walk(dir: &Path, prefix: &str, found: &mut Vec<String>) {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            walk(&path, &format!("{name}/"), found);
        } else {
            found.push(name);
        }
    }
}

/// A file's JSON as `T`. Panics, naming the file, where a member that carries a verdict is missing.
pub(crate) fn json<T: DeserializeOwned>(path: &Path) -> T {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Compares an answer with the verdict of a case: `accept` means that `answer` must be `Ok`.
pub(crate) fn judge<T, E: Display>(accept: bool, answer: Result<T, E>) -> Result<(), String> {
    match (accept, answer) {
        (true, Ok(_)) | (false, Err(_)) => Ok(()),
        (true, Err(error)) => Err(format!("must be accepted, was refused: {error}")),
        (false, Ok(_)) => Err("must be refused, was accepted".into()),
    }
}

/// Counts the cases of one folder and keeps what went wrong until the end, so that one run shows all of it.
pub(crate) struct Tally {
    folder: String,
    run: usize,
    skipped: usize,
    failures: Vec<String>,
}

impl Tally {
    /// Starts counting for `folder`.
    pub(crate) fn new(folder: &str) -> Self {
        Self {
            folder: folder.to_owned(),
            run: 0,
            skipped: 0,
            failures: Vec::new(),
        }
    }

    /// Counts one case that was judged; `Err` says how the answer differs from the verdict.
    pub(crate) fn case(&mut self, name: impl Display, outcome: Result<(), String>) {
        self.run += 1;
        if let Err(why) = outcome {
            self.failures.push(format!("{}/{name}: {why}", self.folder));
        }
    }

    /// Counts one case that cannot be judged here, and prints it.
    pub(crate) fn skip(&mut self, name: impl Display, why: impl Display) {
        self.skipped += 1;
        println!("\nskip {}/{name}: {why}", self.folder);
    }

    /// Fails for each file of `dir` that is not in `known`: a case that no rule names would be lost.
    pub(crate) fn only(&mut self, dir: &Path, known: &[&str]) {
        let known: BTreeSet<&str> = known.iter().copied().collect();
        for file in files(dir) {
            if !known.contains(file.as_str()) {
                self.unknown_file(&file);
            }
        }
    }

    /// Records a file that no rule names.
    pub(crate) fn unknown_file(&mut self, file: &str) {
        self.failures
            .push(format!("{}/{file}: no rule names this file", self.folder));
    }

    /// Prints the counts; panics with every failure, or where nothing ran.
    pub(crate) fn finish(self) {
        // The harness leaves its line open: a line of our own begins with a line end.
        println!("\n{}: {} run", self.folder, self.run);
        if self.skipped > 0 {
            println!("{}: {} skipped", self.folder, self.skipped);
        }
        assert!(
            self.failures.is_empty(),
            "{} of {} cases failed:\n{}",
            self.failures.len(),
            self.run,
            self.failures.join("\n")
        );
        assert!(self.run > 0, "{}: no case ran", self.folder);
    }
}
