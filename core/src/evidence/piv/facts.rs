//! What Yubico's extensions (arc 1.3.6.1.4.1.41482.3) of an attestation say.

use der::oid::ObjectIdentifier;
use x509_cert::Certificate;

use crate::evidence::{EvidenceError, malformed};

const FIRMWARE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.3");
const SERIAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.7");
const POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.8");
const FORM_FACTOR: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.41482.3.9");

/// `None` where a certificate does not tell; older firmware tells less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PivFacts {
    /// Firmware: major, minor, patch.
    pub firmware: Option<[u8; 3]>,
    /// The card's serial number.
    pub serial: Option<u64>,
    /// When the key wants the PIN (1 never, 2 once, 3 always) and a touch (1 never, 2 always, 3 cached); newer firmware
    /// may know more. Only keys in slots have it.
    pub policy: Option<[u8; 2]>,
    /// The shape of the device, a number of Yubico's.
    pub form_factor: Option<u8>,
}

impl PivFacts {
    /// Reads a certificate that a card made, or a card's own.
    ///
    /// # Errors
    /// [`EvidenceError::Malformed`]: an extension has another form than Yubico documents.
    pub fn of(certificate: &Certificate) -> Result<Self, EvidenceError> {
        Ok(Self {
            firmware: fixed(certificate, FIRMWARE)?,
            serial: value(certificate, SERIAL).map(number).transpose()?,
            policy: fixed(certificate, POLICY)?,
            form_factor: fixed(certificate, FORM_FACTOR)?.map(|[byte]| byte),
        })
    }

    /// When the key wants the PIN, in Yubico's words.
    pub fn pin_policy(&self) -> &'static str {
        named(self.policy.map(|[pin, _]| pin), ["never", "once", "always"])
    }

    /// When the key wants a touch, in Yubico's words.
    pub fn touch_policy(&self) -> &'static str {
        named(
            self.policy.map(|[_, touch]| touch),
            ["never", "always", "cached"],
        )
    }
}

/// Numbers begin at 1.
fn named(number: Option<u8>, names: [&'static str; 3]) -> &'static str {
    let place = number.and_then(|number| number.checked_sub(1));
    place
        .and_then(|place| names.get(usize::from(place)).copied())
        .unwrap_or("unknown")
}

/// An extension's bytes as they are: but for the serial number they are no DER.
fn value(certificate: &Certificate, id: ObjectIdentifier) -> Option<&[u8]> {
    let extensions = certificate.tbs_certificate().extensions()?;
    let found = extensions.iter().find(|extension| extension.extn_id == id);
    found.map(|extension| extension.extn_value.as_bytes())
}

fn fixed<const N: usize>(
    certificate: &Certificate,
    id: ObjectIdentifier,
) -> Result<Option<[u8; N]>, EvidenceError> {
    let bytes = value(certificate, id).map(<[u8; N]>::try_from);
    bytes
        .transpose()
        .map_err(|_| malformed(&id.to_string(), format!("not {N} bytes")))
}

/// A DER INTEGER, but with as many zeros in front as the card likes: it is compared, and its bytes are signed.
fn number(der: &[u8]) -> Result<u64, EvidenceError> {
    let digits = match der {
        [0x02, length, digits @ ..] if usize::from(*length) == digits.len() => digits,
        _ => &[],
    };
    let append = |number: u64, digit: &u8| number.checked_mul(256)?.checked_add((*digit).into());
    let number = digits.iter().try_fold(0, append);
    let number = number.filter(|_| !digits.is_empty());
    number.ok_or_else(|| malformed(&SERIAL.to_string(), "no number below 2^64"))
}
