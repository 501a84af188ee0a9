//! Names of tenants, keys and key versions: `<tenant>/<key>#<version>`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, de};

/// The tenant where none is given.
pub const DEFAULT_TENANT: &str = "default";

/// Longest tenant or key label in bytes.
pub const LABEL_MAX: usize = 64;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A label breaks the rule that the message states.
    #[error(
        "{0:?} is not a label: 1 to {LABEL_MAX} of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit"
    )]
    Label(String),
    /// The part after `#` is not a version.
    #[error("{0:?} is not a key version: a decimal number from 1, without leading zeros")]
    Version(String),
}

fn check_label(text: &str) -> Result<(), NameError> {
    let ok = (1..=LABEL_MAX).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
    if ok {
        Ok(())
    } else {
        Err(NameError::Label(text.to_owned()))
    }
}

/// A tenant: keys, principals and records belong to exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(String);

impl Tenant {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self(DEFAULT_TENANT.to_owned())
    }
}

impl FromStr for Tenant {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check_label(text)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key of a tenant, whatever its version: `<tenant>/<key>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName {
    tenant: Tenant,
    label: String,
}

impl KeyName {
    /// A key of `tenant` called `label`.
    pub fn new(tenant: Tenant, label: &str) -> Result<Self, NameError> {
        check_label(label)?;
        Ok(Self {
            tenant,
            label: label.to_owned(),
        })
    }

    /// Reads `<tenant>/<key>`, or `<key>` as a key of `tenant`.
    pub fn parse_in(tenant: &Tenant, text: &str) -> Result<Self, NameError> {
        match text.split_once('/') {
            Some((tenant, label)) => Self::new(tenant.parse()?, label),
            None => Self::new(tenant.clone(), text),
        }
    }

    /// The tenant the key belongs to.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The name inside the tenant.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Version `number` of this key.
    pub fn version(&self, number: u32) -> KeyVersionId {
        KeyVersionId {
            key: self.clone(),
            version: number,
        }
    }
}

impl FromStr for KeyName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse_in(&Tenant::default(), text)
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.label)
    }
}

/// One version of a key: `<tenant>/<key>#<version>`, versions count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyVersionId {
    /// The key.
    pub key: KeyName,
    /// Its version, from 1.
    pub version: u32,
}

impl FromStr for KeyVersionId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bad = || NameError::Version(text.to_owned());
        let (key, version) = text.rsplit_once('#').ok_or_else(bad)?;
        let number = version.parse().ok().filter(|n| *n >= 1).ok_or_else(bad)?;
        let id = key.parse::<KeyName>()?.version(number);
        if id.version.to_string() == version {
            Ok(id)
        } else {
            Err(bad())
        }
    }
}

impl fmt::Display for KeyVersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.key, self.version)
    }
}

/// Serialises a type as its text.
macro_rules! serde_as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}
pub(crate) use serde_as_text;
serde_as_text!(Tenant, KeyName, KeyVersionId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_without_a_tenant_belongs_to_the_default_one() {
        let key: KeyName = "release".parse().unwrap();
        assert_eq!(key.to_string(), "default/release");
        assert_eq!(
            "acme/release#12"
                .parse::<KeyVersionId>()
                .unwrap()
                .to_string(),
            "acme/release#12"
        );
    }

    #[test]
    fn names_that_could_be_read_two_ways_are_refused() {
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a/b/c",
            "A",
            "a b",
            "-a",
            "a#1",
            &"x".repeat(65),
        ] {
            assert!(bad.parse::<KeyName>().is_err(), "{bad:?}");
        }
        for bad in ["a", "a#", "a#0", "a#01", "a#+1", "a#x", "a#4294967296"] {
            assert!(bad.parse::<KeyVersionId>().is_err(), "{bad:?}");
        }
    }
}
