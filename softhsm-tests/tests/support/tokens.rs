//! An authorisation server and holders of keys, as far as a resource server meets them: software keys and plain JSON.
#![allow(clippy::unwrap_used, dead_code)] // each test file uses its part

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::EncodePrivateKey as _;
use sealwright_softhsm_tests::site::pki::Identity;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// `iss`.
pub const ISSUER: &str = "https://as.example";
/// `aud`, and the origin of `htu`.
pub const AUDIENCE: &str = "https://sealwright.localhost";

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn jws(key: &SigningKey, header: &Value, payload: &Value) -> String {
    let part = |value: &Value| base64url(&serde_json::to_vec(value).unwrap());
    let text = format!("{}.{}", part(header), part(payload));
    let signature: p256::ecdsa::Signature = key.sign(text.as_bytes());
    format!("{text}.{}", base64url(&signature.to_bytes()))
}

fn merged(mut value: Value, changes: &Value) -> Value {
    for (name, change) in changes.as_object().unwrap() {
        value[name] = change.clone();
    }
    value
}

/// Who proves that it holds a key.
pub struct Holder(SigningKey);

impl Holder {
    /// Each number is another key.
    pub fn new(number: u8) -> Self {
        Self(SigningKey::from_slice(&[number; 32]).unwrap())
    }

    /// Its private key, PKCS#8.
    pub fn key_pem(&self) -> String {
        let pem = self.0.to_pkcs8_pem(Default::default());
        pem.unwrap().to_string()
    }

    /// Its public key.
    pub fn jwk(&self) -> Value {
        let point = self.0.verifying_key().to_sec1_point(false);
        let (x, y) = point.as_bytes()[1..].split_at(32);
        json!({"crv": "P-256", "kty": "EC", "x": base64url(x), "y": base64url(y)})
    }

    /// RFC 7638.
    pub fn jkt(&self) -> String {
        let jwk = self.jwk();
        let text = |name: &str| jwk[name].as_str().unwrap().to_owned();
        let canonical = format!(
            r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
            text("x"),
            text("y")
        );
        base64url(&Sha256::digest(canonical))
    }

    /// The thumbprint of a client certificate (RFC 8705 section 3.1).
    pub fn x5t(identity: &Identity) -> String {
        base64url(&Sha256::digest(&identity.chain()[0]))
    }

    /// A proof for a request to `path`.
    pub fn proof(&self, method: &str, path: &str, token: &str, nonce: Option<&str>) -> String {
        let address = json!({"htm": method, "htu": format!("{AUDIENCE}{path}"), "nonce": nonce});
        self.proof_with(&json!({}), &address, token, "")
    }

    /// A proof for `POST /v1/sign`, with members of header and payload changed.
    pub fn proof_with(&self, header: &Value, payload: &Value, token: &str, nonce: &str) -> String {
        static JTI: AtomicU32 = AtomicU32::new(0);
        let good = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()});
        let claims = json!({
            "jti": format!("p{}", JTI.fetch_add(1, Ordering::Relaxed)),
            "htm": "POST", "htu": format!("{AUDIENCE}/v1/sign"), "iat": now(),
            "ath": base64url(&Sha256::digest(token)), "nonce": nonce,
        });
        jws(&self.0, &merged(good, header), &merged(claims, payload))
    }
}

/// Who issues access tokens.
pub struct Issuer {
    holder: Holder,
    kid: String,
}

impl Issuer {
    /// Each has another key.
    pub fn new() -> Self {
        static NUMBER: AtomicU8 = AtomicU8::new(100);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self {
            holder: Holder::new(number),
            kid: format!("key-{number}"),
        }
    }

    /// Seconds since 1970.
    pub fn now(&self) -> i64 {
        now()
    }

    /// Its key set.
    pub fn jwks(&self) -> String {
        let jwk = merged(self.holder.jwk(), &json!({"kid": self.kid, "alg": "ES256"}));
        json!({ "keys": [jwk] }).to_string()
    }

    /// Its private key, as another server would hold it.
    pub fn private_jwk(&self) -> String {
        let d = base64url(&self.holder.0.to_bytes());
        let private = json!({"kid": self.kid, "alg": "ES256", "use": "sig", "d": d});
        merged(self.holder.jwk(), &private).to_string()
    }

    /// Claims of a good token that is bound by `cnf`.
    pub fn claims(&self, cnf: Value) -> Value {
        json!({
            "iss": ISSUER, "sub": "ci", "client_id": "ci", "aud": AUDIENCE, "exp": now() + 300, "iat": now(),
            "jti": "t", "scope": "signer.sign attestor.write", "cnf": cnf,
        })
    }

    /// A token.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(json!({}), claims)
    }

    /// A token with members of its header changed.
    pub fn token_with(&self, header: Value, claims: &Value) -> String {
        let good = json!({"typ": "at+jwt", "alg": "ES256", "kid": self.kid});
        jws(&self.holder.0, &merged(good, &header), claims)
    }
}
