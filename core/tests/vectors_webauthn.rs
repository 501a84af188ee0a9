//! Runs the vectors of FIDO2 registrations and assertions; see `support` for how they are found.

mod support;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use der::Decode as _;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::scheme::Scheme;
use sealwright_core::time::Timestamp;
use sealwright_core::verify::verify_message;
use sealwright_core::webauthn::{
    Assertion, Attestation, AttestationError, CoseError, DataError, Demand, Makers, Vouching,
};
use serde::Deserialize;
use support::{Tally, judge};
use x509_cert::Certificate;

const RP_ID: &str = "example.org";
const ROOT: &str = "attestation-root-cert.json";
const NOW: &str = "2026-11-25T00:00:00.000Z";

#[derive(Deserialize)]
struct Case {
    blocks: (Registration, Login),
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    challenge: Hex,
    #[serde(rename = "clientDataJSON")]
    client_data: Hex,
    attestation_object: Hex,
    #[serde(rename = "credential_id")]
    credential_id: Hex,
    aaguid: Hex,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Login {
    challenge: Hex,
    authenticator_data: Hex,
    #[serde(rename = "clientDataJSON")]
    client_data: Hex,
    signature: Hex,
}

#[derive(Deserialize)]
struct Expect {
    registration: Verdict,
    assertion: Verdict,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Accept,
    Reject,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Hex(Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex::decode(text).map(Self)
    }
}

#[test]
fn webauthn() {
    let Some(dir) = support::folder("webauthn") else {
        return;
    };
    let mut tally = Tally::new("webauthn");
    let roots = [root(&dir)];
    for name in support::files(&dir).iter().filter(|name| *name != ROOT) {
        let case: Case = support::json(&dir.join(name));
        case.run(name, &roots, &mut tally);
    }
    tally.finish();
}

fn root(dir: &Path) -> Certificate {
    #[derive(Deserialize)]
    struct Root {
        blocks: (Block,),
    }
    #[derive(Deserialize)]
    struct Block {
        attestation_ca_cert: Hex,
    }
    let root: Root = support::json(&dir.join(ROOT));
    Certificate::from_der(&root.blocks.0.attestation_ca_cert.0).expect("the root of the vectors")
}

impl Case {
    fn run(&self, name: &str, roots: &[Certificate], tally: &mut Tally) {
        let (registration, login) = &self.blocks;
        let attestation = match registration.verify(roots) {
            Err(Refused::Attestation(AttestationError::Data(DataError::Key(
                CoseError::Algorithm(algorithm),
            )))) => {
                tally.skip(
                    name,
                    format!("COSE algorithm {algorithm} is not implemented"),
                );
                return;
            }
            Err(Refused::Attestation(AttestationError::Format(format))) => {
                tally.skip(
                    name,
                    format!("attestation format {format} is not implemented"),
                );
                return;
            }
            answer => answer,
        };
        let accepts = self.expect.registration == Verdict::Accept;
        let spki = attestation.as_ref().ok().map(|a| a.credential.spki.clone());
        let outcome = judge(accepts, attestation.map_err(|e| format!("{e:?}")));
        tally.case(format!("{name}/registration"), outcome);
        if let Some(spki) = spki {
            let accepts = self.expect.assertion == Verdict::Accept;
            let outcome = judge(accepts, login.verify(spki.der()));
            tally.case(format!("{name}/assertion"), outcome);
        }
    }
}

#[derive(Debug)]
#[allow(dead_code, reason = "printed where a case fails")]
enum Refused {
    Client(String),
    Attestation(AttestationError),
    Other(&'static str),
}

impl Registration {
    fn verify(&self, roots: &[Certificate]) -> Result<Attestation, Refused> {
        check_client(&self.client_data.0, "webauthn.create", &self.challenge.0)
            .map_err(Refused::Client)?;
        let now: Timestamp = NOW.parse().expect("a time");
        let (object, client_data) = (&self.attestation_object.0, &self.client_data.0);
        let attestation = Attestation::verify(object, client_data, RP_ID, Makers { roots, now });
        let attestation = attestation.map_err(Refused::Attestation)?;
        if attestation.by == Vouching::UnknownMaker {
            return Err(Refused::Other("the chain does not lead to the root"));
        }
        let credential = &attestation.credential;
        if credential.id != self.credential_id.0 || credential.aaguid[..] != self.aaguid.0[..] {
            return Err(Refused::Other("another credential or model"));
        }
        Ok(attestation)
    }
}

impl Login {
    fn verify(&self, spki: &[u8]) -> Result<(), String> {
        check_client(&self.client_data.0, "webauthn.get", &self.challenge.0)?;
        let assertion = Assertion {
            authenticator_data: self.authenticator_data.0.clone(),
            signature: self.signature.0.clone(),
        };
        let checked = assertion.check(RP_ID, Demand::Presence);
        checked.map_err(|e| e.to_string())?;
        let digest = Sha256Digest::of(&[&self.client_data.0]);
        let signed = [&self.authenticator_data.0[..], &digest.0];
        let scheme = Scheme::EcdsaP256Sha256;
        verify_message(spki, scheme, &signed, &assertion.signature).map_err(|e| e.to_string())
    }
}

/// What a browser's relying party checks itself. The product has no client data: its keys sign messages.
fn check_client(json: &[u8], kind: &str, challenge: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    struct ClientData {
        #[serde(rename = "type")]
        kind: String,
        challenge: String,
        origin: String,
    }
    let data: ClientData = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let wanted = (
        kind,
        URL_SAFE_NO_PAD.encode(challenge),
        "https://example.org",
    );
    let found = (data.kind.as_str(), data.challenge, data.origin.as_str());
    (found == wanted)
        .then_some(())
        .ok_or_else(|| format!("client data says {found:?}"))
}
