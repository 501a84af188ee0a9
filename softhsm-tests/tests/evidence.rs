//! Evidence of a key's origin: asked for, judged, kept, recorded, and judged again offline.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::process::Command;

use sealwright_softhsm_tests::site::{OPERATOR, Run, Site, TokenSpec, sha256_hex, statement};
use sealwright_softhsm_tests::swtpm::{Swtpm, TpmMaker};
use serde_json::{Value, json};
use support::is_suspect;

const NONCE: &str = "00000000000000000000000000000000000000000000000000000000000000aa";
const OTHER: &str = "00000000000000000000000000000000000000000000000000000000000000bb";

fn softhsm() -> Site {
    Site::builder()
        .token(TokenSpec::softhsm("hsm").key("release"))
        .start()
}

/// Evidence for [`NONCE`] into `evidence.json`, and the answer.
fn attest(site: &Site, key: &str) -> Value {
    let file = ["-o", "evidence.json", "--nonce", NONCE];
    let run = site.sealwright(
        OPERATOR,
        &[&["--json", "keys", "attest", key], &file[..]].concat(),
    );
    run.ok().json()
}

fn spki(site: &Site, label: &str) -> String {
    let keys = site.operator().get(&format!("/v1/keys/default/{label}"));
    let digest = &keys.ok().json()["keys"][0]["spki_sha256"];
    digest.as_str().unwrap().to_owned()
}

fn verify(site: &Site, spki: &str, nonce: &str) -> Run {
    let of = ["--spki", spki, "--nonce", nonce];
    site.sealwright(
        OPERATOR,
        &[
            &["--json", "verify", "--evidence", "evidence.json"],
            &of[..],
        ]
        .concat(),
    )
}

#[test]
fn what_a_token_claims_is_kept_recorded_and_verifies_offline() {
    let site = softhsm();
    let answer = attest(&site, "default/release#1");
    let finding = json!({"grade": "claimed", "origin": "generated", "exclusive": "claimed"});
    assert_eq!(answer["finding"], finding);
    let file = fs::read(site.callers_folder().join("evidence.json")).unwrap();
    let digest = sha256_hex(&file);
    assert_eq!(answer["evidence_sha256"], digest);
    let kept = site.state_dir().join(format!("evidence/{digest}.json"));
    assert_eq!(fs::read(kept).unwrap(), file);
    let records = site.records("key.attested");
    let [record] = records.as_slice() else {
        panic!("{records:?}");
    };
    assert_eq!(record["evidence_sha256"], digest);
    assert_eq!(record["nonce"], NONCE);
    assert_eq!(record["exclusive"], "claimed");
    let judged = verify(&site, &spki(&site, "release"), NONCE).ok().json();
    assert_eq!(judged["evidence_sha256"], digest);
    assert_eq!(judged["exclusive"], "claimed");
}

#[test]
fn offline_another_nonce_another_key_and_a_cut_file_are_told_apart() {
    let site = softhsm();
    attest(&site, "default/release#1");
    let key = spki(&site, "release");
    let refused = |run: Run, why: &str| {
        assert_eq!(run.code, Some(1), "{run:?}");
        assert!(run.stderr.contains(why), "{run:?}");
    };
    refused(verify(&site, &key, OTHER), "answers nonce");
    refused(verify(&site, OTHER, NONCE), "of another key");
    let path = site.callers_folder().join("evidence.json");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    refused(verify(&site, &key, NONCE), "no evidence document");
}

#[test]
fn an_imported_key_is_shown_as_imported() {
    let site = softhsm();
    let hsm = site.token("hsm");
    let pem = site.path("imported.pem");
    let made = Command::new("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
        ])
        .arg(&pem)
        .status();
    assert!(made.unwrap().success());
    hsm.softhsm().import(&pem, "imported", "77");
    // Imported by root, and read by the driver's user.
    let owner = format!("{0}:{0}", hsm.uid());
    let chown = Command::new("chown")
        .args(["-R", &owner])
        .arg(hsm.softhsm().tokens())
        .status();
    assert!(chown.unwrap().success());
    let uri = hsm.uri("imported");
    let enrol = [
        "keys", "enrol", "imported", "--token", "hsm", "--uri", &uri, "--yes",
    ];
    let _ = site.sealwright(OPERATOR, &enrol).ok();
    let answer = attest(&site, "default/imported#1");
    assert_eq!(answer["finding"]["origin"], "imported");
    assert_eq!(answer["finding"]["exclusive"], "no");
}

#[test]
fn evidence_is_kept_at_enrolment_and_named_by_each_signature() {
    let site = softhsm();
    let record = site.records("key.enrolled").remove(0);
    let first = record["attestation"].clone();
    assert_eq!(first["exclusive"], "claimed");
    let digest = first["evidence_sha256"].as_str().unwrap();
    let kept = site.state_dir().join(format!("evidence/{digest}.json"));
    assert_eq!(sha256_hex(&fs::read(kept).unwrap()), digest);
    let shown = || {
        let keys = site.operator().get("/v1/keys/default/release");
        keys.ok().json()["keys"][0].clone()
    };
    assert_eq!(shown()["exclusive"], "claimed");
    assert_eq!(shown()["evidence_sha256"], digest);
    let named = || {
        let _ = site.client().sign("key=release", &statement("app")).ok();
        site.records("sign").pop().unwrap()["evidence_sha256"].clone()
    };
    assert_eq!(named(), digest);
    let newer = attest(&site, "default/release#1")["evidence_sha256"].clone();
    assert_ne!(newer, digest);
    assert_eq!(named(), newer);
    assert_eq!(shown()["evidence_sha256"], newer);
}

#[test]
fn a_token_whose_evidence_does_not_verify_enrols_nothing() {
    let site = Site::builder().token(TokenSpec::scripted("soft")).start();
    let make = [
        "keys",
        "generate",
        "other",
        "--token",
        "soft",
        "--uri",
        "scripted:object=other",
    ];
    let _ = site.sealwright(OPERATOR, &make).ok();
    site.token("soft").fault("other-evidence");
    let enrol = [
        "--json",
        "keys",
        "enrol",
        "other",
        "--token",
        "soft",
        "--uri",
        "scripted:object=other",
        "--yes",
    ];
    let refused = site.sealwright(OPERATOR, &enrol);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.stderr.contains("evidence_rejected"), "{refused:?}");
    assert!(site.records("key.enrolled").is_empty());
}

/// A site with a TPM of `maker`, which trusts what `config` says.
fn tpm_of(maker: &TpmMaker, config: &str) -> Site {
    Site::builder()
        .token(TokenSpec::swtpm_by("tpm", maker).key("release"))
        .config(config)
        .start()
}

fn trusting(maker: &TpmMaker) -> String {
    format!("[evidence]\nroots = {:?}\n", maker.roots())
}

#[test]
fn a_key_in_a_tpm_is_attested_up_to_its_makers_certificate() {
    let maker = TpmMaker::new();
    let site = tpm_of(&maker, &trusting(&maker));
    let answer = attest(&site, "default/release#1");
    let finding = json!({"grade": "attested", "origin": "generated", "exclusive": "proven"});
    assert_eq!(answer["finding"], finding);
    let records = site.records("key.attested");
    assert_eq!(records.last().unwrap()["grade"], "attested");
    let key = spki(&site, "release");
    let offline = |roots: Option<&TpmMaker>| {
        let path = roots.map(|maker| maker.roots().display().to_string());
        let mut args = vec!["--json", "verify", "--evidence", "evidence.json"];
        args.extend(["--spki", &key, "--nonce", NONCE]);
        args.extend(path.iter().flat_map(|path| ["--device-roots", path]));
        site.sealwright(OPERATOR, &args)
    };
    let judged = offline(Some(&maker)).ok().json();
    assert_eq!(judged["exclusive"], "proven");
    assert_eq!(judged["challenged_by_daemon"], true);
    let nobody = offline(None);
    assert!(nobody.stderr.contains("no maker is trusted"), "{nobody:?}");
    let stranger = TpmMaker::new();
    drop(Swtpm::made_by(&stranger));
    let other = offline(Some(&stranger));
    assert_eq!(other.code, Some(1), "{other:?}");
    assert!(
        other.stderr.contains("none of those that are trusted"),
        "{other:?}"
    );
}

#[test]
fn a_tpm_whose_maker_the_site_does_not_trust_is_not_suspect() {
    let maker = TpmMaker::new();
    let site = tpm_of(&maker, "");
    let path = "/v1/keys/default/release/1/attest";
    let answer = site.operator().post(path, &json!({"nonce": NONCE}));
    assert_eq!(answer.status, 409);
    assert_eq!(answer.json()["code"], "evidence_untrusted");
    assert!(!is_suspect(&site, "tpm"));
    assert!(site.records("key.attested").is_empty());
}

#[test]
fn evidence_that_answers_something_else_is_refused_and_marks_the_token() {
    for fault in ["other-nonce", "other-evidence"] {
        let site = Site::builder()
            .token(TokenSpec::scripted("soft").key("release"))
            .start();
        let kept = || {
            fs::read_dir(site.state_dir().join("evidence"))
                .unwrap()
                .count()
        };
        let before = kept();
        site.token("soft").fault(fault);
        let path = "/v1/keys/default/release/1/attest";
        let answer = site.operator().post(path, &json!({"nonce": NONCE}));
        assert_eq!(answer.status, 502, "{fault}");
        assert_eq!(answer.json()["code"], "evidence_rejected", "{fault}");
        assert!(is_suspect(&site, "soft"), "{fault}");
        assert!(site.records("key.attested").is_empty(), "{fault}");
        assert_eq!(kept(), before, "{fault}");
    }
}

#[test]
fn a_cards_attestation_counts_once_its_maker_is_trusted() {
    let mut site = Site::builder()
        .token(TokenSpec::piv("card").key("release"))
        .start();
    let path = "/v1/keys/default/release/1/attest";
    let untrusted = site.operator().post(path, &json!({"nonce": NONCE}));
    assert_eq!(untrusted.status, 409);
    assert_eq!(untrusted.json()["code"], "evidence_untrusted");
    assert!(!is_suspect(&site, "card"));
    trust(&mut site, "card");
    let answer = attest(&site, "default/release#1");
    let finding = json!({"grade": "attested", "origin": "generated", "exclusive": "proven"});
    assert_eq!(answer["finding"], finding);
    assert_eq!(site.records("key.attested")[0]["grade"], "attested");
    let roots = site.callers_folder().join("roots.pem");
    fs::write(&roots, site.token("card").reader().maker_pem()).unwrap();
    let key = spki(&site, "release");
    let verify = [
        "--json",
        "verify",
        "--evidence",
        "evidence.json",
        "--spki",
        &key,
    ];
    let run = site.sealwright(
        OPERATOR,
        &[&verify[..], &["--device-roots", "roots.pem"]].concat(),
    );
    let judged = run.ok().json();
    assert_eq!(judged["grade"], "attested");
    assert_eq!(
        (&judged["pin_policy"], &judged["touch_policy"]),
        (&json!("always"), &json!("never"))
    );
    // Offline, too, nothing is proved by a maker whom nobody trusts.
    let run = site.sealwright(OPERATOR, &verify);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("--device-roots"), "{run:?}");
}

/// Has the daemon trust the maker of a token's card.
fn trust(site: &mut Site, token: &str) {
    let maker = site.token(token).reader().maker_pem().to_owned();
    fs::write(site.path("etc/roots.pem"), maker).unwrap();
    site.edit_config(|text| format!("{text}[evidence]\nroots = 'roots.pem'\n"));
    site.stop_daemon();
    site.start_daemon();
}
