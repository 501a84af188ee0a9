//! Writing statements.

use super::{Accept, StatementError, Subject, TYPE_V1, check};
use crate::json::JsonError;
use crate::predicate;

/// Writes a v1 statement around a predicate's own bytes, which stay as they are.
///
/// The result is checked like a foreign one, predicate included.
pub fn build(
    subjects: &[Subject],
    predicate_type: &str,
    predicate: &[u8],
) -> Result<Vec<u8>, StatementError> {
    // On its own first: bytes that close the object and go on would add members to the statement.
    predicate::check(predicate_type, predicate)?;
    let text = |value: &str| serde_json::Value::from(value).to_string();
    let subjects = serde_json::to_vec(subjects).map_err(JsonError::Form)?;
    let statement = [
        format!("{{\"_type\":\"{TYPE_V1}\",\"subject\":").as_bytes(),
        &subjects,
        // The type in front of the predicate lets a reader check both in one pass.
        format!(",\"predicateType\":{},\"predicate\":", text(predicate_type)).as_bytes(),
        predicate,
        b"}",
    ]
    .concat();
    check(&statement, Accept::V1)?.known_predicate()?;
    Ok(statement)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::{SUBJECT_NAME_MAX, SUBJECTS_MAX};
    use std::collections::BTreeMap;

    const SHA256: &str = "559aead08264d5795d3909718cdd05abd49572e84fe55590eef31a88a08fdffd";

    fn subject(name: Option<&str>) -> Subject {
        let digests = BTreeMap::from([("sha256".to_owned(), SHA256.to_owned())]);
        Subject {
            digests,
            name: name.map(str::to_owned),
        }
    }

    #[test]
    fn as_many_subjects_as_the_limit_are_accepted_and_one_more_is_not() {
        let many = vec![subject(None); SUBJECTS_MAX];
        let bytes = build(&many, "https://e/p", b"{}").unwrap();
        assert_eq!(
            check(&bytes, Accept::V1).unwrap().subjects.len(),
            SUBJECTS_MAX
        );
        let more = vec![subject(None); SUBJECTS_MAX + 2];
        let error = build(&more, "https://e/p", b"{}").unwrap_err();
        assert!(
            matches!(error, StatementError::TooManySubjects(n) if n == SUBJECTS_MAX + 2),
            "{error}"
        );
        assert!(matches!(
            build(&[], "https://e/p", b"{}"),
            Err(StatementError::NoSubject)
        ));
    }

    #[test]
    fn a_subject_names_its_fault_and_its_position() {
        let mut long = subject(Some(&"x".repeat(SUBJECT_NAME_MAX)));
        build(&[subject(None), long.clone()], "https://e/p", b"{}").unwrap();
        long.name.as_mut().unwrap().push('x');
        let error = build(&[subject(None), long], "https://e/p", b"{}").unwrap_err();
        assert!(
            matches!(error, StatementError::SubjectName { index: 1 }),
            "{error}"
        );
        let mut short = subject(None);
        short.digests.get_mut("sha256").unwrap().pop();
        let error = build(&[short], "https://e/p", b"{}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "subject 0: its sha256 digest is not 64 lower-case hex digits"
        );
    }

    #[test]
    fn a_built_statement_carries_the_predicates_own_bytes() {
        let predicate = b"{ \"bomFormat\" : \"CycloneDX\",\n\"specVersion\":\"1.6\", \"n\":1.50 }";
        let bytes = build(
            &[subject(Some("a\"b"))],
            "https://cyclonedx.org/bom",
            predicate,
        )
        .unwrap();
        assert!(
            bytes
                .windows(predicate.len())
                .any(|window| window == predicate)
        );
        assert_eq!(
            check(&bytes, Accept::V1).unwrap().subjects,
            [subject(Some("a\"b"))]
        );
    }

    #[test]
    fn predicate_bytes_cannot_add_members_to_the_statement() {
        let error = build(&[subject(None)], "https://e/p", b"{},\"more\":{}").unwrap_err();
        assert!(
            matches!(error, StatementError::Json(JsonError::Syntax(_))),
            "{error}"
        );
    }
}
