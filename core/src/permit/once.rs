//! What a statement needs for its subjects to be signed once.

use std::collections::BTreeMap;

use super::SignFacts;
use crate::error::Code;
use crate::record::INLINE_SUBJECTS_MAX;

/// Most bytes of the subjects as JSON: all of them stand in the records that reserve their names.
pub const ONCE_SUBJECTS_BYTES_MAX: usize = 64 * 1024;

/// Why a statement cannot be signed at most once. The caller is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OnceError {
    /// Another payload.
    #[error("this key signs each subject once, so it signs statements only")]
    NotAStatement,
    /// More than one record holds.
    #[error(
        "this key signs each subject once, up to {INLINE_SUBJECTS_MAX} in a statement; this one has {0}, split it"
    )]
    TooManySubjects(usize),
    /// A subject that could not be told from another.
    #[error("this key signs each subject once, by its name; subject {0} has none")]
    Nameless(usize),
    /// A name that would be taken twice.
    #[error("this key signs each subject once; {0:?} stands twice with different digests")]
    Repeated(String),
    /// Names or digests that are too long for one record.
    #[error(
        "this key signs each subject once; the subjects have {0} bytes as JSON, at most {ONCE_SUBJECTS_BYTES_MAX} are possible, split the statement"
    )]
    TooLarge(usize),
}

impl OnceError {
    /// What the client is told.
    pub fn code(&self) -> Code {
        match self {
            Self::NotAStatement => Code::UnsupportedPayloadType,
            _ => Code::InvalidStatement,
        }
    }
}

/// Whether names can be reserved for what `facts` says.
pub(super) fn check(facts: &SignFacts<'_>) -> Result<(), OnceError> {
    if facts.predicate_type.is_none() {
        return Err(OnceError::NotAStatement);
    }
    let subjects = facts.subjects;
    if subjects.len() > INLINE_SUBJECTS_MAX {
        return Err(OnceError::TooManySubjects(subjects.len()));
    }
    let mut seen = BTreeMap::new();
    for (index, subject) in subjects.iter().enumerate() {
        let name = subject.name.as_ref().filter(|name| !name.is_empty());
        let name = name.ok_or(OnceError::Nameless(index))?;
        let before = seen.insert(name, &subject.digests);
        if before.is_some_and(|before| *before != subject.digests) {
            return Err(OnceError::Repeated(name.clone()));
        }
    }
    let bytes = serde_json::to_vec(subjects).map_or(usize::MAX, |json| json.len());
    if bytes > ONCE_SUBJECTS_BYTES_MAX {
        return Err(OnceError::TooLarge(bytes));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Subject;

    fn subject(name: &str, digest: &str) -> Subject {
        Subject {
            digests: BTreeMap::from([("sha256".to_owned(), digest.to_owned())]),
            name: Some(name.to_owned()),
        }
    }

    fn checked(subjects: &[Subject]) -> Result<(), OnceError> {
        check(&SignFacts {
            payload_type: "application/vnd.in-toto+json",
            predicate_type: Some("urn:t"),
            predicate_known: true,
            subjects,
            payload_len: 1,
            receipt: None,
        })
    }

    #[test]
    fn only_a_statement_has_names_to_reserve() {
        let facts = SignFacts {
            payload_type: "text/plain",
            predicate_type: None,
            predicate_known: false,
            subjects: &[],
            payload_len: 1,
            receipt: None,
        };
        let error = check(&facts).unwrap_err();
        assert_eq!(error, OnceError::NotAStatement);
        assert_eq!(error.code(), Code::UnsupportedPayloadType);
    }

    #[test]
    fn each_subject_has_a_name_that_stands_for_one_set_of_digests() {
        assert_eq!(checked(&[subject("a", "01"), subject("a", "01")]), Ok(()));
        let twice = checked(&[subject("a", "01"), subject("b", "01"), subject("a", "02")]);
        assert_eq!(twice, Err(OnceError::Repeated("a".to_owned())));
        let mut nameless = subject("", "01");
        assert_eq!(checked(&[nameless.clone()]), Err(OnceError::Nameless(0)));
        nameless.name = None;
        let error = checked(&[subject("a", "01"), nameless]).unwrap_err();
        assert_eq!(error, OnceError::Nameless(1));
        assert_eq!(error.code(), Code::InvalidStatement);
    }

    #[test]
    fn one_subject_or_byte_more_than_the_limit_is_refused() {
        let many =
            |n: usize| -> Vec<Subject> { (0..n).map(|i| subject(&i.to_string(), "01")).collect() };
        assert_eq!(checked(&many(INLINE_SUBJECTS_MAX)), Ok(()));
        let error = checked(&many(INLINE_SUBJECTS_MAX + 1));
        assert_eq!(error, Err(OnceError::TooManySubjects(257)));
        let around = serde_json::to_vec(&[subject("", "01")]).unwrap().len();
        let long = |n: usize| [subject(&"n".repeat(n), "01")];
        let most = ONCE_SUBJECTS_BYTES_MAX - around;
        assert_eq!(checked(&long(most)), Ok(()));
        let error = checked(&long(most + 1));
        assert_eq!(error, Err(OnceError::TooLarge(ONCE_SUBJECTS_BYTES_MAX + 1)));
    }
}
