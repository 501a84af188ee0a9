//! An approver whose key is on a FIDO2 security key, at his own machine.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use sealwright_core::spki::Spki;
use sealwright_softhsm_tests::site::pki::Leaf;
use sealwright_softhsm_tests::site::{OPERATOR, Site, TokenSpec};
use serde_json::Value;

const ANN: &str = "spiffe://sealwright.test/ann";
const SCHEME: &str = "webauthn-p256-sha256-uv";

/// `release` waits for one approval, Ann's; her key is on the token `ann`, which signs nothing for the daemon.
fn site() -> Site {
    let hsm = TokenSpec::softhsm("hsm").key("release");
    let ann = TokenSpec::fido2("ann").key_of("ann", SCHEME);
    let builder = Site::builder().token(hsm).token(ann);
    builder.approvers(1, &[ANN]).start()
}

/// Has the operator ask for the key to be activated; the operation's number.
fn ask(site: &Site) -> String {
    let uri = site.token("hsm").uri("release");
    let args = [
        "keys", "enrol", "release", "--token", "hsm", "--uri", &uri, "--yes", "--json",
    ];
    let asked = site.sealwright(OPERATOR, &args);
    assert_eq!(asked.code, Some(6), "{asked:?}");
    let said: Value = serde_json::from_str(asked.stderr.lines().last().unwrap()).unwrap();
    said["operation"].to_string()
}

/// Ann's word about `request`, with the certificate `cert`, as she gives it where her security key is.
fn approve(site: &Site, request: &Path, cert: &Path) -> Output {
    let token = site.token("ann");
    let mut command = Command::new(site.program("sealwright"));
    command.args(["approve", "sign", "--yes", "--fido2-key", &token.uri("ann")]);
    command.arg("--fido2").arg(token.config());
    command.arg("--fido2-cert").arg(cert);
    command.arg(request);
    command.envs(token.environment());
    command.uid(token.uid()).gid(token.uid()).output().unwrap()
}

/// A certificate for Ann's public key on the security key.
fn certificate(site: &Site) -> String {
    let spki = site.token("ann").describe("ann");
    let spki = Spki::from_pem(spki["public_key_pem"].as_str().unwrap()).unwrap();
    site.authority().client_of_key(&Leaf::uri(ANN), spki.der())
}

fn open(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn a_touch_and_a_pin_approve_what_the_operator_asked_for() {
    let site = site();
    let number = ask(&site);
    let export = ["approve", "export", &number, "-o", "request.json"];
    let _ = site.sealwright(ANN, &export).ok();
    let folder = site.callers_folder();
    let cert = folder.join("ann.pem");
    open(&cert, &certificate(&site));
    let signed = approve(&site, &folder.join("request.json"), &cert);
    assert!(signed.status.success(), "{signed:?}");
    let said = String::from_utf8_lossy(&signed.stderr);
    assert!(said.contains("touch the security key"), "{said}");
    let approval = String::from_utf8(signed.stdout).unwrap();
    assert!(approval.contains(SCHEME), "{approval}");
    open(&folder.join("approval.json"), &approval);
    let import = ["approve", "import", "approval.json", "--json"];
    let operation = site.sealwright(OPERATOR, &import).ok().json();
    assert_eq!(operation["status"], "ready");
    assert_eq!(operation["granted"][0]["approver"], ANN);
    let activate = ["keys", "activate", "release#1", "--reason", "first"];
    let _ = site.sealwright(OPERATOR, &activate).ok();
}

#[test]
fn a_certificate_for_another_key_is_noticed_before_it_travels() {
    let site = site();
    let number = ask(&site);
    let export = ["approve", "export", &number, "-o", "request.json"];
    let _ = site.sealwright(ANN, &export).ok();
    let folder = site.callers_folder();
    let cert = folder.join("other.pem");
    let other = site.authority().client(&Leaf::uri(ANN));
    open(&cert, &other.certificate_pem());
    let refused = approve(&site, &folder.join("request.json"), &cert);
    assert!(!refused.status.success(), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("did not sign it"), "{said}");
}
