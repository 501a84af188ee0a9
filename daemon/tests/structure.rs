//! Borders that no type can hold, held by reading the source.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The code of a file: no comments, no tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn offenders(folder: &str, words: &[&str]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(folder);
    let files = sources(&root);
    assert!(!files.is_empty(), "{} holds no source", root.display());
    let mut found = Vec::new();
    for path in files {
        let code = code(&path);
        found.extend(
            words
                .iter()
                .filter(|word| code.contains(*word))
                .map(|word| format!("{} says {word}", path.display())),
        );
    }
    found
}

#[test]
fn the_daemon_never_asks_what_kind_of_device_it_talks_to() {
    let kinds = [
        "\"pkcs11\"",
        "\"tpm2\"",
        "\"fido2\"",
        "\"piv\"",
        "\"scripted\"",
    ];
    assert_eq!(offenders("daemon/src", &kinds), Vec::<String>::new());
}

#[test]
fn core_has_no_files_clocks_runtime_or_randomness() {
    let io = [
        "std::fs",
        "std::net",
        "SystemTime::now",
        "Instant::now",
        "tokio",
        "rand::",
        "getrandom",
    ];
    assert_eq!(offenders("core/src", &io), Vec::<String>::new());
}

#[test]
fn the_daemon_starts_no_process_and_opens_no_ip_socket() {
    let words = [
        "std::process::Command",
        "process::Command",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
    ];
    assert_eq!(offenders("daemon/src", &words), Vec::<String>::new());
}
