//! One pass over a statement's bytes that checks all of it and keeps what is needed.

use std::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::{Predicate, SUBJECTS_MAX, Subject};
use crate::json::{self, JsonError};
use crate::predicate::{PredicateError, PredicateKind, PredicateSeed, kind_of};

/// The members of a statement, not yet judged.
pub(super) struct Document {
    pub(super) statement_type: String,
    pub(super) subjects: Subjects,
    pub(super) predicate_type: String,
    predicate: Seen,
}

/// At most [`SUBJECTS_MAX`] subjects, and how many there were.
#[derive(Default)]
pub(super) struct Subjects {
    pub(super) list: Vec<Subject>,
    pub(super) count: usize,
}

/// What happened to the predicate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Absent,
    /// Held against its type's required members.
    Judged,
    /// Checked as JSON only.
    Skimmed,
}

/// What to hold a predicate against.
#[derive(Clone, Copy)]
enum Judge {
    /// Its predicateType, if that stands in front of it.
    InOrder,
    /// This kind.
    As(PredicateKind),
    /// Nothing.
    Never,
}

/// Reads a statement, and holds a predicate of a known type against it in the same pass where that works.
pub(super) fn read(payload: &[u8]) -> Result<(Document, Predicate), JsonError> {
    let (document, fault) = match pass(payload, Judge::InOrder) {
        Ok(document) => {
            let fault = judge_late(payload, &document);
            (document, fault)
        }
        // Perhaps only the predicate's members are at fault; then the statement itself is still sound.
        Err(error @ JsonError::Form(_)) => (pass(payload, Judge::Never)?, Some(error)),
        Err(error) => return Err(error),
    };
    let predicate = match (document.predicate, kind_of(&document.predicate_type), fault) {
        (Seen::Absent, _, None) => Predicate::Absent,
        (_, None, None) => Predicate::Unknown,
        (_, Some(kind), None) => Predicate::Known(kind),
        (_, Some(kind), Some(fault)) => Predicate::Invalid(PredicateError::new(kind, &fault)),
        (_, None, Some(fault)) => return Err(fault),
    };
    Ok((document, predicate))
}

/// A second pass for a predicate that stood in front of its type.
fn judge_late(payload: &[u8], document: &Document) -> Option<JsonError> {
    let kind = kind_of(&document.predicate_type).filter(|_| document.predicate == Seen::Skimmed)?;
    pass(payload, Judge::As(kind)).err()
}

fn pass(payload: &[u8], judge: Judge) -> Result<Document, JsonError> {
    json::from_slice_seed(payload, StatementSeed(judge))
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Member {
    #[serde(rename = "_type")]
    Type,
    Subject,
    PredicateType,
    Predicate,
    #[serde(other)]
    Other,
}

struct StatementSeed(Judge);

impl<'de> DeserializeSeed<'de> for StatementSeed {
    type Value = Document;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for StatementSeed {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an in-toto Statement")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let (mut statement_type, mut subjects, mut predicate_type) = (None, None, None::<String>);
        let mut predicate = Seen::Absent;
        while let Some(member) = map.next_key()? {
            match member {
                Member::Type => statement_type = Some(map.next_value()?),
                Member::Subject => subjects = Some(map.next_value()?),
                Member::PredicateType => predicate_type = Some(map.next_value()?),
                Member::Predicate => {
                    let (kind, seen) = self.kind_for(predicate_type.as_deref());
                    map.next_value_seed(PredicateSeed(kind))?;
                    predicate = seen;
                }
                Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let missing = A::Error::missing_field;
        Ok(Document {
            statement_type: statement_type.ok_or_else(|| missing("_type"))?,
            subjects: subjects.ok_or_else(|| missing("subject"))?,
            predicate_type: predicate_type.ok_or_else(|| missing("predicateType"))?,
            predicate,
        })
    }
}

impl StatementSeed {
    fn kind_for(&self, predicate_type: Option<&str>) -> (Option<PredicateKind>, Seen) {
        match (self.0, predicate_type) {
            (Judge::As(kind), _) => (Some(kind), Seen::Judged),
            (Judge::InOrder, Some(predicate_type)) => (kind_of(predicate_type), Seen::Judged),
            (Judge::InOrder, None) | (Judge::Never, _) => (None, Seen::Skimmed),
        }
    }
}

impl<'de> Deserialize<'de> for Subjects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(SubjectsVisitor)
    }
}

struct SubjectsVisitor;

impl<'de> Visitor<'de> for SubjectsVisitor {
    type Value = Subjects;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of subjects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Subjects, A::Error> {
        let mut subjects = Subjects::default();
        while subjects.list.len() < SUBJECTS_MAX {
            let Some(subject) = seq.next_element()? else {
                break;
            };
            subjects.list.push(subject);
        }
        subjects.count = subjects.list.len();
        // What is too many is counted for the error, not kept.
        while seq.next_element::<IgnoredAny>()?.is_some() {
            subjects.count += 1;
        }
        Ok(subjects)
    }
}
