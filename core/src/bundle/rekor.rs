//! The leaves of Rekor v1 and v2: a leaf must be about the bundle's own content, signature and key.

use serde::Deserialize;

use super::log::LogError;
use super::material::LogEntry;
use super::proto::Base64;
use super::{Artifact, Bundle, Content};
use crate::digest::Sha256Digest;
use crate::dsse::{Pae, TrustedKey};
use crate::json;
use crate::scheme::HashAlg;
use crate::spki::Spki;
use crate::verify::PublicKey;

/// Checks an entry's leaf against the bundle it came with.
pub(super) fn check_body(
    entry: &LogEntry,
    bundle: &Bundle,
    key: &TrustedKey,
    artifact: Artifact<'_>,
) -> Result<(), LogError> {
    let signed = Signed::of(bundle, key, artifact).ok_or(LogError::Body)?;
    let body = &entry.canonicalized_body;
    match (entry.kind.0.as_str(), entry.kind.1.as_str()) {
        ("hashedrekord", "0.0.1") => read::<HashedRekordV1>(entry, body)?.check(&signed),
        ("hashedrekord", "0.0.2") => read::<HashedRekordV2>(entry, body)?.check(&signed),
        ("dsse", "0.0.1") => read::<DsseV1>(entry, body)?.check(&signed),
        ("intoto", "0.0.2") => read::<IntotoV2>(entry, body)?.check(&signed),
        _ => Err(LogError::Kind),
    }
}

/// What a leaf has to be about.
struct Signed<'a> {
    key: PublicKey,
    hash: HashAlg,
    signature: &'a [u8],
    envelope: Option<Pae<'a>>,
    artifact: Artifact<'a>,
}

impl<'a> Signed<'a> {
    fn of(bundle: &'a Bundle, key: &TrustedKey, artifact: Artifact<'a>) -> Option<Self> {
        let (signature, envelope) = match &bundle.content {
            Content::Dsse(envelope) => (
                envelope.signatures().first()?.sig.as_deref()?,
                Some(envelope.pae()),
            ),
            Content::Message(message) => (message.signature.as_slice(), None),
        };
        Some(Self {
            key: PublicKey::from_spki_der(key.spki().der()).ok()?,
            hash: key.scheme().prehash()?,
            signature,
            envelope,
            artifact,
        })
    }

    /// The digest of what was signed, under `hash`.
    fn digest(&self, hash: HashAlg) -> Option<Vec<u8>> {
        match self.envelope {
            Some(pae) => Some(pae.digest(hash)),
            None => self.artifact.digest(hash),
        }
    }

    fn check_signature(&self, signature: &[u8]) -> Result<(), LogError> {
        (signature == self.signature)
            .then_some(())
            .ok_or(LogError::Other("signature"))
    }

    fn check_pem(&self, pem: &[u8]) -> Result<(), LogError> {
        let spki = std::str::from_utf8(pem)
            .ok()
            .and_then(|pem| Spki::from_pem(pem).ok());
        self.check_spki(spki.ok_or(LogError::Other("key"))?.der())
    }

    fn check_spki(&self, der: &[u8]) -> Result<(), LogError> {
        let same = PublicKey::from_spki_der(der).is_ok_and(|key| key == self.key);
        same.then_some(()).ok_or(LogError::Other("key"))
    }

    fn check_payload(&self, hash: &HexHash) -> Result<(), LogError> {
        let envelope = self.envelope.ok_or(LogError::Other("content"))?;
        let sha256 = Sha256Digest::of(&[envelope.payload]).to_string();
        let same = hash.algorithm == "sha256" && hash.value == sha256;
        same.then_some(()).ok_or(LogError::Other("content"))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<T> {
    api_version: String,
    kind: String,
    spec: T,
}

fn read<T: for<'de> Deserialize<'de>>(entry: &LogEntry, body: &[u8]) -> Result<T, LogError> {
    let body: Body<T> = json::from_slice(body).map_err(|_| LogError::Body)?;
    let same = (body.kind, body.api_version) == entry.kind;
    same.then_some(body.spec).ok_or(LogError::Body)
}

#[derive(Deserialize)]
struct HexHash {
    algorithm: String,
    value: String,
}

#[derive(Deserialize)]
struct HashedRekordV1 {
    data: HashedDataV1,
    signature: SignatureV1,
}

#[derive(Deserialize)]
struct HashedDataV1 {
    hash: HexHash,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignatureV1 {
    content: Base64,
    public_key: Pem,
}

#[derive(Deserialize)]
struct Pem {
    content: Base64,
}

impl HashedRekordV1 {
    fn check(&self, signed: &Signed<'_>) -> Result<(), LogError> {
        let hash = match self.data.hash.algorithm.as_str() {
            "sha256" => HashAlg::Sha256,
            "sha384" => HashAlg::Sha384,
            _ => return Err(LogError::Body),
        };
        // An envelope was never logged as this kind, so only an artifact's digest can stand here.
        let expected = signed.digest(hash).filter(|_| signed.envelope.is_none());
        if expected.map(hex::encode).as_ref() != Some(&self.data.hash.value) {
            return Err(LogError::Other("content"));
        }
        signed.check_signature(&self.signature.content.0)?;
        signed.check_pem(&self.signature.public_key.content.0)
    }
}

#[derive(Deserialize)]
struct HashedRekordV2 {
    #[serde(rename = "hashedRekordV002")]
    record: RecordV2,
}

#[derive(Deserialize)]
struct RecordV2 {
    data: HashedDataV2,
    signature: SignatureV2,
}

#[derive(Deserialize)]
struct HashedDataV2 {
    algorithm: String,
    digest: Base64,
}

#[derive(Deserialize)]
struct SignatureV2 {
    content: Base64,
    verifier: VerifierV2,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerifierV2 {
    public_key: KeyV2,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyV2 {
    raw_bytes: Base64,
}

impl HashedRekordV2 {
    fn check(&self, signed: &Signed<'_>) -> Result<(), LogError> {
        let RecordV2 { data, signature } = &self.record;
        let hash = match data.algorithm.as_str() {
            "SHA2_256" => HashAlg::Sha256,
            "SHA2_384" => HashAlg::Sha384,
            _ => return Err(LogError::Body),
        };
        if hash != signed.hash || signed.digest(hash).as_ref() != Some(&data.digest.0) {
            return Err(LogError::Other("content"));
        }
        signed.check_signature(&signature.content.0)?;
        signed.check_spki(&signature.verifier.public_key.raw_bytes.0)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DsseV1 {
    payload_hash: HexHash,
    signatures: Vec<DsseSignatureV1>,
}

#[derive(Deserialize)]
struct DsseSignatureV1 {
    signature: Base64,
    verifier: Base64,
}

impl DsseV1 {
    fn check(&self, signed: &Signed<'_>) -> Result<(), LogError> {
        signed.check_payload(&self.payload_hash)?;
        let [signature] = self.signatures.as_slice() else {
            return Err(LogError::Other("signature"));
        };
        signed.check_signature(&signature.signature.0)?;
        signed.check_pem(&signature.verifier.0)
    }
}

#[derive(Deserialize)]
struct IntotoV2 {
    content: IntotoContentV2,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoContentV2 {
    envelope: IntotoEnvelopeV2,
    payload_hash: HexHash,
}

#[derive(Deserialize)]
struct IntotoEnvelopeV2 {
    signatures: Vec<IntotoSignatureV2>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoSignatureV2 {
    /// Base64 of the envelope's own base64.
    sig: Base64,
    public_key: Base64,
}

impl IntotoV2 {
    fn check(&self, signed: &Signed<'_>) -> Result<(), LogError> {
        signed.check_payload(&self.content.payload_hash)?;
        let [signature] = self.content.envelope.signatures.as_slice() else {
            return Err(LogError::Other("signature"));
        };
        let inner = std::str::from_utf8(&signature.sig.0)
            .ok()
            .and_then(crate::dsse::decode_base64);
        signed.check_signature(&inner.ok_or(LogError::Body)?)?;
        signed.check_pem(&signature.public_key.0)
    }
}
