//! A stolen token or a stolen certificate alone signs nothing: access tokens bound by DPoP (RFC 9449) and by client
//! certificates (RFC 8705), as a resource server sees them.
#![allow(clippy::unwrap_used)]

mod support;

use rustix::process::Signal;
use sealwright_softhsm_tests::site::http::{Client, Request, Response};
use sealwright_softhsm_tests::site::pki::{Identity, Leaf};
use sealwright_softhsm_tests::site::process::wait_for;
use sealwright_softhsm_tests::site::{CI, SOON, Site, TokenSpec, statement};
use serde_json::{Value, json};
use support::tokens::{AUDIENCE, Holder, ISSUER, Issuer};
use support::{text, without_using_a_key};

const POLICY: &str = r#"
@id("release") @token("dpop")
permit (principal in Sealwright::Role::"client", action == Sealwright::Action::"sign", resource == Sealwright::Key::"default/release")
unless { context has token && !context.token.scopes.contains("signer.sign") };
@id("certificate") @token("mtls")
permit (principal in Sealwright::Role::"client", action == Sealwright::Action::"sign", resource == Sealwright::Key::"default/high");
@id("free")
permit (principal in Sealwright::Role::"client", action == Sealwright::Action::"sign", resource == Sealwright::Key::"default/free");
@id("keys")
permit (principal, action in [Sealwright::Action::"readKey", Sealwright::Action::"manageKey", Sealwright::Action::"readAudit"], resource);
"#;

struct Host {
    site: Site,
    issuer: Issuer,
    ci: Identity,
}

impl Host {
    fn start() -> Self {
        Self::with("")
    }

    fn with(dpop: &str) -> Self {
        let issuer = Issuer::new();
        let config = format!(
            "[[security.issuer]]\nid = '{ISSUER}'\njwks = 'as.json'\n\
             [security.senderConstraints.dpop]\n{dpop}\n"
        );
        let token = TokenSpec::scripted("soft");
        let token = token.key("release").key("high").key("free");
        let site = Site::builder()
            .token(token)
            .policy(POLICY)
            .config(&config)
            .file("as.json", &issuer.jwks())
            .start();
        let ci = site.authority().client(&Leaf::uri(CI));
        Self { site, issuer, ci }
    }

    fn client(&self) -> Client {
        self.site.caller(Some(&self.ci))
    }

    /// A token of the issuer that is bound to `holder`, with changes.
    fn token(&self, holder: &Holder, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.issuer.claims(json!({ "jkt": holder.jkt() }));
        change(&mut claims);
        self.issuer.token(&claims)
    }

    fn record(&self, answer: &Response) -> Value {
        self.site.record(answer.record().expect("a record"))
    }

    /// Refused as `code` with a challenge, and a record that says who it was; nothing was signed.
    fn assert_refused(&self, answer: &Response, code: &str) -> Value {
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, code),
            "{}",
            answer.text()
        );
        let challenge = answer.header("www-authenticate").unwrap();
        let error = format!("DPoP error=\"{code}\", ");
        assert!(challenge.starts_with(&error), "{challenge}");
        assert!(
            challenge.ends_with("algs=\"ES256 ES384 EdDSA\""),
            "{challenge}"
        );
        assert!(answer.header("dpop-nonce").is_some());
        let record = self.record(answer);
        assert_eq!(
            (text(&record, "outcome"), text(&record, "code")),
            ("denied", code)
        );
        assert_eq!(text(&record, "principal"), CI);
        record
    }
}

fn write(site: &Site, jwks: &str) {
    std::fs::write(site.path("etc/as.json"), jwks).unwrap();
}

fn sign(query: &str) -> Request {
    Request::sign(query, &statement("a"))
}

fn as_dpop(request: Request, token: &str, proof: &str) -> Request {
    let request = request.header("Authorization", &format!("DPoP {token}"));
    request.header("DPoP", proof)
}

/// The newest nonce, from an answer that asks for one.
fn nonce(host: &Host) -> String {
    let holder = Holder::new(90);
    let token = host.token(&holder, |_| {});
    let proof = holder.proof("POST", "/v1/sign", &token, None);
    let answer = host
        .client()
        .send(&as_dpop(sign("key=free"), &token, &proof));
    assert_eq!(answer.code(), "use_dpop_nonce");
    answer.header("dpop-nonce").unwrap().to_owned()
}

#[test]
fn a_token_with_a_proof_of_its_key_signs_and_the_record_names_both() {
    let host = Host::start();
    let holder = Holder::new(1);
    let token = host.token(&holder, |_| {});
    let nonce = nonce(&host);
    let proof = holder.proof("POST", "/v1/sign", &token, Some(&nonce));
    let answer = host
        .client()
        .send(&as_dpop(sign("key=release"), &token, &proof))
        .ok();
    assert_eq!(answer.header("dpop-nonce"), Some(nonce.as_str()));
    let record = host.record(&answer);
    let expected =
        json!({"issuer": ISSUER, "subject": "ci", "client_id": "ci", "jkt": holder.jkt()});
    assert_eq!(record["token"], expected);
    // Neither token nor proof is anywhere in log or journal.
    let log = host.site.daemon_log();
    let signature = token.rsplit('.').next().unwrap();
    assert!(!log.contains(signature) && !record.to_string().contains(signature));
    assert!(log.contains("authority.dpop.request"), "{log}");
}

#[test]
fn a_call_whose_policy_asks_for_a_token_is_challenged_without_one_and_others_are_not() {
    let host = Host::start();
    let answer = without_using_a_key(&host.site, "soft", || {
        host.client().send(&sign("key=release"))
    });
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "token_required")
    );
    assert_eq!(
        answer.header("www-authenticate"),
        Some("DPoP algs=\"ES256 ES384 EdDSA\", Bearer")
    );
    assert_eq!(text(&host.record(&answer), "code"), "token_required");
    host.client().send(&sign("key=free")).ok();
}

#[test]
fn a_token_without_the_scope_that_the_policy_asks_for_is_denied() {
    let host = Host::start();
    let holder = Holder::new(1);
    let token = host.token(&holder, |claims| claims["scope"] = json!("attestor.verify"));
    let proof = holder.proof("POST", "/v1/sign", &token, Some(&nonce(&host)));
    let answer = host
        .client()
        .send(&as_dpop(sign("key=release"), &token, &proof));
    assert_eq!((answer.status, answer.code().as_str()), (403, "denied"));
    assert_eq!(host.record(&answer)["token"]["client_id"], "ci");
}

#[test]
fn a_proof_that_is_used_again_is_refused_and_recorded() {
    let host = Host::start();
    let holder = Holder::new(1);
    let token = host.token(&holder, |_| {});
    let proof = holder.proof("POST", "/v1/sign", &token, Some(&nonce(&host)));
    let request = as_dpop(sign("key=release"), &token, &proof);
    host.client().send(&request).ok();
    let record = without_using_a_key(&host.site, "soft", || {
        host.assert_refused(&host.client().send(&request), "invalid_dpop_proof")
    });
    assert!(text(&record, "reason").contains("used before"));
    assert_eq!(record["token"]["jkt"], json!(holder.jkt()));
}

#[test]
fn a_proof_without_the_newest_nonce_is_challenged_and_one_of_before_a_restart_as_well() {
    let mut host = Host::start();
    let holder = Holder::new(1);
    let token = host.token(&holder, |_| {});
    let of = |nonce: Option<&str>| holder.proof("POST", "/v1/sign", &token, nonce);
    for stale in [None, Some("another"), Some("")] {
        let answer = host
            .client()
            .send(&as_dpop(sign("key=release"), &token, &of(stale)));
        host.assert_refused(&answer, "use_dpop_nonce");
    }
    assert!((host.site.metric("authority_dpop_nonce_miss_total") - 3.0).abs() < f64::EPSILON);
    let before = nonce(&host);
    host.site.kill_daemon();
    host.site.start_daemon();
    let answer = host
        .client()
        .send(&as_dpop(sign("key=release"), &token, &of(Some(&before))));
    host.assert_refused(&answer, "use_dpop_nonce");
}

#[test]
fn a_stolen_token_is_worth_nothing_without_its_key() {
    let host = Host::start();
    let (holder, thief) = (Holder::new(1), Holder::new(2));
    let token = host.token(&holder, |_| {});
    let nonce = nonce(&host);
    let by_thief = thief.proof("POST", "/v1/sign", &token, Some(&nonce));
    without_using_a_key(&host.site, "soft", || {
        let answer = host
            .client()
            .send(&as_dpop(sign("key=release"), &token, &by_thief));
        let record = host.assert_refused(&answer, "invalid_token");
        assert!(text(&record, "reason").contains("another key"));
        let bearer = sign("key=release").header("Authorization", &format!("Bearer {token}"));
        let record = host.assert_refused(&host.client().send(&bearer), "invalid_token");
        assert!(text(&record, "reason").contains("sent as Bearer"));
    });
}

#[test]
fn a_certificate_bound_token_signs_from_its_certificate_and_from_no_other() {
    let host = Host::start();
    let x5t = Holder::x5t(&host.ci);
    let token = host
        .issuer
        .token(&host.issuer.claims(json!({ "x5t#S256": x5t })));
    let request = sign("key=high").header("Authorization", &format!("Bearer {token}"));
    let answer = host.client().send(&request).ok();
    assert_eq!(host.record(&answer)["token"]["x5t_s256"], json!(x5t));
    // The same principal with a renewed certificate.
    let renewed = host.site.authority().client(&Leaf::uri(CI));
    let answer = without_using_a_key(&host.site, "soft", || {
        host.site.caller(Some(&renewed)).send(&request)
    });
    host.assert_refused(&answer, "invalid_token");
    let mismatch = "authority_mtls_mismatch_total{reason=\"thumbprint-mismatch\"}";
    assert!((host.site.metric(mismatch) - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_token_that_is_bound_to_both_needs_both() {
    let host = Host::start();
    let holder = Holder::new(1);
    let both = json!({"jkt": holder.jkt(), "x5t#S256": Holder::x5t(&host.ci)});
    let token = host.issuer.token(&host.issuer.claims(both));
    let of = |nonce: &str| {
        as_dpop(
            sign("key=high"),
            &token,
            &holder.proof("POST", "/v1/sign", &token, Some(nonce)),
        )
    };
    let nonce = nonce(&host);
    host.client().send(&of(&nonce)).ok();
    let bearer = sign("key=high").header("Authorization", &format!("Bearer {token}"));
    host.assert_refused(&host.client().send(&bearer), "invalid_token");
    let renewed = host.site.authority().client(&Leaf::uri(CI));
    let answer = host.site.caller(Some(&renewed)).send(&of(&nonce));
    host.assert_refused(&answer, "invalid_token");
}

#[test]
fn a_token_that_is_bound_otherwise_than_the_policy_asks_is_challenged() {
    let host = Host::start();
    let holder = Holder::new(1);
    let token = host.token(&holder, |_| {});
    let proof = holder.proof("POST", "/v1/sign", &token, Some(&nonce(&host)));
    let answer = host
        .client()
        .send(&as_dpop(sign("key=high"), &token, &proof));
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "token_required")
    );
}

#[test]
fn every_bad_token_has_its_reason_in_the_record() {
    let host = Host::start();
    let holder = Holder::new(1);
    let now = host.issuer.now();
    let other = Issuer::new();
    let cases: Vec<(String, &str)> = vec![
        (
            host.token(&holder, |c| c["exp"] = json!(now - 60)),
            "ran out",
        ),
        (
            host.token(&holder, |c| c["nbf"] = json!(now + 600)),
            "counts only from",
        ),
        (
            host.token(&holder, |c| c["iat"] = json!(now + 600)),
            "counts only from",
        ),
        (
            host.token(&holder, |c| c["aud"] = json!("https://other.example")),
            AUDIENCE,
        ),
        (
            host.token(&holder, |c| c["iss"] = json!("https://other.example")),
            "not accepted here",
        ),
        (
            host.token(&holder, |c| c["cnf"] = json!({})),
            "bound to no key",
        ),
        (
            other.token(&other.claims(json!({ "jkt": holder.jkt() }))),
            "no key with the kid",
        ),
        (
            host.issuer.token_with(
                json!({"typ": "JWT"}),
                &host.issuer.claims(json!({ "jkt": holder.jkt() })),
            ),
            "typ",
        ),
        (
            host.issuer.token_with(
                json!({"alg": "none"}),
                &host.issuer.claims(json!({ "jkt": holder.jkt() })),
            ),
            "algorithm",
        ),
        (
            host.issuer.token_with(
                json!({"alg": "HS256"}),
                &host.issuer.claims(json!({ "jkt": holder.jkt() })),
            ),
            "algorithm",
        ),
        (
            host.issuer.token_with(
                json!({"crit": ["exp"]}),
                &host.issuer.claims(json!({ "jkt": holder.jkt() })),
            ),
            "crit",
        ),
        ("opaque".to_owned(), "three parts"),
        (format!("{}x", host.token(&holder, |_| {})), "base64url"),
        ("a".repeat(9000), "characters"),
    ];
    let nonce = nonce(&host);
    without_using_a_key(&host.site, "soft", || {
        for (token, why) in cases {
            let proof = holder.proof("POST", "/v1/sign", &token, Some(&nonce));
            let answer = host
                .client()
                .send(&as_dpop(sign("key=release"), &token, &proof));
            let record = host.assert_refused(&answer, "invalid_token");
            assert!(text(&record, "reason").contains(why), "{why}: {record}");
        }
    });
}

#[test]
fn every_bad_proof_has_its_reason_in_the_record() {
    let host = Host::start();
    let holder = Holder::new(1);
    let token = host.token(&holder, |_| {});
    let (now, nonce) = (host.issuer.now(), nonce(&host));
    let of = |header: Value, payload: Value| holder.proof_with(&header, &payload, &token, &nonce);
    let mut private = holder.jwk();
    private["d"] = json!("AQ");
    let good = holder.proof("POST", "/v1/sign", &token, Some(&nonce));
    let cases: Vec<(String, &str)> = vec![
        (of(json!({}), json!({"htm": "GET"})), "method"),
        (
            of(
                json!({}),
                json!({"htu": "https://sealwright.localhost/v1/keys"}),
            ),
            "another address",
        ),
        (
            of(
                json!({}),
                json!({"htu": "http://sealwright.localhost/v1/sign"}),
            ),
            "another address",
        ),
        (of(json!({}), json!({"ath": "x"})), "another access token"),
        (of(json!({}), json!({"ath": null})), "no access token"),
        (of(json!({}), json!({"iat": now - 90})), "too long ago"),
        (of(json!({}), json!({"iat": now + 90})), "lies ahead"),
        (of(json!({}), json!({"jti": ""})), "jti"),
        (of(json!({"alg": "none"}), json!({})), "algorithm"),
        (of(json!({"alg": "HS256"}), json!({})), "algorithm"),
        (of(json!({"alg": "RS256"}), json!({})), "algorithm"),
        (of(json!({"typ": "JWT"}), json!({})), "typ"),
        (of(json!({"jwk": private}), json!({})), "private part"),
        (
            of(json!({"jwk": {"kty": "oct", "k": "AQ"}}), json!({})),
            "symmetric",
        ),
        (
            of(json!({"jwk": Holder::new(2).jwk()}), json!({})),
            "does not verify",
        ),
        (format!("{good}, {good}"), "three parts"),
        ("a".repeat(5000), "characters"),
    ];
    without_using_a_key(&host.site, "soft", || {
        for (proof, why) in cases {
            let answer = host
                .client()
                .send(&as_dpop(sign("key=release"), &token, &proof));
            let record = host.assert_refused(&answer, "invalid_dpop_proof");
            assert!(text(&record, "reason").contains(why), "{why}: {record}");
            assert_eq!(record["token"]["client_id"], "ci");
        }
        let twice = as_dpop(sign("key=release"), &token, &good).header("DPoP", &good);
        host.assert_refused(&host.client().send(&twice), "invalid_dpop_proof");
        let alone = sign("key=release").header("DPoP", &good);
        host.assert_refused(&host.client().send(&alone), "invalid_dpop_proof");
        let two = as_dpop(sign("key=release"), &token, &good).header("Authorization", "DPoP x");
        let answer = host.client().send(&two);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "invalid_request")
        );
        assert_eq!(text(&host.record(&answer), "code"), "invalid_request");
        // Larger than a request's head may be: refused before anybody knows whose it is.
        let huge = as_dpop(sign("key=release"), &token, &"a".repeat(1 << 20));
        assert_eq!(host.client().send(&huge).status, 431);
    });
    // Nothing of all that has used the good proof up.
    host.client()
        .send(&as_dpop(sign("key=release"), &token, &good))
        .ok();
}

#[test]
fn a_token_of_another_tenant_is_refused() {
    let issuer = Issuer::new();
    let config = format!(
        "[[security.issuer]]\nid = '{ISSUER}'\njwks = 'as.json'\ntenant_claim = 'tenant'\n"
    );
    let site = Site::builder()
        .token(TokenSpec::scripted("soft").key("free"))
        .policy(POLICY)
        .config(&config)
        .file("as.json", &issuer.jwks())
        .start();
    let ci = site.authority().client(&Leaf::uri(CI));
    let host = Host { site, issuer, ci };
    let x5t = Holder::x5t(&host.ci);
    let of = |tenant: Value| {
        let mut claims = host.issuer.claims(json!({ "x5t#S256": x5t }));
        claims["tenant"] = tenant;
        sign("key=free").header(
            "Authorization",
            &format!("Bearer {}", host.issuer.token(&claims)),
        )
    };
    host.client().send(&of(json!("default"))).ok();
    for (tenant, why) in [
        (json!("acme"), "another tenant"),
        (Value::Null, "names no tenant"),
    ] {
        let record = host.assert_refused(&host.client().send(&of(tenant)), "invalid_token");
        assert!(text(&record, "reason").contains(why), "{record}");
    }
}

#[test]
fn a_jti_flood_of_one_key_leaves_the_others_alone() {
    let host = Host::with("replay_max_per_key = 3\nnonce_s = 0");
    let (flood, other) = (Holder::new(1), Holder::new(2));
    let send = |holder: &Holder| {
        let token = host.token(holder, |_| {});
        let proof = holder.proof("POST", "/v1/sign", &token, None);
        host.client()
            .send(&as_dpop(sign("key=free"), &token, &proof))
    };
    for _ in 0..3 {
        send(&flood).ok();
    }
    let answer = send(&flood);
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (429, "too_many_proofs")
    );
    assert_eq!(text(&host.record(&answer), "code"), "too_many_proofs");
    send(&other).ok();
}

#[test]
fn a_full_store_refuses_every_proof() {
    let host = Host::with("replay_max = 1\nnonce_s = 0");
    let send = |number| {
        let holder = Holder::new(number);
        let token = host.token(&holder, |_| {});
        let proof = holder.proof("POST", "/v1/sign", &token, None);
        host.client()
            .send(&as_dpop(sign("key=free"), &token, &proof))
    };
    send(1).ok();
    let answer = without_using_a_key(&host.site, "soft", || send(2));
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "token_check_unavailable")
    );
    assert_eq!(text(&host.record(&answer), "outcome"), "failed");
}

#[test]
fn changed_keys_of_the_issuer_count_after_sighup_and_a_bad_file_changes_nothing() {
    let mut host = Host::start();
    let x5t = Holder::x5t(&host.ci);
    let next = Issuer::new();
    let of = |issuer: &Issuer| {
        let token = issuer.token(&issuer.claims(json!({ "x5t#S256": x5t })));
        sign("key=high").header("Authorization", &format!("Bearer {token}"))
    };
    let (old, new) = (of(&host.issuer), of(&next));
    host.client().send(&old).ok();
    let digest = host.site.status()["config_digest"].clone();
    write(&host.site, "{\"keys\": []}");
    host.site.daemon().signal(Signal::HUP);
    wait_for("the refused key set", SOON, || {
        host.site
            .daemon_log()
            .contains("stay as they were")
            .then_some(())
    });
    host.client().send(&old).ok();
    write(&host.site, &next.jwks());
    host.site.daemon().signal(Signal::HUP);
    wait_for("the new key set", SOON, || {
        (host.site.status()["config_digest"] != digest).then_some(())
    });
    host.client().send(&new).ok();
    host.assert_refused(&host.client().send(&old), "invalid_token");
}

#[test]
fn a_tenant_can_be_made_to_show_a_token_for_everything() {
    // Keys are enrolled by an operator, who has no token: the demand comes afterwards.
    let mut host = Host::with("nonce_s = 0");
    host.site.stop_daemon();
    let demand = "nonce_s = 0\ntenants = ['default']";
    host.site
        .edit_config(|text| text.replace("nonce_s = 0", demand));
    host.site.start_daemon();
    let answer = host.client().send(&sign("key=free"));
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "token_required")
    );
    let operator = host.site.operator().get("/v1/audit/records");
    assert_eq!(
        (operator.status, operator.code().as_str()),
        (401, "token_required")
    );
    let holder = Holder::new(1);
    let token = host.token(&holder, |_| {});
    let proof = |method: &str, path: &str| holder.proof(method, path, &token, None);
    let request = as_dpop(sign("key=free"), &token, &proof("POST", "/v1/sign"));
    host.client().send(&request).ok();
    let request = Request::new("GET", "/v1/audit/records?limit=1");
    let request = as_dpop(request, &token, &proof("GET", "/v1/audit/records"));
    host.site.operator().send(&request).ok();
}

#[test]
fn a_bad_token_is_refused_also_where_none_is_asked_for() {
    let host = Host::start();
    for request in [sign("key=free"), Request::new("GET", "/v1/status")] {
        let answer = host
            .client()
            .send(&request.header("Authorization", "Bearer x"));
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "invalid_token")
        );
    }
    // The caller's own identity is asked for first.
    let stranger = host.site.caller_of("spiffe://sealwright.test/stranger");
    let request = Request::new("GET", "/v1/status").header("Authorization", "Bearer x");
    assert_eq!(stranger.send(&request).code(), "denied");
}

#[test]
fn the_command_line_shows_its_token_and_follows_a_new_nonce_by_itself() {
    let mut host = Host::start();
    let holder = Holder::new(1);
    let folder = host.site.callers_folder();
    std::fs::write(folder.join("statement.json"), statement("a")).unwrap();
    std::fs::write(folder.join("token"), host.token(&holder, |_| {})).unwrap();
    std::fs::write(folder.join("dpop.pem"), holder.key_pem()).unwrap();
    let sign = |site: &Site, more: &[&str]| {
        let args = [
            &[
                "sign",
                "--key",
                "release",
                "--raw",
                "statement.json",
                "--payload-type",
                "application/vnd.in-toto+json",
                "-o",
                "out.json",
            ],
            more,
        ];
        site.sealwright(CI, &args.concat())
    };
    let refused = sign(&host.site, &[]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("token_required"), "{refused:?}");
    let token = ["--token-file", "token", "--dpop-key", "dpop.pem"];
    let _ = sign(&host.site, &token).ok();
    host.site.kill_daemon();
    host.site.start_daemon();
    let _ = sign(&host.site, &token).ok();
    let thief = sign(&host.site, &["--token-file", "token"]);
    assert_eq!(thief.code, Some(3), "{thief:?}");
    assert!(thief.stderr.contains("sent as Bearer"), "{thief:?}");
}
