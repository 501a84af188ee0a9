//! What is told of a rotation ahead.

use sealwright_core::rotation::{Because, RotationDue, Urgency};

/// One line: `due since …, by age`.
pub(crate) fn due(due: &RotationDue) -> String {
    let because = match due.because {
        Because::Age => "age",
        Because::Signatures => "signatures",
        Because::Date => "date",
    };
    match (due.urgency, due.at) {
        (Urgency::Due, Some(at)) => format!("due since {at}, by {because}"),
        (Urgency::Due, None) => format!("due, by {because}"),
        (Urgency::Soon, Some(at)) => format!("due at {at}, by {because}"),
        (Urgency::Soon, None) => format!("soon due, by {because}"),
    }
}
