//! The commands of the runbooks, in their order, on a host of their own.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use sealwright_softhsm_tests::swtpm::PortPair;

/// In the order in which one host can go through them.
const RUNBOOKS: &[&str] = &[
    "first-start",
    "day-one",
    "wrong-pin",
    "token-out-of-service",
    "driver-stuck",
    "log-poisoned-or-full",
    "disk-full",
    "audit",
    "retention",
    "witnesses",
    "freeze",
    "incident",
    "air-gap",
    "certificates-expired",
    "suspend-a-key",
    "rotate-a-key",
    "token-replace",
    "key-ceremony",
    "token-lost",
    "revoke-compromised",
    "restore",
    "backup-restore",
    "hsm-replace",
];

/// What a person does between two blocks, by words of the later one.
const BEFORE: [(&str, &str); 6] = [
    (
        "cp -a /var/lib/sealwright",
        "sealwright audit checkpoint --output kept-checkpoint",
    ),
    ("keys enrol", "carry_fingerprint"),
    (
        "rm /var/lib/sealwright-hsm/login-pending",
        "touch /var/lib/sealwright-hsm/login-pending",
    ),
    ("keys deactivate", "as operator"),
    (
        "mv /var/lib/sealwright /var/lib/sealwright.old\n",
        "sealwright audit checkpoint --output kept-checkpoint",
    ),
    // The new host has no log.
    (
        "sha256sum /srv/sealwright-move.json\nsealwright init",
        "mv /var/lib/sealwright /var/lib/sealwright.on-the-old-host",
    ),
];

#[test]
fn every_command_of_the_runbooks_does_what_its_page_says() {
    let folder = tempfile::Builder::new()
        .prefix("sw-")
        .tempdir_in("/tmp")
        .unwrap();
    let script = folder.path().join("host.sh");
    fs::write(&script, script_of(RUNBOOKS)).unwrap();
    let me = std::env::current_exe().unwrap();
    let binaries = me.ancestors().nth(2).unwrap();
    fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let ports = PortPair::claim();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "bash"])
        .arg(&script)
        .env("HOME_DIR", folder.path())
        .env("BINARIES", binaries)
        .env("TPM_PORT", ports.first().to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.ends_with("all done\n"), "{said}");
}

#[test]
fn no_runbook_is_left_out() {
    let mut pages: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|page| {
            page.unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    pages.sort();
    let mut known = RUNBOOKS.to_vec();
    known.sort_unstable();
    assert_eq!(pages, known);
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/runbooks"))
}

fn script_of(runbooks: &[&str]) -> String {
    let mut script = include_str!("runbooks/host.sh").to_owned();
    for name in runbooks {
        let page = fs::read_to_string(folder().join(format!("{name}.md"))).unwrap();
        if *name != "first-start" {
            script.push_str("as operator\n");
        }
        let blocks = blocks(&page);
        assert!(!blocks.is_empty(), "{name} has no commands");
        for (number, block) in blocks.iter().enumerate() {
            for (_, step) in BEFORE.iter().filter(|(words, _)| block.contains(words)) {
                let _ = writeln!(script, "{step}");
            }
            let _ = writeln!(script, "begin '{name}, block {}'", number + 1);
            let _ = writeln!(script, "{{\n{block}\n}} >\"$HOME_DIR/out\" 2>&1");
        }
    }
    script + "echo all done\n"
}

/// The contents of the fenced `sh` blocks, without their indent.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for line in page.lines() {
        match &mut open {
            None => {
                if line.trim_start() == "```sh" {
                    open = Some((line.find('`').unwrap(), String::new()));
                }
            }
            Some((_, block)) if line.trim_start() == "```" => {
                blocks.push(std::mem::take(block));
                open = None;
            }
            Some((indent, block)) => {
                block.push_str(line.get(*indent..).unwrap_or_default());
                block.push('\n');
            }
        }
    }
    blocks
}
