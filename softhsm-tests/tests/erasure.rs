//! Bodies are erased on somebody's authority; every proof stays good, and nothing else goes.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sealwright_core::journal::{Gone, Kept, Redacted, Rewritable, SegmentHeader, scan};
use sealwright_core::record::{Leaf, Rest};
use sealwright_core::time::Timestamp;
use sealwright_core::tlog::merkle::leaf_hash;
use sealwright_core::tlog::{Policy, TlogProof};
use sealwright_softhsm_tests::site::http::{Request, Response};
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{
    CI, DEFAULT_POLICY, OPERATOR, Run, SOON, Site, TokenSpec, statement,
};
use serde_json::{Value, json};
use support::{log_key, proved_by, text};

/// A client of another tenant, whose name stands in the bodies of its records and nowhere else in the state folder.
const ALICE: &str = "spiffe://sealwright.test/alice";
const PARTNER_OPERATOR: &str = "spiffe://sealwright.test/partner-operator";
const ERASE: &str = "@id(\"operators-erase\") permit (principal in Sealwright::Role::\"operator\", \
                     action == Sealwright::Action::\"eraseAudit\", resource);";

fn site() -> Site {
    let more = format!(
        "[[principal]]\nid = '{ALICE}'\nroles = ['client']\ntenant = 'partner'\n\
         [[principal]]\nid = '{PARTNER_OPERATOR}'\nroles = ['operator']\ntenant = 'partner'\n\
         [[retention]]\ntenant = 'default'\ndays = 30\n\
         [[retention]]\ntenant = 'other'\ndays = 30\n"
    );
    let site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .policy(&format!("{DEFAULT_POLICY}{ERASE}"))
        .config(&more)
        .start();
    let operator = site.caller_of(PARTNER_OPERATOR);
    let wanted = json!({
        "key": "partner/seal", "token": "soft", "uri": "scripted:object=seal", "scheme": "ecdsa-p256-sha256",
    });
    let made = operator.post("/v1/keys/generate", &wanted).ok().json();
    let enrolment = json!({
        "key": "partner/seal", "token": "soft", "uri": made["uri"], "purpose": "dsse",
        "spki_sha256": made["spki_sha256"],
    });
    operator.post("/v1/keys", &enrolment).ok();
    site
}

/// A signature with the proof that was fetched when it was made.
struct Signed {
    index: u64,
    envelope: Vec<u8>,
    proof: String,
}

fn sign(site: &Site, id: &str, key: &str, name: &str) -> Signed {
    let client = site.caller_of(id);
    let answer = client.sign(&format!("key={key}"), &statement(name)).ok();
    let index = answer.record().unwrap();
    let proof = wait_for("the proof", SOON, || {
        let proof = client.get(&format!("/v1/log/proof/{index}?wait=true"));
        (proof.status == 200).then(|| proof.text())
    });
    Signed {
        index,
        envelope: answer.body,
        proof,
    }
}

fn sign_for_both(site: &Site) -> (Vec<Signed>, Vec<Signed>) {
    let names = ["a", "b", "c"];
    let pairs = names.map(|name| {
        let ours = sign(site, CI, "release", name);
        (ours, sign(site, ALICE, "partner/seal", name))
    });
    pairs.into_iter().unzip()
}

/// A time after all records: the daemon's clock is ours.
fn now() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let millis = i64::try_from(now.as_millis()).unwrap();
    Timestamp::from_unix_millis(millis).to_string()
}

/// Asks for everything of `tenant` to be erased.
fn erase(site: &Site, id: &str, tenant: &str) -> Response {
    let body = json!({ "tenant": tenant, "before": now(), "reason": "asked for" });
    site.caller_of(id).post("/v1/audit/erasures", &body)
}

fn wait_until_erased(site: &Site) {
    wait_for("the bodies to go", SOON, || {
        (site.status()["log"]["erasing"] == json!([])).then_some(())
    });
}

fn fsck(site: &Site) -> Value {
    let output = site.daemon_command(&["fsck", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{report}");
    report
}

/// Whether a file of the state folder contains `text`.
fn is_kept(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_kept(&path, text);
        }
        let bytes = fs::read(&path).unwrap();
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    })
}

fn verify(site: &Site, id: &str, key: &str, signed: &Signed, proof: &str) -> Run {
    let folder = site.callers_folder();
    let keys = site
        .caller_of(id)
        .get(&format!("/v1/keys/{key}"))
        .ok()
        .json();
    let pem = text(&keys["keys"][0], "public_key_pem").to_owned();
    fs::write(folder.join("key.pem"), pem).unwrap();
    fs::write(folder.join("out.json"), &signed.envelope).unwrap();
    fs::write(folder.join("out.proof"), proof).unwrap();
    let vkey = log_key(&site.client()).to_string();
    let args = [
        "verify",
        "out.json",
        "--key",
        "key.pem",
        "--proof",
        "out.proof",
        "--log-key",
        &vkey,
    ];
    site.sealwright(CI, &args)
}

/// Every proof that was fetched before still shows its record and its envelope.
fn assert_proved(site: &Site, id: &str, key: &str, all: &[Signed]) {
    for signed in all {
        let proof: TlogProof = signed.proof.parse().unwrap();
        assert_eq!(proved_by(&site.client(), &proof).seq, signed.index);
        let _ = verify(site, id, key, signed, &signed.proof).ok();
    }
}

/// What the daemon says of a record whose body is gone.
fn assert_gone(site: &Site, signed: &Signed) {
    site.wait_for_index();
    let operator = site.caller_of(PARTNER_OPERATOR);
    let show = format!("/v1/audit/records/{}", signed.index);
    let shown = operator.get(&show).ok().json();
    assert!(
        shown.get("record").is_none() && shown.get("salt").is_none(),
        "{shown}"
    );
    let by = shown["erased"]["by"].as_u64().unwrap();
    let authority = operator.get(&format!("/v1/audit/records/{by}")).ok().json();
    assert_eq!(authority["record"]["kind"], "audit.erased");
    let proof = operator.get(&format!("/v1/log/proof/{}?wait=true", signed.index));
    let proof = proof.ok().text();
    let parsed: TlogProof = proof.parse().unwrap();
    assert_eq!(parsed.extra, None);
    let policy = Policy::of_log(log_key(&site.client()));
    let leaf = leaf_hash(text(&shown, "leaf").as_bytes());
    assert_eq!(parsed.verify(&leaf, &policy).unwrap().index, signed.index);
    let verdict = verify(site, PARTNER_OPERATOR, "partner/seal", signed, &proof);
    assert_eq!(verdict.code, Some(1), "{verdict:?}");
    assert!(
        verdict.stderr.contains("the body was erased"),
        "{verdict:?}"
    );
}

#[test]
fn the_bodies_of_one_tenant_are_erased_and_every_proof_stays_good() {
    let mut site = site();
    let (ours, theirs) = sign_for_both(&site);
    assert!(is_kept(&site.state_dir(), ALICE));
    let before = now();
    let args = [
        "audit",
        "erase",
        "--tenant",
        "partner",
        "--before",
        &before,
        "--reason",
        "asked for",
        "--json",
    ];
    let erased = site.sealwright(PARTNER_OPERATOR, &args).ok().json();
    assert_eq!(
        (&erased["count"], &erased["done"]),
        (&json!(3), &json!(true))
    );
    assert!(!is_kept(&site.state_dir(), ALICE));
    assert!(is_kept(&site.state_dir(), CI));
    for _ in 0..2 {
        assert_proved(&site, CI, "default/release", &ours);
        assert_proved(&site, PARTNER_OPERATOR, "partner/seal", &theirs);
        theirs.iter().for_each(|signed| assert_gone(&site, signed));
        for signed in &ours {
            assert_eq!(site.record(signed.index)["principal"], CI);
        }
        fsck(&site);
        let again = erase(&site, PARTNER_OPERATOR, "partner");
        assert_eq!(
            (again.status, again.json()["count"].clone()),
            (200, json!(0))
        );
        // From nothing but the journal, and with the index made anew by hand.
        site.stop_daemon();
        let reindexed = site.daemon_command(&["reindex"]);
        assert!(reindexed.status.success(), "{reindexed:?}");
        assert!(fsck(&site)["indexed"].is_number());
        fs::remove_dir_all(site.path("state/tiles")).unwrap();
        site.start_daemon();
        sign(&site, ALICE, "partner/seal", "after");
        erase(&site, PARTNER_OPERATOR, "partner").ok();
        wait_until_erased(&site);
    }
}

#[test]
fn an_export_with_erased_bodies_is_checked_offline() {
    let site = site();
    let (ours, theirs) = sign_for_both(&site);
    erase(&site, PARTNER_OPERATOR, "partner").ok();
    wait_until_erased(&site);
    for (id, erased) in [(OPERATOR, 0), (PARTNER_OPERATOR, theirs.len())] {
        let last = site.status()["log"]["size"].as_u64().unwrap() - 1;
        wait_for("a checkpoint", SOON, || {
            let proof = site.operator().get(&format!("/v1/log/proof/{last}"));
            (proof.status == 200).then_some(())
        });
        let copy = if erased == 0 { "ours" } else { "theirs" };
        let exported = site.sealwright(id, &["audit", "export", copy, "--json"]);
        assert_eq!(exported.ok().json()["without_body"], erased);
        let key = format!("{copy}/log.vkey");
        let args = ["verify", "--log", copy, "--log-key", &key];
        let said = site.sealwright(CI, &args).ok().stdout;
        assert_eq!(said.contains("erased or archived"), erased > 0, "{said}");
    }
    let records = site.callers_folder().join("theirs/records.jsonl");
    let whole = fs::read_to_string(&records).unwrap();
    let line = |signed: &Signed| format!("{{\"index\":{},", signed.index);
    assert!(whole.contains(&line(&theirs[0])) && !whole.contains(&line(&ours[0])));
    let forged = whole.replacen(r#"\"kind\":\"sign\""#, r#"\"kind\":\"sigm\""#, 1);
    assert_ne!(forged, whole);
    fs::write(&records, forged).unwrap();
    let args = ["verify", "--log", "theirs", "--log-key", "theirs/log.vkey"];
    let changed = site.sealwright(CI, &args);
    assert_eq!(changed.code, Some(1), "{changed:?}");
}

#[test]
fn a_hold_the_retention_and_other_tenants_operators_stand_against_it() {
    let site = site();
    sign_for_both(&site);
    let holds =
        |args: &[&str]| site.sealwright(PARTNER_OPERATOR, &[&["audit", "hold"], args].concat());
    let named = [
        "--tenant",
        "partner",
        "--name",
        "case 7",
        "--reason",
        "court order",
    ];
    let _ = holds(&[&["place"], &named[..]].concat()).ok();
    let listed = holds(&["list", "--json"]).ok().json();
    assert_eq!(
        (&listed[0]["name"], &listed[0]["tenant"]),
        (&json!("case 7"), &json!("partner"))
    );
    assert_eq!(erase(&site, PARTNER_OPERATOR, "partner").code(), "on_hold");
    assert_eq!(
        erase(&site, OPERATOR, "default").code(),
        "retention_not_over"
    );
    // Nobody reaches into another tenant, and clients erase nothing.
    for (id, tenant) in [
        (OPERATOR, "partner"),
        (PARTNER_OPERATOR, "default"),
        (ALICE, "partner"),
    ] {
        assert_eq!(erase(&site, id, tenant).code(), "denied", "{id}");
    }
    let other = json!({ "tenant": "partner", "name": "x", "reason": "y" });
    let refused = site.operator().post("/v1/audit/holds", &other);
    assert_eq!(refused.code(), "denied");
    assert_eq!(
        site.operator().get("/v1/audit/holds").ok().json()["holds"],
        json!([])
    );
    assert!(is_kept(&site.state_dir(), ALICE));
    assert_eq!(site.records("audit.erased").len(), 0);

    let _ = holds(&[&["lift"], &named[..]].concat()).ok();
    assert_eq!(holds(&[&["lift"], &named[..]].concat()).code, Some(5));
    erase(&site, PARTNER_OPERATOR, "partner").ok();
    wait_until_erased(&site);
    assert!(!is_kept(&site.state_dir(), ALICE));
}

#[test]
fn without_leave_in_the_policy_not_even_an_operator_erases() {
    let site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start();
    sign(&site, CI, "release", "a");
    assert_eq!(erase(&site, OPERATOR, "default").code(), "denied");
}

#[test]
fn the_retention_proposes_and_erases_nothing() {
    let site = site();
    let ours = sign(&site, CI, "release", "a");
    let due = site
        .sealwright(OPERATOR, &["audit", "retention", "--json"])
        .ok()
        .json();
    assert_eq!(
        due.as_array().unwrap().len(),
        1,
        "of the own tenant alone: {due}"
    );
    assert_eq!(
        (&due[0]["tenant"], &due[0]["count"]),
        (&json!("default"), &json!(0))
    );
    assert_eq!(site.record(ours.index)["principal"], CI);
}

#[test]
fn a_daemon_that_dies_at_any_step_goes_on_at_the_next_start() {
    for step in ["erasure-recorded", "erasure-rewritten", "erasure-indexed"] {
        let mut site = site();
        let (ours, theirs) = sign_for_both(&site);
        site.stop_daemon();
        site.start_daemon_with(&[("SEALWRIGHT_FAILPOINT", &format!("{step}:1"))]);
        let before = now();
        let body = json!({ "tenant": "partner", "before": before, "reason": "asked for" });
        let request = Request::new("POST", "/v1/audit/erasures")
            .header("Content-Type", "application/json")
            .body(body.to_string().into_bytes());
        let operator = site.caller_of(PARTNER_OPERATOR);
        wait_for("the daemon to die", SOON, || {
            // Whether this is answered depends on who is faster.
            if let Ok(mut connection) = operator.try_connect() {
                let _ = connection.send(&request);
            }
            site.daemon().ended()
        });
        fsck(&site);
        site.start_daemon();
        wait_until_erased(&site);
        assert!(!is_kept(&site.state_dir(), ALICE), "{step}");
        assert_proved(&site, CI, "default/release", &ours);
        assert_proved(&site, PARTNER_OPERATOR, "partner/seal", &theirs);
        theirs.iter().for_each(|signed| assert_gone(&site, signed));
        assert_eq!(site.records("audit.erasure-done").len(), 1);
        site.stop_daemon();
        fsck(&site);
    }
}

#[test]
fn a_body_that_no_record_says_was_erased_is_damage_with_file_and_offset() {
    let mut site = site();
    let ours = sign(&site, CI, "release", "a");
    site.stop_daemon();
    let path = site.path("state/journal/0000000000.swj");
    let (bytes, offset) = robbed(&fs::read(&path).unwrap(), ours.index);
    fs::write(&path, bytes).unwrap();
    let said = site.refused_start();
    let (index, file) = (ours.index, "0000000000.swj");
    assert!(
        said.contains(&format!("record {index} in ")) && said.contains(file),
        "{said}"
    );
    assert!(
        said.contains(&format!("byte {offset}, has lost its body")),
        "{said}"
    );
    let output = site.daemon_command(&["fsck"]);
    assert_eq!(output.status.code(), Some(3));
    let found = String::from_utf8(output.stdout).unwrap();
    assert!(
        found.contains(&format!("byte {offset}, has lost its body")),
        "{found}"
    );
}

/// The segment with record `victim` redacted by somebody who knows the format, and where its batch lies.
fn robbed(segment: &[u8], victim: u64) -> (Vec<u8>, usize) {
    let header = SegmentHeader::decode(segment).unwrap();
    let (mut bytes, mut place) = (header.encode_redacted(), 0);
    let (mut before, mut batches) = (header.chain, Vec::new());
    let _ = scan(segment, &header, &mut |_, entries| batches.push(entries));
    for entries in batches {
        let whole = entries.iter().map(|kept| match kept {
            Kept::Whole(entry) => entry.clone(),
            Kept::Redacted(_) => panic!("a body is gone"),
        });
        let whole: Vec<_> = whole.collect();
        let (same, after) = sealwright_core::journal::encode_batch(header.segment, before, &whole);
        let is_victims = (before.index..after.index).contains(&victim);
        if is_victims {
            place = bytes.len();
            let kept = (before.index..)
                .zip(entries)
                .map(|(index, kept)| match kept {
                    Kept::Whole(entry) if index == victim => {
                        assert_eq!(Leaf::from_bytes(&entry.leaf).unwrap().index(), victim);
                        Kept::Redacted(Box::new(Redacted {
                            leaf: entry.leaf,
                            gone: Gone::Erased { by: victim + 1 },
                            rest: Rest {
                                tenant: "default".parse().unwrap(),
                                lasting: Default::default(),
                            },
                        }))
                    }
                    kept => kept,
                });
            let batch = Rewritable {
                segment: header.segment,
                before,
                after,
                kept: kept.collect(),
            };
            bytes.extend(batch.encode(Some(same.len())).unwrap());
        } else {
            bytes.extend(same);
        }
        before = after;
    }
    bytes.resize(segment.len(), 0);
    (bytes, place)
}
