//! Writing bundles as canonical JSON (RFC 8785), straight from the payload's bytes.

use std::ops::Range;

use super::MEDIA_TYPE;
use crate::dsse::{envelope_len, write_base64, write_envelope, write_text};

/// What stands in front of the envelope: its member sorts first.
const OPENING: &str = "{\"dsseEnvelope\":";

/// Bytes of punctuation and names around the envelope, the key id and the certificate.
const FRAME_LEN: usize = 256;

/// A bundle's canonical JSON, and where in it the envelope's own canonical JSON stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedBundle {
    bytes: Vec<u8>,
    envelope: Range<usize>,
}

impl EncodedBundle {
    /// The bundle.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The envelope inside: what a record's `envelope_sha256` is taken over.
    pub fn envelope(&self) -> &[u8] {
        self.bytes.get(self.envelope.clone()).unwrap_or_default()
    }

    /// The bundle, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// A v0.3 bundle around an envelope with one signature, without log entries or time stamps.
///
/// `keyid` is both the envelope's keyid and the bundle's hint, which its specification wants equal. Where the
/// key has a certificate (DER), it stands in place of the hint.
pub fn encode_bundle(
    payload_type: &str,
    payload: &[u8],
    keyid: &str,
    signature: &[u8],
    certificate: Option<&[u8]>,
) -> EncodedBundle {
    let signatures = [(keyid, signature)];
    let len = envelope_len(payload_type, payload, &signatures)
        + keyid.len()
        + certificate.map_or(0, |der| der.len().div_ceil(3) * 4)
        + FRAME_LEN;
    let mut out = String::with_capacity(len);
    out.push_str(OPENING);
    write_envelope(&mut out, payload_type, payload, &signatures);
    let envelope = OPENING.len()..out.len();
    out.push_str(",\"mediaType\":");
    write_text(&mut out, MEDIA_TYPE);
    out.push_str(",\"verificationMaterial\":{");
    match certificate {
        Some(der) => {
            out.push_str("\"certificate\":{\"rawBytes\":");
            write_base64(&mut out, der);
        }
        None => {
            out.push_str("\"publicKey\":{\"hint\":");
            write_text(&mut out, keyid);
        }
    }
    out.push_str("},\"tlogEntries\":[]}}");
    EncodedBundle {
        bytes: out.into_bytes(),
        envelope,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{Bundle, Content, KeyMaterial, Version};
    use crate::dsse::encode_envelope;

    #[test]
    fn the_bytes_are_canonical_and_hold_the_envelopes_own_bytes() {
        for certificate in [None, Some(&b"\x30\x00"[..])] {
            let encoded = encode_bundle("t/\u{e4}\"", b"payload", "k\\", b"sig", certificate);
            let value: serde_json::Value = serde_json::from_slice(encoded.bytes()).unwrap();
            assert_eq!(
                serde_json_canonicalizer::to_vec(&value).unwrap(),
                encoded.bytes()
            );
            let envelope = encode_envelope("t/\u{e4}\"", b"payload", &[("k\\", b"sig")]);
            assert_eq!(encoded.envelope(), envelope);
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let encoded = encode_bundle("t", b"payload", "k", b"sig", None);
        let bundle = Bundle::parse(encoded.bytes()).unwrap();
        assert_eq!(bundle.version, Version::V03);
        assert_eq!(bundle.material.key, KeyMaterial::Hint("k".into()));
        assert!(
            matches!(bundle.content, Content::Dsse(envelope) if envelope.pae().payload == b"payload")
        );
        let encoded = encode_bundle("t", b"payload", "k", b"sig", Some(b"der"));
        let bundle = Bundle::parse(encoded.bytes()).unwrap();
        assert_eq!(
            bundle.material.key,
            KeyMaterial::Certificates(vec![b"der".to_vec()])
        );
    }
}
