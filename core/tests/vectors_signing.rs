//! Runs the vectors of what is signed: JSON, statements, payloads, envelopes, signatures and bundles; see
//! `support` for how they are found.

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::EncodePublicKey as _;
use sealwright_core::bundle::{Artifact, Bundle, TrustedRoot};
use sealwright_core::dsse::{Envelope, Options, Pae, TrustedKey, encode_envelope};
use sealwright_core::json;
use sealwright_core::scheme::{HashAlg, Scheme};
use sealwright_core::spki::Spki;
use sealwright_core::statement::{self, Accept, StatementType, Subject};
use sealwright_core::verify::{verify_ecdsa_with_hash, verify_message, verify_message_p1363};
use serde::Deserialize;
use serde_json::value::RawValue;
use support::{Tally, judge};

#[test]
fn dsse() {
    let Some(dir) = support::folder("dsse") else {
        return;
    };
    let mut tally = Tally::new("dsse");
    tally.only(&dir, &["generated.json", "spec-vector.json"]);
    let vectors: Envelopes = support::json(&dir.join("generated.json"));
    for case in &vectors.cases {
        tally.case(&case.name, case.run(&vectors.keys));
    }
    let spec = dir.join("spec-vector.json");
    if spec.is_file() {
        let vector: SpecVector = support::json(&spec);
        tally.case("spec-vector/pae", vector.pae());
        tally.case("spec-vector/envelope", vector.envelope());
    }
    tally.finish();
}

#[derive(Deserialize)]
struct Envelopes {
    keys: BTreeMap<String, KeyOfEnvelopes>,
    cases: Vec<EnvelopeCase>,
}

#[derive(Deserialize)]
struct KeyOfEnvelopes {
    spki_pem: String,
    keyid: String,
}

#[derive(Deserialize)]
struct EnvelopeCase {
    name: String,
    envelope: Box<RawValue>,
    trusted: Vec<String>,
    threshold: usize,
    valid: bool,
    import_option: Option<String>,
}

impl EnvelopeCase {
    fn run(&self, keys: &BTreeMap<String, KeyOfEnvelopes>) -> Result<(), String> {
        let trusted: Vec<_> = self
            .trusted
            .iter()
            .map(|name| keys.get(name).ok_or(format!("no key {name}"))?.trusted())
            .collect::<Result<_, _>>()?;
        let answer = verify_envelope(
            self.envelope.get(),
            &trusted,
            self.threshold,
            self.import_option.as_deref(),
        )?;
        judge(self.valid, answer)
    }
}

impl KeyOfEnvelopes {
    fn trusted(&self) -> Result<TrustedKey, String> {
        let spki = Spki::from_pem(&self.spki_pem).map_err(|e| e.to_string())?;
        if spki.keyid() != self.keyid {
            return Err(format!("keyid is {}, not {}", spki.keyid(), self.keyid));
        }
        TrustedKey::with_default_scheme(spki).map_err(|e| e.to_string())
    }
}

/// The inner result is the answer that is judged.
fn verify_envelope(
    envelope: &str,
    trusted: &[TrustedKey],
    threshold: usize,
    import_option: Option<&str>,
) -> Result<Result<(), String>, String> {
    let options = match import_option {
        None => Options::default(),
        Some("p1363") => Options { p1363: true },
        Some(other) => return Err(format!("unknown import option {other}")),
    };
    Ok(Envelope::parse(envelope.as_bytes())
        .map_err(|e| e.to_string())
        .and_then(|envelope| {
            envelope
                .verify(trusted, threshold, options)
                .map_err(|e| e.to_string())
        })
        .map(drop))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpecVector {
    payload_type: String,
    #[serde(rename = "serializedBody_utf8")]
    body: String,
    #[serde(rename = "pae_utf8")]
    pae: String,
    key: SpecKey,
    envelope: Box<RawValue>,
    #[serde(rename = "import_option")]
    import_option: Option<String>,
    valid: bool,
}

#[derive(Deserialize)]
struct SpecKey {
    x_dec: String,
    y_dec: String,
}

impl SpecVector {
    fn pae(&self) -> Result<(), String> {
        let pae = Pae {
            payload_type: &self.payload_type,
            payload: self.body.as_bytes(),
        };
        equal(&pae.to_vec(), self.pae.as_bytes())
    }

    fn envelope(&self) -> Result<(), String> {
        let point = [
            &[4],
            &decimal(&self.key.x_dec)[..],
            &decimal(&self.key.y_dec)[..],
        ]
        .concat();
        let key = p256::PublicKey::from_sec1_bytes(&point).map_err(|e| e.to_string())?;
        let der = key
            .to_public_key_der()
            .map_err(|e| e.to_string())?
            .into_vec();
        let trusted = TrustedKey::with_default_scheme(Spki::from_der(der));
        let trusted = [trusted.map_err(|e| e.to_string())?];
        let answer = verify_envelope(
            self.envelope.get(),
            &trusted,
            1,
            self.import_option.as_deref(),
        )?;
        judge(self.valid, answer)
    }
}

/// A decimal integer below 2^256, big-endian.
fn decimal(text: &str) -> [u8; 32] {
    let mut number = [0u8; 32];
    for digit in text.bytes() {
        let mut carry = u32::from(digit - b'0');
        for byte in number.iter_mut().rev() {
            carry += u32::from(*byte) * 10;
            *byte = u8::try_from(carry & 0xff).expect("masked to a byte");
            carry >>= 8;
        }
    }
    number
}

#[test]
fn in_toto_statements() {
    let Some(dir) = support::folder("in-toto-statements") else {
        return;
    };
    let mut tally = Tally::new("in-toto-statements");
    let expected: BTreeMap<String, Expected> = support::json(&dir.join("expect.json"));
    let mut known: Vec<&str> = expected.keys().map(String::as_str).collect();
    known.push("expect.json");
    tally.only(&dir, &known);
    for (file, expected) in &expected {
        tally.case(file, expected.run(&read(&dir.join(file))));
    }
    tally.finish();
}

#[derive(Deserialize)]
struct Expected {
    verdict: String,
}

impl Expected {
    fn run(&self, document: &[u8]) -> Result<(), String> {
        let signing = statement::check(document, Accept::V1);
        let verifying = statement::check(document, Accept::AlsoV01);
        match self.verdict.as_str() {
            "accept" => judge(true, signing).and(judge(true, verifying)),
            "reject" => judge(false, signing).and(judge(false, verifying)),
            "accept-legacy" => {
                let legacy = verifying
                    .as_ref()
                    .is_ok_and(|s| s.statement_type == StatementType::V01);
                judge(false, signing).and(judge(true, verifying))?;
                if legacy {
                    Ok(())
                } else {
                    Err("must be of the legacy type".into())
                }
            }
            other => Err(format!("unknown verdict {other}")),
        }
    }
}

#[test]
fn payloads() {
    let Some(dir) = support::folder("payloads") else {
        return;
    };
    let mut tally = Tally::new("payloads");
    let keys = TestKeys::new();
    for file in support::files(&dir) {
        let named = ["cyclonedx-", "spdx-", "openvex-"]
            .iter()
            .any(|prefix| file.starts_with(prefix));
        if !named || !file.ends_with(".json") {
            tally.unknown_file(&file);
            continue;
        }
        let payload = read(&dir.join(&file));
        tally.case(
            format!("{file}/json"),
            json::check(&payload).map_err(|e| e.to_string()),
        );
        tally.case(format!("{file}/dsse"), keys.envelope_comes_back(&payload));
        tally.case(format!("{file}/blob"), keys.blob_verifies(&payload));
        if payload.trim_ascii_start().starts_with(b"{") {
            tally.case(format!("{file}/statement"), statement_comes_back(&payload));
        }
    }
    tally.finish();
}

/// One key per kind that RustCrypto signs with here.
struct TestKeys {
    p256: p256::ecdsa::SigningKey,
    p384: p384::ecdsa::SigningKey,
    ed25519: ed25519_dalek::SigningKey,
}

impl TestKeys {
    fn new() -> Self {
        Self {
            p256: p256::ecdsa::SigningKey::from_slice(&[1; 32]).expect("a scalar"),
            p384: p384::ecdsa::SigningKey::from_slice(&[1; 48]).expect("a scalar"),
            ed25519: ed25519_dalek::SigningKey::from_bytes(&[1; 32]),
        }
    }

    fn sign(&self, message: &[u8]) -> [Vec<u8>; 3] {
        let p256: p256::ecdsa::DerSignature = self.p256.sign(message);
        let p384: p384::ecdsa::DerSignature = self.p384.sign(message);
        let ed25519 = self.ed25519.sign(message);
        [
            p256.as_bytes().to_vec(),
            p384.as_bytes().to_vec(),
            ed25519.to_bytes().to_vec(),
        ]
    }

    fn trusted(&self) -> [TrustedKey; 3] {
        let ed25519 = [ED25519_SPKI_PREFIX, self.ed25519.verifying_key().as_bytes()].concat();
        [
            self.p256
                .verifying_key()
                .to_public_key_der()
                .expect("a key")
                .into_vec(),
            self.p384
                .verifying_key()
                .to_public_key_der()
                .expect("a key")
                .into_vec(),
            ed25519,
        ]
        .map(|der| TrustedKey::with_default_scheme(Spki::from_der(der)).expect("a key"))
    }

    fn envelope_comes_back(&self, payload: &[u8]) -> Result<(), String> {
        let payload_type = "application/json";
        let signatures = self.sign(
            &Pae {
                payload_type,
                payload,
            }
            .to_vec(),
        );
        let trusted = self.trusted();
        let keyids = trusted.clone().map(|key| key.spki().keyid());
        let signatures: Vec<(&str, &[u8])> = keyids
            .iter()
            .map(String::as_str)
            .zip(signatures.iter().map(Vec::as_slice))
            .collect();
        let envelope = encode_envelope(payload_type, payload, &signatures);
        let envelope = Envelope::parse(&envelope).map_err(|e| e.to_string())?;
        let verified = envelope
            .verify(&trusted, 3, Options::default())
            .map_err(|e| e.to_string())?;
        equal(&verified.payload, payload)
    }

    fn blob_verifies(&self, payload: &[u8]) -> Result<(), String> {
        for (key, signature) in self.trusted().iter().zip(self.sign(payload)) {
            key.verify(&[payload], &signature)
                .map_err(|e| format!("{}: {e}", key.scheme()))?;
            if key.verify(&[payload, b" "], &signature).is_ok() {
                return Err(format!("{}: verifies for another payload", key.scheme()));
            }
        }
        Ok(())
    }
}

/// SubjectPublicKeyInfo of Ed25519 up to the 32 bytes of the key (RFC 8410).
const ED25519_SPKI_PREFIX: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

fn statement_comes_back(payload: &[u8]) -> Result<(), String> {
    let digests = BTreeMap::from([("sha1".to_owned(), "0".repeat(40))]);
    let subjects = [Subject {
        digests,
        name: None,
    }];
    let built = statement::build(&subjects, "https://example.com/p", payload);
    let built = built.map_err(|e| e.to_string())?;
    // The predicate is the last member, so its bytes stand before the closing brace.
    let end = built.len() - 1;
    equal(&built[end - payload.len()..end], payload)
}

#[test]
fn wycheproof() {
    let Some(dir) = support::folder("wycheproof") else {
        return;
    };
    let mut tally = Tally::new("wycheproof");
    let known: Vec<String> = WYCHEPROOF
        .iter()
        .map(|(name, _)| *name)
        .chain(OTHER_AREAS)
        .map(|n| format!("{n}.json"))
        .collect();
    tally.only(&dir, &known.iter().map(String::as_str).collect::<Vec<_>>());
    for (name, verifier) in WYCHEPROOF {
        let file: Wycheproof = support::json(&dir.join(format!("{name}.json")));
        for group in &file.test_groups {
            for test in &group.tests {
                tally.case(
                    format!("{name}/{}", test.tc_id),
                    test.run(&group.public_key_der, verifier),
                );
            }
        }
    }
    println!(
        "wycheproof: {} belong to other areas and are not run here",
        OTHER_AREAS.join(", ")
    );
    tally.finish();
}

/// Files about JOSE and about witness cosignatures.
const OTHER_AREAS: [&str; 3] = [
    "json_web_key_test",
    "json_web_signature_test",
    "mldsa_44_verify_test",
];

const WYCHEPROOF: [(&str, Verifier); 10] = [
    (
        "ecdsa_secp256r1_sha256_test",
        Verifier::Scheme(Scheme::EcdsaP256Sha256),
    ),
    (
        "ecdsa_secp384r1_sha384_test",
        Verifier::Scheme(Scheme::EcdsaP384Sha384),
    ),
    (
        "ecdsa_secp384r1_sha256_test",
        Verifier::EcdsaWith(HashAlg::Sha256),
    ),
    (
        "ecdsa_secp256r1_sha256_p1363_test",
        Verifier::P1363(Scheme::EcdsaP256Sha256),
    ),
    (
        "ecdsa_secp384r1_sha384_p1363_test",
        Verifier::P1363(Scheme::EcdsaP384Sha384),
    ),
    ("ed25519_test", Verifier::Scheme(Scheme::Ed25519)),
    (
        "rsa_signature_2048_sha256_test",
        Verifier::Scheme(Scheme::RsaPkcs1Sha256),
    ),
    (
        "rsa_signature_3072_sha256_test",
        Verifier::Scheme(Scheme::RsaPkcs1Sha256),
    ),
    (
        "rsa_pss_2048_sha256_mgf1_32_test",
        Verifier::Scheme(Scheme::RsaPssSha256),
    ),
    (
        "rsa_pss_3072_sha256_mgf1_32_test",
        Verifier::Scheme(Scheme::RsaPssSha256),
    ),
];

#[derive(Clone, Copy)]
enum Verifier {
    Scheme(Scheme),
    P1363(Scheme),
    EcdsaWith(HashAlg),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wycheproof {
    test_groups: Vec<WycheproofGroup>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WycheproofGroup {
    public_key_der: String,
    tests: Vec<WycheproofTest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WycheproofTest {
    tc_id: u64,
    msg: String,
    sig: String,
    result: String,
}

impl WycheproofTest {
    fn run(&self, public_key_der: &str, verifier: Verifier) -> Result<(), String> {
        let (key, msg, sig) = (unhex(public_key_der)?, unhex(&self.msg)?, unhex(&self.sig)?);
        // In two parts, so that the parts are seen to be one message.
        let (head, tail) = msg.split_at(msg.len() / 2);
        let answer = match verifier {
            Verifier::Scheme(scheme) => verify_message(&key, scheme, &[head, tail], &sig),
            Verifier::P1363(scheme) => verify_message_p1363(&key, scheme, &[head, tail], &sig),
            Verifier::EcdsaWith(hash) => verify_ecdsa_with_hash(&key, hash, &[head, tail], &sig),
        };
        match self.result.as_str() {
            "valid" => judge(true, answer),
            "invalid" => judge(false, answer),
            "acceptable" => Ok(()),
            other => Err(format!("unknown result {other}")),
        }
    }
}

#[test]
fn jcs() {
    let Some(dir) = support::folder("jcs") else {
        return;
    };
    let mut tally = Tally::new("jcs");
    for file in support::files(&dir) {
        match file.split_once('/') {
            Some(("input", name)) => tally.case(&file, canonical_file(&dir, name)),
            // Judged with their input, which must exist.
            Some(("output", name)) if dir.join("input").join(name).is_file() => {}
            Some(("outhex", name))
                if dir
                    .join("input")
                    .join(Path::new(name).with_extension("json"))
                    .is_file() => {}
            None if file == "es6-numbers-sample.txt" || file == "negatives.json" => {}
            _ => tally.unknown_file(&file),
        }
    }
    let numbers = String::from_utf8(read(&dir.join("es6-numbers-sample.txt"))).expect("UTF-8");
    for line in numbers.lines() {
        tally.case(format!("es6-numbers-sample/{line}"), canonical_number(line));
    }
    let negatives: Vec<Negative> = support::json(&dir.join("negatives.json"));
    for case in &negatives {
        tally.case(format!("negatives/{}", case.name), case.run());
    }
    tally.finish();
}

fn canonical_file(dir: &Path, name: &str) -> Result<(), String> {
    let canonical = json::canonicalize(&read(&dir.join("input").join(name)));
    let canonical = canonical.map_err(|e| e.to_string())?;
    equal(&canonical, &read(&dir.join("output").join(name)))?;
    let pairs = read(&dir.join("outhex").join(name).with_extension("txt"));
    let pairs: String = pairs
        .iter()
        .copied()
        .map(char::from)
        .filter(|c| !c.is_whitespace())
        .collect();
    equal(&canonical, &unhex(&pairs)?)
}

fn canonical_number(line: &str) -> Result<(), String> {
    let (bits, text) = line.split_once(',').ok_or("no comma")?;
    let number = f64::from_bits(u64::from_str_radix(bits, 16).map_err(|e| e.to_string())?);
    // Rust's shortest form that reads back is JSON, though not ECMAScript's form.
    let canonical = json::canonicalize(format!("{number:?}").as_bytes());
    equal(&canonical.map_err(|e| e.to_string())?, text.as_bytes())
}

#[derive(Deserialize)]
struct Negative {
    name: String,
    bytes_hex: String,
    verdict: String,
}

impl Negative {
    fn run(&self) -> Result<(), String> {
        if self.verdict != "reject" {
            return Err(format!("unknown verdict {}", self.verdict));
        }
        let bytes = unhex(&self.bytes_hex)?;
        judge(false, json::canonicalize(&bytes)).and(judge(false, json::check(&bytes)))
    }
}

#[test]
fn sigstore_conformance() {
    let Some(dir) = support::folder("sigstore-conformance") else {
        return;
    };
    let mut tally = Tally::new("sigstore-conformance");
    let index: BTreeMap<String, ConformanceCase> = support::json(&dir.join("index.json"));
    for file in support::files(&dir) {
        let top = ["index.json", "a.txt", "prod_trusted_root.json"].contains(&file.as_str());
        let of_case = file
            .split_once('/')
            .is_some_and(|(case, _)| index.contains_key(case));
        if !top && !of_case {
            tally.unknown_file(&file);
        }
    }
    let (managed, keyless): (Vec<_>, Vec<_>) = index
        .iter()
        .partition(|(_, case)| case.needs("managed-key"));
    for (name, case) in managed {
        match case
            .needs
            .iter()
            .find(|need| !IMPLEMENTED.contains(&need.as_str()))
        {
            Some(need) => tally.skip(name, format!("needs {need}")),
            None => tally.case(name, case.run(&dir)),
        }
    }
    println!(
        "sigstore-conformance: {} keyless cases are not selected",
        keyless.len()
    );
    tally.finish();
}

/// What a verifier must know to judge a case for the right reason.
const IMPLEMENTED: [&str; 6] = [
    "managed-key",
    "rekor-v1",
    "rekor-v2",
    "tsa",
    "dsse",
    "message-signature",
];

/// The clock of cases that do not bring their own.
const CLOCK: &str = "2026-12-01T00:00:00Z";

#[derive(Deserialize)]
struct ConformanceCase {
    expect: String,
    needs: Vec<String>,
    bundle: String,
    artifact: String,
    trusted_root: String,
    key: Option<String>,
}

impl ConformanceCase {
    fn needs(&self, need: &str) -> bool {
        self.needs.iter().any(|needed| needed == need)
    }

    fn run(&self, dir: &Path) -> Result<(), String> {
        let file = |name: &String| read(&dir.join(name));
        let answer = verify_managed(
            &file(&self.bundle),
            self.key.as_ref().map(file),
            &file(&self.artifact),
            &file(&self.trusted_root),
        );
        judge_expected(&self.expect, answer)
    }
}

fn judge_expected(expect: &str, answer: Result<(), String>) -> Result<(), String> {
    match expect {
        "pass" => judge(true, answer),
        "fail" => judge(false, answer),
        other => Err(format!("unknown verdict {other}")),
    }
}

fn verify_managed(
    bundle: &[u8],
    key: Option<Vec<u8>>,
    artifact: &[u8],
    trusted_root: &[u8],
) -> Result<(), String> {
    let root = TrustedRoot::parse(trusted_root).expect("a trusted root");
    let pem = key.ok_or("no key to verify with")?;
    let spki = Spki::from_pem(&String::from_utf8_lossy(&pem)).map_err(|e| e.to_string())?;
    let key = TrustedKey::with_default_scheme(spki).map_err(|e| e.to_string())?;
    let bundle = Bundle::parse(bundle).map_err(|e| e.to_string())?;
    let now = CLOCK.parse().expect("a time");
    let verified = bundle.verify_logged(&key, Artifact::Bytes(artifact), &root, now);
    verified.map(drop).map_err(|e| e.to_string())
}

#[test]
fn private_rekor_v2() {
    let Some(dir) = support::folder("private-rekor-v2") else {
        return;
    };
    let mut tally = Tally::new("private-rekor-v2");
    let index: BTreeMap<String, PrivateCase> = support::json(&dir.join("index.json"));
    let files = [
        "bundle.sigstore.json",
        "key.pub",
        "artifact",
        "trusted_root.json",
    ];
    let known: Vec<String> = index
        .keys()
        .flat_map(|case| files.map(|file| format!("{case}/{file}")))
        .chain(["index.json".to_owned()])
        .collect();
    tally.only(&dir, &known.iter().map(String::as_str).collect::<Vec<_>>());
    for (name, case) in &index {
        let [bundle, key, artifact, root] = files.map(|file| read(&dir.join(name).join(file)));
        let answer = verify_managed(&bundle, Some(key), &artifact, &root);
        tally.case(name, judge_expected(&case.expect, answer));
    }
    tally.finish();
}

#[derive(Deserialize)]
struct PrivateCase {
    expect: String,
}

fn equal(got: &[u8], want: &[u8]) -> Result<(), String> {
    if got == want {
        return Ok(());
    }
    let show = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    Err(format!("got {}, expected {}", show(got), show(want)))
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    hex::decode(text).map_err(|e| e.to_string())
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
