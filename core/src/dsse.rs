//! DSSE 1.0.2: the pre-authentication encoding, and envelopes written and verified.
//!
//! <https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md>

mod encode;
mod threshold;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::digest::Sha256Digest;
use crate::json::{self, JsonError};
use crate::scheme::HashAlg;

pub use encode::encode_envelope;
pub(crate) use encode::{envelope_len, write_base64, write_envelope, write_text};
pub use threshold::{Options, ThresholdError, TrustedKey, VerifiedPayload};

/// Most signatures of one envelope that are looked at; each costs a verification per trusted key.
pub const SIGNATURES_MAX: usize = 64;

/// What is signed: `"DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload`.
///
/// Kept as its parts, so that hashing a large payload needs no copy of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pae<'a> {
    /// payloadType, signed as UTF-8.
    pub payload_type: &'a str,
    /// The payload's own bytes, before base64.
    pub payload: &'a [u8],
}

impl Pae<'_> {
    /// Everything in front of the payload. Lengths count bytes.
    pub fn prefix(&self) -> Vec<u8> {
        let Self {
            payload_type,
            payload,
        } = self;
        format!(
            "DSSEv1 {} {payload_type} {} ",
            payload_type.len(),
            payload.len()
        )
        .into_bytes()
    }

    /// Hashes the encoding.
    pub fn digest(&self, hash: HashAlg) -> Vec<u8> {
        hash.digest(&[&self.prefix(), self.payload])
    }

    /// SHA-256 of the encoding: how permits and records name what is signed.
    pub fn sha256(&self) -> Sha256Digest {
        Sha256Digest::of(&[&self.prefix(), self.payload])
    }

    /// The whole encoding in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        [&self.prefix(), self.payload].concat()
    }
}

/// An envelope as it came, decoded but not verified: its payload means nothing yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<EnvelopeSignature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvelopeSignature {
    /// A hint, empty where there is none. It proves nothing.
    pub keyid: String,
    /// The signature; `None` where its text is not base64, which verifies under no key.
    pub sig: Option<Vec<u8>>,
}

/// Why bytes are no envelope.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// Not acceptable as JSON, or `payload`, `payloadType`, `signatures` or a `sig` is missing.
    #[error("the envelope is refused: {0}")]
    Json(#[from] JsonError),
    /// The payload is not base64.
    #[error("the envelope's payload is not base64 (standard or URL alphabet, padding optional)")]
    Payload,
    /// Too many signatures.
    #[error("the envelope has {0} signatures, at most {SIGNATURES_MAX} are looked at")]
    TooManySignatures(usize),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EnvelopeJson<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
    payload_type: String,
    signatures: Vec<SignatureJson<'a>>,
}

#[derive(Deserialize)]
struct SignatureJson<'a> {
    keyid: Option<String>,
    #[serde(borrow)]
    sig: Cow<'a, str>,
}

impl Envelope {
    /// Reads an envelope's JSON. Members it does not know are ignored.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        json::from_slice::<EnvelopeJson<'_>>(bytes)?.try_into()
    }

    /// payloadType.
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// The signatures, in order.
    pub fn signatures(&self) -> &[EnvelopeSignature] {
        &self.signatures
    }

    /// What the signatures must cover.
    pub fn pae(&self) -> Pae<'_> {
        Pae {
            payload_type: &self.payload_type,
            payload: &self.payload,
        }
    }
}

impl TryFrom<EnvelopeJson<'_>> for Envelope {
    type Error = EnvelopeError;

    fn try_from(json: EnvelopeJson<'_>) -> Result<Self, EnvelopeError> {
        if json.signatures.len() > SIGNATURES_MAX {
            return Err(EnvelopeError::TooManySignatures(json.signatures.len()));
        }
        let signature = |json: SignatureJson<'_>| EnvelopeSignature {
            keyid: json.keyid.unwrap_or_default(),
            sig: decode_base64(&json.sig),
        };
        Ok(Self {
            payload_type: json.payload_type,
            payload: decode_base64(&json.payload).ok_or(EnvelopeError::Payload)?,
            signatures: json.signatures.into_iter().map(signature).collect(),
        })
    }
}

/// Base64 in either alphabet, with all of its padding or none; `None` where the text is neither.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let engine = match (text.contains(['-', '_']), text.ends_with('=')) {
        (false, true) => &STANDARD,
        (false, false) => &STANDARD_NO_PAD,
        (true, true) => &URL_SAFE,
        (true, false) => &URL_SAFE_NO_PAD,
    };
    engine.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_the_one_of_the_document() {
        let pae = Pae {
            payload_type: "http://example.com/HelloWorld",
            payload: b"hello world",
        };
        assert_eq!(
            pae.to_vec(),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(pae.sha256(), Sha256Digest::of(&[&pae.to_vec()]));
        assert_eq!(pae.digest(HashAlg::Sha256), pae.sha256().0);
        let pae = Pae {
            payload_type: "\u{e4}",
            payload: b"",
        };
        assert_eq!(pae.to_vec(), "DSSEv1 2 \u{e4} 0 ".as_bytes());
    }

    #[test]
    fn both_alphabets_are_read_with_and_without_padding() {
        for text in ["+/+/AA==", "-_-_AA", "-_-_AA==", "+/+/AA"] {
            assert_eq!(
                decode_base64(text),
                Some(vec![0xfb, 0xff, 0xbf, 0]),
                "{text}"
            );
        }
        for bad in ["+_AA", "AA=", "A", "AA\n", " AA", "AB"] {
            assert_eq!(decode_base64(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn each_required_member_is_missed() {
        let good = r#"{"payload":"","payloadType":"","signatures":[{"sig":""}],"x":1}"#;
        Envelope::parse(good.as_bytes()).unwrap();
        for (member, other) in [
            ("payload\"", "p\""),
            ("payloadType", "t"),
            ("signatures", "s"),
            ("sig\"", "g\""),
        ] {
            let error = Envelope::parse(good.replace(member, other).as_bytes()).unwrap_err();
            assert!(
                matches!(error, EnvelopeError::Json(JsonError::Form(_))),
                "{member}: {error}"
            );
        }
        let twice = good.replace("\"x\":1", "\"payload\":\"\"");
        let error = Envelope::parse(twice.as_bytes()).unwrap_err();
        assert!(
            matches!(error, EnvelopeError::Json(JsonError::DuplicateKey { .. })),
            "{error}"
        );
        let error = Envelope::parse(
            good.replace("\"payload\":\"\"", "\"payload\":\"!\"")
                .as_bytes(),
        );
        assert!(matches!(error, Err(EnvelopeError::Payload)));
    }

    #[test]
    fn as_many_signatures_as_the_limit_are_read_and_one_more_is_not() {
        let envelope = |n: usize| {
            let signatures = vec![r#"{"sig":""}"#; n].join(",");
            format!(r#"{{"payload":"","payloadType":"","signatures":[{signatures}]}}"#)
        };
        Envelope::parse(envelope(SIGNATURES_MAX).as_bytes()).unwrap();
        let error = Envelope::parse(envelope(SIGNATURES_MAX + 1).as_bytes()).unwrap_err();
        assert!(
            matches!(error, EnvelopeError::TooManySignatures(65)),
            "{error}"
        );
    }
}
