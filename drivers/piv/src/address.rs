//! From a key's URI to its slot.

use sealwright_driver_api::{DriverError, ErrorClass, KeyUri};
use yubikey::piv::SlotId;

/// The kind of URI this driver answers for.
pub const KIND: &str = "piv";

/// The slots with keys for signing: the four of the standard, and the "retired" ones of YubiKeys.
const SLOTS: [u8; 4] = [0x9a, 0x9c, 0x9d, 0x9e];
const RETIRED_SLOTS: std::ops::RangeInclusive<u8> = 0x82..=0x95;

/// What a URI has to say to mean a key of this token.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    /// The token's label: the one in its configuration.
    pub(crate) label: String,
    /// The card's serial number, as its configuration writes it.
    pub(crate) serial: String,
}

impl Address {
    /// The slot that `piv:slot=9c[;token=LABEL][;serial=SERIAL]` names on this card.
    pub(crate) fn slot(&self, uri: &KeyUri) -> Result<SlotId, DriverError> {
        let bad = |why: String| Err(DriverError::bad_request(format!("{uri}: {why}")));
        if uri.kind() != KIND {
            return bad(format!("no key of a PIV card; write {KIND}:slot=…"));
        }
        let known = ["serial", "slot", "token"];
        if let Some(name) = uri.names().find(|name| !known.contains(name)) {
            return bad(format!(
                "a PIV key is named by slot, token and serial; it has no {name:?}"
            ));
        }
        for (attribute, own) in [("token", &self.label), ("serial", &self.serial)] {
            if uri
                .attribute(attribute)
                .is_some_and(|value| value != own.as_bytes())
            {
                let detail =
                    format!("{uri} is a key of another card: this one has {attribute}={own}");
                return Err(DriverError::new(ErrorClass::KeyMissing, "", detail));
            }
        }
        match uri.text("slot").and_then(slot) {
            Some(slot) => Ok(slot),
            None => bad("slot is one of 9a, 9c, 9d, 9e and 82 to 95".to_owned()),
        }
    }

    /// The full URI of a slot on this card.
    pub(crate) fn uri(&self, slot: SlotId) -> Result<KeyUri, DriverError> {
        let label: String = self.label.bytes().map(|b| format!("%{b:02x}")).collect();
        let (number, serial) = (u8::from(slot), &self.serial);
        let uri = format!("{KIND}:serial={serial};slot={number:02x};token={label}");
        uri.parse().map_err(|e| {
            DriverError::config(format!(
                "the token's label {:?} fits no URI: {e}",
                self.label
            ))
        })
    }
}

fn slot(text: &str) -> Option<SlotId> {
    let digits = text
        .bytes()
        .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
    let number = u8::from_str_radix(text, 16).ok()?;
    let signs = SLOTS.contains(&number) || RETIRED_SLOTS.contains(&number);
    let is_slot = digits && text.len() == 2 && signs;
    is_slot.then(|| SlotId::try_from(number).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot_of(uri: &str) -> Result<u8, ErrorClass> {
        let address = Address {
            label: "my key".into(),
            serial: "1".into(),
        };
        let slot = address.slot(&uri.parse().unwrap());
        slot.map(u8::from).map_err(|e| e.class)
    }

    #[test]
    fn a_slot_is_named_by_its_two_hex_digits() {
        for (text, number) in [("9a", 0x9a), ("9c", 0x9c), ("82", 0x82), ("95", 0x95)] {
            assert_eq!(slot_of(&format!("piv:slot={text}")), Ok(number));
        }
        for text in ["9C", "9b", "f9", "80", "96", "9", "09c", "", "+9"] {
            let refused = slot_of(&format!("piv:slot={text}"));
            assert_eq!(refused, Err(ErrorClass::BadRequest), "{text}");
        }
    }

    #[test]
    fn a_uri_says_nothing_else_and_nothing_of_another_card() {
        assert_eq!(slot_of("piv:slot=9c;token=my%20key;serial=1"), Ok(0x9c));
        for (uri, class) in [
            ("piv:token=my%20key", ErrorClass::BadRequest),
            ("piv:slot=9c;id=1", ErrorClass::BadRequest),
            ("tpm2:slot=9c", ErrorClass::BadRequest),
            ("piv:slot=9c;token=other", ErrorClass::KeyMissing),
            ("piv:slot=9c;serial=2", ErrorClass::KeyMissing),
        ] {
            assert_eq!(slot_of(uri), Err(class), "{uri}");
        }
    }
}
