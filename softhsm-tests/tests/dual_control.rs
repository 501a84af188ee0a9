//! Dual control: what waits for a second person, whose word counts, and what happens then.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use sealwright_softhsm_tests::site::http::{Request, Response};
use sealwright_softhsm_tests::site::pki::{Authority, Identity, Leaf};
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{
    Builder, CI, DEFAULT_POLICY, OPERATOR, Run, SOON, Site, TokenSpec, sha256_hex, statement,
};
use serde_json::{Value, json};
use support::text;

const ANN: &str = "spiffe://sealwright.test/ann";
const BEN: &str = "spiffe://sealwright.test/ben";
const CAT: &str = "spiffe://sealwright.test/cat";
const ROTATE: &str = "/v1/keys/default/release/rotate";

fn builder() -> Builder {
    Site::builder()
        .token(
            TokenSpec::softhsm("hsm")
                .key("release")
                .key("release-2")
                .key("release-3"),
        )
        .approvers(2, &[ANN, BEN, CAT])
}

/// Two of three, with `release` in use.
fn site() -> Site {
    in_use(builder())
}

fn in_use(builder: Builder) -> Site {
    let site = builder.start();
    let uri = site.token("hsm").uri("release");
    let args = [
        "keys", "enrol", "release", "--token", "hsm", "--uri", &uri, "--yes",
    ];
    let enrolled = waits(&site.sealwright(OPERATOR, &[&args[..], &["--json"]].concat()));
    grant_both(&site, enrolled);
    let args = ["keys", "activate", "release#1", "--reason", "first"];
    let _ = site.sealwright(OPERATOR, &args).ok();
    site
}

/// The operation that a command said it waits for.
fn waits(run: &Run) -> u64 {
    assert_eq!(run.code, Some(6), "{run:?}");
    let last = run.stderr.lines().last().unwrap();
    let said: Value = serde_json::from_str(last).unwrap();
    said["operation"].as_u64().unwrap()
}

fn accepted(answer: &Response) -> u64 {
    assert_eq!(answer.status, 202, "{answer:?}");
    let operation = answer.json()["operation"].as_u64().unwrap();
    let location = format!("/v1/operations/{operation}");
    assert_eq!(answer.header("location"), Some(location.as_str()));
    operation
}

fn says(site: &Site, who: &str, verb: &str, operation: u64) -> Run {
    let operation = operation.to_string();
    site.sealwright(who, &["approve", verb, &operation, "--yes", "--json"])
}

fn grant_both(site: &Site, operation: u64) {
    for who in [ANN, BEN] {
        let _ = says(site, who, "grant", operation).ok();
    }
}

/// Enrols a key as the next version of `release`; it does not sign yet.
fn enrol_next(site: &Site, label: &str) -> u64 {
    let uri = site.token("hsm").uri(label);
    let args = [
        "keys",
        "enrol",
        "release",
        "--token",
        "hsm",
        "--uri",
        &uri,
        "--yes",
        "--inactive",
        "--json",
    ];
    let key = site.sealwright(OPERATOR, &args).ok().json();
    text(&key, "key")
        .rsplit_once('#')
        .unwrap()
        .1
        .parse()
        .unwrap()
}

fn ask_to_rotate(site: &Site, to: u64) -> u64 {
    accepted(&site.operator().post(ROTATE, &json!({ "to": to })))
}

fn status(site: &Site, operation: u64) -> String {
    let path = format!("/v1/operations/{operation}");
    text(&site.operator().get(&path).ok().json(), "status").to_owned()
}

/// A code that the daemon gave a command.
fn code(run: &Run) -> String {
    let said: Value = serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap();
    said["code"].as_str().unwrap_or_default().to_owned()
}

fn saved(site: &Site, name: &str, identity: &Identity) -> [PathBuf; 2] {
    let folder = site.callers_folder();
    let paths = [
        folder.join(format!("{name}.pem")),
        folder.join(format!("{name}.key")),
    ];
    std::fs::write(&paths[0], identity.certificate_pem()).unwrap();
    std::fs::write(&paths[1], identity.key_pem()).unwrap();
    paths
}

#[test]
fn a_rotation_takes_two_of_three_and_what_was_granted_survives_a_restart() {
    let mut site = site();
    let to = enrol_next(&site, "release-2");
    let operation = ask_to_rotate(&site, to);
    // Asking again is no second request.
    assert_eq!(ask_to_rotate(&site, to), operation);
    let again = json!({ "to": to });
    let with_it = format!("{ROTATE}?operation={operation}");
    let granted = says(&site, ANN, "grant", operation).ok().json();
    assert_eq!(granted["missing"], 1);
    let early = site.operator().post(&with_it, &again);
    assert_eq!(early.code(), "approval_incomplete");
    site.kill_daemon();
    site.start_daemon();
    assert_eq!(status(&site, operation), "waiting");
    let twice = says(&site, ANN, "grant", operation);
    assert_eq!(code(&twice), "approval_repeated");
    let _ = says(&site, CAT, "grant", operation).ok();
    assert_eq!(status(&site, operation), "ready");
    let rotated = site.operator().post(&with_it, &again).ok();
    assert_eq!(text(&rotated.json()["to"], "state"), "Active");
    assert_eq!(status(&site, operation), "used");
    let record = &site.records("key.rotated")[0];
    assert_eq!(record["approval"], operation);
    site.client().sign("key=release", &statement("a")).ok();
    let once = site.operator().post(&with_it, &again);
    assert_eq!(
        once.code(),
        "invalid_request",
        "the successor signs already"
    );
    site.kill_daemon();
    site.start_daemon();
    assert_eq!(status(&site, operation), "used");
}

#[test]
fn nobody_approves_his_own_request_by_name_or_by_key() {
    let site = in_use(builder().approvers(2, &[OPERATOR]));
    let to = enrol_next(&site, "release-2");
    let op = site.authority().client(&Leaf::uri(OPERATOR));
    let asked = site.caller(Some(&op)).post(ROTATE, &json!({ "to": to }));
    let operation = accepted(&asked);
    let by_name = says(&site, OPERATOR, "grant", operation);
    assert_eq!(code(&by_name), "approver_is_requester");
    let ann_with_ops_key = site.authority().client_with_key(&Leaf::uri(ANN), &op);
    let by_key = sign_and_bring(&site, operation, &ann_with_ops_key);
    assert_eq!(code(&by_key), "approver_is_requester");
    let _ = says(&site, ANN, "grant", operation).ok();
    let ann = site.authority().client(&Leaf::uri(ANN));
    let ben_with_anns_key = site.authority().client_with_key(&Leaf::uri(BEN), &ann);
    let _ = sign_and_bring(&site, operation, &ben_with_anns_key).ok();
    let same_key = sign_and_bring(
        &site,
        operation,
        &site
            .authority()
            .client_with_key(&Leaf::uri(CAT), &ben_with_anns_key),
    );
    assert_eq!(code(&same_key), "approval_repeated");
}

/// Signs with a certificate of the test's choice, and has the operator bring it.
fn sign_and_bring(site: &Site, operation: u64, approver: &Identity) -> Run {
    let [cert, key] = saved(site, "approver", approver);
    let [cert, key] = [&cert, &key].map(|path| path.to_str().unwrap());
    let number = operation.to_string();
    let _ = site
        .sealwright(
            OPERATOR,
            &["approve", "export", &number, "-o", "request.json"],
        )
        .ok();
    let args = [
        "approve",
        "sign",
        "request.json",
        "--yes",
        "--cert",
        cert,
        "--client-key",
        key,
        "-o",
        "approval.json",
    ];
    let _ = site.sealwright(OPERATOR, &args).ok();
    site.sealwright(OPERATOR, &["approve", "import", "approval.json", "--json"])
}

#[test]
fn only_certificates_of_the_trust_domain_that_the_directory_knows_as_approvers_count() {
    let site = site();
    let to = enrol_next(&site, "release-2");
    let operation = ask_to_rotate(&site, to);
    let foreign = Authority::new("another CA").client(&Leaf::uri(ANN));
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let old = site.authority().client(&Leaf {
        from: SystemTime::UNIX_EPOCH,
        ..Leaf::uri(ANN).until(long_ago)
    });
    for identity in [foreign, old] {
        let refused = sign_and_bring(&site, operation, &identity);
        assert_eq!(code(&refused), "approval_invalid");
    }
    for who in [CI, OPERATOR] {
        let nobody = site.authority().client(&Leaf::uri(who));
        let refused = sign_and_bring(&site, operation, &nobody);
        assert_eq!(code(&refused), "not_an_approver");
    }
    let client = site.client();
    let path = format!("/v1/operations/{operation}/approvals");
    assert_eq!(
        client.get(&format!("/v1/operations/{operation}")).code(),
        "unknown_operation"
    );
    assert_eq!(client.post(&path, &json!({})).code(), "unknown_operation");
    assert_eq!(
        site.operator().post(&path, &json!({})).code(),
        "approval_invalid"
    );
}

#[test]
fn an_approval_is_good_for_its_own_request_and_no_other() {
    let site = site();
    let [second, third] = ["release-2", "release-3"].map(|label| enrol_next(&site, label));
    let (operation, other) = (ask_to_rotate(&site, second), ask_to_rotate(&site, third));
    let ann = site.authority().client(&Leaf::uri(ANN));
    let _ = sign_and_bring(&site, operation, &ann).ok();
    let file = std::fs::read_to_string(site.callers_folder().join("approval.json")).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    let replayed = site
        .operator()
        .post(&format!("/v1/operations/{other}/approvals"), &file);
    assert_eq!(replayed.code(), "approval_mismatch");
    let _ = says(&site, BEN, "grant", operation).ok();
    let misused = site.operator().post(
        &format!("{ROTATE}?operation={operation}"),
        &json!({ "to": third }),
    );
    assert_eq!(misused.code(), "approval_mismatch");
    let unknown = site
        .operator()
        .post(&format!("{ROTATE}?operation=0"), &json!({ "to": third }));
    assert_eq!(unknown.code(), "unknown_operation");
}

#[test]
fn a_denial_ends_a_request_and_so_does_its_time() {
    let mut site = site();
    let to = enrol_next(&site, "release-2");
    let operation = ask_to_rotate(&site, to);
    let _ = says(&site, ANN, "grant", operation).ok();
    let _ = says(&site, BEN, "deny", operation).ok();
    assert_eq!(status(&site, operation), "denied");
    let late = says(&site, CAT, "grant", operation);
    assert_eq!(code(&late), "approval_denied");
    let path = format!("{ROTATE}?operation={operation}");
    let refused = site.operator().post(&path, &json!({ "to": to }));
    assert_eq!(refused.code(), "approval_denied");

    site.stop_daemon();
    site.edit_config(|text| text + "[dual_control]\nexpires_s = 1\n");
    site.start_daemon();
    let operation = ask_to_rotate(&site, to);
    wait_for("the request to run out", SOON, || {
        (status(&site, operation) == "expired").then_some(())
    });
    let late = says(&site, CAT, "grant", operation);
    assert_eq!(code(&late), "approval_expired");
}

#[test]
fn an_approver_signs_on_a_machine_without_a_daemon() {
    let mut site = site();
    let to = enrol_next(&site, "release-2");
    let operation = ask_to_rotate(&site, to);
    let number = operation.to_string();
    let _ = site
        .sealwright(
            OPERATOR,
            &["approve", "export", &number, "-o", "request.json"],
        )
        .ok();
    let shown = site
        .operator()
        .get(&format!("/v1/operations/{operation}"))
        .ok()
        .json();
    let request = std::fs::read(site.callers_folder().join("request.json")).unwrap();
    let digest = sha256_hex(&request);
    assert_eq!(text(&shown, "digest"), digest);
    site.stop_daemon();
    let sign = |more: &[&str]| {
        let args = ["approve", "sign", "request.json", "-o", "approval.json"];
        site.sealwright(ANN, &[&args[..], more].concat())
    };
    let unasked = sign(&[]);
    assert_eq!(unasked.code, Some(2), "{unasked:?}");
    assert!(unasked.stderr.contains("default/release#2"), "{unasked:?}");
    let other = "0".repeat(64);
    assert_eq!(sign(&["--confirm", &other]).code, Some(1));
    let signed = sign(&["--confirm", &digest, "--reason", "looked at it"]).ok();
    assert!(
        signed.stderr.contains("spiffe://sealwright.test/operator"),
        "{signed:?}"
    );
    let spaced = String::from_utf8(request).unwrap().replace(':', ": ");
    std::fs::write(site.callers_folder().join("request.json"), spaced).unwrap();
    assert_eq!(
        sign(&["--yes"]).code,
        Some(1),
        "other bytes than the daemon's"
    );
    site.start_daemon();
    // Whoever brings it vouches for nothing.
    let brought = site
        .sealwright(BEN, &["approve", "import", "approval.json", "--json"])
        .ok();
    assert_eq!(brought.json()["granted"][0]["approver"], ANN);
    let records = site.records("approval.granted");
    let record = records.last().unwrap();
    assert_eq!(
        (text(record, "approver"), text(&record["by"], "principal")),
        (ANN, BEN)
    );
}

#[test]
fn making_activating_and_revoking_keys_wait_as_well() {
    let site = site();
    let uri = "pkcs11:object=fresh";
    let generate = [
        "keys", "generate", "fresh", "--token", "hsm", "--uri", uri, "--json",
    ];
    let operation = waits(&site.sealwright(OPERATOR, &generate));
    assert!(site.records("key.generate-intent").is_empty());
    grant_both(&site, operation);
    // The same command again finds its approvals.
    let made = site.sealwright(OPERATOR, &generate).ok().json();
    assert!(made["spki_sha256"].is_string());
    let intent = &site.records("key.generate-intent")[0];
    assert_eq!(intent["approval"], operation);

    let revoke = [
        "keys",
        "revoke",
        "release#1",
        "--reason",
        "found it online",
        "--json",
    ];
    let operation = waits(&site.sealwright(OPERATOR, &revoke));
    site.client().sign("key=release", &statement("a")).ok();
    grant_both(&site, operation);
    let revoked = site.sealwright(OPERATOR, &revoke).ok().json();
    assert_eq!(text(&revoked, "state"), "Deactivated");
    let record = &site.records("key.compromised")[0];
    assert_eq!(record["approval"], operation);
    let refused = site.client().sign("key=release", &statement("b"));
    assert_eq!(refused.code(), "key_not_active");
}

#[test]
fn a_command_that_waits_finishes_when_the_last_approval_comes() {
    let site = site();
    let to = enrol_next(&site, "release-2");
    let uri = site.token("hsm").uri("release-2");
    let args = [
        "keys", "rotate", "release", "--uri", &uri, "--yes", "--wait", "--json",
    ];
    let mut command = site.sealwright_command(OPERATOR, &args);
    let child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let operation = wait_for("the request", SOON, || {
        site.records("approval.requested")
            .last()
            .filter(|r| text(r, "request").contains("\"rotate\""))
            .map(|r| r["seq"].as_u64().unwrap())
    });
    grant_both(&site, operation);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let rotated: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(text(&rotated["to"], "key"), format!("default/release#{to}"));
}

#[test]
fn another_policy_decides_only_after_it_was_approved() {
    let mut site = site();
    let new = format!("{DEFAULT_POLICY}\n// changed\n");
    let digest = sha256_hex(new.as_bytes());
    std::fs::write(site.path("etc/policy.cedar"), &new).unwrap();
    site.daemon().signal(Signal::HUP);
    wait_for("the daemon to see it", SOON, || {
        (site.status()["policy_waiting"] == digest).then_some(())
    });
    site.stop_daemon();
    site.start_daemon();
    let status = site.status();
    assert_eq!(text(&status, "policy_waiting"), digest);
    assert_eq!(
        text(&status, "policy_digest"),
        sha256_hex(DEFAULT_POLICY.as_bytes())
    );
    let activate = ["policy", "activate", "--json"];
    let operation = waits(&site.sealwright(OPERATOR, &activate));
    grant_both(&site, operation);
    let activated = site.sealwright(OPERATOR, &activate).ok().json();
    assert_eq!(text(&activated, "digest"), digest);
    let status = site.status();
    assert_eq!(text(&status, "policy_digest"), digest);
    assert!(status["policy_waiting"].is_null(), "{status}");
    let record = site.records("policy.activated").pop().unwrap();
    assert_eq!(record["approval"], operation);
}

#[test]
fn who_breaks_the_glass_acts_at_once_and_owes_the_approvals() {
    let mut site = site();
    let to = enrol_next(&site, "release-2");
    let path = format!("{ROTATE}?break_glass=the+house+is+on+fire");
    let off = site.operator().post(&path, &json!({ "to": to }));
    assert_eq!(off.code(), "denied");
    site.stop_daemon();
    site.edit_config(|text| text + "[dual_control]\nbreak_glass = true\n");
    site.start_daemon();
    site.operator().post(&path, &json!({ "to": to })).ok();
    let record = &site.records("key.rotated")[0];
    assert_eq!(text(record, "break_glass"), "the house is on fire");
    let operation = record["approval"].as_u64().unwrap();
    assert_eq!(status(&site, operation), "owed");
    assert_eq!(site.status()["approvals"]["owed"], 1);
    grant_both(&site, operation);
    assert_eq!(status(&site, operation), "used");
    assert_eq!(site.status()["approvals"]["owed"], 0);
}

#[test]
fn a_signature_waits_where_the_policy_of_its_key_asks_for_approvals() {
    let policy = DEFAULT_POLICY.replace(
        "@id(\"clients-sign\")",
        "@id(\"clients-sign\")\n@approvals(\"2\")",
    );
    assert_ne!(policy, DEFAULT_POLICY);
    let site = in_use(builder().policy(&policy));
    let payload = statement("a");
    let operation = accepted(&site.client().sign("key=release", &payload));
    let with_it = format!("key=release&operation={operation}");
    let early = site.client().sign(&with_it, &payload);
    assert_eq!(early.code(), "approval_incomplete");
    grant_both(&site, operation);
    let other = site.client().sign(&with_it, &statement("b"));
    assert_eq!(other.code(), "approval_mismatch");
    let signed = site.client().sign(&with_it, &payload).ok();
    let index: u64 = signed.header("sealwright-record").unwrap().parse().unwrap();
    assert_eq!(site.record(index)["approval"], operation);
    let again = site.client().sign(&with_it, &payload);
    assert_eq!(again.code(), "approval_used");
}

#[test]
fn a_retry_of_an_approved_signature_gets_its_first_answer_and_no_second_signature() {
    let policy = DEFAULT_POLICY.replace(
        "@id(\"clients-sign\")",
        "@id(\"clients-sign\")\n@approvals(\"2\")",
    );
    let site = in_use(builder().policy(&policy));
    let payload = statement("a");
    let ask = |query: &str, key: &str| {
        let request = Request::sign(query, &payload).header("Idempotency-Key", key);
        site.client().send(&request)
    };
    let operation = accepted(&ask("key=release", "once"));
    grant_both(&site, operation);
    let with_it = format!("key=release&operation={operation}");
    let first = ask(&with_it, "once").ok();
    for _ in 0..2 {
        let again = ask(&with_it, "once").ok();
        assert_eq!(again.body, first.body);
        assert_eq!(again.header("idempotent-replay"), Some("true"));
    }
    // Another key is another request, and the approvals served once.
    assert_eq!(ask(&with_it, "twice").code(), "approval_used");
    let used: Vec<_> = site.records("sign");
    let signed = used.iter().filter(|record| record["outcome"] == "signed");
    assert_eq!(signed.count(), 3);
}

#[test]
fn the_end_of_a_freeze_and_an_erasure_wait_for_approvals_and_a_freeze_does_not() {
    let erasers = "@id(\"operators-erase\") permit (principal in Sealwright::Role::\"operator\", \
                   action == Sealwright::Action::\"eraseAudit\", resource);";
    let site = in_use(builder().policy(&format!("{DEFAULT_POLICY}\n{erasers}")));
    site.client().sign("key=release", &statement("a")).ok();
    let scope = ["--all", "--reason", "drill", "--json"];
    let _ = site
        .sealwright(OPERATOR, &[&["freeze"], &scope[..]].concat())
        .ok();
    let thaw = || site.sealwright(OPERATOR, &[&["thaw"], &scope[..]].concat());
    let operation = waits(&thaw());
    assert_eq!(site.status()["freezes"].as_array().unwrap().len(), 1);
    grant_both(&site, operation);
    let _ = thaw().ok();
    assert_eq!(site.status()["freezes"].as_array().unwrap().len(), 0);
    assert_eq!(site.records("freeze.lifted")[0]["approval"], operation);
    let before = site.records("freeze.lifted")[0]["time"].clone();
    let erase = [
        "audit",
        "erase",
        "--tenant",
        "default",
        "--before",
        before.as_str().unwrap(),
        "--reason",
        "asked for",
        "--json",
    ];
    let operation = waits(&site.sealwright(OPERATOR, &erase));
    assert!(site.records("audit.erased").is_empty());
    grant_both(&site, operation);
    let _ = site.sealwright(OPERATOR, &erase).ok();
    let erased = site.records("audit.erased");
    assert!(!erased.is_empty());
    assert!(erased.iter().all(|record| record["approval"] == operation));
}
