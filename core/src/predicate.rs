//! The predicate types Sealwright knows: their names, and the members a predicate of each must have.
//!
//! A typed struct per type says what is required; members it does not name are allowed. Types that are not
//! in [`KNOWN`] are signed only where policy names them. See `docs/predicates.md`.

mod cyclonedx;
mod openvex;
mod slsa;
mod spdx;

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, Unexpected};

use crate::json::{self, AnyObject, JsonError};

/// A predicate type whose members are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PredicateKind {
    /// SLSA provenance v1.
    SlsaProvenance,
    /// An SPDX 2.x document, or SPDX 3 under the type without a version.
    Spdx,
    /// An SPDX 3 document.
    Spdx3,
    /// A CycloneDX BOM.
    CycloneDx,
    /// An OpenVEX document.
    OpenVex,
}

/// One row of the table of known predicate types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownPredicate {
    /// Which check applies.
    pub kind: PredicateKind,
    /// The short name the command line takes.
    pub alias: &'static str,
    /// The URI that is written for the alias.
    pub type_uri: &'static str,
    /// Further URIs in use for the same thing.
    pub also: &'static [&'static str],
}

/// Every known predicate type.
pub const KNOWN: [KnownPredicate; 5] = [
    KnownPredicate {
        kind: PredicateKind::SlsaProvenance,
        alias: "slsa-provenance",
        type_uri: "https://slsa.dev/provenance/v1",
        also: &[],
    },
    KnownPredicate {
        kind: PredicateKind::Spdx,
        alias: "spdx",
        type_uri: "https://spdx.dev/Document",
        also: &[
            "https://spdx.dev/Document/v2.2",
            "https://spdx.dev/Document/v2.3",
        ],
    },
    KnownPredicate {
        kind: PredicateKind::Spdx3,
        alias: "spdx3",
        type_uri: "https://spdx.dev/Document/v3",
        also: &[
            "https://spdx.dev/Document/v3.0",
            "https://spdx.dev/Document/v3.0.1",
        ],
    },
    KnownPredicate {
        kind: PredicateKind::CycloneDx,
        alias: "cyclonedx",
        type_uri: "https://cyclonedx.org/bom",
        also: &[
            "https://cyclonedx.org/bom/v1.2",
            "https://cyclonedx.org/bom/v1.3",
            "https://cyclonedx.org/bom/v1.4",
            "https://cyclonedx.org/bom/v1.5",
            "https://cyclonedx.org/bom/v1.6",
            "https://cyclonedx.org/bom/v1.7",
        ],
    },
    KnownPredicate {
        kind: PredicateKind::OpenVex,
        alias: "openvex",
        type_uri: "https://openvex.dev/ns",
        also: &["https://openvex.dev/ns/v0.2.0"],
    },
];

/// The check that applies to a predicate type; `None` where the type is unknown.
pub fn kind_of(predicate_type: &str) -> Option<PredicateKind> {
    KNOWN
        .iter()
        .find(|known| known.type_uri == predicate_type || known.also.contains(&predicate_type))
        .map(|known| known.kind)
}

/// The URI for an alias, or the text itself where it is no alias.
pub fn type_uri(alias_or_uri: &str) -> &str {
    KNOWN
        .iter()
        .find(|known| known.alias == alias_or_uri)
        .map_or(alias_or_uri, |known| known.type_uri)
}

/// A predicate that its own type does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the predicate is no acceptable {}: {reason}; docs/predicates.md lists the required members", .kind.as_str())]
pub struct PredicateError {
    /// The type it claims.
    pub kind: PredicateKind,
    /// What is missing or wrong, and where.
    pub reason: String,
}

impl PredicateError {
    pub(crate) fn new(kind: PredicateKind, error: &JsonError) -> Self {
        Self {
            kind,
            reason: error.to_string(),
        }
    }
}

impl PredicateKind {
    /// The alias of its row in [`KNOWN`].
    pub fn as_str(self) -> &'static str {
        KNOWN
            .iter()
            .find(|known| known.kind == self)
            .map_or("known", |known| known.alias)
    }
}

/// Checks the bytes of a predicate. `Ok(None)` means that they are an object of an unknown type.
///
/// The statement check does the same while it reads the statement; this is for predicates that are not yet
/// in one.
pub fn check(predicate_type: &str, predicate: &[u8]) -> Result<Option<PredicateKind>, CheckError> {
    let kind = kind_of(predicate_type);
    match (json::from_slice_seed(predicate, PredicateSeed(kind)), kind) {
        (Ok(()), _) => Ok(kind),
        (Err(error @ JsonError::Form(_)), Some(kind)) => {
            Err(CheckError::Predicate(PredicateError::new(kind, &error)))
        }
        (Err(error), _) => Err(CheckError::Json(error)),
    }
}

/// Why a predicate's bytes are refused.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Not acceptable as JSON, or no object.
    #[error("the predicate is refused: {0}")]
    Json(#[source] JsonError),
    /// A required member is missing or wrong.
    #[error(transparent)]
    Predicate(#[from] PredicateError),
}

/// Reads a predicate of a known kind for its required members, of an unknown kind as any object.
pub(crate) struct PredicateSeed(pub(crate) Option<PredicateKind>);

impl<'de> DeserializeSeed<'de> for PredicateSeed {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        fn read<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<(), D::Error> {
            T::deserialize(from).map(drop)
        }
        match self.0 {
            None => read::<AnyObject, D>(deserializer),
            Some(PredicateKind::SlsaProvenance) => read::<slsa::Provenance, D>(deserializer),
            Some(PredicateKind::Spdx) => read::<spdx::Document, D>(deserializer),
            Some(PredicateKind::Spdx3) => read::<spdx::Document3, D>(deserializer),
            Some(PredicateKind::CycloneDx) => read::<cyclonedx::Bom, D>(deserializer),
            Some(PredicateKind::OpenVex) => read::<openvex::Document, D>(deserializer),
        }
    }
}

/// Accepts a string that begins with `prefix`.
fn text_beginning_with<'de, D: Deserializer<'de>>(
    prefix: &str,
    deserializer: D,
) -> Result<(), D::Error> {
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    if text.starts_with(prefix) {
        return Ok(());
    }
    let expected = format!("a string that begins with {prefix}");
    Err(D::Error::invalid_value(
        Unexpected::Other("another string"),
        &expected.as_str(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each kind a predicate with its required members only.
    const MINIMAL: [(&str, &str); 6] = [
        (
            "slsa-provenance",
            r#"{"buildDefinition":{"buildType":"https://b/1","externalParameters":{}},"runDetails":{"builder":{"id":"https://b"}}}"#,
        ),
        (
            "spdx",
            r#"{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"a","dataLicense":"CC0-1.0","documentNamespace":"https://n"}"#,
        ),
        (
            "spdx",
            r#"{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[{}]}"#,
        ),
        (
            "spdx3",
            r#"{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[{}]}"#,
        ),
        (
            "cyclonedx",
            r#"{"bomFormat":"CycloneDX","specVersion":"1.6"}"#,
        ),
        (
            "openvex",
            r#"{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://e/1","author":"a","timestamp":"2026-11-22T10:00:00Z","version":1,"statements":[]}"#,
        ),
    ];

    #[test]
    fn no_uri_or_alias_stands_in_two_rows() {
        let mut seen = std::collections::BTreeSet::new();
        for known in KNOWN {
            for text in [known.alias, known.type_uri].iter().chain(known.also) {
                assert!(seen.insert(*text), "{text}");
            }
            assert_eq!(kind_of(type_uri(known.alias)), Some(known.kind));
            assert!(
                known
                    .also
                    .iter()
                    .all(|uri| kind_of(uri) == Some(known.kind))
            );
        }
        assert_eq!(type_uri("https://example.com/p"), "https://example.com/p");
        assert_eq!(kind_of("https://example.com/p"), None);
    }

    #[test]
    fn every_required_member_is_missed_when_it_is_absent_or_of_another_type() {
        for (alias, text) in MINIMAL {
            assert!(
                matches!(check(type_uri(alias), text.as_bytes()), Ok(Some(_))),
                "{text}"
            );
            let predicate: serde_json::Value = serde_json::from_str(text).unwrap();
            for pointer in leaves(&predicate) {
                let mut broken = predicate.clone();
                *broken.pointer_mut(&pointer).unwrap() = serde_json::Value::Null;
                let answer = check(type_uri(alias), broken.to_string().as_bytes());
                assert!(
                    matches!(answer, Err(CheckError::Predicate(_))),
                    "{alias} {pointer}"
                );
                let mut absent = predicate.clone();
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                absent
                    .pointer_mut(parent)
                    .unwrap()
                    .as_object_mut()
                    .unwrap()
                    .remove(name);
                let answer = check(type_uri(alias), absent.to_string().as_bytes());
                assert!(
                    matches!(answer, Err(CheckError::Predicate(_))),
                    "{alias} without {pointer}"
                );
            }
        }
    }

    /// JSON pointers of all members, at every depth, that do not themselves hold required members.
    fn leaves(value: &serde_json::Value) -> Vec<String> {
        let Some(members) = value.as_object() else {
            return Vec::new();
        };
        members
            .iter()
            .flat_map(|(name, value)| match leaves(value) {
                inner if inner.is_empty() => vec![format!("/{name}")],
                inner => inner.iter().map(|rest| format!("/{name}{rest}")).collect(),
            })
            .collect()
    }

    #[test]
    fn members_that_are_not_required_are_allowed_but_still_checked_as_json() {
        let more = br#"{"bomFormat":"CycloneDX","specVersion":"1.6","x-own":{"a":[1]}}"#;
        assert!(matches!(
            check(type_uri("cyclonedx"), more),
            Ok(Some(PredicateKind::CycloneDx))
        ));
        let twice = br#"{"bomFormat":"CycloneDX","specVersion":"1.6","x-own":{"a":1,"a":1}}"#;
        assert!(matches!(
            check(type_uri("cyclonedx"), twice),
            Err(CheckError::Json(_))
        ));
    }

    #[test]
    fn a_predicate_of_an_unknown_type_is_any_object() {
        assert!(matches!(check("https://example.com/p", b"{}"), Ok(None)));
        assert!(matches!(
            check("https://example.com/p", b"[]"),
            Err(CheckError::Json(_))
        ));
    }

    #[test]
    fn a_document_of_another_format_is_refused() {
        for (alias, text) in [
            ("cyclonedx", r#"{"bomFormat":"SPDX","specVersion":"1.6"}"#),
            ("cyclonedx", r#"{"bomFormat":"CycloneDX","specVersion":""}"#),
            (
                "spdx",
                r#"{"spdxVersion":"SPDX-3.0","SPDXID":"S","name":"a","dataLicense":"C","documentNamespace":"n"}"#,
            ),
            ("spdx3", r#"{"@context":"https://schema.org","@graph":[]}"#),
            (
                "openvex",
                r#"{"@context":"https://schema.org","@id":"i","author":"a","timestamp":"t","version":1,"statements":[]}"#,
            ),
        ] {
            let answer = check(type_uri(alias), text.as_bytes());
            assert!(
                matches!(answer, Err(CheckError::Predicate(_))),
                "{alias}: {text}"
            );
        }
    }
}
