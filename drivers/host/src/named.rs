//! Keys that are known by a name, because their device has none for them: from a key's URI to the name of its file.

use sealwright_driver_api::{DriverError, ErrorClass, KeyUri, TokenConfig};

/// Longest object name in bytes; it becomes a file name.
const OBJECT_MAX: usize = 64;

/// A checked object name: safe as a file name, so that no URI can reach outside the key folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName(String);

impl ObjectName {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `None` where the text is no such name.
    pub fn new(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let good = (1..=OBJECT_MAX).contains(&text.len())
            && !text.starts_with('.')
            && text.bytes().all(plain);
        good.then(|| Self(text.to_owned()))
    }
}

/// What a URI has to say to mean a key of this token.
#[derive(Debug, Clone)]
pub struct Address {
    /// The kind of URI.
    pub kind: &'static str,
    /// The token's label: the one in its configuration.
    pub label: String,
    /// The token's serial number.
    pub serial: String,
}

impl Address {
    /// Keys of `kind` on the token of a configuration.
    pub fn of(kind: &'static str, config: &TokenConfig) -> Self {
        Self {
            kind,
            label: config.label.clone(),
            serial: config.serial.clone(),
        }
    }

    /// The object that `KIND:object=NAME[;token=LABEL][;serial=SERIAL]` names in this token.
    ///
    /// # Errors
    /// `BadRequest`, or `KeyMissing` where it is a key of another token.
    pub fn object(&self, uri: &KeyUri) -> Result<ObjectName, DriverError> {
        let kind = self.kind;
        if uri.kind() != kind {
            return Err(DriverError::bad_request(format!(
                "{uri} names no key of this token: write {kind}:object=…"
            )));
        }
        if let Some(name) = uri
            .names()
            .find(|name| !["object", "token", "serial"].contains(name))
        {
            return Err(DriverError::bad_request(format!(
                "{uri}: a key of this token is named by object, token and serial; it has no {name:?}"
            )));
        }
        self.require(uri, "token", &self.label)?;
        self.require(uri, "serial", &self.serial)?;
        uri.text("object").and_then(ObjectName::new).ok_or_else(|| {
            DriverError::bad_request(format!(
                "{uri}: object is a name of 1 to {OBJECT_MAX} letters, digits, '.', '_' and '-', not beginning with '.'"
            ))
        })
    }

    fn require(&self, uri: &KeyUri, attribute: &str, own: &str) -> Result<(), DriverError> {
        match uri.attribute(attribute) {
            Some(value) if value != own.as_bytes() => Err(DriverError::new(
                ErrorClass::KeyMissing,
                "",
                format!("{uri} is a key of another token: this one has {attribute}={own}"),
            )),
            _ => Ok(()),
        }
    }

    /// The full URI of an object of this token.
    ///
    /// # Errors
    /// `Config`: the label fits no URI.
    pub fn uri(&self, object: &ObjectName) -> Result<KeyUri, DriverError> {
        let escape = |text: &str| -> String {
            let escaped = text.bytes().map(|b| match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(b).to_string(),
                _ => format!("%{b:02x}"),
            });
            escaped.collect()
        };
        format!(
            "{}:object={};serial={};token={}",
            self.kind,
            object.0,
            escape(&self.serial),
            escape(&self.label)
        )
        .parse()
        .map_err(|e| {
            DriverError::config(format!(
                "the token's label {:?} fits no URI: {e}",
                self.label
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Address {
        Address {
            kind: "tpm2",
            label: "host tpm".into(),
            serial: "ab".repeat(32),
        }
    }

    fn error(uri: &str) -> DriverError {
        address().object(&uri.parse().unwrap()).unwrap_err()
    }

    #[test]
    fn a_full_uri_leads_back_to_its_object() {
        let object = address()
            .object(&"tpm2:object=release.v1".parse().unwrap())
            .unwrap();
        let full = address().uri(&object).unwrap();
        assert_eq!(full.text("token"), Some("host tpm"));
        assert_eq!(address().object(&full).unwrap(), object);
    }

    #[test]
    fn names_that_reach_outside_the_key_folder_are_refused() {
        for name in [
            "..",
            ".hidden",
            "a/b",
            "a%00",
            "%2e%2e%2fx",
            "",
            "%c3%a4",
            &"a".repeat(65),
        ] {
            let refused = error(&format!("tpm2:object={}", name.replace('/', "%2f")));
            assert_eq!(refused.class, ErrorClass::BadRequest, "{name}");
        }
        assert_eq!(error("tpm2:token=host%20tpm").class, ErrorClass::BadRequest);
    }

    #[test]
    fn uris_of_other_kinds_and_with_other_attributes_are_bad_requests() {
        assert_eq!(error("pkcs11:object=a").class, ErrorClass::BadRequest);
        assert!(error("tpm2:object=a;id=%01").detail.contains("\"id\""));
    }

    #[test]
    fn a_uri_of_another_token_names_no_key_here() {
        assert_eq!(
            error("tpm2:object=a;token=other").class,
            ErrorClass::KeyMissing
        );
        assert_eq!(
            error("tpm2:object=a;serial=00").class,
            ErrorClass::KeyMissing
        );
    }
}
