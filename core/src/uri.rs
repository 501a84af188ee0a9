//! Key URIs: RFC 7512 for PKCS#11, the same grammar for `tpm2:`, `fido2:` and `piv:`.
//!
//! Only the path attributes name a key; query attributes such as `pin-value` are refused, because a
//! credential never belongs in a name that is written to logs.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Longest URI in bytes; it travels in every request to a driver.
pub const URI_MAX: usize = 512;

/// A key's address inside a token: `pkcs11:token=hsm1;serial=01ab;object=release`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyUri {
    kind: String,
    // Sorted, so that two spellings of one URI compare, hash and print alike.
    attributes: BTreeMap<String, Vec<u8>>,
}

/// Why a text is no key URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// No `kind:` in front.
    #[error("a key URI begins with its kind, as in pkcs11:token=…;object=…")]
    NoScheme,
    /// An attribute is not `name=value`.
    #[error("key URI attribute {0:?} is not name=value with RFC 7512 characters or %XX")]
    Attribute(String),
    /// An attribute stands twice.
    #[error("key URI attribute {0:?} stands twice")]
    Repeated(String),
    /// A query part is present.
    #[error(
        "a key URI has no query part: PINs and module paths belong in the token's configuration"
    )]
    Query,
    /// Too long.
    #[error("a key URI has at most {URI_MAX} bytes")]
    TooLong,
}

impl KeyUri {
    /// The driver kind in front of the colon: `pkcs11`, `tpm2`, …
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The bytes of attribute `name`, percent-decoded.
    pub fn attribute(&self, name: &str) -> Option<&[u8]> {
        self.attributes.get(name).map(Vec::as_slice)
    }

    /// Attribute `name` as UTF-8 text; `None` where it is absent or not UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.attribute(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Names of all attributes, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.attributes.keys().map(String::as_str)
    }
}

/// Unreserved and allowed marks of RFC 7512 section 2.3 for a path attribute value.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:[]@!$'()*+,=&".contains(&byte)
}

fn decode(value: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let (pair, tail) = tail.split_at_checked(2)?;
            out.push(*hex::decode(pair).ok()?.first()?);
            rest = tail;
        } else if is_plain(first) {
            out.push(first);
            rest = tail;
        } else {
            return None;
        }
    }
    Some(out)
}

impl FromStr for KeyUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        if text.len() > URI_MAX {
            return Err(UriError::TooLong);
        }
        let (kind, path) = text.split_once(':').ok_or(UriError::NoScheme)?;
        if kind.is_empty()
            || !kind
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        {
            return Err(UriError::NoScheme);
        }
        if path.contains('?') {
            return Err(UriError::Query);
        }
        let mut attributes = BTreeMap::new();
        for part in path.split(';').filter(|_| !path.is_empty()) {
            let bad = || UriError::Attribute(part.to_owned());
            let (name, value) = part.split_once('=').ok_or_else(bad)?;
            let name_ok = !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !name_ok {
                return Err(bad());
            }
            let value = decode(value).ok_or_else(bad)?;
            if attributes.insert(name.to_owned(), value).is_some() {
                return Err(UriError::Repeated(name.to_owned()));
            }
        }
        Ok(Self {
            kind: kind.to_owned(),
            attributes,
        })
    }
}

impl fmt::Display for KeyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.kind)?;
        for (i, (name, value)) in self.attributes.iter().enumerate() {
            write!(f, "{}{name}=", if i == 0 { "" } else { ";" })?;
            for &byte in value {
                if is_plain(byte) {
                    write!(f, "{}", char::from(byte))?;
                } else {
                    write!(f, "%{byte:02X}")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for KeyUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

use serde::{Deserialize, Serialize, de};
crate::name::serde_as_text!(KeyUri);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_spellings_of_one_uri_are_one_uri() {
        let a: KeyUri = "pkcs11:token=My%20HSM;object=release;id=%01%ab"
            .parse()
            .unwrap();
        let b: KeyUri = "pkcs11:id=%01%AB;object=rel%65ase;token=My%20HSM"
            .parse()
            .unwrap();
        assert_eq!(a, b);
        assert_eq!(
            a.to_string(),
            "pkcs11:id=%01%AB;object=release;token=My%20HSM"
        );
        assert_eq!(a.attribute("id"), Some(&[1u8, 0xab][..]));
        assert_eq!(a.text("id"), None);
        assert_eq!(a.text("token"), Some("My HSM"));
    }

    #[test]
    fn each_bad_uri_has_its_own_error() {
        let error = |text: &str| text.parse::<KeyUri>().unwrap_err();
        assert_eq!(error("release"), UriError::NoScheme);
        assert_eq!(error("pkcs11:object=a?pin-value=1234"), UriError::Query);
        assert_eq!(
            error("pkcs11:object=a;object=b"),
            UriError::Repeated("object".into())
        );
        assert_eq!(error("pkcs11:object"), UriError::Attribute("object".into()));
        assert_eq!(
            error("pkcs11:object=a b"),
            UriError::Attribute("object=a b".into())
        );
        assert_eq!(
            error("pkcs11:object=%4"),
            UriError::Attribute("object=%4".into())
        );
        assert_eq!(
            error(&format!("pkcs11:object={}", "a".repeat(URI_MAX))),
            UriError::TooLong
        );
    }
}
