//! RFC 3161 time stamps: what a trusted authority says about when a signature existed.

use const_oid::db::rfc5911::{
    ID_AA_SIGNING_CERTIFICATE_V_2, ID_CONTENT_TYPE, ID_MESSAGE_DIGEST, ID_SIGNED_DATA,
};
use const_oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ID_SHA_256, ID_SHA_384, RSA_ENCRYPTION,
    SHA_256_WITH_RSA_ENCRYPTION,
};
use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use der::{DateTime, Decode as _, Encode as _, Reader as _, SliceReader, Tag, Tagged as _};
use x509_cert::Certificate;

use super::trusted_root::Authority;
use crate::scheme::HashAlg;
use crate::time::Timestamp;
use crate::x509;

/// Content type of TSTInfo (RFC 3161 section 2.4.2).
const ID_CT_TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");

/// Why a time stamp proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// Not the DER of a granted response.
    #[error("a time stamp is not a granted RFC 3161 response in DER")]
    Malformed,
    /// A hash or signature algorithm that is not implemented.
    #[error(
        "a time stamp uses an algorithm other than SHA-256 or SHA-384 with ECDSA, or SHA-256 with RSA"
    )]
    Algorithm,
    /// Made by nobody we trust.
    #[error("a time stamp is by no authority of the trusted root")]
    UnknownAuthority,
    /// By a trusted authority, but its signature or attributes do not fit.
    #[error("a time stamp's signature does not verify under its authority's certificate")]
    Signature,
    /// Over something else.
    #[error("a time stamp is over other data than the signature")]
    OtherData,
    /// At a time when authority or certificate were not valid.
    #[error("a time stamp's time is outside the validity of its authority or its certificates")]
    NotValidThen,
}

/// When a time stamp says that its data existed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamped {
    /// Its time, in whole seconds.
    pub(super) time: Timestamp,
    /// The latest time that it can mean: the second's end and the authority's accuracy are in it.
    pub(super) latest: Timestamp,
}

/// Verifies a time stamp over `signature` and returns its time.
pub(super) fn verify(
    response: &[u8],
    signature: &[u8],
    authorities: &[Authority],
) -> Result<Stamped, TimestampError> {
    let token = Token::parse(response).ok_or(TimestampError::Malformed)?;
    let hash = hash_alg(token.imprint_algorithm).ok_or(TimestampError::Algorithm)?;
    let mut outcome = Err(TimestampError::UnknownAuthority);
    for authority in authorities {
        let chain = x509::parse_all(authority.chain.iter().map(Vec::as_slice));
        let embedded = x509::parse_all(token.certificates.iter().copied());
        // An embedded certificate may sign only below the authority's anchor.
        let Some(signer) = chain
            .iter()
            .chain(&embedded)
            .find(|c| token.names_signer(c))
        else {
            continue;
        };
        // A certificate in the token that leads elsewhere is a stranger's.
        let is_anchor = |certificate: &Certificate| Some(certificate) == chain.last();
        let Some(path) = x509::path(signer, &chain, is_anchor) else {
            continue;
        };
        let is_valid = |certificate: &&Certificate| x509::is_valid_at(certificate, token.time);
        if !(authority.valid.covers(token.time) && path.iter().all(is_valid)) {
            outcome = Err(TimestampError::NotValidThen);
            continue;
        }
        token.verify_signature(signer)?;
        if hash.digest(&[signature]) != token.imprint {
            return Err(TimestampError::OtherData);
        }
        return Ok(token.stamped());
    }
    outcome
}

/// The parts of a time stamp token (RFC 3161 section 2.4.2, RFC 5652 section 5).
struct Token<'a> {
    /// TSTInfo, as signed.
    content: &'a [u8],
    imprint_algorithm: ObjectIdentifier,
    imprint: &'a [u8],
    time: Timestamp,
    /// How far off the time may be, in milliseconds.
    accuracy: i64,
    certificates: Vec<&'a [u8]>,
    /// issuerAndSerialNumber, DER.
    signer_id: AnyRef<'a>,
    digest_algorithm: ObjectIdentifier,
    /// Contents of the signed attributes' SET.
    signed_attributes: &'a [u8],
    signature_algorithm: ObjectIdentifier,
    signature: &'a [u8],
}

impl<'a> Token<'a> {
    fn parse(response: &'a [u8]) -> Option<Self> {
        let [status, content_info] = elements(whole(response)?)?.try_into().ok()?;
        // granted (0) or grantedWithMods (1)
        let granted = matches!(elements(status)?.first()?.value(), [0 | 1]);
        let [content_type, explicit] = elements(content_info)?.try_into().ok()?;
        if !granted || oid(content_type)? != ID_SIGNED_DATA {
            return None;
        }
        let signed_data = elements(whole(explicit.value())?)?;
        let (_version, rest) = signed_data.split_first()?;
        let (_digest_algorithms, rest) = rest.split_first()?;
        let (encapsulated, rest) = rest.split_first()?;
        let (signer_infos, optional) = rest.split_last()?;
        let content = content_of(*encapsulated)?;
        let [signer_info] = elements(*signer_infos)?.try_into().ok()?;
        Self::from_parts(content, certificates(optional)?, elements(signer_info)?)
    }

    fn from_parts(
        content: &'a [u8],
        certificates: Vec<&'a [u8]>,
        signer_info: Vec<AnyRef<'a>>,
    ) -> Option<Self> {
        let [
            _version,
            signer_id,
            digest_algorithm,
            attributes,
            algorithm,
            signature,
            ..,
        ] = *signer_info.as_slice()
        else {
            return None;
        };
        if !is_context(attributes, 0) {
            return None;
        }
        let info = elements(whole(content)?)?;
        let [_version, _policy, imprint, _serial, time, ref optional @ ..] = *info.as_slice()
        else {
            return None;
        };
        let [imprint_algorithm, imprint] = elements(imprint)?.try_into().ok()?;
        Some(Self {
            content,
            imprint_algorithm: algorithm_oid(imprint_algorithm)?,
            imprint: imprint.decode_as::<&OctetStringRef>().ok()?.as_bytes(),
            time: generalized_time(time)?,
            accuracy: accuracy(optional)?,
            certificates,
            signer_id,
            digest_algorithm: algorithm_oid(digest_algorithm)?,
            signed_attributes: attributes.value(),
            signature_algorithm: algorithm_oid(algorithm)?,
            signature: signature.decode_as::<&OctetStringRef>().ok()?.as_bytes(),
        })
    }

    fn stamped(&self) -> Stamped {
        let off = self.accuracy.saturating_add(SECOND - 1);
        let latest = self.time.unix_millis().saturating_add(off);
        Stamped {
            time: self.time,
            latest: Timestamp::from_unix_millis(latest),
        }
    }

    /// Whether the signer info names this certificate by issuer and serial number.
    fn names_signer(&self, certificate: &Certificate) -> bool {
        let tbs = certificate.tbs_certificate();
        let named = || {
            let [issuer, serial] = elements(self.signer_id)?.try_into().ok()?;
            let same_issuer = issuer.to_der().ok()? == tbs.issuer().to_der().ok()?;
            Some(same_issuer && serial.to_der().ok()? == tbs.serial_number().to_der().ok()?)
        };
        named().unwrap_or(false)
    }

    /// RFC 5652 section 5.4: the signature covers the attributes, and they cover content and certificate.
    fn verify_signature(&self, signer: &Certificate) -> Result<(), TimestampError> {
        let hash = hash_alg(self.digest_algorithm).ok_or(TimestampError::Algorithm)?;
        let algorithm = match (self.signature_algorithm, hash) {
            (oid @ (ECDSA_WITH_SHA_256 | ECDSA_WITH_SHA_384 | SHA_256_WITH_RSA_ENCRYPTION), _) => {
                oid
            }
            (RSA_ENCRYPTION, HashAlg::Sha256) => SHA_256_WITH_RSA_ENCRYPTION,
            _ => return Err(TimestampError::Algorithm),
        };
        let attributes = AnyRef::new(Tag::Set, self.signed_attributes)
            .and_then(|set| set.to_der())
            .map_err(|_| TimestampError::Malformed)?;
        let content_digest = hash.digest(&[self.content]);
        let binds = self.attribute(ID_CONTENT_TYPE).and_then(oid) == Some(ID_CT_TST_INFO)
            && self.attribute(ID_MESSAGE_DIGEST).map(AnyRef::value) == Some(&content_digest)
            && self.certificate_digest_is_of(signer).unwrap_or(false);
        if binds
            && x509::is_for_time_stamping(signer)
            && x509::verifies(signer, algorithm, &attributes, self.signature)
        {
            Ok(())
        } else {
            Err(TimestampError::Signature)
        }
    }

    /// The one value of a signed attribute that stands exactly once.
    fn attribute(&self, wanted: ObjectIdentifier) -> Option<AnyRef<'a>> {
        let mut values = sequence_of(self.signed_attributes)?
            .into_iter()
            .filter_map(|attribute| {
                let [name, values] = elements(attribute)?.try_into().ok()?;
                (oid(name)? == wanted).then_some(values)
            });
        let only = values.next().filter(|_| values.next().is_none())?;
        let [value] = elements(only)?.try_into().ok()?;
        Some(value)
    }

    /// ESSCertIDv2 (RFC 5816): the first certificate named is the signer's.
    fn certificate_digest_is_of(&self, signer: &Certificate) -> Option<bool> {
        let attribute = self.attribute(ID_AA_SIGNING_CERTIFICATE_V_2)?;
        let certificate_ids = *elements(attribute)?.first()?;
        let id = elements(*elements(certificate_ids)?.first()?)?;
        // hashAlgorithm DEFAULT sha256 stands in front of the hash where it is another.
        let (hash, digest) = match *id.as_slice() {
            [algorithm, digest, ..] if digest.tag() == Tag::OctetString => {
                (hash_alg(algorithm_oid(algorithm)?)?, digest)
            }
            [digest, ..] => (HashAlg::Sha256, digest),
            [] => return None,
        };
        Some(hash.digest(&[&signer.to_der().ok()?]) == digest.value())
    }
}

/// Milliseconds.
const SECOND: i64 = 1000;

/// `Accuracy`, the only SEQUENCE among TSTInfo's optional members, in milliseconds and rounded up; 0 where there is none.
fn accuracy(optional: &[AnyRef<'_>]) -> Option<i64> {
    let Some(accuracy) = optional.iter().find(|member| member.tag() == Tag::Sequence) else {
        return Some(0);
    };
    let mut millis: i64 = 0;
    for part in elements(*accuracy)? {
        // Positive INTEGERs: seconds, [0] milliseconds, [1] microseconds.
        let number = part.value().iter().try_fold(0i64, |number, byte| {
            number.checked_mul(256)?.checked_add((*byte).into())
        })?;
        millis = millis.checked_add(match part.tag() {
            Tag::Integer => number.checked_mul(SECOND)?,
            Tag::ContextSpecific { number: place, .. } if place.value() == 0 => number,
            Tag::ContextSpecific { number: place, .. } if place.value() == 1 => {
                number.checked_add(999)? / 1000
            }
            _ => return None,
        })?;
    }
    Some(millis)
}

/// The TSTInfo inside encapContentInfo.
fn content_of(encapsulated: AnyRef<'_>) -> Option<&[u8]> {
    let [content_type, explicit] = elements(encapsulated)?.try_into().ok()?;
    if oid(content_type)? != ID_CT_TST_INFO {
        return None;
    }
    Some(
        whole(explicit.value())?
            .decode_as::<&OctetStringRef>()
            .ok()?
            .as_bytes(),
    )
}

/// The DER of each certificate in `[0] IMPLICIT CertificateSet`.
fn certificates<'a>(optional: &[AnyRef<'a>]) -> Option<Vec<&'a [u8]>> {
    let set = optional.iter().find(|element| is_context(**element, 0));
    set.map_or(Some(Vec::new()), |set| {
        let mut reader = SliceReader::new(set.value()).ok()?;
        let mut found = Vec::new();
        while !reader.is_finished() {
            found.push(reader.tlv_bytes().ok()?);
        }
        Some(found)
    })
}

fn hash_alg(algorithm: ObjectIdentifier) -> Option<HashAlg> {
    match algorithm {
        ID_SHA_256 => Some(HashAlg::Sha256),
        ID_SHA_384 => Some(HashAlg::Sha384),
        _ => None,
    }
}

fn algorithm_oid(identifier: AnyRef<'_>) -> Option<ObjectIdentifier> {
    oid(*elements(identifier)?.first()?)
}

fn oid(element: AnyRef<'_>) -> Option<ObjectIdentifier> {
    element.decode_as().ok()
}

fn is_context(element: AnyRef<'_>, wanted: u32) -> bool {
    matches!(element.tag(), Tag::ContextSpecific { constructed: true, number } if number.value() == wanted)
}

/// One element and nothing after it.
fn whole(der: &[u8]) -> Option<AnyRef<'_>> {
    AnyRef::from_der(der).ok()
}

/// The elements of a SEQUENCE or SET.
fn elements(of: AnyRef<'_>) -> Option<Vec<AnyRef<'_>>> {
    matches!(of.tag(), Tag::Sequence | Tag::Set)
        .then(|| sequence_of(of.value()))
        .flatten()
}

fn sequence_of(contents: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(contents).ok()?;
    let mut elements = Vec::new();
    while !reader.is_finished() {
        elements.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(elements)
}

/// `YYYYMMDDhhmmss[.fraction]Z`; DER readers for certificates do not take the fraction that time stamps have.
fn generalized_time(element: AnyRef<'_>) -> Option<Timestamp> {
    let text = std::str::from_utf8(element.value())
        .ok()?
        .strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if element.tag() != Tag::GeneralizedTime
        || whole.len() != 14
        || !digits(whole)
        || !digits(fraction)
    {
        return None;
    }
    let part = |range: std::ops::Range<usize>| whole.get(range)?.parse::<u8>().ok();
    let year = whole.get(..4)?.parse().ok()?;
    let time = DateTime::new(
        year,
        part(4..6)?,
        part(6..8)?,
        part(8..10)?,
        part(10..12)?,
        part(12..14)?,
    );
    let seconds = i64::try_from(time.ok()?.unix_duration().as_secs()).ok()?;
    Some(Timestamp::from_unix_millis(seconds.checked_mul(1000)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::logged::tests::{bundle, root};
    use crate::bundle::{Bundle, Content, TrustedRoot};

    /// The time stamp of the fixture, and the signature it is over.
    fn stamp(bundle: &Bundle) -> (&[u8], &[u8]) {
        let Content::Dsse(envelope) = &bundle.content else {
            panic!("the fixture is an envelope")
        };
        (
            &bundle.material.timestamps[0],
            envelope.signatures()[0].sig.as_deref().unwrap(),
        )
    }

    #[test]
    fn a_time_stamp_says_when_its_signature_existed() {
        let (bundle, TrustedRoot { authorities, .. }) = (bundle(), root());
        let (response, signature) = stamp(&bundle);
        let Stamped { time, latest } = verify(response, signature, &authorities).unwrap();
        assert!(latest > time);
        assert_eq!(time.to_string(), "2026-11-25T09:17:58.000Z");
        assert_eq!(
            verify(response, b"other", &authorities),
            Err(TimestampError::OtherData)
        );
        assert_eq!(
            verify(response, signature, &[]),
            Err(TimestampError::UnknownAuthority)
        );
        assert_eq!(
            verify(b"\x30\x00", signature, &authorities),
            Err(TimestampError::Malformed)
        );
    }

    #[test]
    fn no_changed_byte_moves_the_time_or_the_data() {
        let (bundle, TrustedRoot { authorities, .. }) = (bundle(), root());
        let (response, signature) = stamp(&bundle);
        let time = verify(response, signature, &authorities).unwrap();
        for i in 0..response.len() {
            let mut changed = response.to_vec();
            changed[i] ^= 1;
            if let Ok(other) = verify(&changed, signature, &authorities) {
                assert_eq!(other, time, "byte {i}");
            }
            assert!(
                verify(&changed, b"other", &authorities).is_err(),
                "byte {i}"
            );
        }
    }

    #[test]
    fn the_anchor_must_be_the_authoritys() {
        let (
            bundle,
            TrustedRoot {
                mut authorities, ..
            },
        ) = (bundle(), root());
        let (response, signature) = stamp(&bundle);
        // Only the anchor is left: the token's own certificate leads to it.
        authorities[0].chain.remove(0);
        verify(response, signature, &authorities).unwrap();
        // Without it, the certificate in the token adds no trust.
        authorities[0].chain.remove(0);
        assert_eq!(
            verify(response, signature, &authorities),
            Err(TimestampError::UnknownAuthority)
        );
    }

    #[test]
    fn authority_and_certificates_must_be_valid_at_that_time() {
        let bundle = bundle();
        let (response, signature) = stamp(&bundle);
        let with = |valid: &str| {
            let text = include_str!("../../../fixtures/private-log/trusted_root.json");
            let mut root: serde_json::Value = serde_json::from_str(text).unwrap();
            root["timestampAuthorities"][0]["validFor"] = serde_json::from_str(valid).unwrap();
            let root = TrustedRoot::parse(root.to_string().as_bytes()).unwrap();
            verify(response, signature, &root.authorities)
        };
        with(r#"{"start": "2026-11-25T00:00:00Z"}"#).unwrap();
        let ended = with(r#"{"start": "2026-11-01T00:00:00Z", "end": "2026-11-02T00:00:00Z"}"#);
        assert_eq!(ended, Err(TimestampError::NotValidThen));
    }

    #[test]
    fn an_accuracy_is_added_up_and_rounded_up() {
        let der = |parts: &[u8]| {
            let mut all = vec![0x30, u8::try_from(parts.len()).unwrap()];
            all.extend_from_slice(parts);
            all
        };
        let of = |parts: &[u8]| accuracy(&[AnyRef::from_der(&der(parts)).unwrap()]);
        assert_eq!(accuracy(&[]), Some(0));
        assert_eq!(of(&[]), Some(0));
        assert_eq!(of(&[2, 1, 1, 0x80, 2, 1, 0xf4, 0x81, 1, 1]), Some(1501));
        // No number, one that is no milliseconds any more, and something else.
        assert_eq!(of(&[2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(of(&[2, 8, 0x7f, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(of(&[4, 1, 1]), None);
    }

    #[test]
    fn a_time_with_a_fraction_counts_in_whole_seconds() {
        let read = |text: &str| {
            generalized_time(AnyRef::new(Tag::GeneralizedTime, text.as_bytes()).unwrap())
        };
        let second = read("20261122155318Z").unwrap();
        assert_eq!(second.to_string(), "2026-11-22T15:53:18.000Z");
        assert_eq!(read("20261122155318.987Z"), Some(second));
        for bad in [
            "20261122155318",
            "20261322155318Z",
            "2026112215531Z",
            "20261122155318.Z",
            "+0261122155318Z",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
