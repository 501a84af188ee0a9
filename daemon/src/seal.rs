//! Sealing: verified signatures and their payload become the bytes that a caller will get.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sealwright_core::bundle;
use sealwright_core::digest::Sha256Digest;
use sealwright_core::dsse;
use sealwright_core::error::Code;
use sealwright_core::record::UsedKey;
use sealwright_core::sign::VerifiedSignature;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::audit::writer::Recorded;
use crate::refusal::Refusal;

/// The media type of an answer with a log proof.
const PROVED: &str = "application/vnd.sealwright.proved+json";

/// What the caller asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A DSSE envelope.
    Dsse,
    /// A Sigstore bundle v0.3 around one.
    Bundle,
}

impl Format {
    /// The answer's media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Dsse => "application/vnd.dsse.envelope.v1+json",
            Self::Bundle => "application/vnd.dev.sigstore.bundle.v0.3+json",
        }
    }
}

/// A finished envelope. Its bytes cannot be had from here: only [`Recorded`] lets them go.
#[must_use = "a sealed envelope is meant to be recorded"]
#[derive(Debug, Clone)]
pub struct Sealed {
    bytes: Bytes,
    sha256: Sha256Digest,
    format: Format,
    envelope_sha256: Sha256Digest,
    signature_sha256: Vec<Sha256Digest>,
    keys: Vec<UsedKey>,
    is_replay: bool,
}

impl Sealed {
    /// The same envelope, given as the answer to a retry.
    pub fn replayed(self) -> Self {
        Self {
            is_replay: true,
            ..self
        }
    }

    /// SHA-256 of the DSSE envelope's JCS bytes.
    pub fn envelope_sha256(&self) -> Sha256Digest {
        self.envelope_sha256
    }

    /// SHA-256 of each signature, in order.
    pub fn signature_sha256(&self) -> &[Sha256Digest] {
        &self.signature_sha256
    }

    /// The keys, in the same order.
    pub fn keys(&self) -> &[UsedKey] {
        &self.keys
    }

    /// The first signature as base64, for the record that releases it. Like [`Self::for_record`], it is read from the log
    /// by nobody before it is durable.
    pub(crate) fn signature_for_record(&self) -> Option<String> {
        let envelope = dsse::Envelope::parse(&self.bytes).ok()?;
        let first = envelope.signatures().first()?;
        first.sig.as_ref().map(|sig| STANDARD.encode(sig))
    }

    /// Bytes it holds in memory.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// What leaves the daemon.
pub struct Released {
    /// Envelope or bundle.
    pub bytes: Bytes,
    /// SHA-256 of the bytes.
    pub sha256: Sha256Digest,
    /// Their media type.
    pub content_type: &'static str,
    /// Whether it was given before, to the same Idempotency-Key.
    pub is_replay: bool,
}

impl Sealed {
    /// Its text as a part of the very record that releases it: whoever reads it from the log reads what is durable.
    pub(crate) fn for_record(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

#[derive(Serialize)]
struct Proved<'a> {
    signed: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_proof: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_proof_code: Option<Code>,
}

impl Released {
    /// With the proof of its record beside it, or why there is none.
    #[must_use]
    pub fn with_proof(self, proof: Result<String, Refusal>) -> Self {
        // What was sealed is JSON: neither of the two steps below fails for it.
        let Ok(signed) = serde_json::from_slice(&self.bytes) else {
            return self;
        };
        let proved = Proved {
            signed,
            proof: proof.as_deref().ok(),
            no_proof: proof.as_ref().err().map(Refusal::told),
            no_proof_code: proof.as_ref().err().map(|refusal| refusal.code),
        };
        let Ok(bytes) = serde_json::to_vec(&proved) else {
            return self;
        };
        Self {
            sha256: Sha256Digest::of(&[&bytes]),
            bytes: bytes.into(),
            content_type: PROVED,
            ..self
        }
    }
}

impl Recorded<Sealed> {
    /// Lets the bytes go, now that the record is durable.
    pub fn release(self) -> Released {
        let Sealed {
            bytes,
            sha256,
            format,
            is_replay,
            ..
        } = self.into_value();
        Released {
            bytes,
            sha256,
            content_type: format.content_type(),
            is_replay,
        }
    }
}

/// Stage *seal*. Both formats come out as JCS bytes, so equal content has equal digests.
pub fn seal(
    verified: &[VerifiedSignature],
    payload_type: &str,
    payload: &[u8],
    format: Format,
) -> Sealed {
    let encoded = match (format, verified) {
        (Format::Bundle, [only]) => bundle(only, payload_type, payload),
        _ => envelope(verified, payload_type, payload),
    };
    let signatures = verified
        .iter()
        .map(|signature| Sha256Digest::of(&[signature.encoded()]));
    Sealed {
        bytes: encoded.bytes.into(),
        sha256: encoded.sha256,
        format,
        envelope_sha256: encoded.envelope_sha256,
        signature_sha256: signatures.collect(),
        keys: verified.iter().map(used_key).collect(),
        is_replay: false,
    }
}

struct Encoded {
    bytes: Vec<u8>,
    sha256: Sha256Digest,
    envelope_sha256: Sha256Digest,
}

fn envelope(verified: &[VerifiedSignature], payload_type: &str, payload: &[u8]) -> Encoded {
    let keyids: Vec<String> = verified.iter().map(|s| s.permit().spki().keyid()).collect();
    let encoded = verified.iter().map(VerifiedSignature::encoded);
    let signatures: Vec<_> = keyids.iter().map(String::as_str).zip(encoded).collect();
    let bytes = dsse::encode_envelope(payload_type, payload, &signatures);
    let sha256 = Sha256Digest::of(&[&bytes]);
    Encoded {
        bytes,
        sha256,
        envelope_sha256: sha256,
    }
}

fn bundle(signature: &VerifiedSignature, payload_type: &str, payload: &[u8]) -> Encoded {
    let permit = signature.permit();
    // Enrolment has checked that it decodes and is for this key.
    let certificate = permit
        .certificate()
        .and_then(|text| STANDARD.decode(text).ok());
    let keyid = permit.spki().keyid();
    let bundle = bundle::encode_bundle(
        payload_type,
        payload,
        &keyid,
        signature.encoded(),
        certificate.as_deref(),
    );
    let envelope_sha256 = Sha256Digest::of(&[bundle.envelope()]);
    let sha256 = Sha256Digest::of(&[bundle.bytes()]);
    Encoded {
        bytes: bundle.into_bytes(),
        sha256,
        envelope_sha256,
    }
}

fn used_key(signature: &VerifiedSignature) -> UsedKey {
    let permit = signature.permit();
    UsedKey {
        key: permit.key().key.clone(),
        key_version: permit.key().version,
        spki_sha256: permit.spki().sha256(),
        evidence_sha256: permit.evidence_sha256(),
        scheme: permit.scheme(),
    }
}
