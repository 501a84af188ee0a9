//! Who may call: one identity in a certificate of the right domain, known, from the right user.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use sealwright_softhsm_tests::site::http::{Client, Request};
use sealwright_softhsm_tests::site::pki::{Authority, Identity, Leaf};
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{
    CI, CLIENT_UID, OPERATOR, SOON, Site, TokenSpec, sha256_hex, statement,
};
use support::{assert_denied, text, without_using_a_key};

const HANDSHAKES_FAILED: &str = "sealwright_handshakes_failed_total";

fn site() -> Site {
    Site::builder()
        .token(TokenSpec::scripted("soft").key("release"))
        .start()
}

/// The daemon ends the handshake, counts it, and records nothing.
fn assert_no_handshake(site: &Site, caller: &Client) {
    let (failed, size) = (
        site.metric(HANDSHAKES_FAILED),
        site.metric("sealwright_log_size"),
    );
    let request = Request::sign("key=release", &statement("a"));
    let answer = caller
        .try_connect()
        .and_then(|mut connection| connection.send(&request));
    assert!(answer.is_err(), "{answer:?}");
    wait_for("the refused handshake to be counted", SOON, || {
        (site.metric(HANDSHAKES_FAILED) > failed).then_some(())
    });
    assert!((site.metric("sealwright_log_size") - size).abs() < f64::EPSILON);
}

#[test]
fn certificates_of_another_authority_expired_not_yet_valid_or_missing_end_the_handshake() {
    let site = site();
    let now = SystemTime::now();
    let minute = Duration::from_secs(60);
    let other = Authority::new("another CA").client(&Leaf::uri(CI));
    let expired = site.authority().client(&Leaf::uri(CI).until(now - minute));
    let early = Leaf {
        from: now + minute,
        ..Leaf::uri(CI)
    };
    let early = site.authority().client(&early);
    without_using_a_key(&site, "soft", || {
        for identity in [Some(&other), Some(&expired), Some(&early), None] {
            assert_no_handshake(&site, &site.caller(identity));
        }
    });
    site.client().sign("key=release", &statement("a")).ok();
}

#[test]
fn a_certificate_without_exactly_one_uri_names_nobody_and_leaves_no_record() {
    let site = site();
    let two = Leaf {
        uris: vec![CI.to_owned(), OPERATOR.to_owned()],
        ..Leaf::uri(CI)
    };
    let cases = [
        (two, "2 identities"),
        (Leaf::cn(CI), "no URI subject alternative name"),
        (Leaf::dns("ci.sealwright.test"), "only a DNS name"),
    ];
    without_using_a_key(&site, "soft", || {
        for (leaf, why) in cases {
            let caller = site.caller(Some(&site.authority().client(&leaf)));
            let answer = caller.sign("key=release", &statement("a"));
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (403, "certificate_refused")
            );
            assert!(
                text(&answer.json(), "detail").contains(why),
                "{}",
                answer.text()
            );
            assert_eq!(answer.record(), None);
            assert_eq!(caller.get("/v1/keys").code(), "certificate_refused");
        }
    });
}

#[test]
fn an_unknown_principal_is_denied_and_recorded_but_not_told_why() {
    let site = site();
    let stranger = "spiffe://sealwright.test/stranger";
    let answer = without_using_a_key(&site, "soft", || {
        site.caller_of(stranger)
            .sign("key=release", &statement("a"))
    });
    assert_denied(&site, &answer, "denied");
    assert_eq!(answer.json().get("detail"), None);
    let record = site.record(answer.record().unwrap());
    assert_eq!(text(&record, "principal"), stranger);
    assert!(text(&record, "reason").contains("not in the directory"));
}

#[test]
fn a_principal_bound_to_a_user_is_denied_from_another_one() {
    let bound = "spiffe://sealwright.test/bound";
    let principal =
        format!("[[principal]]\nid = '{bound}'\nroles = ['client']\nuid = {CLIENT_UID}\n");
    let token = TokenSpec::scripted("soft").key("release");
    let site = Site::builder().token(token).config(&principal).start();
    let caller = site.caller_of(bound);
    caller.sign("key=release", &statement("a")).ok();
    let other = caller.as_user(CLIENT_UID + 1);
    let answer = without_using_a_key(&site, "soft", || other.sign("key=release", &statement("a")));
    assert_denied(&site, &answer, "denied");
    let record = site.record(answer.record().unwrap());
    assert_eq!(record["peer"]["uid"], CLIENT_UID + 1);
    assert!(text(&record, "reason").contains("must come from uid"));
}

#[test]
fn a_certificate_that_runs_out_stops_signing_on_an_open_connection() {
    let site = site();
    let soon = SystemTime::now() + Duration::from_secs(4);
    let identity = site.authority().client(&Leaf::uri(CI).until(soon));
    let mut connection = site.caller(Some(&identity)).connect();
    let request = Request::sign("key=release", &statement("a"));
    connection.send(&request).unwrap().ok();
    let refused = wait_for("the certificate to run out", SOON, || {
        let answer = connection.send(&request).unwrap();
        (answer.status != 200).then_some(answer)
    });
    assert!(SystemTime::now() >= soon - Duration::from_secs(1));
    assert_denied(&site, &refused, "certificate_refused");
    assert!(text(&refused.json(), "detail").contains("ran out"));
}

#[test]
fn a_certificate_on_the_deny_list_is_refused_although_it_is_valid() {
    let mut site = site();
    let identity = site.authority().client(&Leaf::uri(CI));
    let caller = site.caller(Some(&identity));
    caller.sign("key=release", &statement("a")).ok();
    site.stop_daemon();
    let deny = format!(
        "ca = 'tls/ca.pem'\ndeny = ['{}']",
        sha256_hex(&identity.chain()[0])
    );
    site.edit_config(|text| text.replace("ca = 'tls/ca.pem'", &deny));
    site.start_daemon();
    let answer = without_using_a_key(&site, "soft", || {
        caller.sign("key=release", &statement("a"))
    });
    assert_denied(&site, &answer, "certificate_refused");
    site.client().sign("key=release", &statement("a")).ok();
}

#[test]
fn another_domains_authority_cannot_speak_for_a_principal_of_this_one() {
    let partner = Authority::new("the partner's CA");
    let token = TokenSpec::scripted("soft").key("release");
    let domain = "[[domain]]\nname = 'partner'\nca = 'tls/partner.pem'\ntenant = 'partner'\n\
                  [[principal]]\nid = 'spiffe://partner.test/ci'\ndomain = 'partner'\nroles = ['client']\n";
    let site = Site::builder()
        .token(token)
        .config(domain)
        .file("tls/partner.pem", &partner.pem())
        .start();
    // The partner's CA can issue any name; ours it cannot fill with life.
    let impostor = site.caller(Some(&partner.client(&Leaf::uri(CI))));
    let partner = site.caller(Some(
        &partner.client(&Leaf::uri("spiffe://partner.test/ci")),
    ));
    without_using_a_key(&site, "soft", || {
        let answer = impostor.sign("key=release", &statement("a"));
        assert_eq!((answer.status, answer.code().as_str()), (403, "denied"));
        assert_eq!(impostor.get("/v1/status").code(), "denied");
        // A known caller of the other domain: there, but not for our keys.
        assert_eq!(
            partner.sign("key=default/release", &statement("a")).code(),
            "denied"
        );
        assert_eq!(
            partner.sign("key=release", &statement("a")).code(),
            "unknown_key"
        );
    });
    assert_eq!(
        partner.get("/v1/keys").ok().json(),
        serde_json::json!({"keys": []})
    );
}

fn reload(site: &mut Site, list: &str) {
    std::fs::write(site.path("etc/deny-spki"), list).unwrap();
    site.daemon().signal(Signal::HUP);
}

/// SHA-256 of a certificate's SPKI.
fn spki_of(identity: &Identity) -> String {
    sha256_hex(&identity.spki())
}

#[test]
fn a_denied_key_is_refused_from_the_reload_on_also_on_an_open_connection() {
    let mut site = site();
    let identity = site.authority().client(&Leaf::uri(CI));
    let mut connection = site.caller(Some(&identity)).connect();
    let request = Request::sign("key=release", &statement("a"));
    let before = connection.send(&request).unwrap().ok();
    reload(
        &mut site,
        &format!("# stolen\n{} laptop\n", spki_of(&identity)),
    );
    wait_for("the list", SOON, || {
        (site.status()["denied_keys"] == 1).then_some(())
    });
    let answer = without_using_a_key(&site, "soft", || connection.send(&request).unwrap());
    assert_denied(&site, &answer, "certificate_refused");
    assert!(text(&answer.json(), "detail").contains("deny list"));
    assert!((site.metric("sealwright_denied_keys") - 1.0).abs() < f64::EPSILON);

    // Its digest came into force with a record, before the first refusal.
    let activated = site.records("config.activated");
    let activated = activated.last().unwrap();
    assert!(
        activated["seq"].as_u64() > before.record() && activated["seq"].as_u64() < answer.record()
    );
    let refused = site.record(answer.record().unwrap());
    assert_eq!(refused["config_digest"], activated["digest"]);
    assert_eq!(site.status()["config_digest"], activated["digest"]);
    assert_ne!(
        site.record(before.record().unwrap())["config_digest"],
        activated["digest"]
    );

    // Another key of the same caller is good, and a restart reads the list.
    site.client().sign("key=release", &statement("b")).ok();
    site.stop_daemon();
    site.start_daemon();
    let again = site
        .caller(Some(&identity))
        .sign("key=release", &statement("c"));
    assert_eq!(again.code(), "certificate_refused");
    let count = site.records("config.activated").len();
    reload(&mut site, "");
    wait_for("the empty list", SOON, || {
        (site.status()["denied_keys"] == 0).then_some(())
    });
    site.caller(Some(&identity))
        .sign("key=release", &statement("d"))
        .ok();
    assert_eq!(site.records("config.activated").len(), count + 1);
}

#[test]
fn a_list_that_cannot_be_read_changes_nothing_and_keeps_a_daemon_from_starting() {
    let mut site = site();
    let identity = site.authority().client(&Leaf::uri(CI));
    reload(&mut site, &spki_of(&identity));
    wait_for("the list", SOON, || {
        (site.status()["denied_keys"] == 1).then_some(())
    });
    reload(&mut site, "not a digest\n");
    wait_for("the refusal in the log", SOON, || {
        site.daemon_log()
            .contains("the deny list and the issuers' keys stay as they were")
            .then_some(())
    });
    assert!(site.daemon_log().contains("line 1: expected the SHA-256"));
    let answer = site
        .caller(Some(&identity))
        .sign("key=release", &statement("a"));
    assert_eq!(answer.code(), "certificate_refused");
    site.stop_daemon();
    assert!(site.refused_start().contains("etc/deny-spki"));
}

#[test]
fn a_callers_certificate_that_ends_soon_is_told_to_operators_and_to_its_holder() {
    let site = site();
    let day = Duration::from_secs(86_400);
    let now = SystemTime::now();
    let old = Leaf {
        from: now - 300 * day,
        ..Leaf::uri(CI).until(now + 3 * day)
    };
    let expiring = || site.metric("sealwright_certificates_expiring{use=\"caller\"}");
    assert_eq!(site.status().get("certificates"), None);
    let old = site.authority().client(&old);
    let client = site.caller(Some(&old));
    client.sign("key=release", &statement("a")).ok();
    let told = &site.status()["certificates"][0];
    assert_eq!((text(told, "use"), text(told, "name")), ("caller", CI));
    assert!((expiring() - 1.0).abs() < f64::EPSILON);
    let found = site.sealwright(OPERATOR, &["doctor", "--json"]).stdout;
    assert!(found.contains("caller.certificate-expires-soon"), "{found}");
    assert_eq!(
        client.get("/v1/status").ok().json().get("certificates"),
        None
    );
    let mut command = site.sealwright_command(CI, &["keys", "list"]);
    for (name, pem) in [
        ("caller.pem", old.certificate_pem()),
        ("caller.key", old.key_pem()),
    ] {
        std::fs::write(site.callers_folder().join(name), pem).unwrap();
    }
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && said.contains("expires in 2 days"),
        "{said}"
    );
    // A renewed one ends that.
    site.client().sign("key=release", &statement("b")).ok();
    assert_eq!(site.status().get("certificates"), None);
    assert!(expiring().abs() < f64::EPSILON);
}
