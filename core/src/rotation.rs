//! When a key should be rotated: by age, by count, by date. It is said, never done: the clock alone rotates nothing.

use serde::{Deserialize, Serialize};

use crate::key::{KeyState, KeyVersion};
use crate::time::Timestamp;

/// Days before a deadline at which it begins to be told, where the rule names none.
pub const ALERT_DAYS: u32 = 14;

/// Hundredths of the allowed signatures at which it begins to be told.
pub const ALERT_PERCENT: u64 = 90;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// How long, how often and until when one version of a key may sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Days since it began to sign.
    pub max_age_days: Option<u32>,
    /// Signatures released.
    pub max_signatures: Option<u64>,
    /// The end of its time.
    pub before: Option<Timestamp>,
    /// Days before age or date run out at which that is told.
    pub alert_days: u32,
}

/// What a rule says of a version that signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationDue {
    /// How bad it is.
    pub urgency: Urgency,
    /// Which limit of the rule it is.
    pub because: Because,
    /// When the limit is, or was, reached; a count has no such time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// Whether the limit lies ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Urgency {
    /// It is close.
    Soon,
    /// It was reached.
    Due,
}

/// Which limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Because {
    /// `max_age_days`
    Age,
    /// `max_signatures`
    Signatures,
    /// `before`
    Date,
}

impl Rule {
    /// What there is to say of `version` at `now`, the worst first; nothing of one that does not sign.
    pub fn due(&self, version: &KeyVersion, now: Timestamp) -> Option<RotationDue> {
        if version.state != KeyState::Active {
            return None;
        }
        let age = self.max_age_days.zip(version.active_from);
        let aged = age.map(|(days, from)| later(from, days.into()));
        let found = [
            self.by_time(Because::Date, self.before, now),
            self.by_time(Because::Age, aged, now),
            self.by_count(version.signatures),
        ];
        let found = found.into_iter().flatten();
        // Of two that are equally urgent the first stays.
        found.reduce(|a, b| if b.urgency > a.urgency { b } else { a })
    }

    fn by_time(
        &self,
        because: Because,
        at: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<RotationDue> {
        let at = at?;
        let urgency = if now >= at {
            Urgency::Due
        } else if now >= later(at, -i64::from(self.alert_days)) {
            Urgency::Soon
        } else {
            return None;
        };
        Some(RotationDue {
            urgency,
            because,
            at: Some(at),
        })
    }

    fn by_count(&self, signatures: u64) -> Option<RotationDue> {
        let max = self.max_signatures?;
        let urgency = if signatures >= max {
            Urgency::Due
        } else if u128::from(signatures) * 100 >= u128::from(max) * u128::from(ALERT_PERCENT) {
            Urgency::Soon
        } else {
            return None;
        };
        Some(RotationDue {
            urgency,
            because: Because::Signatures,
            at: None,
        })
    }
}

/// The two are far from the ends of their range: a rule has at most 2³² days.
fn later(time: Timestamp, days: i64) -> Timestamp {
    Timestamp::from_unix_millis(time.unix_millis() + days * DAY_MILLIS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Enrolment, EvidenceGrade, Purpose};
    use crate::scheme::Scheme;
    use crate::spki::Spki;
    use Because::{Age, Date, Signatures};
    use Urgency::{Due, Soon};

    fn version(state: KeyState, signatures: u64) -> KeyVersion {
        KeyVersion {
            enrolment: Enrolment {
                key: "release#1".parse().unwrap(),
                token: "hsm".to_owned(),
                uri: "pkcs11:object=release".parse().unwrap(),
                spki: Spki::from_der(vec![1]),
                scheme: Scheme::EcdsaP256Sha256,
                purpose: Purpose::Dsse,
                payload_types: Vec::new(),
                evidence: EvidenceGrade::None,
                certificate: None,
                certificate_chain: Vec::new(),
                attestation: None,
            },
            state,
            state_index: 0,
            enrolled_at: day(90),
            active_from: (state != KeyState::PreActive).then(|| day(100)),
            active_until: None,
            compromise: None,
            succession: None,
            signatures,
            attestation: None,
            destroy_intent: None,
        }
    }

    fn day(number: i64) -> Timestamp {
        Timestamp::from_unix_millis(number * DAY_MILLIS)
    }

    const NONE: Rule = Rule {
        max_age_days: None,
        max_signatures: None,
        before: None,
        alert_days: ALERT_DAYS,
    };

    #[test]
    fn each_limit_is_told_in_time_and_the_worst_of_them_first() {
        let age = Rule {
            max_age_days: Some(30),
            ..NONE
        };
        let count = Rule {
            max_signatures: Some(10),
            ..NONE
        };
        let date = Rule {
            before: Some(day(130)),
            ..NONE
        };
        let all = Rule {
            max_age_days: Some(30),
            max_signatures: Some(10),
            before: Some(day(135)),
            alert_days: 3,
        };
        let table = [
            (NONE, 1000, u64::MAX, None),
            (age, 115, 0, None),
            (age, 116, 0, Some((Soon, Age, Some(130)))),
            (age, 129, 0, Some((Soon, Age, Some(130)))),
            (age, 130, 0, Some((Due, Age, Some(130)))),
            (count, 115, 8, None),
            (count, 115, 9, Some((Soon, Signatures, None))),
            (count, 115, 10, Some((Due, Signatures, None))),
            (count, 115, u64::MAX, Some((Due, Signatures, None))),
            (date, 115, 0, None),
            (date, 116, 0, Some((Soon, Date, Some(130)))),
            (date, 131, 0, Some((Due, Date, Some(130)))),
            (all, 120, 10, Some((Due, Signatures, None))),
            (all, 127, 9, Some((Soon, Age, Some(130)))),
            (all, 131, 9, Some((Due, Age, Some(130)))),
            (all, 136, 10, Some((Due, Date, Some(135)))),
        ];
        for (rule, now, signatures, expected) in table {
            let due = rule.due(&version(KeyState::Active, signatures), day(now));
            let due = due.map(|due| (due.urgency, due.because, due.at));
            let expected = expected.map(|(u, b, at)| (u, b, at.map(day)));
            assert_eq!(due, expected, "{rule:?} on day {now} with {signatures}");
        }
    }

    #[test]
    fn only_a_version_that_signs_is_due() {
        use KeyState::{Deactivated, Destroyed, PreActive, Suspended};
        let rule = Rule {
            before: Some(day(1)),
            ..NONE
        };
        for state in [PreActive, Suspended, Deactivated, Destroyed] {
            assert_eq!(rule.due(&version(state, 0), day(200)), None, "{state:?}");
        }
    }

    #[test]
    fn the_largest_rule_does_not_overflow() {
        let rule = Rule {
            max_age_days: Some(u32::MAX),
            max_signatures: Some(u64::MAX),
            before: Some(Timestamp::from_unix_millis(i64::MAX)),
            alert_days: u32::MAX,
        };
        let due = rule.due(&version(KeyState::Active, u64::MAX - 1), day(200));
        assert_eq!(due.map(|due| due.urgency), Some(Soon));
    }
}
