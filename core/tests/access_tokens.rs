//! Access tokens and proofs: which count, in whose hands, and why others do not.
#![allow(clippy::unwrap_used)]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::EncodePublicKey as _;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::jose::{JoseError, JwkError, JwkSet, PublicJwk, Thumbprint};
use sealwright_core::name::Tenant;
use sealwright_core::scheme::Scheme;
use sealwright_core::spki::Spki;
use sealwright_core::time::Timestamp;
use sealwright_core::token::{
    ACCESS_MAX, AccessToken, Asked, BindError, BoundToken, Expected, Issuer, JTI_MAX, PROOF_MAX,
    Presented, Proof, ProofContents, ProofError, SCOPES_MAX, Target, TenantOf, TokenError,
    UnsignedProof, Window,
};
use sealwright_core::verify::RustCrypto;
use serde_json::{Value, json};

const ISS: &str = "https://as.example";
const AUD: &str = "https://sealwright.localhost";
const NOW: i64 = 1_800_000_000;
const ES256: &[Scheme] = &[Scheme::EcdsaP256Sha256];
const CERTIFICATE: Sha256Digest = Sha256Digest([5; 32]);

fn key(number: u8) -> SigningKey {
    SigningKey::from_slice(&[number; 32]).unwrap()
}

fn spki(key: &SigningKey) -> Spki {
    let der = key.verifying_key().to_public_key_der().unwrap();
    Spki::from_der(der.into_vec())
}

fn jkt(number: u8) -> Thumbprint {
    PublicJwk::of_spki(spki(&key(number))).unwrap().thumbprint()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_millis(seconds * 1000)
}

fn jws(key: &SigningKey, header: &Value, payload: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap());
    let text = format!("{}.{}", part(header), part(payload));
    let signature: p256::ecdsa::Signature = key.sign(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

fn public(number: u8) -> Value {
    let point = key(number).verifying_key().to_sec1_point(false);
    let (x, y) = point.as_bytes()[1..].split_at(32);
    let text = |bytes| URL_SAFE_NO_PAD.encode(bytes);
    json!({"kty": "EC", "crv": "P-256", "x": text(x), "y": text(y)})
}

/// The issuer signs with key 1, which it calls `a`.
fn issuers(tenant: TenantOf) -> Vec<Issuer> {
    let mut jwk = public(1);
    jwk["kid"] = "a".into();
    let set = serde_json::to_vec(&json!({ "keys": [jwk] })).unwrap();
    vec![Issuer {
        id: ISS.to_owned(),
        keys: JwkSet::parse(&set).unwrap(),
        algorithms: ES256.to_vec(),
        tenant,
    }]
}

fn claims() -> Value {
    json!({"iss": ISS, "sub": "ci", "client_id": "ci", "aud": AUD, "exp": NOW + 60, "iat": NOW - 10,
        "jti": "t1", "scope": "signer.sign attestor.write", "tenant": "default",
        "cnf": {"jkt": jkt(2), "x5t#S256": Thumbprint(CERTIFICATE)}})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn token(claims: &Value) -> String {
    jws(
        &key(1),
        &json!({"typ": "at+jwt", "alg": "ES256", "kid": "a"}),
        claims,
    )
}

fn verify_in(issuers: &[Issuer], text: &str, now: i64) -> Result<AccessToken, TokenError> {
    let expected = Expected {
        issuers,
        audience: AUD,
        skew_s: 5,
    };
    AccessToken::verify(text, &expected, at(now), &RustCrypto)
}

fn verify_at(text: &str, now: i64) -> Result<AccessToken, TokenError> {
    verify_in(&issuers(TenantOf::Fixed(Tenant::default())), text, now)
}

fn verify(text: &str) -> Result<AccessToken, TokenError> {
    verify_at(text, NOW)
}

#[test]
fn a_token_of_a_known_issuer_counts_and_says_who_it_is_of() {
    let counted = verify(&token(&claims())).unwrap();
    let facts = counted.facts();
    assert_eq!((facts.issuer.as_str(), facts.subject.as_str()), (ISS, "ci"));
    assert_eq!(
        (facts.jkt, facts.x5t_s256),
        (Some(jkt(2)), Some(Thumbprint(CERTIFICATE)))
    );
    for aud in [json!(["x", AUD]), json!([AUD])] {
        verify(&token(&with("aud", aud))).unwrap();
    }
    for exp in [json!(f64::from(2_000_000_000) + 0.5), json!(2_000_000_000)] {
        verify(&token(&with("exp", exp))).unwrap();
    }
}

#[test]
fn a_token_counts_between_its_times_give_or_take_the_clocks_difference() {
    let text = token(&claims());
    verify_at(&text, NOW + 64).unwrap();
    assert!(
        matches!(verify_at(&text, NOW + 65), Err(TokenError::Expired(when)) if when == at(NOW + 60))
    );
    verify_at(&text, NOW - 15).unwrap();
    assert!(
        matches!(verify_at(&text, NOW - 16), Err(TokenError::NotYet(when)) if when == at(NOW - 10))
    );
    let later = token(&with("nbf", json!(NOW + 6)));
    assert!(matches!(verify(&later), Err(TokenError::NotYet(when)) if when == at(NOW + 6)));
    verify_at(&later, NOW + 1).unwrap();
}

#[test]
fn each_fault_of_a_token_has_its_own_error() {
    let of = |header: Value| jws(&key(1), &header, &claims());
    let jose = |text: &str| match verify(text) {
        Err(TokenError::Jose(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        jose(&of(json!({"typ": "JWT", "alg": "ES256", "kid": "a"}))),
        JoseError::Type { .. }
    ));
    assert!(matches!(
        jose(&of(json!({"alg": "ES256", "kid": "a"}))),
        JoseError::Type { .. }
    ));
    let none = of(json!({"typ": "at+jwt", "alg": "none"}));
    assert!(matches!(jose(&none), JoseError::Algorithm(_)));
    assert!(matches!(
        jose(&of(json!({"typ": "at+jwt", "alg": "ES256", "kid": "b"}))),
        JoseError::UnknownKey
    ));
    let other = jws(
        &key(3),
        &json!({"typ": "at+jwt", "alg": "ES256", "kid": "a"}),
        &claims(),
    );
    assert!(matches!(jose(&other), JoseError::Signature));
    assert!(matches!(jose("opaque"), JoseError::NotCompact));
    assert!(matches!(
        jose(&"a".repeat(ACCESS_MAX + 1)),
        JoseError::TooLong(_)
    ));
    for name in ["iss", "sub", "client_id", "aud", "exp", "iat", "jti"] {
        let mut missing = claims();
        missing.as_object_mut().unwrap().remove(name);
        assert!(
            matches!(
                jose(&token(&missing)),
                JoseError::Json {
                    part: "payload",
                    ..
                }
            ),
            "{name}"
        );
    }
    for (name, value) in [
        ("exp", json!("1900000000")),
        ("exp", json!(-1)),
        ("exp", json!(1e300)),
        ("aud", json!(7)),
        ("aud", json!(vec![AUD; SCOPES_MAX + 1])),
        ("scope", json!("a  b")),
        ("scope", json!(["a"])),
        ("scope", json!(vec!["a"; SCOPES_MAX + 1].join(" "))),
        ("cnf", json!({"jkt": "short"})),
        ("cnf", json!([])),
        ("sub", json!(1)),
    ] {
        let error = jose(&token(&with(name, value.clone())));
        assert!(
            matches!(
                error,
                JoseError::Json {
                    part: "payload",
                    ..
                }
            ),
            "{name} {value}"
        );
    }
    let issuer = verify(&token(&with("iss", json!("https://as.example/"))));
    assert!(matches!(issuer, Err(TokenError::UnknownIssuer(_))));
    let audience = verify(&token(&with("aud", json!(["https://other.example"]))));
    assert!(matches!(audience, Err(TokenError::OtherAudience(_))));
    assert!(matches!(
        verify(&token(&with("sub", json!("")))),
        Err(TokenError::Name("sub"))
    ));
    let long = json!("c".repeat(513));
    assert!(matches!(
        verify(&token(&with("client_id", long))),
        Err(TokenError::Name("client_id"))
    ));
}

#[test]
fn a_tenant_that_a_claim_names_has_to_be_named() {
    let issuers = issuers(TenantOf::Claim("tenant".to_owned()));
    verify_in(&issuers, &token(&claims()), NOW).unwrap();
    for tenant in [Value::Null, json!(1), json!(""), json!("no tenant")] {
        let refused = verify_in(&issuers, &token(&with("tenant", tenant)), NOW);
        assert!(matches!(refused, Err(TokenError::NoTenant(name)) if name == "tenant"));
    }
}

const SIGN: &str = "https://sealwright.localhost/v1/sign";

fn contents(token: &str) -> ProofContents<'_> {
    ProofContents {
        method: "POST",
        target: SIGN,
        made: at(NOW),
        jti: "p1",
        token: Some(token),
        nonce: Some("n1"),
    }
}

fn proof(number: u8, contents: &ProofContents<'_>) -> String {
    let unsigned =
        UnsignedProof::new(&spki(&key(number)), Scheme::EcdsaP256Sha256, contents).unwrap();
    let signature: p256::ecdsa::Signature = key(number).sign(unsigned.message());
    unsigned.signed(&signature.to_bytes())
}

fn check_at(text: &str, token: &str, now: i64) -> Result<Proof, ProofError> {
    let target = Target::parse(&format!("{SIGN}?key=release")).unwrap();
    let asked = Asked {
        method: "POST",
        target: &target,
        token: Some(token),
    };
    let window = Window {
        past_s: 60,
        future_s: 5,
    };
    Proof::check(text, &asked, ES256, (at(now), window), &RustCrypto)
}

fn check(text: &str) -> Result<Proof, ProofError> {
    check_at(text, "token", NOW)
}

#[test]
fn a_proof_that_was_made_for_this_request_is_good() {
    let good = check(&proof(2, &contents("token"))).unwrap();
    assert_eq!(good.jkt, jkt(2));
    assert_eq!(good.nonce.as_deref(), Some("n1"));
    assert_eq!(
        (good.made, good.jti_sha256),
        (at(NOW), Sha256Digest::of(&[b"p1"]))
    );
}

#[test]
fn a_proof_is_good_for_its_window_only() {
    let text = proof(2, &contents("token"));
    for (now, is_good) in [
        (NOW - 6, false),
        (NOW - 5, true),
        (NOW + 60, true),
        (NOW + 61, false),
    ] {
        match check_at(&text, "token", now) {
            Ok(_) => assert!(is_good, "{now}"),
            Err(ProofError::Early(_)) => assert!(now < NOW && !is_good),
            Err(ProofError::Stale(_)) => assert!(now > NOW && !is_good),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_proof_for_another_request_says_what_is_different() {
    let of = |contents: ProofContents<'_>| check(&proof(2, &contents)).unwrap_err();
    let good = contents("token");
    assert!(matches!(
        of(ProofContents {
            method: "post",
            ..good
        }),
        ProofError::Method(_)
    ));
    assert!(matches!(
        of(ProofContents {
            method: "GET",
            ..good
        }),
        ProofError::Method(_)
    ));
    let other = "https://sealwright.localhost/v1/keys";
    assert!(matches!(
        of(ProofContents {
            target: other,
            ..good
        }),
        ProofError::OtherTarget
    ));
    assert!(matches!(
        of(ProofContents {
            target: "/v1/sign",
            ..good
        }),
        ProofError::NoTarget(_)
    ));
    assert!(matches!(
        of(ProofContents {
            token: None,
            ..good
        }),
        ProofError::NoToken
    ));
    assert!(matches!(
        of(ProofContents {
            token: Some("t"),
            ..good
        }),
        ProofError::OtherToken
    ));
    assert!(matches!(
        of(ProofContents { jti: "", ..good }),
        ProofError::Jti
    ));
    let long = "j".repeat(JTI_MAX + 1);
    assert!(matches!(
        of(ProofContents { jti: &long, ..good }),
        ProofError::Jti
    ));
    let nonce = check(&proof(
        2,
        &ProofContents {
            nonce: Some(&long),
            ..good
        },
    ))
    .unwrap()
    .nonce;
    assert_eq!(nonce, None);
}

#[test]
fn a_proof_that_is_none_says_why() {
    let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": public(2)});
    let payload = json!({"jti": "p1", "htm": "POST", "htu": SIGN, "iat": NOW});
    let changed = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        check(&jws(&key(2), &header, &payload)).unwrap_err()
    };
    for alg in ["none", "HS256", "ES384"] {
        assert!(matches!(
            changed("alg", json!(alg)),
            ProofError::Jose(JoseError::Algorithm(_))
        ));
    }
    assert!(matches!(
        changed("typ", json!("JWT")),
        ProofError::Jose(JoseError::Type { .. })
    ));
    assert!(matches!(
        changed("crit", json!(["b64"])),
        ProofError::Jose(JoseError::Critical)
    ));
    assert!(matches!(changed("jwk", Value::Null), ProofError::NoKey));
    let mut private = public(2);
    private["d"] = "AQ".into();
    assert!(matches!(
        changed("jwk", private),
        ProofError::Key(JwkError::Private)
    ));
    assert!(matches!(
        changed("jwk", json!({"kty": "oct", "k": "AQ"})),
        ProofError::Key(JwkError::Symmetric)
    ));
    assert!(matches!(
        changed("jwk", public(3)),
        ProofError::Jose(JoseError::Signature)
    ));
    let text = format!("{0},{0}", proof(2, &contents("token")));
    assert!(matches!(
        check(&text),
        Err(ProofError::Jose(
            JoseError::NotCompact | JoseError::Base64(_)
        ))
    ));
    let long = "a".repeat(PROOF_MAX + 1);
    assert!(matches!(
        check(&long),
        Err(ProofError::Jose(JoseError::TooLong(_)))
    ));
}

fn bind(
    cnf: Value,
    presented: Presented<'_>,
    certificate: u8,
    tenant: &str,
) -> Result<BoundToken, BindError> {
    let token = verify(&token(&with("cnf", cnf))).unwrap();
    token.bind(
        presented,
        Sha256Digest([certificate; 32]),
        &tenant.parse().unwrap(),
    )
}

#[test]
fn a_token_is_worth_something_with_everything_it_is_bound_to_and_only_then() {
    let (jkt_2, x5t) = (jkt(2), Thumbprint(CERTIFICATE));
    let proof_of = |number| check(&proof(number, &contents("token"))).unwrap();
    let (right, wrong) = (proof_of(2), proof_of(3));
    let (right, wrong) = (Presented::Dpop(&right), Presented::Dpop(&wrong));
    let both = json!({"jkt": jkt_2, "x5t#S256": x5t});
    let bound = bind(both.clone(), right, 5, "default").unwrap();
    assert!(bound.is_dpop_bound() && bound.is_certificate_bound());
    assert_eq!(bound.scopes(), ["attestor.write", "signer.sign"]);
    let (dpop, mtls) = (json!({ "jkt": jkt_2 }), json!({ "x5t#S256": x5t }));
    bind(dpop.clone(), right, 9, "default").unwrap();
    bind(mtls.clone(), Presented::Bearer, 5, "default").unwrap();

    let cases = [
        (both.clone(), wrong, 5, BindError::OtherKey),
        (both.clone(), right, 6, BindError::OtherCertificate),
        (both, Presented::Bearer, 5, BindError::SentAsBearer),
        (dpop.clone(), Presented::Bearer, 5, BindError::SentAsBearer),
        (dpop, wrong, 5, BindError::OtherKey),
        (mtls.clone(), right, 5, BindError::SentAsDpop),
        (mtls, Presented::Bearer, 6, BindError::OtherCertificate),
        (json!({}), Presented::Bearer, 5, BindError::Unbound),
        (json!({"kid": "x"}), right, 5, BindError::Unbound),
    ];
    for (cnf, presented, certificate, expected) in cases {
        let error = bind(cnf.clone(), presented, certificate, "default");
        assert_eq!(error, Err(expected), "{cnf} {presented:?}");
    }
    let other = bind(json!({"x5t#S256": x5t}), Presented::Bearer, 5, "other");
    assert_eq!(other, Err(BindError::OtherTenant));
}
