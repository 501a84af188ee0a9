//! The threat model says which test holds what: each of them exists.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

const KINDS: [&str; 6] = ["S", "T", "R", "I", "D", "E"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The rows of the table of threats, each with its four cells.
fn rows() -> Vec<Vec<String>> {
    let page = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let (_, table) = page.split_once("| kind | threat |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let rows = table.lines().skip(2);
    let cells = |row: &str| {
        row.trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    rows.map(cells).collect()
}

/// Whether a row is a heading between others.
fn is_heading(row: &[String]) -> bool {
    row.iter().any(|cell| cell.starts_with("**"))
}

/// What is named between backticks.
fn named(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// A file as the table names it: `sh/` for the black-box tests, without a folder for the one before it.
fn file(name: &str, before: &Path) -> PathBuf {
    match name.strip_prefix("sh/") {
        Some(name) => Path::new("softhsm-tests/tests").join(name),
        None if name.is_empty() => before.to_owned(),
        None if name.contains('/') => name.into(),
        None => before.with_file_name(name),
    }
}

/// What is wrong with the references of one cell; `before` is carried from one to the next.
fn problems(cell: &str) -> Vec<String> {
    let mut before = PathBuf::new();
    let mut problems = Vec::new();
    let is_reference =
        |word: &&str| word.contains(".rs") || word.contains(".sh::") || word.starts_with("::");
    for reference in named(cell).filter(is_reference) {
        let (name, test) = reference.split_once("::").unwrap_or((reference, ""));
        before = file(name, &before);
        let Ok(text) = fs::read_to_string(root().join(&before)) else {
            problems.push(format!("{reference}: there is no {}", before.display()));
            continue;
        };
        // Stories of a booted machine tell their tests with `it`.
        let forms = [format!("fn {test}("), format!("it {test} ")];
        if !test.is_empty() && !forms.iter().any(|form| text.contains(form)) {
            problems.push(format!("{reference}: no such test in {}", before.display()));
        }
    }
    problems
}

#[test]
fn every_threat_has_a_kind_an_action_and_a_test_that_exists() {
    let rows = rows();
    assert!(rows.len() > 50, "only {} rows", rows.len());
    let mut wrong = Vec::new();
    for row in rows.iter().filter(|row| !is_heading(row)) {
        let [kinds, threat, action, held_by] = row.as_slice() else {
            wrong.push(format!("not four cells: {row:?}"));
            continue;
        };
        if kinds.split(' ').any(|kind| !KINDS.contains(&kind)) || action.is_empty() {
            wrong.push(format!("{threat}: kind {kinds:?}, action {action:?}"));
        }
        if named(held_by).next().is_none() {
            wrong.push(format!("{threat}: nothing holds it"));
        }
        wrong.extend(problems(held_by));
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn each_kind_of_threat_is_thought_of() {
    let rows = rows();
    for kind in KINDS {
        let count = rows
            .iter()
            .filter(|row| row[0].split(' ').any(|k| k == kind));
        assert!(count.count() >= 3, "{kind}");
    }
}

#[test]
fn a_test_that_is_gone_is_noticed() {
    assert_eq!(problems("`sh/canary.rs`"), Vec::<String>::new());
    assert_eq!(
        problems("`sh/canary.rs::no_such_test`, `::nor_this`").len(),
        2
    );
    assert_eq!(problems("`sh/no_such_file.rs::x`").len(), 1);
}
