//! The virtual security keys do what real ones do, by the word of programs that know nothing of them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use sealwright_softhsm_tests::fault::Fault;
use sealwright_softhsm_tests::fido::VirtualKeys;

#[test]
fn libfido2_lists_the_keys_that_are_plugged_in() {
    let keys = VirtualKeys::new();
    let list = || output(keys.command("fido2-token").arg("-L"));
    assert_eq!(list(), "");
    let mut first = keys.plug_in(0, "V1");
    let _second = keys.plug_in(7, "V2");
    let line = |node| format!("{node}: vendor=0x20a0, product=0x42b2 (Sealwright Virtual Key)\n");
    assert_eq!(list(), line("/dev/hidraw0") + &line("/dev/hidraw7"));
    first.unplug();
    assert_eq!(list(), line("/dev/hidraw7"));
}

#[test]
fn ssh_keygen_makes_a_key_and_signs_after_a_replug() {
    let keys = VirtualKeys::new();
    let mut key = keys.plug_in(0, "V1");
    let folder = tempfile::tempdir().unwrap();
    generate(&keys, folder.path());
    sign(&keys, folder.path(), "one").wait().unwrap();
    verify(folder.path(), "one");
    key.replug();
    sign(&keys, folder.path(), "two").wait().unwrap();
    verify(folder.path(), "two");
}

#[test]
fn a_signature_waits_for_the_touch() {
    let keys = VirtualKeys::new();
    let key = keys.plug_in(0, "V1");
    let folder = tempfile::tempdir().unwrap();
    generate(&keys, folder.path());
    key.wait_for_touch();
    let mut signing = sign(&keys, folder.path(), "m");
    key.await_waiting();
    assert!(signing.try_wait().unwrap().is_none());
    key.touch();
    assert!(signing.wait().unwrap().success());
    verify(folder.path(), "m");
}

fn generate(keys: &VirtualKeys, folder: &Path) {
    let mut command = keys.command("ssh-keygen");
    command
        .args([
            "-q",
            "-t",
            "ecdsa-sk",
            "-O",
            "application=ssh:test",
            "-N",
            "",
            "-f",
        ])
        .arg(folder.join("id"));
    output(&mut command);
}

fn sign(keys: &VirtualKeys, folder: &Path, message: &str) -> std::process::Child {
    fs::write(folder.join(message), message).unwrap();
    let mut command = keys.command("ssh-keygen");
    command
        .args(["-q", "-Y", "sign", "-n", "test", "-f"])
        .arg(folder.join("id"))
        .arg(folder.join(message));
    command.stderr(Stdio::null()).spawn().unwrap()
}

/// By ssh-keygen, which sees no key here.
fn verify(folder: &Path, message: &str) {
    let public = fs::read_to_string(folder.join("id.pub")).unwrap();
    fs::write(folder.join("allowed"), format!("me {public}")).unwrap();
    let mut command = Command::new("ssh-keygen");
    command
        .args(["-Y", "verify", "-n", "test", "-I", "me", "-f"])
        .arg(folder.join("allowed"))
        .arg("-s")
        .arg(folder.join(format!("{message}.sig")))
        .stdin(fs::File::open(folder.join(message)).unwrap());
    assert!(output(&mut command).starts_with("Good \"test\" signature"));
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_fault_on_the_wire_spoils_one_call_and_not_the_next() {
    let keys = VirtualKeys::new();
    let key = keys.plug_in(0, "V1");
    let info = || {
        keys.command("fido2-token")
            .args(["-I", &key.node()])
            .output()
            .unwrap()
    };
    key.faults().once(Fault::Truncate);
    assert!(!info().status.success());
    assert!(info().status.success());
    assert_eq!(key.faults().done(), 1);
}
