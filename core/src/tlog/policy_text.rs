//! Reading the text of a policy (C2SP `tlog-policy`).

use std::str::FromStr;

use super::policy::{Log, Member, Policy, Rule, Witness};
use super::text::decimal;
use super::vkey::{KeyType, VerifierKey, VkeyError};

/// The longest policy. 32 logs, witnesses and groups, which the standard asks for, need about a third of it.
pub const MAX_POLICY_BYTES: usize = 64 * 1024;

/// The quorum that needs no witness; no witness or group may take its name.
const NONE: &str = "none";

/// Why a text is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Longer than [`MAX_POLICY_BYTES`].
    #[error("a witness policy has at most {MAX_POLICY_BYTES} bytes, not {0}")]
    TooLong(usize),
    /// No quorum line.
    #[error("the witness policy has no quorum line: add `quorum <name>`, or `quorum none`")]
    NoQuorum,
    /// One line is at fault.
    #[error("witness policy, line {line}: {fault}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        fault: PolicyFault,
    },
}

/// What is wrong with a line of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    /// A control character other than tab.
    #[error("control character {0:#04x}: only tabs are allowed, check for \\r")]
    Control(u32),
    /// The line begins with none of the four keywords.
    #[error("{0:?} is no keyword: expected log, witness, group or quorum")]
    Keyword(String),
    /// Words are missing or left over.
    #[error("expected `{0}`")]
    Usage(&'static str),
    /// The key does not parse.
    #[error(transparent)]
    Key(#[from] VkeyError),
    /// A witness with a key that does not make cosignatures.
    #[error("a witness needs a key of type 0x04 (cosignature/v1), this one is {0:?}")]
    NoWitnessKey(KeyType),
    /// The same key pair on an earlier line of the same kind.
    #[error("this key is already on an earlier line: it must count once")]
    DuplicateKey,
    /// The name is on an earlier line, or reserved.
    #[error(
        "the name {0:?} is already taken: witnesses and groups share their names, and `none` is reserved"
    )]
    NameTaken(String),
    /// No earlier line defines the name.
    #[error("no earlier line defines {0:?}: define it above this line")]
    UnknownName(String),
    /// The name is a member already, of this or another group.
    #[error("{0:?} is already a member of a group: it must count once")]
    MemberTwice(String),
    /// The threshold is no number from 1 to the number of members.
    #[error(
        "a group of {members} needs any, all or a number from 1 to {members}, not {threshold:?}"
    )]
    Threshold {
        /// The word in its place.
        threshold: String,
        /// Members of the group.
        members: usize,
    },
    /// A second quorum line.
    #[error("there is a quorum line above: a policy has exactly one")]
    SecondQuorum,
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        if text.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLong(text.len()));
        }
        let mut parser = Parser::default();
        for (line, words) in (1..).zip(text.split('\n')) {
            parser
                .line(words)
                .map_err(|fault| PolicyError::Line { line, fault })?;
        }
        let quorum = parser.quorum.ok_or(PolicyError::NoQuorum)?;
        Ok(Self {
            quorum,
            ..parser.policy
        })
    }
}

/// What the lines so far have defined.
#[derive(Default)]
struct Parser {
    /// All but the quorum.
    policy: Policy,
    /// Which of `members` are in a group already.
    grouped: Vec<usize>,
    quorum: Option<Option<usize>>,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), PolicyFault> {
        let is_control = |&c: &char| (c < ' ' && c != '\t') || c == '\u{7f}';
        if let Some(control) = line.chars().find(is_control) {
            return Err(PolicyFault::Control(control.into()));
        }
        let words: Vec<_> = line.split([' ', '\t']).filter(|w| !w.is_empty()).collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with('#') => Ok(()),
            ["log", rest @ ..] => self.log(rest),
            ["witness", rest @ ..] => self.witness(rest),
            ["group", rest @ ..] => self.group(rest),
            ["quorum", rest @ ..] => self.quorum(rest),
            [other, ..] => Err(PolicyFault::Keyword((*other).to_owned())),
        }
    }

    fn log(&mut self, words: &[&str]) -> Result<(), PolicyFault> {
        let (key, url) = match words {
            [key] => (key, None),
            [key, url] => (key, Some((*url).to_owned())),
            _ => return Err(PolicyFault::Usage("log <vkey> [<url>]")),
        };
        let key: VerifierKey = key.parse()?;
        if self
            .policy
            .logs
            .iter()
            .any(|log| log.key.same_key_pair(&key))
        {
            return Err(PolicyFault::DuplicateKey);
        }
        self.policy.logs.push(Log { key, url });
        Ok(())
    }

    fn witness(&mut self, words: &[&str]) -> Result<(), PolicyFault> {
        let (name, key, url) = match words {
            [name, key] => (name, key, None),
            [name, key, url] => (name, key, Some((*url).to_owned())),
            _ => return Err(PolicyFault::Usage("witness <name> <vkey> [<url>]")),
        };
        let name = self.free_name(name)?;
        let key: VerifierKey = key.parse()?;
        if key.kind() != KeyType::CosignatureV1 {
            return Err(PolicyFault::NoWitnessKey(key.kind()));
        }
        let witnesses = &mut self.policy.witnesses;
        if witnesses.iter().any(|w| w.key.same_key_pair(&key)) {
            return Err(PolicyFault::DuplicateKey);
        }
        self.policy.members.push(Member {
            name: name.clone(),
            rule: Rule::Witness(witnesses.len()),
        });
        witnesses.push(Witness { name, key, url });
        Ok(())
    }

    fn group(&mut self, words: &[&str]) -> Result<(), PolicyFault> {
        let [name, threshold, names @ ..] = words else {
            return Err(PolicyFault::Usage("group <name> any|all|<k> <name>..."));
        };
        if names.is_empty() {
            return Err(PolicyFault::Usage("group <name> any|all|<k> <name>..."));
        }
        let name = self.free_name(name)?;
        let needed = needed(threshold, names.len())?;
        let mut members = Vec::with_capacity(names.len());
        for member in names {
            let index = self.defined(member)?;
            if self.grouped.contains(&index) {
                return Err(PolicyFault::MemberTwice((*member).to_owned()));
            }
            self.grouped.push(index);
            members.push(index);
        }
        self.policy.members.push(Member {
            name,
            rule: Rule::Group { needed, members },
        });
        Ok(())
    }

    fn quorum(&mut self, words: &[&str]) -> Result<(), PolicyFault> {
        let [name] = words else {
            return Err(PolicyFault::Usage("quorum <name>|none"));
        };
        if self.quorum.is_some() {
            return Err(PolicyFault::SecondQuorum);
        }
        self.quorum = Some(match *name {
            NONE => None,
            name => Some(self.defined(name)?),
        });
        Ok(())
    }

    fn free_name(&self, name: &str) -> Result<String, PolicyFault> {
        if name == NONE || self.defined(name).is_ok() {
            return Err(PolicyFault::NameTaken(name.to_owned()));
        }
        Ok(name.to_owned())
    }

    fn defined(&self, name: &str) -> Result<usize, PolicyFault> {
        self.policy
            .members
            .iter()
            .position(|member| member.name == name)
            .ok_or_else(|| PolicyFault::UnknownName(name.to_owned()))
    }
}

/// How many of `members` a threshold word asks for.
fn needed(threshold: &str, members: usize) -> Result<usize, PolicyFault> {
    let number = match threshold {
        "any" => Some(1),
        "all" => Some(members),
        _ => decimal(threshold).and_then(|k| usize::try_from(k).ok()),
    };
    number
        .filter(|k| (1..=members).contains(k))
        .ok_or_else(|| PolicyFault::Threshold {
            threshold: threshold.to_owned(),
            members,
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::signers::{TestKey, define};
    use super::*;

    /// The fault of the last line.
    fn fault(names: &[&str], rest: &str) -> PolicyFault {
        let text = define(names) + rest;
        let last = text.split('\n').count();
        match text.parse::<Policy>() {
            Err(PolicyError::Line { line, fault }) if line == last => fault,
            other => panic!("expected a fault in line {last}, not {other:?}"),
        }
    }

    #[test]
    fn blank_lines_comments_tabs_and_urls_are_read() {
        let log = TestKey::log("log", 1).public;
        let witness = TestKey::witness("w", 2).public;
        let text = format!(
            "# logs\n\n \t \n\t# indented\nlog\t{log}  https://log.example \n  witness\u{9}w \
             {witness}\thttps://w.example\nquorum none\n"
        );
        let policy: Policy = text.parse().expect("a good policy");
        assert_eq!(policy.logs()[0].key, log);
        assert_eq!(policy.logs()[0].url.as_deref(), Some("https://log.example"));
        let witnesses = policy.witnesses();
        assert_eq!(witnesses[0].key, witness);
        assert_eq!(witnesses[0].url.as_deref(), Some("https://w.example"));
    }

    #[test]
    fn exactly_one_quorum_line_is_needed() {
        assert_eq!("".parse::<Policy>(), Err(PolicyError::NoQuorum));
        assert_eq!(define(&["a"]).parse::<Policy>(), Err(PolicyError::NoQuorum));
        assert_eq!(
            fault(&[], "quorum none\nquorum none"),
            PolicyFault::SecondQuorum
        );
    }

    #[test]
    fn a_name_must_be_defined_above_its_use() {
        let unknown = |name: &str| PolicyFault::UnknownName(name.into());
        assert_eq!(fault(&["a"], "quorum b"), unknown("b"));
        assert_eq!(fault(&["a"], "group g any a h"), unknown("h"));
        assert_eq!(fault(&["a"], "group g any g"), unknown("g"));
        assert_eq!(fault(&["a"], "group g any none"), unknown("none"));
    }

    #[test]
    fn a_name_is_defined_once_and_is_a_member_once() {
        let taken = |name: &str| PolicyFault::NameTaken(name.into());
        assert_eq!(fault(&["a"], "group a any a"), taken("a"));
        assert_eq!(fault(&["a"], "group none any a"), taken("none"));
        let key = TestKey::witness("w", 9).public;
        assert_eq!(fault(&["a"], &format!("witness a {key}")), taken("a"));
        assert_eq!(fault(&["a"], &format!("witness none {key}")), taken("none"));
        let twice = PolicyFault::MemberTwice("a".into());
        assert_eq!(fault(&["a"], "group g any a a"), twice);
        assert_eq!(fault(&["a", "b"], "group g any a b\ngroup h any a"), twice);
    }

    #[test]
    fn a_threshold_is_from_one_to_the_number_of_members() {
        for k in ["0", "3", "01", "-1", "+1", "some", "18446744073709551616"] {
            let expected = PolicyFault::Threshold {
                threshold: k.into(),
                members: 2,
            };
            assert_eq!(fault(&["a", "b"], &format!("group g {k} a b")), expected);
        }
    }

    #[test]
    fn a_key_counts_once_whatever_its_name() {
        let log = TestKey::log("other-name", 200).public;
        assert_eq!(fault(&[], &format!("log {log}")), PolicyFault::DuplicateKey);
        let witness = TestKey::witness("other-name", 1).public;
        assert_eq!(
            fault(&["a"], &format!("witness b {witness}")),
            PolicyFault::DuplicateKey
        );
    }

    #[test]
    fn a_witness_must_have_a_cosignature_key() {
        let key = TestKey::log("w", 9).public;
        assert_eq!(
            fault(&[], &format!("witness w {key}")),
            PolicyFault::NoWitnessKey(KeyType::Ed25519)
        );
    }

    #[test]
    fn malformed_lines_say_what_was_expected() {
        for (line, usage) in [
            ("log", "log <vkey> [<url>]"),
            ("log a b c", "log <vkey> [<url>]"),
            ("witness a", "witness <name> <vkey> [<url>]"),
            ("group g any", "group <name> any|all|<k> <name>..."),
            ("group g", "group <name> any|all|<k> <name>..."),
            ("quorum", "quorum <name>|none"),
            ("quorum none # why", "quorum <name>|none"),
        ] {
            assert_eq!(fault(&[], line), PolicyFault::Usage(usage), "{line}");
        }
        assert_eq!(
            fault(&[], "Quorum none"),
            PolicyFault::Keyword("Quorum".into())
        );
        assert_eq!(fault(&[], "quorum none\r"), PolicyFault::Control(13));
        assert_eq!(fault(&[], "log x"), PolicyFault::Key(VkeyError::Shape));
    }

    #[test]
    fn a_policy_at_the_limit_is_read_and_one_byte_more_is_not() {
        let quorum = "quorum none\n#";
        let full = format!("{quorum}{}", "x".repeat(MAX_POLICY_BYTES - quorum.len()));
        assert!(full.parse::<Policy>().is_ok());
        let over = PolicyError::TooLong(MAX_POLICY_BYTES + 1);
        assert_eq!(format!("{full}x").parse::<Policy>(), Err(over));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "((log|witness|group|quorum|none|any|all|[a-c1-3]|#)[ \t\n]){0,40}") {
            let _ = text.parse::<Policy>();
        }
    }
}
