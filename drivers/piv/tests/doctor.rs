//! `sealwright doctor` on a host with a card: each finding is caused, by real programs at the real pcscd.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::tool::piv_tool;
use support::{Host, other};

/// What doctor finds about the card and its service; this host has no daemon, of which it says more.
fn findings(host: &Host) -> Vec<(String, String)> {
    let site = host.state().join("site");
    fs::create_dir_all(site.join("tokens")).unwrap();
    fs::copy(host.write(), site.join("tokens/card.toml")).unwrap();
    let config = site.join("sealwright.toml");
    let text = "[api]\nsocket = 'api.sock'\ncertificate = 'server.pem'\nkey = 'server.key'\n\
                [state]\ndir = 'state'\n[[domain]]\nname = 'site'\nca = 'ca.pem'\n";
    fs::write(&config, text).unwrap();
    let driver = Path::new(env!("CARGO_BIN_EXE_sealwright-driver-piv"));
    let programs = driver.parent().unwrap();
    let program = programs.join("sealwright");
    assert!(
        program.exists(),
        "{} is missing: run `scripts/build` first",
        program.display()
    );
    let mut doctor = Command::new(program);
    doctor.args(["--json", "doctor", "--config"]).arg(&config);
    doctor.arg("--driver-dir").arg(programs);
    let output = doctor.envs(host.reader.environment()).output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = answer["findings"].as_array().unwrap();
    let all = all
        .iter()
        .map(|found| (text(&found["id"]), text(&found["problem"])));
    // The driver's socket is not served here.
    let about_card = |(id, _): &(String, String)| {
        (id.starts_with("token.") && id != "token.socket-missing") || id.starts_with("pcscd.")
    };
    all.filter(about_card).collect()
}

fn ids(found: &[(String, String)]) -> Vec<&str> {
    found.iter().map(|(id, _)| id.as_str()).collect()
}

fn pcscd_socket(host: &Host) -> PathBuf {
    host.reader.environment()[0].1.clone()
}

fn for_nobody_else(host: &Host) {
    let mode = fs::Permissions::from_mode(0o660);
    fs::set_permissions(pcscd_socket(host), mode).unwrap();
}

#[test]
fn a_service_that_is_open_to_everybody_is_found_until_its_socket_is_closed() {
    let host = Host::new();
    let found = findings(&host);
    assert_eq!(ids(&found), ["pcscd.open-to-everybody"], "{found:?}");
    for_nobody_else(&host);
    assert!(findings(&host).is_empty());
}

/// The mode of the file that is shipped is the one that doctor is content with.
#[test]
fn the_drop_in_for_pcscd_leaves_the_cards_to_one_group() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let file = root.join("packaging/systemd/pcscd.socket.d/sealwright.conf");
    let text = fs::read_to_string(file).unwrap();
    let settings: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let wanted = [
        "[Socket]",
        "SocketMode=0660",
        "SocketGroup=sealwright-cards",
    ];
    assert_eq!(settings, wanted);
}

#[test]
fn the_program_that_has_the_card_for_itself_is_named_with_its_process() {
    const NAME: &str = "the_program_that_has_the_card_for_itself_is_named_with_its_process";
    if other::is_here() {
        return other::hold_for_itself();
    }
    let host = Host::new();
    for_nobody_else(&host);
    let rival = other::start(&host, NAME);
    let found = findings(&host);
    assert_eq!(ids(&found), ["token.rival"], "{found:?}");
    let process = format!("(process {})", rival.id());
    assert!(found[0].1.contains(&process), "{found:?}");
    drop(rival);
    host.await_card();
    assert!(findings(&host).is_empty());
}

#[test]
fn a_pin_one_try_from_locking_and_a_locked_one_are_found() {
    let host = Host::new();
    for_nobody_else(&host);
    for (wrong, word) in [(2, "1 try is left"), (1, "locked")] {
        for _ in 0..wrong {
            piv_tool(&host, &["-a", "verify-pin", "-P", "999999"]);
        }
        let found = findings(&host);
        assert_eq!(ids(&found), ["token.pin-at-risk"], "{found:?}");
        assert!(found[0].1.contains(word), "{found:?}");
    }
}

#[test]
fn a_card_that_is_not_there_is_not_found() {
    let mut host = Host::new();
    for_nobody_else(&host);
    host.card.take_out();
    let found = findings(&host);
    assert_eq!(ids(&found), ["token.not-found"], "{found:?}");
}
