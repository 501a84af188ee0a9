//! `[[rotation]]`: when keys are due for a successor. What is due is shown; nothing is done by clock alone.

use sealwright_core::name::KeyName;
use sealwright_core::rotation::{ALERT_DAYS, Rule};
use sealwright_core::time::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// `[[rotation]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// `tenant/key`, or `*` for those without a section of their own.
    pub key: Selector,
    /// Days that a version may sign.
    #[serde(default)]
    pub max_age_days: Option<u32>,
    /// Signatures that a version may make.
    #[serde(default)]
    pub max_signatures: Option<u64>,
    /// The day, or the time, until which a successor has to sign: a TOML date.
    #[serde(default, deserialize_with = "date")]
    pub before: Option<Timestamp>,
    /// Days before `max_age_days` or `before` at which that is told. Default 14.
    #[serde(default = "default_alert_days")]
    pub alert_days: u32,
}

fn default_alert_days() -> u32 {
    ALERT_DAYS
}

/// Which keys a section is about.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Selector {
    /// All that have no section of their own.
    Others,
    /// One.
    Key(KeyName),
}

impl TryFrom<String> for Selector {
    type Error = sealwright_core::name::NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "*" => Ok(Self::Others),
            name => Ok(Self::Key(name.parse()?)),
        }
    }
}

/// A date is its midnight, UTC.
fn date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = toml::value::Datetime::deserialize(deserializer)?.to_string();
    let midnight = format!("{text}T00:00:00Z");
    let parsed = text.parse().or_else(|_| midnight.parse());
    parsed
        .map(Some)
        .map_err(|_| D::Error::custom(format!("before = {text}: give a date, or a time with Z")))
}

impl Rotation {
    /// The rule that it makes.
    pub fn rule(&self) -> Rule {
        Rule {
            max_age_days: self.max_age_days,
            max_signatures: self.max_signatures,
            before: self.before,
            alert_days: self.alert_days,
        }
    }
}

/// The rule for `key`: of its own section, else of `*`.
pub fn rule_for(sections: &[Rotation], key: &KeyName) -> Option<Rule> {
    let of = |wanted: &dyn Fn(&Selector) -> bool| sections.iter().find(|s| wanted(&s.key));
    let own = of(&|selector| matches!(selector, Selector::Key(name) if name == key));
    own.or_else(|| of(&|selector| *selector == Selector::Others))
        .map(Rotation::rule)
}

/// Each key once, and each section with a limit.
pub(super) fn check(sections: &[Rotation]) -> Result<(), String> {
    for (number, section) in sections.iter().enumerate() {
        let name = match &section.key {
            Selector::Others => "*".to_owned(),
            Selector::Key(name) => name.to_string(),
        };
        let before = sections.iter().take(number);
        if before.clone().any(|other| other.key == section.key) {
            return Err(format!("[[rotation]] key {name} stands twice"));
        }
        let rule = section.rule();
        if (rule.max_age_days, rule.max_signatures, rule.before) == (None, None, None) {
            return Err(format!(
                "[[rotation]] key {name} needs max_age_days, max_signatures or before"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        rotation: Vec<Rotation>,
    }

    fn read(text: &str) -> Result<Vec<Rotation>, String> {
        let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
        check(&file.rotation).map(|()| file.rotation)
    }

    #[test]
    fn a_key_has_the_rule_of_its_own_section_else_that_of_the_star() {
        let text = "[[rotation]]\nkey = '*'\nmax_age_days = 365\n\
            [[rotation]]\nkey = 'release'\nmax_signatures = 7\nbefore = 2027-01-01\nalert_days = 3\n";
        let sections = read(text).unwrap();
        let rule = |key: &str| rule_for(&sections, &key.parse().unwrap()).unwrap();
        assert_eq!(rule("other").max_age_days, Some(365));
        assert_eq!(rule("other").alert_days, ALERT_DAYS);
        let own = rule("default/release");
        assert_eq!(
            (own.max_age_days, own.max_signatures, own.alert_days),
            (None, Some(7), 3)
        );
        assert_eq!(own.before, Some("2027-01-01T00:00:00Z".parse().unwrap()));
        assert_eq!(rule_for(&[], &"release".parse().unwrap()), None);
    }

    #[test]
    fn each_mistake_of_a_section_is_named() {
        let error = |text: &str| read(&format!("[[rotation]]\n{text}")).unwrap_err();
        assert!(error("key = '*'").contains("needs max_age_days"));
        assert!(error("key = 'No Label'\nmax_age_days = 1").contains("not a label"));
        assert!(error("key = '*'\nmax_age = 1").contains("max_age"));
        assert!(error("key = '*'\nbefore = 07:32:00").contains("give a date"));
        assert!(error("key = '*'\nbefore = 2027-01-01T00:00:00").contains("give a date"));
        let twice = "key = '*'\nmax_age_days = 1\n[[rotation]]\nkey = '*'\nmax_age_days = 2";
        assert!(error(twice).contains("stands twice"));
    }
}
