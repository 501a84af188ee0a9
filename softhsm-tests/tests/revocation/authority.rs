//! A certificate authority whose key lies on a scripted token, and what openssl makes of its certificates and lists.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use sealwright_softhsm_tests::site::{OPERATOR, Site};

/// Runs openssl in the callers' folder: whether it succeeded, and all that it said.
pub fn openssl(site: &Site, args: &[&str]) -> (bool, String) {
    let mut command = Command::new("openssl");
    let output = command
        .args(args)
        .current_dir(site.callers_folder())
        .output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said.into_owned())
}

/// The same, where it must succeed.
#[track_caller]
pub fn openssl_ok(site: &Site, args: &[&str]) -> String {
    let (is_ok, said) = openssl(site, args);
    assert!(is_ok, "openssl {args:?}: {said}");
    said
}

/// Makes a key of this name on the token and enrols nothing; its public key is in `NAME.pem`.
pub fn make_key(site: &Site, name: &str) {
    make_key_of(site, name, "ecdsa-p256-sha256");
}

fn make_key_of(site: &Site, name: &str, scheme: &str) {
    let uri = format!("scripted:object={name}");
    let args = [
        "--json", "keys", "generate", name, "--token", "soft", "--uri", &uri, "--scheme", scheme,
    ];
    let made = site.sealwright(OPERATOR, &args).ok().json();
    let pem = made["public_key_pem"].as_str().unwrap();
    fs::write(site.callers_folder().join(format!("{name}.pem")), pem).unwrap();
}

/// A self-signed certificate `NAME.crt` for an authority with the key of this name.
pub fn make_authority(site: &Site, name: &str, scheme: &str, usage: &str) {
    make_key_of(site, name, scheme);
    let (key, subject, certificate) = (
        private_key(site, name),
        format!("/O=Sealwright test/CN={name}"),
        format!("{name}.crt"),
    );
    let usage = format!("keyUsage=critical,{usage}");
    let mut args = vec![
        "req", "-x509", "-new", "-keyform", "DER", "-key", &key, "-subj", &subject, "-days", "2",
    ];
    args.extend(["-addext", &usage, "-out", &certificate]);
    openssl_ok(site, &args);
}

/// A certificate `NAME.crt` by `authority` for the key of this name.
pub fn issue(site: &Site, name: &str, authority: &str) {
    let (public, subject, certificate, ca, key) = (
        format!("{name}.pem"),
        format!("/O=Sealwright test/CN={name}"),
        format!("{name}.crt"),
        format!("{authority}.crt"),
        private_key(site, authority),
    );
    let mut args = vec!["x509", "-new", "-force_pubkey", &public, "-subj", &subject];
    args.extend([
        "-CA",
        &ca,
        "-CAkey",
        &key,
        "-CAkeyform",
        "DER",
        "-days",
        "1",
    ]);
    args.extend(["-out", &certificate]);
    openssl_ok(site, &args);
}

/// Enrols the key of this name with `NAME.crt`.
pub fn enrol(site: &Site, name: &str, purpose: &str) {
    let (uri, certificate) = (format!("scripted:object={name}"), format!("{name}.crt"));
    let mut args = vec![
        "keys", "enrol", name, "--token", "soft", "--uri", &uri, "--yes",
    ];
    args.extend(["--purpose", purpose, "--certificate", &certificate]);
    let _ = site.sealwright(OPERATOR, &args).ok();
}

/// The token's key file: a scripted token does not hide it.
fn private_key(site: &Site, name: &str) -> String {
    let mut folders = vec![site.path("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with(format!("{name}.p8")) {
                return path.to_str().unwrap().to_owned();
            }
        }
    }
    panic!("no key {name}");
}
