//! Starts and reloads that cannot work: refused by name, and what runs goes on.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::net::UnixListener;
use std::thread;

use rustix::process::Signal;
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{SOON, Site, TokenSpec, statement};

fn site() -> Site {
    Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start()
}

#[test]
fn what_is_no_socket_is_not_removed_and_the_start_says_so() {
    let mut site = site();
    site.stop_daemon();
    fs::write(site.socket(), "somebody's notes").unwrap();
    let said = site.refused_start();
    assert!(
        said.contains("api.sock") && said.contains("is no socket"),
        "{said}"
    );
    assert_eq!(
        fs::read_to_string(site.socket()).unwrap(),
        "somebody's notes"
    );
    fs::remove_file(site.socket()).unwrap();
    site.start_daemon();
    site.client().sign("key=release", &statement("a")).ok();
}

#[test]
fn a_socket_on_which_somebody_else_listens_is_not_taken_from_him() {
    let mut site = site();
    site.stop_daemon();
    let other = UnixListener::bind(site.socket()).unwrap();
    std::os::unix::fs::chown(site.socket(), Some(64_001), Some(64_001)).unwrap();
    let said = site.refused_start();
    assert!(said.contains("another program listens"), "{said}");
    drop(other);
    // Nobody listens any more: what is left is a file of the past.
    site.start_daemon();
    site.client().sign("key=release", &statement("a")).ok();
}

#[test]
fn a_second_instance_leaves_the_firsts_sockets_alone() {
    let site = site();
    let inode =
        |path: &std::path::Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let before = inode(&site.socket());
    let said = site.refused_start();
    assert!(said.contains("another sealwrightd is running"), "{said}");
    assert_eq!(inode(&site.socket()), before);
    site.client().sign("key=release", &statement("a")).ok();
}

#[test]
fn a_reload_with_a_broken_configuration_keeps_the_old_one_and_says_so() {
    let mut site = site();
    let good = fs::read_to_string(site.path("etc/sealwright.toml")).unwrap();
    let digest = site.status()["config_digest"].clone();
    let says = |site: &mut Site, text: &str, words: &str| {
        site.edit_config(|_| text.to_owned());
        site.daemon().signal(Signal::HUP);
        wait_for(words, SOON, || {
            site.daemon_log().contains(words).then_some(())
        });
    };
    says(
        &mut site,
        &format!("{good}[limits"),
        "the configuration stays as it was",
    );
    says(
        &mut site,
        &format!("{good}\n# another"),
        "takes effect at the next start",
    );
    assert_eq!(site.status()["config_digest"], digest);
    site.client().sign("key=release", &statement("a")).ok();
}

#[test]
fn a_stop_under_load_loses_no_record_of_what_was_answered() {
    let mut site = site();
    let answered = thread::scope(|scope| {
        let clients: Vec<_> = (0..6)
            .map(|n| {
                let client = site.client();
                scope.spawn(move || {
                    let mut records = Vec::new();
                    for round in 0.. {
                        // Refused or cut off: the daemon is on its way out.
                        let Ok(mut connection) = client.try_connect() else {
                            break;
                        };
                        let request = sealwright_softhsm_tests::site::http::Request::sign(
                            "key=release",
                            &statement(&format!("{n}-{round}")),
                        );
                        match connection.send(&request) {
                            Ok(answer) if answer.status == 200 => {
                                records.push(answer.record().unwrap())
                            }
                            _ => break,
                        }
                    }
                    records
                })
            })
            .collect();
        wait_for("load", SOON, || {
            (site.metric("sealwright_log_size") > 40.0).then_some(())
        });
        site.stop_daemon();
        let records = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap());
        records.collect::<Vec<u64>>()
    });
    assert!(answered.len() > 20, "{answered:?}");
    site.start_daemon();
    assert_eq!(site.records("log.recovered").len(), 0);
    let signed = site.records("sign");
    for record in answered {
        let found = signed.iter().find(|one| one["seq"] == record);
        assert_eq!(found.unwrap()["outcome"], "signed");
    }
}
