//! Witnesses: what they vouch for, who is believed about it, and what happens when they do not.
#![allow(clippy::unwrap_used)]

mod setting;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_core::tlog::merkle::verify_consistency;
use sealwright_core::tlog::{Checkpoint, Hash, Note, Policy, TlogProof};
use sealwright_softhsm_tests::site::http::Request;
use sealwright_softhsm_tests::site::pki::Authority;
use sealwright_softhsm_tests::site::process::{Process, wait_for};
use sealwright_softhsm_tests::site::{ORIGIN, SOON, Site, TokenSpec, statement};
use serde_json::json;
use setting::{COURIER, Setting, answering, http, https, impostor};
use support::{log_key, without_using_a_key};

#[test]
fn with_a_quorum_a_signature_is_verified_offline_under_a_policy_that_names_the_witnesses() {
    let mut setting = Setting::new(3, 2, "");
    setting.witnesses[2].stop();
    let answer = setting
        .site
        .client()
        .sign("key=release", &statement("a"))
        .ok();
    let size = setting.settled();
    let round = setting.round();
    assert_eq!(
        (round.code, &round.report["verdict"]),
        (0, &json!("quorum")),
        "{}",
        round.log
    );
    assert_eq!([round.outcome(0), round.outcome(1)], ["cosigned"; 2]);
    assert_eq!(round.outcome(2), "unreachable");
    // Newer records: the proof must still use the checkpoint that has the quorum.
    setting.sign("b");
    let path = |name: &str| setting.site.path(name);
    let proof = setting
        .site
        .client()
        .get(&format!("/v1/log/proof/{}", answer.record().unwrap()));
    fs::write(path("proof"), proof.ok().body).unwrap();
    fs::write(path("out.json"), &answer.body).unwrap();
    let list = setting
        .site
        .client()
        .get("/v1/keys/default/release")
        .ok()
        .json();
    fs::write(
        path("one.pem"),
        list["keys"][0]["public_key_pem"].as_str().unwrap(),
    )
    .unwrap();
    fs::write(path("two.policy"), setting.policy("2")).unwrap();
    fs::write(path("all.policy"), setting.policy("all")).unwrap();
    let verify = |policy: &str| {
        let mut command = Command::new(setting.site.program("sealwright"));
        command.args([
            "--json", "verify", "out.json", "--key", "one.pem", "--proof", "proof",
        ]);
        command
            .args(["--policy", policy])
            .current_dir(setting.site.path(""));
        command.output().unwrap()
    };
    let verified = verify("two.policy");
    assert!(verified.status.success(), "{verified:?}");
    let verified: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(verified["recorded"]["tree_size"], size);
    assert!(
        !verify("all.policy").status.success(),
        "one witness never cosigned"
    );
}

#[test]
fn the_courier_follows_a_growing_log_and_a_restarted_daemon_remembers_the_witnesses() {
    let mut setting = Setting::new(2, 2, "");
    let urls: Vec<_> = setting
        .witnesses
        .iter()
        .map(setting::Witness::url)
        .collect();
    let log = setting.site.path("logs/courier.log");
    let mut courier = Process::start(setting.courier(&urls), None, &log).unwrap();
    for name in ["a", "b"] {
        setting.sign(name);
        let size = setting.settled();
        wait_for("the quorum to follow", SOON, || {
            let anchor = &setting.log_status()["anchor"];
            (anchor["size"] == size && anchor["newest_cosigned"] == 2).then_some(())
        });
    }
    assert!(courier.stop().success(), "{}", courier.log());
    let before = setting.log_status();
    setting.site.stop_daemon();
    setting.site.start_daemon();
    let after = setting.log_status();
    assert_eq!(after["anchor"]["size"], before["anchor"]["size"]);
    assert_eq!(
        after["witnesses"][0]["size"],
        before["witnesses"][0]["size"]
    );
    let note = Note::parse(&setting.site.client().get("/v1/log/checkpoint").ok().text()).unwrap();
    assert!(!note.signatures().is_empty());
}

#[test]
fn what_is_no_witnesss_answer_is_named_and_holds_up_nobody() {
    let setting = Setting::new(2, 1, "");
    let good = setting.witnesses[1].url();
    setting.settled();
    let round = |url: String| setting.round_to(&[url, good.clone()]);
    let old = {
        // A real cosignature over an earlier checkpoint.
        let first = setting.round();
        assert_eq!(first.code, 0, "{}", first.log);
        let note = setting.site.client().get("/v1/log/checkpoint").ok().text();
        let lines = note.lines().filter(|line| line.contains("w1.test"));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    assert!(!old.is_empty());
    setting.sign("a");
    let text = "text/plain";
    let garbage = [
        http("200 OK", "text/html", "<html>Welcome to the airport</html>"),
        http("200 OK", text, &old),
        http("200 OK", text, &old.replace("w1.test", "w9.test")),
        http("200 OK", text, &"x".repeat(100_000)),
        http("302 Found", text, ""),
        http("409 Conflict", text, "7\n"),
        http("409 Conflict", "text/x.tlog.size", "0\n"),
        http("500 Internal Server Error", text, "sorry\n"),
        b"220 smtp.example ESMTP\r\n".to_vec(),
        Vec::new(),
    ];
    for bytes in garbage {
        let said = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let round = round(answering(bytes));
        assert_eq!(round.outcome(0), "garbage", "{said}: {}", round.report);
        assert_eq!((round.outcome(1), round.code), ("cosigned", 0), "{said}");
    }
    let mut held = Vec::new();
    let slow = round(impostor(move |stream, _| held.push(stream)));
    assert_eq!(
        (slow.outcome(0), slow.outcome(1), slow.code),
        ("slow", "cosigned", 0)
    );
    assert!(slow.of(0)["detail"].as_str().unwrap().contains("1000 ms"));
}

#[test]
fn an_https_witness_is_believed_under_its_own_authority_only() {
    let setting = Setting::new(2, 1, "");
    setting.settled();
    let stranger = Authority::new("another CA");
    let urls = [
        https(setting.site.authority(), &setting.witnesses[0].url()),
        https(&stranger, &setting.witnesses[1].url()),
    ];
    let round = setting.round_to(&urls);
    assert_eq!(
        [round.outcome(0), round.outcome(1)],
        ["cosigned", "unreachable"]
    );
    let detail = round.of(1)["detail"].as_str().unwrap();
    assert!(detail.contains("certificate"), "{detail}");
}

#[test]
fn a_witness_for_another_origin_or_with_another_key_of_the_log_is_named() {
    let mut setting = Setting::new(2, 1, "");
    let log = log_key(&setting.site.client()).to_string();
    setting.witnesses[0].start("elsewhere.test/log", &log);
    let other = "wa.example.net/wlog+427208af+AQ5w8mni/7Hzo3pZqbC6ySe+3Cf2LziHAqyk8LdUwMPu";
    setting.witnesses[1].start(ORIGIN, other);
    let round = setting.round();
    assert_eq!(
        [round.outcome(0), round.outcome(1)],
        ["unknown_log", "log_key_refused"]
    );
    assert_eq!(
        (round.code, &round.report["verdict"]),
        (3, &json!("no_quorum"))
    );
    assert!(round.log.contains("GET /v1/log/key"), "{}", round.log);
}

#[test]
fn the_daemon_believes_no_cosignature_that_it_has_not_verified() {
    let setting = Setting::new(2, 2, "");
    setting.settled();
    let first = setting.round();
    assert_eq!(first.code, 0, "{}", first.log);
    let note = setting.site.client().get("/v1/log/checkpoint").ok().text();
    let lines: Vec<_> = note
        .lines()
        .filter(|line| line.contains(".test "))
        .collect();
    let good = lines.iter().find(|line| line.contains("w1.test")).unwrap();
    setting.sign("a");
    let size = setting.settled();
    let before = setting.log_status();
    let post = |caller: &str, size: u64, lines: &str| {
        let body = json!({"size": size, "cosignatures": lines});
        setting
            .site
            .caller_of(caller)
            .post("/v1/log/cosignatures", &body)
    };
    // Another checkpoint's, another name's, a flipped bit's.
    let mut flipped = good.to_string().into_bytes();
    let last = flipped.len() - 10;
    flipped[last] = if flipped[last] == b'A' { b'B' } else { b'A' };
    let forged = [
        format!("{good}\n"),
        format!("{}\n", good.replace("w1.test", "w9.test")),
        format!("{}\n", String::from_utf8(flipped).unwrap()),
    ];
    for line in forged {
        let answer = post(COURIER, size, &line);
        assert_eq!(
            (answer.status, &*answer.code()),
            (422, "cosignature_rejected"),
            "{line}"
        );
    }
    assert_eq!(post(COURIER, size, "no line\n").code(), "invalid_request");
    assert_eq!(post(COURIER, size, "").code(), "invalid_request");
    assert_eq!(
        post(COURIER, 1 << 40, &format!("{good}\n")).code(),
        "unknown_checkpoint"
    );
    for caller in [
        sealwright_softhsm_tests::site::CI,
        sealwright_softhsm_tests::site::OPERATOR,
    ] {
        assert_eq!(post(caller, size, &format!("{good}\n")).code(), "denied");
    }
    let after = setting.log_status();
    assert_eq!(after["anchor"]["newest_cosigned"], 0);
    assert_eq!(after["anchor"]["size"], before["anchor"]["size"]);
}

#[test]
fn a_damaged_stored_cosignature_takes_away_its_own_line_only() {
    let mut setting = Setting::new(2, 1, "");
    let size = setting.settled();
    assert_eq!(setting.round().code, 0);
    setting.site.stop_daemon();
    let folder = setting.site.path("state/checkpoints");
    let prefix = format!("{size:020}.");
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let damaged = entries.into_iter().find(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(&prefix)
    });
    let damaged = damaged.unwrap();
    let text = fs::read_to_string(&damaged).unwrap();
    fs::write(&damaged, text.replace("test ", "test A")).unwrap();
    setting.site.start_daemon();
    let status = setting.log_status();
    assert_eq!(
        status["anchor"]["size"], size,
        "the other witness is enough: {status}"
    );
    assert!(
        setting
            .site
            .daemon_log()
            .contains("a stored cosignature is damaged")
    );
}

#[test]
fn a_restored_older_log_is_a_rollback_first_and_a_split_view_once_it_grows() {
    let mut setting = Setting::new(1, 1, "");
    setting.settled();
    setting.site.stop_daemon();
    let (state, copy) = (setting.site.state_dir(), setting.site.path("copy"));
    let run = |args: &[&std::path::Path]| {
        assert!(
            Command::new("cp")
                .arg("-a")
                .args(args)
                .status()
                .unwrap()
                .success()
        );
    };
    run(&[&state, &copy]);
    setting.site.start_daemon();
    for name in ["a", "b", "c", "d", "e", "f"] {
        setting.sign(name);
    }
    let theirs = setting.settled();
    assert_eq!(setting.round().code, 0);
    setting.site.stop_daemon();
    fs::remove_dir_all(&state).unwrap();
    run(&[&copy, &state]);
    setting.site.start_daemon();
    let ours = setting.settled();
    let round = setting.round();
    assert_eq!(
        (round.code, round.outcome(0)),
        (4, "rollback"),
        "{}",
        round.log
    );
    assert_eq!(
        (&round.of(0)["ours"], &round.of(0)["theirs"]),
        (&json!(ours), &json!(theirs))
    );
    is_evidence(&setting, round.of(0)["evidence"].as_str().unwrap(), theirs);
    assert!(round.log.contains("ROLLBACK"), "{}", round.log);
    while setting.settled() <= theirs {
        setting.sign("another");
    }
    let round = setting.round();
    assert_eq!(
        (round.code, round.outcome(0)),
        (4, "split_view"),
        "{}",
        round.log
    );
    assert_eq!(round.report["verdict"], "split_view");
    is_evidence(&setting, round.of(0)["evidence"].as_str().unwrap(), theirs);
    assert!(round.log.contains("SPLIT VIEW"), "{}", round.log);
}

/// A checkpoint of `size` records, signed by the log's own key.
fn is_evidence(setting: &Setting, note: &str, size: u64) {
    let accepted = Policy::of_log(log_key(&setting.site.client()))
        .accept(note)
        .unwrap();
    assert_eq!(accepted.checkpoint.size(), size);
}

#[test]
fn a_claim_of_another_log_without_its_checkpoint_is_named_as_unproved() {
    let setting = Setting::new(1, 1, "");
    let liar = answering(http("409 Conflict", "text/x.tlog.size", "1000000\n"));
    let round = setting.round_to(&[liar]);
    assert_eq!((round.code, round.outcome(0)), (4, "rollback"));
    assert!(round.of(0).get("evidence").is_none(), "{}", round.report);
    let liar = answering(http("422 Unprocessable Content", "text/plain", "no\n"));
    let round = setting.round_to(&[liar]);
    assert_eq!((round.code, round.outcome(0)), (4, "split_view"));
    assert!(round.of(0).get("evidence").is_none(), "{}", round.report);
}

#[test]
fn with_anchor_require_nothing_is_signed_while_the_quorum_is_too_old() {
    let mut setting = Setting::new(2, 2, "anchor = 'require'\nmax_anchor_age_s = 2\n");
    let sign = |setting: &Setting| setting.site.client().sign("key=release", &statement("a"));
    let refused = |setting: &Setting| {
        let answer = without_using_a_key(&setting.site, "soft", || sign(setting));
        assert_eq!((answer.status, &*answer.code()), (503, "anchor_stale"));
    };
    let stale = |setting: &Setting| {
        wait_for("the quorum to be too old", SOON, || {
            (setting.log_status()["state"] == "anchor_stale").then_some(())
        });
    };
    stale(&setting);
    refused(&setting);
    setting.settled();
    assert_eq!(setting.round().code, 0);
    sign(&setting).ok();
    stale(&setting);
    refused(&setting);
    // One of two is no quorum.
    setting.witnesses[1].stop();
    setting.settled();
    assert_eq!(setting.round().code, 3);
    refused(&setting);
    let log = log_key(&setting.site.client()).to_string();
    setting.witnesses[1].start(ORIGIN, &log);
    setting.settled();
    assert_eq!(setting.round().code, 0);
    sign(&setting).ok();
    assert!(setting.site.daemon_log().contains("quorum is too old"));
}

#[test]
fn with_anchor_warn_status_and_log_say_so_and_signing_goes_on() {
    let setting = Setting::new(1, 1, "anchor = 'warn'\nmax_anchor_age_s = 0\n");
    wait_for("the warning", SOON, || {
        let said = setting.site.daemon_log().contains("quorum is too old");
        (said && setting.log_status()["anchor"]["stale"] == true).then_some(())
    });
    setting.sign("a");
    assert_eq!(setting.log_status()["state"], "ok");
}

#[test]
fn a_proof_that_is_waited_for_has_the_quorum_where_the_log_is_anchored() {
    let setting = Setting::new(2, 2, "anchor = 'warn'\n");
    let sign = |query: &str| {
        let answer = setting.site.client().sign(query, &statement("a")).ok();
        (answer.record().unwrap(), answer.json())
    };
    // Nobody goes to the witnesses.
    let (index, alone) = sign("key=release&proof=wait&timeout_ms=4000");
    assert!(alone["signed"]["payload"].is_string(), "{alone}");
    assert_eq!(alone["no_proof_code"], "not_witnessed", "{alone}");
    let path = format!("/v1/log/proof/{index}");
    let cosigned = |proof: &str| {
        let (_, note) = proof.split_once("\n\n").unwrap();
        Note::parse(note).unwrap().signatures().len() - 1
    };
    let unwaited = setting.site.client().get(&path).ok().text();
    assert_eq!(
        cosigned(&unwaited),
        0,
        "who does not wait gets what there is"
    );

    let urls: Vec<_> = setting
        .witnesses
        .iter()
        .map(setting::Witness::url)
        .collect();
    let log = setting.site.path("logs/courier.log");
    let mut courier = Process::start(setting.courier(&urls), None, &log).unwrap();
    let (_, together) = sign("key=release&proof=wait");
    assert_eq!(cosigned(together["proof"].as_str().unwrap()), 2);
    let waited = setting.site.client().get(&format!("{path}?wait=true"));
    assert_eq!(cosigned(&waited.ok().text()), 2);
    assert!(courier.stop().success(), "{}", courier.log());
}

#[test]
fn a_consistency_proof_leads_from_every_checkpoint_to_the_newest() {
    let setting = Setting::new(1, 1, "");
    let checkpoint = || -> Checkpoint {
        let text = setting.site.client().get("/v1/log/checkpoint").ok().text();
        Note::parse(&text).unwrap().text().parse().unwrap()
    };
    let mut seen = vec![checkpoint()];
    for name in ["a", "b", "c"] {
        setting.sign(name);
        seen.push(checkpoint());
    }
    let newest = seen.last().unwrap();
    let courier = setting.site.caller_of(COURIER);
    let ask = |from: u64, to: u64| courier.get(&format!("/v1/log/consistency?from={from}&to={to}"));
    for old in &seen {
        let answer = ask(old.size(), newest.size()).ok().json();
        let hash = |text: &serde_json::Value| -> Hash {
            STANDARD
                .decode(text.as_str().unwrap())
                .unwrap()
                .try_into()
                .unwrap()
        };
        let hashes: Vec<Hash> = answer["hashes"]
            .as_array()
            .unwrap()
            .iter()
            .map(hash)
            .collect();
        verify_consistency(
            old.size(),
            newest.size(),
            old.root(),
            newest.root(),
            &hashes,
        )
        .unwrap();
    }
    for (from, to) in [(0, 1), (2, 1), (1, 1 << 40)] {
        assert_eq!(ask(from, to).code(), "invalid_request", "{from} to {to}");
    }
    assert_eq!(
        courier.get("/v1/log/consistency?from=1").code(),
        "invalid_request"
    );
    let client = setting.site.client();
    assert_eq!(
        client.get("/v1/log/consistency?from=1&to=1").code(),
        "denied"
    );
}

#[test]
fn a_checkpoint_that_was_served_is_kept_for_ever() {
    let setting = Setting::new(1, 1, "");
    let size = setting.settled();
    setting.site.client().get("/v1/log/checkpoint").ok();
    let served = setting.site.path(&format!("state/checkpoints/{size:020}"));
    let index = setting.sign("proved");
    let proof = setting
        .site
        .client()
        .get(&format!("/v1/log/proof/{index}?wait=true"))
        .ok();
    let proof: TlogProof = proof.text().parse().unwrap();
    let embedded: Checkpoint = Note::parse(&proof.checkpoint)
        .unwrap()
        .text()
        .parse()
        .unwrap();
    let unseen = (0..24).map(|n| {
        setting.sign(&n.to_string());
        setting.settled()
    });
    let unseen: Vec<u64> = unseen.collect();
    let kept = |size: u64| {
        setting
            .site
            .path(&format!("state/checkpoints/{size:020}"))
            .exists()
    };
    assert!(served.exists() && kept(embedded.size()));
    assert!(!kept(unseen[0]), "nobody saw it, and newer ones came");
    assert!(kept(*unseen.last().unwrap()));
}

#[test]
fn status_is_answered_while_checkpoints_are_published() {
    let site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .checkpoint_interval_ms(1)
        .start();
    let status = || {
        let mut operator = site.operator().connect();
        for _ in 0..1500 {
            let request = Request::new("GET", "/v1/status");
            assert_eq!(operator.send(&request).unwrap().status, 200);
        }
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3).map(|_| scope.spawn(status)).collect();
        while !readers
            .iter()
            .all(std::thread::ScopedJoinHandle::is_finished)
        {
            site.client().sign("key=release", &statement("a")).ok();
        }
    });
}
