//! Drivers are not trusted: whatever one answers or fails to answer, no bad signature leaves, the record says
//! what happened, and the token works again once its driver does.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{
    CLIENT_UID, DAEMON_UID, SOON, Site, TokenSpec, http, statement,
};
use serde_json::json;
use support::{assert_refused, is_suspect, text, verified, wait_in_flight};

fn site() -> Site {
    Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .token(TokenSpec::scripted("spare").key("other"))
        .start()
}

/// The token signs again, with a signature that verifies.
fn assert_signs(site: &Site) {
    let answer = wait_for("the token to sign again", SOON, || {
        let answer = site.client().sign("key=release", &statement("after"));
        (answer.status == 200).then_some(answer)
    });
    verified(site, &["release"], &answer);
}

#[test]
fn an_answer_that_does_not_verify_is_refused_recorded_and_marks_the_token() {
    let lies = [
        "other-key",
        "other-digest",
        "short",
        "garbage",
        "wrong-request-id",
        "malformed-frame",
        "oversized-frame",
    ];
    let site = site();
    for lie in lies {
        site.token("soft").fault(lie);
        let answer = site.client().sign("key=release", &statement(lie));
        assert_eq!(answer.status, 502, "{lie}");
        assert_refused(&site, &answer, "signature_rejected", "failed");
        assert!(is_suspect(&site, "soft"), "{lie}");
        assert!(!is_suspect(&site, "spare"), "{lie}");
        site.token("soft").fault("none");
        assert_signs(&site);
        // The mark stays until a person has looked.
        assert!(is_suspect(&site, "soft"), "{lie}");
        let clear = site
            .operator()
            .post("/v1/tokens/soft/clear", &json!({"reason": "looked at it"}));
        clear.ok();
        assert!(!is_suspect(&site, "soft"), "{lie}");
    }
    assert_eq!(site.records("token.suspect").len(), lies.len());
    assert_eq!(site.records("token.cleared").len(), lies.len());
}

#[test]
fn a_second_lie_adds_no_second_mark_and_only_operators_clear_one() {
    let site = site();
    site.token("soft").fault("garbage");
    for _ in 0..2 {
        assert_eq!(
            site.client().sign("key=release", &statement("a")).code(),
            "signature_rejected"
        );
    }
    assert_eq!(site.records("token.suspect").len(), 1);
    let reason = json!({"reason": "please"});
    assert_eq!(
        site.client().post("/v1/tokens/soft/clear", &reason).code(),
        "denied"
    );
    assert_eq!(
        site.operator()
            .post("/v1/tokens/nothing/clear", &reason)
            .code(),
        "unknown_token"
    );
    assert!(is_suspect(&site, "soft"));
}

#[test]
fn a_mark_survives_a_restart_of_the_daemon() {
    let mut site = site();
    site.token("soft").fault("garbage");
    assert_eq!(
        site.client().sign("key=release", &statement("a")).code(),
        "signature_rejected"
    );
    site.kill_daemon();
    site.start_daemon();
    assert!(is_suspect(&site, "soft"));
}

#[test]
fn one_lying_token_keeps_a_whole_envelope_back() {
    let site = site();
    site.token("spare").fault("other-digest");
    let answer = site.client().sign("key=release&key=other", &statement("a"));
    assert_refused(&site, &answer, "signature_rejected", "failed");
    assert!(is_suspect(&site, "spare") && !is_suspect(&site, "soft"));
}

#[test]
fn a_stalled_session_ends_at_its_deadline_while_others_sign_and_the_host_starts_over() {
    let site = site();
    let pid = site.token("soft").driver_pid();
    site.token("soft").fault("stall");
    thread::scope(|scope| {
        let client = site.client();
        let begun = Instant::now();
        let stalled =
            scope.spawn(move || client.sign("key=release&timeout_ms=3000", &statement("stalled")));
        wait_in_flight(&site, "soft", 1);
        site.token("soft").fault("none");
        // The other session, and the other token.
        site.client().sign("key=release", &statement("b")).ok();
        site.client().sign("key=other", &statement("c")).ok();
        assert!(!stalled.is_finished());
        let answer = stalled.join().unwrap();
        assert!(
            begun.elapsed() >= Duration::from_millis(2900),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(answer.status, 504);
        assert_refused(&site, &answer, "outcome_unknown", "outcome_unknown");
    });
    assert_signs(&site);
    wait_for("another driver process", SOON, || {
        (site.token("soft").driver_pid() != pid).then_some(())
    });
    assert!(site.token("soft").log().contains("outlived its deadline"));
    assert!(!is_suspect(&site, "soft"));
}

#[test]
fn a_driver_that_dies_over_a_request_leaves_an_unknown_outcome_and_the_next_one_signs() {
    let site = site();
    for fault in ["crash-before-sign", "crash-after-sign", "abort", "lost"] {
        let pid = site.token("soft").driver_pid();
        site.token("soft").fault(fault);
        let answer = site.client().sign("key=release", &statement(fault));
        assert_eq!(answer.status, 504, "{fault}");
        assert_refused(&site, &answer, "outcome_unknown", "outcome_unknown");
        site.token("soft").fault("none");
        assert_signs(&site);
        assert_ne!(site.token("soft").driver_pid(), pid, "{fault}");
        assert!(!is_suspect(&site, "soft"), "{fault}");
    }
}

#[test]
fn a_killed_idle_driver_is_replaced_without_anybody_noticing() {
    let site = site();
    for _ in 0..3 {
        assert!(site.token("soft").kill_driver());
        assert_signs(&site);
    }
}

#[test]
fn an_error_of_the_device_is_recorded_as_failed_and_told_only_to_people_with_the_log() {
    let site = site();
    for fault in [
        "transient",
        "auth",
        "locked-out",
        "key-missing",
        "key-ambiguous",
        "touch-timeout",
    ] {
        site.token("soft").fault(fault);
        let answer = site.client().sign("key=release", &statement(fault));
        assert_eq!(answer.status, 503, "{fault}");
        assert_refused(&site, &answer, "token_unavailable", "failed");
        assert_eq!(answer.json().get("detail"), None, "{fault}");
        let record = site.record(answer.record().unwrap());
        assert!(text(&record, "reason").contains("SCRIPTED"), "{record}");
        site.token("soft").fault("none");
        assert_signs(&site);
        assert!(!is_suspect(&site, "soft"), "{fault}");
    }
}

#[test]
fn a_driver_of_another_token_or_wire_version_is_out_of_service_until_it_is_the_right_one() {
    let site = site();
    for (fault, why) in [
        ("wrong-hello-label", "label"),
        ("wrong-hello-version", "wire version"),
    ] {
        site.token("soft").fault(fault);
        site.token("soft").kill_driver();
        let status = wait_for("the reason", SOON, || {
            let status = site.wait_for_token("soft", "out-of-service");
            text(&status, "reason").contains(why).then_some(status)
        });
        assert!(
            text(&status, "reason").contains("not the configured one"),
            "{status}"
        );
        let answer = wait_for("the breaker to open", SOON, || {
            let answer = site
                .client()
                .sign("key=release&timeout_ms=200", &statement("a"));
            assert_ne!(answer.status, 200);
            (answer.code() == "token_unavailable").then_some(answer)
        });
        assert_refused(&site, &answer, "token_unavailable", "failed");
        site.client().sign("key=other", &statement("b")).ok();
        site.token("soft").fault("none");
        assert_signs(&site);
    }
}

#[test]
fn a_driver_that_greets_and_reads_nothing_is_given_up() {
    let site = site();
    site.token("soft").fault("hang-without-reading");
    site.token("soft").kill_driver();
    wait_for("the driver to greet", SOON, || {
        let answer = site
            .client()
            .sign("key=release&timeout_ms=300", &statement("a"));
        (answer.code() == "outcome_unknown").then_some(())
    });
    let given_up = "the driver did not answer in time";
    wait_for("the daemon to let go", SOON, || {
        site.daemon_log().contains(given_up).then_some(())
    });
    site.client().sign("key=other", &statement("b")).ok();
    // Nobody but systemd's watchdog ends such a process.
    site.token("soft").fault("none");
    site.token("soft").kill_driver();
    assert_signs(&site);
}

#[test]
fn a_connection_of_another_user_is_closed_by_the_driver_before_a_byte() {
    let mut site = site();
    let socket = site.token("soft").socket();
    // Root passes the socket's permission bits, not the driver's question who it is.
    site.stop_daemon();
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut bytes = Vec::new();
    // A reset is a close as well.
    let _ = stream.read_to_end(&mut bytes);
    assert!(bytes.is_empty(), "{bytes:?}");
    let stranger = http::connect_as(&socket, CLIENT_UID, CLIENT_UID).unwrap_err();
    assert_eq!(stranger.kind(), std::io::ErrorKind::PermissionDenied);
    let mut insider = http::connect_as(&socket, CLIENT_UID, DAEMON_UID).unwrap();
    insider.set_read_timeout(Some(SOON)).unwrap();
    let _ = insider.read_to_end(&mut bytes);
    assert!(bytes.is_empty(), "{bytes:?}");
    let log = site.token("soft").log();
    assert!(
        log.contains("closed a connection of another user")
            && log.contains(&CLIENT_UID.to_string()),
        "{log}"
    );
    site.start_daemon();
    assert_signs(&site);
}

#[test]
fn a_missing_module_is_named_and_signing_goes_on_once_it_is_there() {
    let mut site = Site::builder()
        .token(TokenSpec::softhsm("hsm").key("release"))
        .start();
    let config = site.token("hsm").config();
    let good = std::fs::read_to_string(&config).unwrap();
    site.token_mut("hsm").stop();
    std::fs::write(&config, good.replace("libsofthsm2.so", "missing.so")).unwrap();
    site.token_mut("hsm").serve();
    let reason = wait_for("the missing module's name", SOON, || {
        let token = site.wait_for_token("hsm", "out-of-service");
        Some(text(&token, "reason").to_owned()).filter(|reason| reason.contains("missing.so"))
    });
    assert!(reason.contains("cannot open the token"), "{reason}");
    site.token_mut("hsm").stop();
    std::fs::write(&config, good).unwrap();
    site.token_mut("hsm").serve();
    assert_signs(&site);
}

#[test]
fn a_wrong_pin_is_tried_once_whatever_restarts() {
    let mut site = Site::builder()
        .token(TokenSpec::softhsm("hsm").key("release"))
        .start();
    let pin = site.token("hsm").dir().join("pin");
    let good = std::fs::read_to_string(&pin).unwrap();
    site.token_mut("hsm").stop();
    std::fs::write(&pin, "not the PIN").unwrap();
    site.token_mut("hsm").serve();
    let starts = |site: &Site| site.token("hsm").log().matches("started process").count();
    let before = starts(&site);
    wait_for("several driver processes", SOON, || {
        (starts(&site) >= before + 3).then_some(())
    });
    site.kill_daemon();
    site.spawn_daemon(&[]);
    let again = starts(&site);
    wait_for("another driver process", SOON, || {
        (starts(&site) > again).then_some(())
    });
    let log = site.token("hsm").log();
    assert_eq!(log.matches("CKR_PIN_INCORRECT").count(), 1, "{log}");
    assert!(
        log.contains("an earlier login with this credential failed"),
        "{log}"
    );

    std::fs::write(&pin, good).unwrap();
    assert_signs(&site);
}
