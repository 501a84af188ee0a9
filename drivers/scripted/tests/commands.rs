//! The commands for people that every driver binary has.
#![allow(clippy::unwrap_used)]

mod support;

use support::Driver;

fn json(output: &std::process::Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}; stderr: {text}"))
}

#[test]
fn a_key_is_made_and_described_as_json() {
    let driver = Driver::new("");
    let made = driver.run(&[
        "generate",
        "--scheme",
        "ecdsa-p256-sha256",
        "scripted:object=new",
    ]);
    assert!(made.status.success());
    let found = driver.run(&["describe", "scripted:object=new"]);
    assert_eq!(json(&made), json(&found));
    let key = json(&found);
    assert_eq!(key["uri"], "scripted:object=new");
    assert_eq!(key["schemes"][0], "ecdsa-p256-sha256");
    assert_eq!(key["evidence"], "none");
    assert!(
        key["public_key_pem"]
            .as_str()
            .unwrap()
            .starts_with("-----BEGIN PUBLIC KEY-----\n")
    );
    assert_eq!(key["spki_sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn a_command_that_fails_says_why_on_stderr_and_prints_nothing() {
    let driver = Driver::new("");
    for (args, why) in [
        (
            &["describe", "scripted:object=none"][..],
            "no key is scripted:object=none",
        ),
        (&["describe", "scripted:"], "several keys"),
        (&["serve"], "sealwright-run"),
        (&["describe", "not a uri"], "key URI"),
        (
            &["generate", "--scheme", "rot13", "scripted:object=x"],
            "no signature scheme",
        ),
        (
            &[
                "generate",
                "--scheme",
                "rsa-pss-sha256",
                "--rsa-bits",
                "1024",
                "scripted:object=x",
            ],
            "2048",
        ),
    ] {
        let output = driver.run(args);
        assert!(
            !output.status.success() && output.stdout.is_empty(),
            "{args:?}"
        );
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(why), "{args:?}: {said}");
    }
}

#[test]
fn check_finds_nothing_wrong_with_a_good_token() {
    let driver = Driver::new("");
    let output = driver.run(&["check"]);
    assert!(output.status.success());
    let report = json(&output);
    assert_eq!(report["token"], "bench");
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 4);
    assert!(
        findings.iter().all(|finding| finding["ok"] == true),
        "{report}"
    );
}

#[test]
fn check_names_what_is_wrong() {
    let state = "credential = '/no/such/pin'";
    let driver = Driver::with(state, "", 0);
    let output = driver.run(&["check"]);
    assert_eq!(output.status.code(), Some(1));
    let finding = &json(&output)["findings"][0];
    assert_eq!(
        (&finding["check"], &finding["class"]),
        (&"credential".into(), &"Config".into())
    );
    assert!(finding["detail"].as_str().unwrap().contains("/no/such/pin"));
    let driver = Driver::new("");
    driver.fault("lost");
    let report = json(&driver.run(&["check"]));
    assert_eq!(report["findings"][2]["class"], "Lost", "{report}");
}

#[test]
fn a_configuration_for_another_kind_is_refused() {
    let driver = Driver::new("");
    let text = std::fs::read_to_string(driver.path("bench.toml")).unwrap();
    std::fs::write(
        driver.path("bench.toml"),
        text.replace("'scripted'", "'pkcs11'"),
    )
    .unwrap();
    let said = String::from_utf8(driver.run(&["check"]).stderr).unwrap();
    assert!(said.contains("sealwright-driver-pkcs11"), "{said}");
}
