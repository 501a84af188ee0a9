//! in-toto Statements: reading one strictly, and writing one.
//!
//! <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>

mod build;
mod digest_set;
mod read;
mod signed;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::json::JsonError;
use crate::predicate::{self, CheckError, PredicateError, PredicateKind};

pub use build::build;
pub use digest_set::{ALGORITHM_NAME_MAX, DIGESTS_MAX, DigestError};
pub(crate) use signed::predicate;
pub use signed::{Unfit, signed};

/// The DSSE payloadType of a statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// `_type` of the statements we sign.
pub const TYPE_V1: &str = "https://in-toto.io/Statement/v1";

/// `_type` of older statements, accepted when verifying.
pub const TYPE_V01: &str = "https://in-toto.io/Statement/v0.1";

/// Most subjects of one statement; each costs memory out of proportion to its bytes.
pub const SUBJECTS_MAX: usize = 10_000;

/// Longest subject name in bytes.
pub const SUBJECT_NAME_MAX: usize = 4096;

/// Longest predicateType in bytes.
pub const PREDICATE_TYPE_MAX: usize = 1024;

/// Which versions a caller takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Accept {
    /// v1 only: for signing.
    V1,
    /// v1 and v0.1: for verifying what others signed in the past.
    AlsoV01,
}

/// The version of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatementType {
    /// [`TYPE_V1`].
    V1,
    /// [`TYPE_V01`].
    V01,
}

/// What a statement is about. Subjects match by digest; the name is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    // Members in JCS order, so that serialising needs no sorting.
    /// Algorithm → lower-case hex digest.
    #[serde(rename = "digest")]
    pub digests: BTreeMap<String, String>,
    /// Its name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What the check read from a statement.
#[derive(Debug)]
pub struct StatementSummary {
    /// Its version.
    pub statement_type: StatementType,
    /// predicateType.
    pub predicate_type: String,
    /// All subjects, in order.
    pub subjects: Vec<Subject>,
    /// What is known of the predicate; the statement itself is sound whatever it says.
    pub predicate: Predicate,
}

/// What the check found in a predicate.
#[derive(Debug)]
pub enum Predicate {
    /// The statement has none.
    Absent,
    /// Of a known type, with its required members.
    Known(PredicateKind),
    /// An object of a type that is not in [`crate::predicate::KNOWN`].
    Unknown,
    /// Of a known type, without what that type requires.
    Invalid(PredicateError),
}

/// Why bytes are no acceptable statement.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// Not acceptable as JSON, or a member is missing or of a wrong type.
    #[error("the statement or its predicate is refused: {0}")]
    Json(#[from] JsonError),
    /// An unknown `_type`.
    #[error("_type is {0:?}; expected {TYPE_V1}")]
    Type(String),
    /// v0.1 where only v1 is accepted.
    #[error("statements of {TYPE_V01} are verified but not signed; build it as {TYPE_V1}")]
    Legacy,
    /// predicateType is no absolute URI.
    #[error(
        "predicateType {0:?} is not an absolute URI of at most {PREDICATE_TYPE_MAX} bytes without white space"
    )]
    PredicateType(String),
    /// An empty subject array.
    #[error("the statement has no subject; name at least one artifact by digest")]
    NoSubject,
    /// Too many subjects.
    #[error("the statement has {0} subjects, at most {SUBJECTS_MAX} are accepted; split it")]
    TooManySubjects(usize),
    /// A name that is too long.
    #[error("the name of subject {index} is longer than {SUBJECT_NAME_MAX} bytes")]
    SubjectName {
        /// Position in `subject`, from 0.
        index: usize,
    },
    /// A subject's digests are not acceptable.
    #[error("subject {index}: {source}")]
    Digest {
        /// Position in `subject`, from 0.
        index: usize,
        /// What is wrong.
        #[source]
        source: DigestError,
    },
    /// A known predicate type without its required members.
    #[error(transparent)]
    Predicate(#[from] PredicateError),
    /// The statement has no predicate, but its type requires members.
    #[error(
        "the statement has no predicate, which {0} requires; docs/predicates.md lists its members"
    )]
    NoPredicate(String),
}

impl From<CheckError> for StatementError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Json(error) => Self::Json(error),
            CheckError::Predicate(error) => Self::Predicate(error),
        }
    }
}

/// Reads and checks a statement in one pass over its bytes (two, where `predicate` stands before
/// `predicateType`, or where something is wrong).
pub fn check(payload: &[u8], accept: Accept) -> Result<StatementSummary, StatementError> {
    let (document, predicate) = read::read(payload)?;
    let statement_type = match (document.statement_type.as_str(), accept) {
        (TYPE_V1, _) => StatementType::V1,
        (TYPE_V01, Accept::AlsoV01) => StatementType::V01,
        (TYPE_V01, Accept::V1) => return Err(StatementError::Legacy),
        (other, _) => return Err(StatementError::Type(excerpt(other))),
    };
    let predicate_type = document.predicate_type;
    if !is_absolute_uri(&predicate_type) {
        return Err(StatementError::PredicateType(excerpt(&predicate_type)));
    }
    check_subjects(&document.subjects)?;
    let subjects = document.subjects.list;
    Ok(StatementSummary {
        statement_type,
        predicate_type,
        subjects,
        predicate,
    })
}

impl StatementSummary {
    /// The kind of a known predicate, `None` for an unknown type; an error where a known type's required
    /// members are not there. Signing asks this, reading the statement does not.
    pub fn known_predicate(&self) -> Result<Option<PredicateKind>, StatementError> {
        match &self.predicate {
            Predicate::Known(kind) => Ok(Some(*kind)),
            Predicate::Unknown => Ok(None),
            Predicate::Absent if predicate::kind_of(&self.predicate_type).is_none() => Ok(None),
            Predicate::Absent => Err(StatementError::NoPredicate(excerpt(&self.predicate_type))),
            Predicate::Invalid(error) => Err(StatementError::Predicate(error.clone())),
        }
    }

    /// SHA-256 over the canonical JSON of all subjects, see [`subjects_sha256`].
    pub fn subjects_sha256(&self) -> Sha256Digest {
        subjects_sha256(&self.subjects)
    }

    /// Whether a subject carries this digest. `hex` is lower-case.
    pub fn has_digest(&self, algorithm: &str, hex: &str) -> bool {
        self.subjects
            .iter()
            .any(|subject| subject.digests.get(algorithm).is_some_and(|d| d == hex))
    }
}

/// SHA-256 over the canonical JSON (RFC 8785) of the array of `{digest, name}`, in the statement's order;
/// `name` is left out where a subject has none, other members always are.
///
/// It covers what a subject is matched by, and can be recomputed from a payload without our code.
pub fn subjects_sha256(subjects: &[Subject]) -> Sha256Digest {
    // Members stand in JCS order and algorithm names are ASCII, so serde_json's text is the JCS text.
    Sha256Digest::of(&[&serde_json::to_vec(subjects).unwrap_or_default()])
}

fn check_subjects(subjects: &read::Subjects) -> Result<(), StatementError> {
    if subjects.count == 0 {
        return Err(StatementError::NoSubject);
    }
    if subjects.count > SUBJECTS_MAX {
        return Err(StatementError::TooManySubjects(subjects.count));
    }
    for (index, subject) in subjects.list.iter().enumerate() {
        if subject
            .name
            .as_ref()
            .is_some_and(|name| name.len() > SUBJECT_NAME_MAX)
        {
            return Err(StatementError::SubjectName { index });
        }
        digest_set::check(&subject.digests)
            .map_err(|source| StatementError::Digest { index, source })?;
    }
    Ok(())
}

/// RFC 3986 section 3: a scheme, a colon and something after it, without white space or controls.
fn is_absolute_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    scheme_ok
        && !rest.is_empty()
        && text.len() <= PREDICATE_TYPE_MAX
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// The beginning of a text that somebody else chose, for an error message.
fn excerpt(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256: &str = "559aead08264d5795d3909718cdd05abd49572e84fe55590eef31a88a08fdffd";

    fn subject(name: Option<&str>) -> Subject {
        let digests = BTreeMap::from([("sha256".to_owned(), SHA256.to_owned())]);
        Subject {
            digests,
            name: name.map(str::to_owned),
        }
    }

    /// A statement whose members are given as `"name":value` texts.
    fn statement(members: &[&str]) -> Vec<u8> {
        format!("{{{}}}", members.join(",")).into_bytes()
    }

    const TYPE: &str = r#""_type":"https://in-toto.io/Statement/v1""#;
    const SUBJECT: &str =
        r#""subject":[{"name":"a","digest":{"sha1":"da39a3ee5e6b4b0d3255bfef95601890afd80709"}}]"#;
    const BOM_TYPE: &str = r#""predicateType":"https://cyclonedx.org/bom""#;
    const BOM: &str = r#""predicate":{"bomFormat":"CycloneDX","specVersion":"1.6"}"#;

    #[test]
    fn members_may_stand_in_any_order() {
        for members in [
            [TYPE, SUBJECT, BOM_TYPE, BOM],
            [BOM, BOM_TYPE, SUBJECT, TYPE],
            [BOM, SUBJECT, TYPE, BOM_TYPE],
        ] {
            let summary = check(&statement(&members), Accept::V1).unwrap();
            assert_eq!(
                summary.known_predicate().unwrap(),
                Some(PredicateKind::CycloneDx)
            );
            assert_eq!(summary.predicate_type, "https://cyclonedx.org/bom");
            assert_eq!(summary.subjects.len(), 1);
        }
    }

    #[test]
    fn a_bad_predicate_leaves_the_statement_sound_but_not_signable() {
        let wrong = r#""predicate":{"bomFormat":"CycloneDX","specVersion":6}"#;
        for members in [
            [TYPE, SUBJECT, BOM_TYPE, wrong],
            [wrong, TYPE, SUBJECT, BOM_TYPE],
        ] {
            let summary = check(&statement(&members), Accept::V1).unwrap();
            let error = summary.known_predicate().unwrap_err();
            assert!(error.to_string().contains("cyclonedx"), "{error}");
        }
        let absent = check(&statement(&[TYPE, SUBJECT, BOM_TYPE]), Accept::V1).unwrap();
        assert!(matches!(
            absent.known_predicate(),
            Err(StatementError::NoPredicate(_))
        ));
        let own = r#""predicateType":"https://example.com/p""#;
        let absent = check(&statement(&[TYPE, SUBJECT, own]), Accept::V1).unwrap();
        assert_eq!(absent.known_predicate().unwrap(), None);
    }

    #[test]
    fn a_duplicate_inside_the_predicate_refuses_the_statement() {
        let twice =
            r#""predicate":{"bomFormat":"CycloneDX","specVersion":"1.6","a":{"b":1,"b":1}}"#;
        for members in [
            [TYPE, SUBJECT, BOM_TYPE, twice],
            [twice, TYPE, SUBJECT, BOM_TYPE],
        ] {
            let error = check(&statement(&members), Accept::V1).unwrap_err();
            assert!(
                matches!(error, StatementError::Json(JsonError::DuplicateKey { .. })),
                "{error}"
            );
        }
    }

    #[test]
    fn the_older_type_is_accepted_for_verifying_only() {
        let old = r#""_type":"https://in-toto.io/Statement/v0.1""#;
        let bytes = statement(&[old, SUBJECT, BOM_TYPE, BOM]);
        assert!(matches!(
            check(&bytes, Accept::V1),
            Err(StatementError::Legacy)
        ));
        let summary = check(&bytes, Accept::AlsoV01).unwrap();
        assert_eq!(summary.statement_type, StatementType::V01);
        let other = statement(&[r#""_type":"x""#, SUBJECT, BOM_TYPE, BOM]);
        assert!(matches!(
            check(&other, Accept::AlsoV01),
            Err(StatementError::Type(_))
        ));
    }

    #[test]
    fn a_predicate_type_is_an_absolute_uri() {
        for good in ["https://e/p", "urn:x", "a+b-c.d:e"] {
            assert!(is_absolute_uri(good), "{good}");
        }
        let long = format!("urn:{}", "x".repeat(PREDICATE_TYPE_MAX - 3));
        for bad in [
            "",
            "p",
            ":x",
            "1a:x",
            "a b:x",
            "a:",
            "a:b c",
            "a:b\u{a0}c",
            "a:b\u{7f}",
            &long,
        ] {
            assert!(!is_absolute_uri(bad), "{bad:?}");
        }
        assert!(is_absolute_uri(&long[..PREDICATE_TYPE_MAX]));
    }

    #[test]
    fn the_digest_of_the_subjects_is_over_their_canonical_json() {
        let subjects = [subject(Some("\u{1f600}\n")), subject(None)];
        let canonical = serde_json_canonicalizer::to_vec(&subjects).unwrap();
        assert_eq!(subjects_sha256(&subjects), Sha256Digest::of(&[&canonical]));
    }
}
