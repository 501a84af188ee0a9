//! Writing envelopes as canonical JSON (RFC 8785), straight from the payload's bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes of punctuation and member names around the payload, and around each signature.
const FRAME_LEN: usize = 64;

/// An envelope's canonical JSON. Signatures are `(keyid, signature)`; an empty keyid is written as such.
///
/// The payload is encoded straight into the result: it is not copied in between.
pub fn encode_envelope(
    payload_type: &str,
    payload: &[u8],
    signatures: &[(&str, &[u8])],
) -> Vec<u8> {
    let mut out = String::with_capacity(envelope_len(payload_type, payload, signatures));
    write_envelope(&mut out, payload_type, payload, signatures);
    out.into_bytes()
}

/// An upper bound of the encoded length, as long as the texts need no escapes.
pub(crate) fn envelope_len(
    payload_type: &str,
    payload: &[u8],
    signatures: &[(&str, &[u8])],
) -> usize {
    let signatures = signatures
        .iter()
        .map(|(keyid, sig)| keyid.len() + sig.len() * 2 + FRAME_LEN);
    payload.len().div_ceil(3) * 4 + payload_type.len() + signatures.sum::<usize>() + FRAME_LEN
}

/// Appends an envelope's canonical JSON: members in the order of RFC 8785, no white space.
pub(crate) fn write_envelope(
    out: &mut String,
    payload_type: &str,
    payload: &[u8],
    signatures: &[(&str, &[u8])],
) {
    out.push_str("{\"payload\":");
    write_base64(out, payload);
    out.push_str(",\"payloadType\":");
    write_text(out, payload_type);
    out.push_str(",\"signatures\":[");
    for (i, (keyid, sig)) in signatures.iter().enumerate() {
        out.push_str(if i == 0 {
            "{\"keyid\":"
        } else {
            ",{\"keyid\":"
        });
        write_text(out, keyid);
        out.push_str(",\"sig\":");
        write_base64(out, sig);
        out.push('}');
    }
    out.push_str("]}");
}

/// Appends bytes as a JSON string of standard, padded base64.
pub(crate) fn write_base64(out: &mut String, bytes: &[u8]) {
    out.push('"');
    STANDARD.encode_string(bytes, out);
    out.push('"');
}

/// Appends a JSON string. serde_json escapes exactly what RFC 8785 section 3.2.2.2 wants escaped.
pub(crate) fn write_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsse::Envelope;
    use proptest::prelude::*;

    #[test]
    fn one_allocation_is_enough() {
        let payload = vec![7; 100_000];
        let signatures = [
            ("k".repeat(44), vec![1; 72]),
            ("l".repeat(44), vec![2; 512]),
        ];
        let signatures: Vec<_> = signatures.iter().map(|(k, s)| (&**k, &**s)).collect();
        let encoded = encode_envelope("application/vnd.in-toto+json", &payload, &signatures);
        let bound = envelope_len("application/vnd.in-toto+json", &payload, &signatures);
        assert!(encoded.len() <= bound && bound < encoded.len() + 1000);
    }

    proptest! {
        #[test]
        fn the_bytes_are_canonical_and_read_back(
            payload_type in ".{0,20}",
            payload in proptest::collection::vec(any::<u8>(), 0..200),
            signatures in proptest::collection::vec((".{0,8}", proptest::collection::vec(any::<u8>(), 0..80)), 0..4),
        ) {
            let signatures: Vec<_> = signatures.iter().map(|(k, s)| (&**k, &**s)).collect();
            let encoded = encode_envelope(&payload_type, &payload, &signatures);
            let value: serde_json::Value = serde_json::from_slice(&encoded).unwrap();
            prop_assert_eq!(&serde_json_canonicalizer::to_vec(&value).unwrap(), &encoded);

            let envelope = Envelope::parse(&encoded).unwrap();
            prop_assert_eq!(envelope.pae().payload, &payload);
            prop_assert_eq!(envelope.payload_type(), &payload_type);
            let read: Vec<_> = envelope.signatures().iter().map(|s| (&*s.keyid, s.sig.as_deref().unwrap())).collect();
            prop_assert_eq!(read, signatures);
        }
    }
}
