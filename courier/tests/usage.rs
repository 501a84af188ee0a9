//! The built courier where it cannot work: it says what to do next and ends with 1.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

const WITNESS: &str = "w.test+9fd28a43+BGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZm";

/// What `--once` says, where it must fail.
fn refused(config: &Path) -> String {
    let mut courier = Command::new(env!("CARGO_BIN_EXE_sealwright-courier"));
    let output = courier
        .arg("--once")
        .arg("--config")
        .arg(config)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_missing_configuration_is_named() {
    let said = refused(Path::new("/nowhere/courier.toml"));
    assert!(
        said.contains("/nowhere/courier.toml") && said.contains("--config"),
        "{said}"
    );
}

#[test]
fn a_witness_whose_key_does_not_fit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("courier.toml");
    let config = format!(
        "[daemon]\nsocket = 's'\ncertificate = 'c'\nkey = 'k'\nca = 'a'\n\
         [[witness]]\nkey = '{WITNESS}'\nurl = 'http://127.0.0.1:9'\n"
    );
    std::fs::write(&path, config).unwrap();
    let said = refused(&path);
    assert!(
        said.contains("key id") && said.contains("courier.toml"),
        "{said}"
    );
}
