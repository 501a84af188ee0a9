//! The system calls of the daemon show the promise: each record is on the disk before its reply is written.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use sealwright_softhsm_tests::site::http::Request;
use sealwright_softhsm_tests::site::process::{Process, wait_for};
use sealwright_softhsm_tests::site::{SOON, Site, TokenSpec, statement};
use support::{proved, without_using_a_key};

/// What a trace line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// Bytes went to the journal's file.
    Written,
    /// The journal's `fdatasync` came back with success.
    Synced,
    /// A reply began to leave through the API's socket.
    Reply,
}

/// Reads `strace -f -yy`; a call that another thread interrupts stands on two lines.
fn calls(trace: &str) -> Vec<Call> {
    let mut syncing = Vec::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let (thread, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        let is_done = rest.ends_with("= 0");
        if rest.starts_with("fdatasync(") && rest.contains("/journal/") {
            match is_done {
                true => calls.push(Call::Synced),
                false => syncing.push(thread),
            }
        } else if rest.starts_with("<... fdatasync resumed>") && syncing.contains(&thread) {
            syncing.retain(|other| *other != thread);
            assert!(is_done, "{line}");
            calls.push(Call::Synced);
        } else if rest.starts_with("pwrite64(") && rest.contains("/journal/") {
            calls.push(Call::Written);
        } else if rest.contains("/api.sock") {
            calls.push(Call::Reply);
        }
    }
    calls
}

/// Attaches strace to the daemon; what it does beside tracing stands in `options`.
fn strace(site: &mut Site, options: &[&str]) -> (Process, PathBuf) {
    let (output, log) = (site.path("strace"), site.path("logs/strace.log"));
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-yy",
        "-e",
        "trace=fdatasync,fsync,pwrite64,write,writev,sendto,sendmsg",
    ]);
    command
        .args(options)
        .arg("-o")
        .arg(&output)
        .args(["-p", &site.daemon().id().to_string()]);
    let strace = Process::start(command, None, &log).expect("strace runs: apt-get install strace");
    wait_for("strace to attach", SOON, || {
        strace.log().contains("attached").then_some(())
    });
    (strace, output)
}

fn detach(mut strace: Process) {
    strace.signal(Signal::INT);
    strace.wait();
}

#[test]
fn every_reply_follows_the_fdatasync_of_its_record() {
    const SIGNATURES: usize = 10;
    let mut site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start();
    let mut connection = site.client().connect();
    let request = Request::sign("key=release", &statement("a"));
    connection.send(&request).unwrap().ok();
    let (strace, output) = strace(&mut site, &[]);
    for _ in 0..SIGNATURES {
        connection.send(&request).unwrap().ok();
    }
    detach(strace);

    let trace = std::fs::read_to_string(&output).unwrap();
    let (mut is_written, mut is_synced, mut replies) = (false, false, 0);
    for call in calls(&trace) {
        match call {
            Call::Written => (is_written, is_synced) = (true, false),
            Call::Synced => is_synced = is_written,
            Call::Reply => {
                assert!(
                    is_synced,
                    "reply {replies} left before its record was synced:\n{trace}"
                );
                (is_written, is_synced, replies) = (false, false, replies + 1);
            }
        }
    }
    assert_eq!(replies, SIGNATURES, "{trace}");
}

#[test]
fn after_a_failed_sync_nothing_is_released_until_a_restart_has_read_the_disk() {
    let mut site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start();
    let before = site.client().sign("key=release", &statement("a")).ok();
    let (strace, _) = strace(&mut site, &["-e", "inject=fdatasync:error=EIO"]);
    let poisoned = site.client().sign("key=release", &statement("b"));
    assert_eq!(
        (poisoned.status, poisoned.code().as_str()),
        (503, "log_poisoned")
    );
    detach(strace);
    // The disk is well again, but nobody knows what is on it.
    let later = without_using_a_key(&site, "soft", || {
        site.client().sign("key=release", &statement("c"))
    });
    assert_eq!(later.code(), "log_poisoned");
    assert_eq!(site.status()["log"]["state"], "log_poisoned");
    assert!(site.daemon_log().contains("failed to write or sync"));
    site.kill_daemon();
    site.start_daemon();
    site.client().sign("key=release", &statement("d")).ok();
    proved(&site.client(), before.record().unwrap());
}
