//! What is told of a rotation ahead.

use sealwright_client::ScheduledRotation;
use sealwright_core::rotation::{Because, RotationDue, Urgency};

/// One line, empty where nothing is ahead: `due since …, by age; #2 takes over at …`.
pub(crate) fn ahead(due: Option<&RotationDue>, scheduled: Option<&ScheduledRotation>) -> String {
    let lines = [due.map(self::due), scheduled.map(self::scheduled)];
    lines.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// `due since …, by age`
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

/// `#2 takes over at …`
pub(crate) fn scheduled(scheduled: &ScheduledRotation) -> String {
    let (to, at) = (scheduled.to.version, scheduled.at);
    match &scheduled.problem {
        None => format!("#{to} takes over at {at}"),
        Some(problem) => format!("#{to} should have taken over at {at}: {problem}"),
    }
}
