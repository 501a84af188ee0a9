//! Time stamps in bundles (RFC 3161, made by openssl) as evidence that a signature is older than its key's compromise.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::process::Command;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_core::time::Timestamp;
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{CI, OPERATOR, SOON, Site, TokenSpec, statement};
use serde_json::{Value, json};
use support::text;

const CONFIG: &str = "
[req]
distinguished_name = none
[none]
[anchor]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[tsa]
serial = serial
signer_digest = sha256
digests = sha256
default_policy = 1.3.6.1.4.1.32473.1
ess_cert_id_alg = sha256
accuracy = secs:1
";

/// A site with a pinned key and a time stamp authority `anchor.crt`, and another `stranger.crt`.
fn site() -> Site {
    let site = Site::builder()
        .token(TokenSpec::scripted("soft").key("release").key("other"))
        .start();
    let pem = site
        .sealwright(OPERATOR, &["keys", "show", "other", "--pem"])
        .ok();
    write(&site, "other.pem", pem.stdout.as_bytes());
    write(&site, "tsa.cnf", CONFIG.as_bytes());
    write(&site, "serial", b"01\n");
    let new_key = [
        "genpkey",
        "-quiet",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ];
    for (name, extensions, issuer) in [
        ("anchor", "anchor", None),
        ("stranger", "anchor", None),
        ("leaf", "leaf", Some("anchor")),
    ] {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        openssl(&site, &[&new_key[..], &["-out", &key]].concat());
        let subject = format!("/O=Sealwright test/CN={name}");
        let mut args = vec![
            "req",
            "-x509",
            "-config",
            "tsa.cnf",
            "-extensions",
            extensions,
        ];
        args.extend([
            "-days",
            "2",
            "-key",
            &key,
            "-out",
            &certificate,
            "-subj",
            &subject,
        ]);
        let (ca, ca_key) = (
            issuer.map(|issuer| format!("{issuer}.crt")),
            issuer.map(|issuer| format!("{issuer}.key")),
        );
        if let (Some(ca), Some(ca_key)) = (&ca, &ca_key) {
            args.extend(["-CA", ca, "-CAkey", ca_key]);
        }
        openssl(&site, &args);
    }
    site
}

fn write(site: &Site, name: &str, bytes: &[u8]) {
    fs::write(site.callers_folder().join(name), bytes).unwrap();
}

fn openssl(site: &Site, args: &[&str]) {
    let mut command = Command::new("openssl");
    let output = command
        .args(args)
        .current_dir(site.callers_folder())
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "openssl {args:?}: {output:?}");
}

/// A bundle with a time stamp over `data`, or over its own signature, into `NAME`.
fn stamped_bundle(site: &Site, name: &str, data: Option<&[u8]>) {
    let signed = site
        .client()
        .sign("key=release&format=bundle", &statement("a"));
    let mut bundle = signed.ok().json();
    let signature = text(&bundle["dsseEnvelope"]["signatures"][0], "sig");
    let signature = STANDARD.decode(signature).unwrap();
    write(site, "data", data.unwrap_or(&signature));
    let query = [
        "ts", "-query", "-config", "tsa.cnf", "-data", "data", "-sha256", "-cert",
    ];
    openssl(site, &[&query[..], &["-out", "request"]].concat());
    let reply = [
        "ts",
        "-reply",
        "-config",
        "tsa.cnf",
        "-section",
        "tsa",
        "-queryfile",
        "request",
    ];
    let by = ["-signer", "leaf.crt", "-inkey", "leaf.key", "-out", "stamp"];
    openssl(site, &[&reply[..], &by].concat());
    let stamp = fs::read(site.callers_folder().join("stamp")).unwrap();
    bundle["verificationMaterial"]["timestampVerificationData"] = json!({
        "rfc3161Timestamps": [{ "signedTimestamp": STANDARD.encode(stamp) }]
    });
    write(site, name, bundle.to_string().as_bytes());
}

/// `verify NAME --trust trust.json --trust-key other.pem …`
fn verify(site: &Site, name: &str, more: &[&str]) -> (Option<i32>, Value, String) {
    let args = [
        "--json",
        "verify",
        name,
        "--trust",
        "trust.json",
        "--trust-key",
        "other.pem",
    ];
    let run = site.sealwright(CI, &[&args[..], more].concat());
    let answer = serde_json::from_str(&run.stdout).unwrap_or_default();
    (run.code, answer, run.stderr)
}

fn verdict(site: &Site, name: &str, more: &[&str]) -> String {
    let (code, answer, stderr) = verify(site, name, more);
    assert_eq!(answer["verified"], code == Some(0), "{stderr}");
    text(&answer, "verdict").to_owned()
}

fn publish(site: &Site) {
    let args = [
        "trust",
        "export",
        "--format",
        "document",
        "--signed-by",
        "other",
    ];
    let _ = site
        .sealwright(OPERATOR, &[&args[..], &["-o", "trust.json"]].concat())
        .ok();
}

fn wait_past(time: &str) {
    let time: Timestamp = time.parse().unwrap();
    wait_for("the clock to go on", SOON, || {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        (i64::try_from(now.unwrap().as_millis()).unwrap() > time.unix_millis()).then_some(())
    });
}

/// A trusted_root.json that knows the authority.
fn trusted_root(site: &Site) {
    let der = |name: &str| {
        let (certificate, out) = (format!("{name}.crt"), format!("{name}.der"));
        openssl(
            site,
            &["x509", "-in", &certificate, "-outform", "DER", "-out", &out],
        );
        let der = fs::read(site.callers_folder().join(out)).unwrap();
        json!({ "rawBytes": STANDARD.encode(der) })
    };
    let root = json!({
        "timestampAuthorities": [{
            "certChain": { "certificates": [der("leaf"), der("anchor")] },
            "validFor": { "start": "2020-01-01T00:00:00Z" },
        }],
    });
    write(site, "root.json", root.to_string().as_bytes());
}

#[test]
fn a_time_stamp_from_before_the_compromise_saves_a_signature() {
    let site = site();
    stamped_bundle(&site, "early.json", None);
    publish(&site);
    let (code, answer, stderr) = verify(&site, "early.json", &["--tsa-roots", "anchor.crt"]);
    assert_eq!(code, Some(0), "{stderr}");
    // By then it is over for sure: its second and the authority's accuracy are in it.
    wait_past(text(&answer, "stamped"));
    let revoke = [
        "keys",
        "revoke",
        "release#1",
        "--reason",
        "stolen",
        "--signed-by",
        "other",
    ];
    let _ = site.sealwright(OPERATOR, &revoke).ok();
    publish(&site);

    let trusted = ["--tsa-roots", "anchor.crt"];
    assert_eq!(verdict(&site, "early.json", &trusted), "before-compromise");
    trusted_root(&site);
    let root = ["--tsa-roots", "root.json"];
    assert_eq!(verdict(&site, "early.json", &root), "before-compromise");
    // Nobody asked for time stamps, or nobody trusts this authority's.
    assert_eq!(verdict(&site, "early.json", &[]), "suspect");
    let stranger = ["--tsa-roots", "stranger.crt"];
    assert_eq!(verdict(&site, "early.json", &stranger), "suspect");
}

#[test]
fn a_time_stamp_from_after_the_compromise_says_nothing() {
    let site = site();
    let before = site
        .sealwright(OPERATOR, &["--json", "keys", "show", "release"])
        .ok()
        .json();
    let enrolled = text(&before["keys"][0], "active_from").to_owned();
    stamped_bundle(&site, "late.json", None);
    let mut revoke = vec!["keys", "revoke", "release#1", "--reason", "stolen"];
    revoke.extend(["--effective-time", &enrolled, "--signed-by", "other"]);
    let _ = site.sealwright(OPERATOR, &revoke).ok();
    publish(&site);
    let trusted = ["--tsa-roots", "anchor.crt"];
    assert_eq!(verdict(&site, "late.json", &trusted), "after-revocation");
}

#[test]
fn time_stamps_that_prove_nothing_are_named() {
    let site = site();
    stamped_bundle(&site, "other.json", Some(b"something else"));
    publish(&site);
    let (code, _, stderr) = verify(&site, "other.json", &["--tsa-roots", "anchor.crt"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains("over other data than the signature"),
        "{stderr}"
    );
    write(&site, "empty.json", b"{}");
    write(&site, "noise.pem", b"noise");
    for (file, why) in [
        ("empty.json", "names no time stamp authority"),
        (
            "noise.pem",
            "neither certificates in PEM nor a trusted_root.json",
        ),
        ("none.pem", "cannot read none.pem"),
    ] {
        let (code, _, stderr) = verify(&site, "other.json", &["--tsa-roots", file]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(why), "{why}: {stderr}");
    }
}
