//! Which private key a `pkcs11:` URI means (RFC 7512).

use cryptoki::object::{Attribute, ObjectClass};
use sealwright_driver_api::{DriverError, KeyUri};

use crate::KIND;

/// The attributes that may stand in a key's URI. A slot, a module or a PIN never does: slot numbers change
/// at every start, the rest is the token's configuration.
const ALLOWED: [&str; 5] = ["id", "object", "serial", "token", "type"];

/// A private key's address on the one token that this process serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// CKA_LABEL.
    pub(crate) label: Option<Vec<u8>>,
    /// CKA_ID.
    pub(crate) id: Option<Vec<u8>>,
}

impl Address {
    /// Reads a URI; `label` and `serial` are the token's.
    pub(crate) fn parse(uri: &KeyUri, label: &str, serial: &str) -> Result<Self, DriverError> {
        let bad = |reason: String| Err(DriverError::bad_request(format!("key {uri}: {reason}")));
        if uri.kind() != KIND {
            return bad(format!("this driver serves {KIND}: URIs only"));
        }
        if let Some(name) = uri.names().find(|name| !ALLOWED.contains(name)) {
            return bad(format!(
                "attribute {name:?} does not select a key; use {}",
                ALLOWED.join(", ")
            ));
        }
        for (name, ours) in [("token", label), ("serial", serial), ("type", "private")] {
            if uri
                .attribute(name)
                .is_some_and(|value| value != ours.as_bytes())
            {
                return bad(format!(
                    "{name} is not {ours:?}, which is what this driver serves"
                ));
            }
        }
        let address = Self {
            label: uri.attribute("object").map(<[u8]>::to_vec),
            id: uri.attribute("id").map(<[u8]>::to_vec),
        };
        // Without either, the first key added later would make the address ambiguous.
        if address
            == (Self {
                label: None,
                id: None,
            })
        {
            return bad("names neither object nor id".to_owned());
        }
        Ok(address)
    }

    /// The search template for objects of `class` on the token.
    pub(crate) fn template(&self, class: ObjectClass) -> Vec<Attribute> {
        let mut template = vec![Attribute::Class(class), Attribute::Token(true)];
        template.extend(self.label.clone().map(Attribute::Label));
        template.extend(self.id.clone().map(Attribute::Id));
        template
    }
}

/// The full address of a key; `None` where it would be longer than a URI may be.
pub(crate) fn full_uri(token: &str, serial: &str, address: &Address) -> Option<KeyUri> {
    let mut text = format!("{KIND}:type=private");
    let parts = [
        ("token", Some(token.as_bytes())),
        ("serial", Some(serial.as_bytes())),
        ("object", address.label.as_deref()),
        ("id", address.id.as_deref()),
    ];
    for (name, value) in parts {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            continue;
        };
        text.push_str(&format!(";{name}="));
        value.iter().for_each(|byte| push_encoded(&mut text, *byte));
    }
    text.parse().ok()
}

fn push_encoded(text: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        text.push(char::from(byte));
    } else {
        text.push_str(&format!("%{byte:02X}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(uri: &str) -> Result<Address, String> {
        Address::parse(&uri.parse().unwrap(), "hsm 1", "01ab").map_err(|e| e.to_string())
    }

    #[test]
    fn object_and_id_select_and_token_serial_and_type_may_stand_beside_them() {
        let address =
            parse("pkcs11:token=hsm%201;serial=01ab;type=private;object=release;id=%01%FF")
                .unwrap();
        assert_eq!(
            address,
            Address {
                label: Some(b"release".to_vec()),
                id: Some(vec![1, 255])
            }
        );
        assert_eq!(parse("pkcs11:object=release").unwrap().id, None);
        assert_eq!(parse("pkcs11:id=%01").unwrap().label, None);
    }

    #[test]
    fn an_attribute_that_selects_no_key_is_named() {
        for name in ["slot-id", "library-description", "model", "x-vendor"] {
            let error = parse(&format!("pkcs11:object=a;{name}=1")).unwrap_err();
            assert!(
                error.contains(name) && error.contains("id, object, serial, token, type"),
                "{error}"
            );
        }
    }

    #[test]
    fn another_token_serial_type_or_kind_is_refused() {
        assert!(
            parse("pkcs11:object=a;token=hsm2")
                .unwrap_err()
                .contains("token is not \"hsm 1\"")
        );
        assert!(
            parse("pkcs11:object=a;serial=02")
                .unwrap_err()
                .contains("serial is not \"01ab\"")
        );
        assert!(
            parse("pkcs11:object=a;type=public")
                .unwrap_err()
                .contains("type is not \"private\"")
        );
        assert!(
            parse("tpm2:object=a")
                .unwrap_err()
                .contains("pkcs11: URIs only")
        );
    }

    #[test]
    fn an_address_that_any_key_would_match_is_refused() {
        assert!(
            parse("pkcs11:token=hsm%201")
                .unwrap_err()
                .contains("neither object nor id")
        );
    }

    proptest! {
        #[test]
        fn a_full_uri_leads_back_to_its_address(
            label in proptest::collection::vec(any::<u8>(), 1..40),
            id in proptest::collection::vec(any::<u8>(), 1..20),
        ) {
            let address = Address { label: Some(label), id: Some(id) };
            let uri = full_uri("hsm 1", "01ab", &address).unwrap();
            prop_assert_eq!(Address::parse(&uri, "hsm 1", "01ab").unwrap(), address);
        }
    }

    #[test]
    fn an_address_too_long_for_a_uri_has_none() {
        let address = Address {
            label: Some(vec![0xff; 200]),
            id: None,
        };
        assert_eq!(full_uri("t", "s", &address), None);
    }
}
