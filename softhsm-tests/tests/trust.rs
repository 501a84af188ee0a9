//! What verifiers are told about the keys, and what old signatures are worth to them.
#![allow(clippy::unwrap_used)]

#[expect(
    dead_code,
    reason = "a setting for the tests about witnesses, which use the rest"
)]
#[path = "witnesses/setting.rs"]
mod setting;
mod support;

use std::fs;
use std::time::SystemTime;

use sealwright_core::spki::Spki;
use sealwright_core::time::Timestamp;
use sealwright_softhsm_tests::site::Run;
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{CI, OPERATOR, SOON, Site, statement};
use serde_json::{Value, json};
use setting::Setting;
use support::text;

/// Signs into `NAME.json` and returns the record's index.
fn sign(setting: &Setting, name: &str) -> u64 {
    let answer = setting.site.client().sign("key=release", &statement(name));
    let answer = answer.ok();
    fs::write(
        setting.site.callers_folder().join(format!("{name}.json")),
        &answer.body,
    )
    .unwrap();
    setting.settled();
    answer.record().unwrap()
}

/// Fetches the record's proof into `NAME.proof`.
fn prove(setting: &Setting, name: &str, index: u64) {
    let proof = setting.site.client().get(&format!("/v1/log/proof/{index}"));
    let path = setting.site.callers_folder().join(format!("{name}.proof"));
    fs::write(path, proof.ok().body).unwrap();
}

fn operator(site: &Site, args: &[&str]) -> Run {
    site.sealwright(OPERATOR, args)
}

/// The same, where it must succeed and its answer does not matter.
fn done(site: &Site, args: &[&str]) {
    let _ = operator(site, args).ok();
}

fn export(site: &Site, format: &str) -> String {
    operator(site, &["trust", "export", "--format", format])
        .ok()
        .stdout
}

/// Exit code and answer of `verify NAME.json --trust trust.json …`.
fn verdict(setting: &Setting, name: &str, more: &[&str]) -> (Option<i32>, String) {
    let file = format!("{name}.json");
    let run = setting.site.sealwright(
        CI,
        &[
            &[
                "--json",
                "verify",
                &file,
                "--trust",
                "trust.json",
                "--trust-unsigned",
            ],
            more,
        ]
        .concat(),
    );
    let answer = run.json();
    assert_eq!(answer["verified"], run.code == Some(0), "{run:?}");
    (run.code, text(&answer, "verdict").to_owned())
}

fn wait_past(time: &str) {
    let time: Timestamp = time.parse().unwrap();
    wait_for("the clock to go on", SOON, || {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        (i64::try_from(now.as_millis()).unwrap() > time.unix_millis()).then_some(())
    });
}

fn save_document(setting: &Setting) -> Value {
    let document = export(&setting.site, "document");
    fs::write(setting.site.callers_folder().join("trust.json"), &document).unwrap();
    serde_json::from_str(&document).unwrap()
}

#[test]
fn each_old_signature_gets_its_verdict_after_a_rotation_and_a_compromise() {
    let setting = Setting::new(1, 1, "");
    let folder = setting.site.callers_folder();
    fs::write(folder.join("witnessed.policy"), setting.policy("1")).unwrap();
    let under = |name: &str| format!("{name}.proof");

    // Seen by the witness before T.
    let early = sign(&setting, "early");
    assert_eq!(setting.round().code, 0);
    prove(&setting, "early", early);
    let with_policy = ["--proof", "early.proof", "--policy", "witnessed.policy"];
    save_document(&setting);
    assert_eq!(
        verdict(&setting, "early", &[]),
        (Some(0), "good".to_owned())
    );
    let run = setting.site.sealwright(
        CI,
        &[
            &[
                "--json",
                "verify",
                "early.json",
                "--trust",
                "trust.json",
                "--trust-unsigned",
            ],
            &with_policy[..],
        ]
        .concat(),
    );
    wait_past(text(&run.ok().json()["recorded"], "witnessed"));

    // Before T by the host's clock only; then the first one at T.
    let unseen = sign(&setting, "unseen");
    wait_past(text(&setting.site.record(unseen), "time"));
    let late = sign(&setting, "late");
    let t = text(&setting.site.record(late), "time").to_owned();
    let uri = "scripted:object=release-2";
    done(
        &setting.site,
        &["keys", "rotate", "release", "--uri", uri, "--yes"],
    );
    sign(&setting, "new");
    assert_eq!(setting.round().code, 0);
    prove(&setting, "unseen", unseen);
    prove(&setting, "late", late);

    save_document(&setting);
    for (name, expected) in [
        ("early", "superseded"),
        ("late", "superseded"),
        ("new", "good"),
    ] {
        assert_eq!(
            verdict(&setting, name, &[]),
            (Some(0), expected.to_owned()),
            "{name}"
        );
    }

    let revoke = [
        "keys",
        "revoke",
        "release#1",
        "--reason",
        "stolen",
        "--effective-time",
        &t,
    ];
    done(&setting.site, &revoke);
    let document = save_document(&setting);
    let old = &document["keys"][0]["versions"][0];
    assert_eq!(text(&old["compromise"], "effective_time"), t);
    assert!(!document.to_string().contains("stolen"), "{document}");

    assert_eq!(verdict(&setting, "new", &[]), (Some(0), "good".to_owned()));
    let before = (Some(0), "before-compromise".to_owned());
    assert_eq!(verdict(&setting, "early", &with_policy), before);
    // The host alone proves nothing, and neither does a witness that saw the record only later.
    let suspect = (Some(1), "suspect".to_owned());
    assert_eq!(verdict(&setting, "early", &[]), suspect);
    assert_eq!(
        verdict(&setting, "early", &["--proof", "early.proof"]),
        suspect
    );
    let of = |name: &str| {
        let proof = under(name);
        verdict(
            &setting,
            name,
            &["--proof", &proof, "--policy", "witnessed.policy"],
        )
    };
    assert_eq!(of("unseen"), suspect);
    assert_eq!(of("late"), (Some(1), "after-revocation".to_owned()));
    assert_eq!(verdict(&setting, "late", &[]), suspect);

    // A copy of the whole log says the same as a proof that was made today.
    setting.settled();
    assert_eq!(setting.round().code, 0);
    done(&setting.site, &["audit", "export", "copy"]);
    let in_copy = ["--log", "copy", "--policy", "witnessed.policy"];
    assert_eq!(verdict(&setting, "early", &in_copy), suspect);
    let after = (Some(1), "after-revocation".to_owned());
    assert_eq!(verdict(&setting, "late", &in_copy), after);
}

#[test]
fn a_record_in_another_log_is_no_evidence() {
    let setting = Setting::new(1, 1, "");
    let index = sign(&setting, "a");
    prove(&setting, "a", index);
    let mut document = save_document(&setting);
    let log_key = text(&document["log"], "vkey").to_owned();
    document["log"] = json!({
        "origin": "wa.example.net/wlog",
        "vkey": "wa.example.net/wlog+427208af+AQ5w8mni/7Hzo3pZqbC6ySe+3Cf2LziHAqyk8LdUwMPu",
    });
    let other = setting.site.callers_folder().join("other.json");
    fs::write(other, document.to_string()).unwrap();
    let verify = [
        "verify",
        "a.json",
        "--trust",
        "other.json",
        "--trust-unsigned",
        "--proof",
        "a.proof",
    ];
    let run = setting
        .site
        .sealwright(CI, &[&verify[..], &["--log-key", &log_key]].concat());
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.stderr
            .contains("the trust document is of wa.example.net/wlog"),
        "{run:?}"
    );
}

#[test]
fn a_payload_with_a_bad_verdict_is_not_written() {
    let setting = Setting::new(1, 1, "");
    sign(&setting, "a");
    done(
        &setting.site,
        &["keys", "revoke", "release#1", "--reason", "stolen"],
    );
    save_document(&setting);
    let run = setting.site.sealwright(
        CI,
        &[
            "verify",
            "a.json",
            "--trust",
            "trust.json",
            "--trust-unsigned",
            "--payload-out",
            "payload",
        ],
    );
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("suspect"), "{run:?}");
    assert!(!setting.site.callers_folder().join("payload").exists());
}

#[test]
fn the_same_keys_come_out_in_every_format_and_compromised_ones_only_in_the_document() {
    let setting = Setting::new(1, 1, "");
    let site = &setting.site;
    let uri = "scripted:object=release-2";
    done(site, &["keys", "rotate", "release", "--uri", uri, "--yes"]);
    let spkis = || {
        let document = save_document(&setting);
        let versions = document["keys"][0]["versions"].as_array().unwrap().clone();
        versions
            .iter()
            .map(|v| text(v, "spki").to_owned())
            .collect::<Vec<_>>()
    };
    let pems = || {
        let pem = export(site, "pem");
        let blocks = pem.split_inclusive("-----END PUBLIC KEY-----\n");
        let spki = |block: &str| {
            let (_, pem) = block.split_once('\n').unwrap();
            serde_json::to_value(Spki::from_pem(pem).unwrap()).unwrap()
        };
        blocks
            .map(|block| spki(block).as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let kids = || {
        let set: Value = serde_json::from_str(&export(site, "jwks")).unwrap();
        let keys = set["keys"].as_array().unwrap().clone();
        keys.iter()
            .map(|key| text(key, "kid").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!((pems(), kids().len()), (spkis(), 2));
    done(site, &["keys", "revoke", "release#1", "--reason", "stolen"]);
    assert_eq!(spkis().len(), 2);
    assert_eq!(pems(), spkis()[1..]);
    assert_eq!(kids().len(), 1);
}

#[test]
fn wrong_usage_of_trust_is_named() {
    let setting = Setting::new(1, 1, "");
    sign(&setting, "a");
    let site = &setting.site;
    let export = ["trust", "export", "--format", "document"];
    let wrong = [
        (&["--key", "nobody"][..], 1, "no key default/nobody"),
        (&["--purpose", "dsse"], 2, "--purpose goes with"),
    ];
    for (more, code, why) in wrong {
        let run = operator(site, &[&export[..], more].concat());
        assert_eq!(run.code, Some(code), "{run:?}");
        assert!(run.stderr.contains(why), "{run:?}");
    }
    let jwks = ["trust", "export", "--format", "jwks", "-o", "jwks.json"];
    done(site, &jwks);
    save_document(&setting);
    let wrong = [
        (
            &["--trust", "jwks.json"][..],
            "jwks.json: the member `format`",
        ),
        (&["--trust", "none.json"], "cannot read none.json"),
        (
            &["--trust", "trust.json", "--key", "k.pem"],
            "cannot be used with",
        ),
        (
            &["--trust", "trust.json", "--scheme", "ed25519"],
            "cannot be used with",
        ),
        (&["--trust", "trust.json"], "trust.json: is not signed"),
        (
            &["--trust", "trust.json", "--trust-key", "trust.json"],
            "trust.json: is not signed",
        ),
        (&[], "--trust"),
    ];
    for (more, why) in wrong {
        let run = site.sealwright(CI, &[&["verify", "a.json"], more].concat());
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(why), "{why}: {run:?}");
    }
}
