//! What is kept of a key: `NAME.json`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sealwright_core::spki::Spki;
use sealwright_core::time::Timestamp;
use sealwright_core::webauthn::{Attestation, AttestationError, Makers, RP_ID};
use serde::{Deserialize, Serialize};
use x509_cert::Certificate;

/// A key that the security key made for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    /// By which the security key finds it.
    pub(crate) id: Vec<u8>,
    pub(crate) spki: Spki,
    /// What it said when it made the key, and to which challenge.
    pub(crate) attestation: Vec<u8>,
    pub(crate) challenge: Vec<u8>,
}

/// The file's text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: Format,
    credential_id: String,
    spki: Spki,
    attestation_object: String,
    challenge: String,
}

#[derive(Serialize, Deserialize)]
enum Format {
    #[serde(rename = "sealwright-fido2-key-v1")]
    V1,
}

impl Credential {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec_pretty(&File {
            format: Format::V1,
            credential_id: STANDARD.encode(&self.id),
            spki: self.spki.clone(),
            attestation_object: STANDARD.encode(&self.attestation),
            challenge: STANDARD.encode(&self.challenge),
        })
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let decode = |text: &str| STANDARD.decode(text).map_err(|e| e.to_string());
        Ok(Self {
            id: decode(&file.credential_id)?,
            spki: file.spki,
            attestation: decode(&file.attestation_object)?,
            challenge: decode(&file.challenge)?,
        })
    }
}

/// Whether an attestation object holds, given for `challenge`, and who vouches for the key by it.
pub(crate) fn attested(
    object: &[u8],
    challenge: &[u8],
    roots: &[Certificate],
) -> Result<Attestation, AttestationError> {
    let now = Timestamp::from_unix_millis(unix_millis());
    let makers = Makers { roots, now };
    Attestation::verify(object, challenge, RP_ID, makers)
}

fn unix_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_read_as_it_was_written_and_nothing_else_is() {
        let credential = Credential {
            id: vec![1; 150],
            spki: Spki::from_der(vec![0x30, 0]),
            attestation: vec![2; 700],
            challenge: vec![3; 32],
        };
        let bytes = credential.to_bytes().unwrap();
        assert_eq!(Credential::parse(&bytes), Ok(credential));
        let text = String::from_utf8(bytes).unwrap();
        for (from, to) in [
            ("key-v1", "key-v2"),
            ("AQEB", "AQ?B"),
            ("{", "{\"more\":1,"),
        ] {
            let other = text.replacen(from, to, 1);
            assert!(Credential::parse(other.as_bytes()).is_err(), "{other}");
        }
    }
}
