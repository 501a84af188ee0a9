//! Certificates in a card's data objects (NIST SP 800-73-4 part 1, appendix A): BER-TLV with the certificate under tag
//! 70 and, under 71, whether it is compressed.

use sealwright_driver_api::{DriverError, ErrorClass};
use spki::der::Encode as _;
use yubikey::piv::SlotId;
use yubikey::{Certificate, ObjectId};

use crate::slot::SlotKey;

const CERTIFICATE: u8 = 0x70;
const INFO: u8 = 0x71;
/// In the information: gzip.
const COMPRESSED: u8 = 1;

/// The object with a slot's certificate (SP 800-73-4 part 1, table 3).
pub(crate) fn object_of(slot: SlotId) -> ObjectId {
    match u8::from(slot) {
        0x9a => 0x005f_c105,
        0x9c => 0x005f_c10a,
        0x9d => 0x005f_c10b,
        0x9e => 0x005f_c101,
        // The retired ones, 82 to 95, in a row; no other slot is an address of ours.
        number => 0x005f_c10d + u32::from(number.saturating_sub(0x82)),
    }
}

/// The certificate in an object, DER.
pub(crate) fn in_object(object: &[u8]) -> Result<Vec<u8>, DriverError> {
    let wrong = |why: &str| {
        let detail = format!("the card's object holds no certificate: {why}");
        Err(DriverError::unsupported(detail))
    };
    if object.is_empty() {
        let detail = "there is no certificate";
        return Err(DriverError::new(ErrorClass::KeyMissing, "", detail));
    }
    let Some(certificate) = value(CERTIFICATE, object) else {
        return wrong("it is cut off, or something else");
    };
    match value(INFO, object) {
        Some([info]) if info & COMPRESSED != 0 => {
            wrong("it is compressed; import it again without compression")
        }
        _ => Ok(certificate.to_vec()),
    }
}

/// Reads a certificate, which has to be for this key: programs that find it there sign with what lies beside it.
pub(crate) fn for_key(key: &SlotKey, der: &[u8]) -> Result<Certificate, DriverError> {
    let refuse = |why: &str| Err(DriverError::bad_request(format!("the certificate {why}")));
    let Ok(certificate) = Certificate::from_bytes(der.to_vec()) else {
        return refuse("is not X.509");
    };
    match certificate.subject_pki().to_der() {
        Ok(spki) if spki == key.spki_der => Ok(certificate),
        _ => refuse(&format!(
            "is for another key than the one in slot {:02x}",
            u8::from(key.id)
        )),
    }
}

/// The value of the first element with this tag; `None` where there is none, or an element before it is cut off.
fn value(tag: u8, mut bytes: &[u8]) -> Option<&[u8]> {
    while let [found, rest @ ..] = bytes {
        let (length, rest) = match rest {
            [0x82, high, low, rest @ ..] => (usize::from(*high) << 8 | usize::from(*low), rest),
            [0x81, length, rest @ ..] | [length @ 0..=0x7f, rest @ ..] => {
                (usize::from(*length), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        if *found == tag {
            return Some(value);
        }
        bytes = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_found_among_other_elements() {
        let long = [&[0x70, 0x81, 0x80][..], &[7; 0x80], &[0x71, 1, 0, 0xfe, 0]].concat();
        assert_eq!(in_object(&long).unwrap(), [7; 0x80]);
        assert_eq!(in_object(&[0x71, 1, 0, 0x70, 1, 9]).unwrap(), [9]);
        let longer = [&[0x70, 0x82, 1, 0][..], &[7; 0x100]].concat();
        assert_eq!(in_object(&longer).unwrap(), [7; 0x100]);
    }

    #[test]
    fn an_empty_object_a_cut_one_and_a_compressed_certificate_are_told_apart() {
        let class = |object: &[u8]| {
            let refused = in_object(object).unwrap_err();
            (refused.class, refused.detail)
        };
        assert_eq!(class(&[]).0, ErrorClass::KeyMissing);
        for cut in [
            &[0x70][..],
            &[0x70, 2, 9],
            &[0x70, 0x82, 1],
            &[0x70, 0x84, 0, 0, 0, 0],
            &[0x53, 0],
        ] {
            assert!(class(cut).1.contains("cut off"), "{cut:?}");
        }
        assert!(class(&[0x70, 1, 9, 0x71, 1, 1]).1.contains("compressed"));
    }
}
