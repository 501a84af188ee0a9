//! Runs the vectors of YubiKeys' PIV attestations; see `support` for how they are found.

mod support;

use der::{Decode as _, DecodePem as _, Encode as _};
use sealwright_core::certificate::check_chain;
use sealwright_core::evidence::{
    Bytes, Document, EvidenceError, Nonce, PivFacts, PivStatement, Roots, Statement, TokenIdentity,
};
use sealwright_core::key::EvidenceGrade;
use sealwright_core::spki::Spki;
use serde::Deserialize;
use support::{Tally, judge};
use x509_cert::Certificate;

#[test]
fn piv_attestation() {
    let Some(dir) = support::folder("piv-attestation") else {
        return;
    };
    let mut tally = Tally::new("piv-attestation");
    tally.only(&dir, &["pairs.json", "yubico-piv-ca-1.pem"]);
    let root = pem(&std::fs::read_to_string(dir.join("yubico-piv-ca-1.pem")).expect("the root"));
    let pairs: Vec<Pair> = support::json(&dir.join("pairs.json"));
    for pair in &pairs {
        tally.case(format!("{}/verdict", pair.name), pair.verdict(&root));
        tally.case(format!("{}/root", pair.name), pair.root(&root));
        tally.case(format!("{}/facts", pair.name), pair.facts());
    }
    tally.finish();
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    verdict: Verdict,
    device_cert_signed_by_root: bool,
    device_cert_pem: String,
    key_cert_pem: String,
    device: Device,
    key: Key,
}

#[derive(Deserialize, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Accept,
    Reject,
}

#[derive(Deserialize)]
struct Device {
    subject: String,
    issuer: String,
    firmware: Option<String>,
}

#[derive(Deserialize)]
struct Key {
    subject: String,
    issuer: String,
    firmware: Option<String>,
    serial: Option<u64>,
    pin_touch_policy: Option<[u8; 2]>,
    form_factor: Option<String>,
}

impl Pair {
    /// Whether the card signed; who made the card is judged apart.
    fn verdict(&self, root: &[u8]) -> Result<(), String> {
        let roots = Roots::new(&[root]).map_err(|e| e.to_string())?;
        let document = self.document();
        let judged = document.verify(document.spki.sha256(), None, &roots);
        let trusted = match judged {
            Err(error) if error.is_about_trust() => Ok(()),
            Ok(finding) if finding.grade != EvidenceGrade::Attested => {
                return Err("is not attested".to_owned());
            }
            other => other.map(drop),
        };
        match (&self.verdict, trusted) {
            (Verdict::Reject, Err(EvidenceError::NotSigned)) => Ok(()),
            (Verdict::Reject, Err(other)) => Err(format!("refused for another reason: {other}")),
            (verdict, trusted) => judge(*verdict == Verdict::Accept, trusted),
        }
    }

    fn root(&self, root: &[u8]) -> Result<(), String> {
        let device = pem(&self.device_cert_pem);
        let own = Spki::from_der(spki(&device));
        judge(
            self.device_cert_signed_by_root,
            check_chain(&own, &[&device[..], root]),
        )
    }

    fn facts(&self) -> Result<(), String> {
        let certificate = |text| Certificate::from_der(&pem(text)).expect("a certificate");
        let (key, device) = (
            certificate(&self.key_cert_pem),
            certificate(&self.device_cert_pem),
        );
        let key_facts = PivFacts::of(&key).map_err(|e| e.to_string())?;
        let device_facts = PivFacts::of(&device).map_err(|e| e.to_string())?;
        let form = key_facts.form_factor.map(|form| format!("{form:02x}"));
        same("form_factor", &form, &self.key.form_factor)?;
        same("serial", &key_facts.serial, &self.key.serial)?;
        same("policy", &key_facts.policy, &self.key.pin_touch_policy)?;
        same("firmware", &firmware(&key_facts), &self.key.firmware)?;
        same(
            "device's firmware",
            &firmware(&device_facts),
            &self.device.firmware,
        )?;
        for (certificate, subject, issuer) in [
            (&key, &self.key.subject, &self.key.issuer),
            (&device, &self.device.subject, &self.device.issuer),
        ] {
            let tbs = certificate.tbs_certificate();
            same("subject", &tbs.subject().to_string(), subject)?;
            same("issuer", &tbs.issuer().to_string(), issuer)?;
        }
        Ok(())
    }

    fn document(&self) -> Document {
        let (key, device) = (pem(&self.key_cert_pem), pem(&self.device_cert_pem));
        let serial = self
            .key
            .serial
            .map_or("unknown".to_owned(), |serial| serial.to_string());
        let token = TokenIdentity {
            kind: "piv".to_owned(),
            label: "key".to_owned(),
            serial,
            manufacturer: "Yubico".to_owned(),
            model: "YubiKey".to_owned(),
            firmware: self.key.firmware.clone().unwrap_or_default(),
        };
        let own = Spki::from_der(spki(&key));
        let statement = Statement::PivAttestation(PivStatement {
            certificate: Bytes(key),
            device_chain: vec![Bytes(device)],
        });
        let uri = "piv:slot=9a".parse().expect("a URI");
        Document::new(Nonce::default(), token, uri, own, statement)
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Result<(), String> {
    if found == wanted {
        return Ok(());
    }
    Err(format!("{what} is {found:?}, must be {wanted:?}"))
}

fn firmware(facts: &PivFacts) -> Option<String> {
    let [major, minor, patch] = facts.firmware?;
    Some(format!("{major}.{minor}.{patch}"))
}

fn pem(text: &str) -> Vec<u8> {
    let certificate = Certificate::from_pem(text).expect("a certificate in PEM");
    certificate.to_der().expect("a certificate")
}

fn spki(certificate: &[u8]) -> Vec<u8> {
    let certificate = Certificate::from_der(certificate).expect("a certificate");
    let own = certificate.tbs_certificate().subject_public_key_info();
    own.to_der().expect("a public key")
}
