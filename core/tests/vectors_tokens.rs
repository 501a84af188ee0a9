//! Runs the vectors of tokens: JSON Web Keys and Signatures, thumbprints and DPoP proofs; see `support` for how they are
//! found.

mod support;

use std::collections::HashSet;
use std::path::Path;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::jose::{Compact, JwkSet, PublicJwk, Thumbprint, UnknownAlgorithm, scheme_of};
use sealwright_core::scheme::Scheme;
use sealwright_core::spki::Spki;
use sealwright_core::time::Timestamp;
use sealwright_core::token::{Asked, Proof, Target, Window};
use sealwright_core::verify::RustCrypto;
use serde::Deserialize;
use serde_json::Value;
use support::{Tally, judge};

#[test]
fn jose() {
    let Some(dir) = support::folder("jose") else {
        return;
    };
    let mut tally = Tally::new("jose");
    tally.only(
        &dir,
        &["dpop-cases.json", "thumbprints.json", "rfc-examples.json"],
    );
    let mut seen = HashSet::new();
    for case in support::json::<Vec<ProofCase>>(&dir.join("dpop-cases.json")) {
        tally.case(&case.name, case.run(&mut seen));
    }
    let thumbprints: Vec<ThumbprintCase> = support::json(&dir.join("thumbprints.json"));
    for (number, case) in thumbprints.iter().enumerate() {
        tally.case(format!("thumbprints/{number}"), case.run());
    }
    let examples = dir.join("rfc-examples.json");
    if examples.is_file() {
        run_examples(&examples, &mut tally);
    }
    tally.finish();
}

#[derive(Deserialize)]
struct ProofCase {
    name: String,
    proof: String,
    request: ProofRequest,
    valid: bool,
    error: Option<String>,
    level: String,
}

#[derive(Deserialize)]
struct ProofRequest {
    method: String,
    url: String,
    access_token: String,
    token_cnf_jkt: Thumbprint,
    nonce: String,
    now: i64,
}

impl ProofCase {
    /// The OAuth error of a resource server; `seen` is the store of proofs that were used.
    fn answer(&self, seen: &mut HashSet<(Thumbprint, Sha256Digest)>) -> Result<(), String> {
        let request = &self.request;
        let target = Target::parse(&request.url).map_err(|e| e.to_string())?;
        let asked = Asked {
            method: &request.method,
            target: &target,
            token: Some(&request.access_token),
        };
        let window = Window {
            past_s: 300,
            future_s: 300,
        };
        let now = Timestamp::from_unix_millis(request.now * 1000);
        let algorithms = [Scheme::EcdsaP256Sha256];
        let proof = Proof::check(&self.proof, &asked, &algorithms, (now, window), &RustCrypto);
        let proof = proof.map_err(|_| "invalid_dpop_proof")?;
        if proof.nonce.as_ref() != Some(&request.nonce) {
            return Err("use_dpop_nonce".to_owned());
        }
        if proof.jkt != request.token_cnf_jkt {
            return Err("invalid_token".to_owned());
        }
        match seen.insert((proof.jkt, proof.jti_sha256)) {
            true => Ok(()),
            false => Err("invalid_dpop_proof".to_owned()),
        }
    }

    fn run(&self, seen: &mut HashSet<(Thumbprint, Sha256Digest)>) -> Result<(), String> {
        match (self.valid, self.answer(seen)) {
            (true, Ok(())) => Ok(()),
            (false, Err(error)) if Some(&error) == self.error.as_ref() => Ok(()),
            (_, answer) if self.level.starts_with("SHOULD") => {
                Err(format!("a SHOULD that we keep: {answer:?}"))
            }
            (_, answer) => Err(format!("{answer:?} instead of {:?}", self.error)),
        }
    }
}

#[derive(Deserialize)]
struct ThumbprintCase {
    jwk: Value,
    jkt: Thumbprint,
    spki_pem: String,
    spki_sha256_b64: String,
}

impl ThumbprintCase {
    fn run(&self) -> Result<(), String> {
        let jwk = PublicJwk::parse(self.jwk.to_string().as_bytes()).map_err(|e| e.to_string())?;
        let spki = Spki::from_pem(&self.spki_pem).map_err(|e| e.to_string())?;
        let is_same = jwk.spki() == &spki && spki.keyid() == self.spki_sha256_b64;
        match is_same && jwk.thumbprint() == self.jkt {
            true => Ok(()),
            false => Err(format!("{jwk:?}")),
        }
    }
}

#[derive(Deserialize)]
struct Examples {
    rfc9449_proofs: Vec<ExampleProof>,
    rfc9449_ath: Value,
    rfc8705_thumbprint: Value,
    rfc7638_thumbprint: Value,
}

#[derive(Deserialize)]
struct ExampleProof {
    proof: String,
    header: Value,
    signature_valid: bool,
    jkt: Thumbprint,
}

fn run_examples(path: &Path, tally: &mut Tally) {
    let examples: Examples = support::json(path);
    for (number, example) in examples.rfc9449_proofs.iter().enumerate() {
        tally.case(format!("rfc9449_proofs/{number}"), example.run());
    }
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let token = text(&examples.rfc9449_ath, "access_token");
    let ath = Thumbprint(Sha256Digest::of(&[token.as_bytes()])).to_string();
    tally.case(
        "rfc9449_ath",
        same(&ath, &text(&examples.rfc9449_ath, "ath")),
    );
    let example = &examples.rfc8705_thumbprint;
    let pem = text(example, "certificate_pem");
    let der = der::Document::from_pem(&pem);
    let x5t = der.map(|(_, der)| Thumbprint(Sha256Digest::of(&[der.as_bytes()])).to_string());
    let x5t = x5t.unwrap_or_default();
    tally.case("rfc8705_thumbprint", same(&x5t, &text(example, "x5t#S256")));
    let example = &examples.rfc7638_thumbprint;
    let jwk = PublicJwk::parse(example["jwk"].to_string().as_bytes());
    let jkt = jwk
        .map(|jwk| jwk.thumbprint().to_string())
        .unwrap_or_default();
    tally.case(
        "rfc7638_thumbprint",
        same(&jkt, &text(example, "thumbprint_sha256")),
    );
}

fn same(got: &str, want: &str) -> Result<(), String> {
    match got == want {
        true => Ok(()),
        false => Err(format!("{got} instead of {want}")),
    }
}

impl ExampleProof {
    fn run(&self) -> Result<(), String> {
        let jwk = PublicJwk::parse(self.header["jwk"].to_string().as_bytes());
        let jwk = jwk.map_err(|e| e.to_string())?;
        same(&jwk.thumbprint().to_string(), &self.jkt.to_string())?;
        let compact = Compact::parse(&self.proof, 4096).map_err(|e| e.to_string())?;
        let verified = compact.verify(Scheme::EcdsaP256Sha256, &jwk, &RustCrypto);
        judge(self.signature_valid, verified)
    }
}

#[derive(Deserialize)]
struct Wycheproof {
    #[serde(rename = "testGroups")]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    public: Option<Value>,
    private: Option<Value>,
    tests: Vec<WycheproofCase>,
}

#[derive(Deserialize)]
struct WycheproofCase {
    #[serde(rename = "tcId")]
    id: u32,
    jws: String,
    result: String,
}

impl Group {
    /// The key as a set, as if an issuer had published it.
    fn keys(&self) -> Value {
        let key = self.public.as_ref().or(self.private.as_ref());
        let key = key.cloned().unwrap_or_default();
        match key.get("keys") {
            Some(_) => key,
            None => serde_json::json!({ "keys": [key] }),
        }
    }

    /// An algorithm of the group's keys that is not known here: what is valid under it is no loss.
    fn unknown_algorithm(&self) -> Option<UnknownAlgorithm> {
        let keys = self.keys();
        let mut keys = keys["keys"].as_array().into_iter().flatten();
        keys.find_map(|key| scheme_of(key["alg"].as_str().unwrap_or_default()).err())
    }
}

fn verify_with(keys: &Value, jws: &str) -> Result<(), String> {
    let set = JwkSet::parse(keys.to_string().as_bytes()).map_err(|e| e.to_string())?;
    let compact = Compact::parse(jws, 1 << 20).map_err(|e| e.to_string())?;
    let scheme = compact.scheme(&Scheme::ALL).map_err(|e| e.to_string())?;
    let key = set.find(&compact, scheme).map_err(|e| e.to_string())?;
    let verified = compact.verify(scheme, key, &RustCrypto);
    verified.map_err(|e| e.to_string())
}

#[test]
fn wycheproof() {
    let Some(dir) = support::folder("wycheproof") else {
        return;
    };
    for name in ["json_web_signature_test", "json_web_key_test"] {
        let mut tally = Tally::new(name);
        let file: Wycheproof = support::json(&dir.join(format!("{name}.json")));
        for group in &file.groups {
            for case in &group.tests {
                let answer = verify_with(&group.keys(), &case.jws);
                let id = case.id.to_string();
                match (case.result.as_str(), answer, group.unknown_algorithm()) {
                    ("valid", Err(_), Some(unknown)) => tally.skip(&id, unknown.to_string()),
                    ("acceptable", ..) => tally.skip(&id, "it may go either way"),
                    (result, answer, _) => tally.case(&id, judge(result == "valid", answer)),
                }
            }
        }
        tally.finish();
    }
}
