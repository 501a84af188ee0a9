//! Which logs are known, and which witnesses are enough (C2SP `tlog-policy`).
//!
//! The text of a policy is read by [`policy_text`](super::policy_text).

use super::vkey::VerifierKey;

/// Known logs, known witnesses, and the quorum: who must have cosigned a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    pub(super) logs: Vec<Log>,
    pub(super) witnesses: Vec<Witness>,
    /// In the order of their definition: a group refers only to earlier ones, so one pass decides all.
    pub(super) members: Vec<Member>,
    /// Which of `members` decides; `None` where no cosignature is needed.
    pub(super) quorum: Option<usize>,
}

/// A log whose checkpoints the policy accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The log's key; its name is the log's origin.
    pub key: VerifierKey,
    /// Where the log can be reached, if the policy says so.
    pub url: Option<String>,
}

/// A witness, by the name it has in the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The name that groups and the quorum line refer to.
    pub name: String,
    /// The witness's key, of type [`CosignatureV1`](super::vkey::KeyType::CosignatureV1).
    pub key: VerifierKey,
    /// Where checkpoints are submitted, if the policy says so.
    pub url: Option<String>,
}

/// A witness or a group: both can be members of a group, and share their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) rule: Rule,
}

/// When a member counts as having witnessed a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    /// When this one of the policy's `witnesses` cosigned.
    Witness(usize),
    /// When at least `needed` of these of the policy's `members` count.
    Group { needed: usize, members: Vec<usize> },
}

impl Policy {
    /// The policy that accepts the checkpoints of one log and asks for no witness.
    pub fn of_log(key: VerifierKey) -> Self {
        Self::of_logs([key])
    }

    /// The policy that accepts the checkpoints of these logs and asks for no witness.
    pub fn of_logs(keys: impl IntoIterator<Item = VerifierKey>) -> Self {
        let logs = keys.into_iter().map(|key| Log { key, url: None });
        Self {
            logs: logs.collect(),
            ..Self::default()
        }
    }

    /// The known logs, in the order of the text.
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// The known witnesses, in the order of the text.
    pub fn witnesses(&self) -> &[Witness] {
        &self.witnesses
    }

    /// Whether the witnesses for which `cosigned` answers yes are enough.
    pub fn quorum_met(&self, cosigned: impl Fn(&Witness) -> bool) -> bool {
        let Some(quorum) = self.quorum else {
            return true;
        };
        let mut met = Vec::with_capacity(self.members.len());
        for member in &self.members {
            met.push(match &member.rule {
                Rule::Witness(witness) => self.witnesses.get(*witness).is_some_and(&cosigned),
                Rule::Group { needed, members } => {
                    members.iter().filter(|&&m| is_met(&met, m)).count() >= *needed
                }
            });
        }
        is_met(&met, quorum)
    }
}

fn is_met(met: &[bool], member: usize) -> bool {
    met.get(member).copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::signers::{met, policy};

    #[test]
    fn the_example_of_the_specification_needs_two_of_one_operator_and_one_of_the_other() {
        let policy = policy(
            &["X1", "X2", "X3", "Y1", "Y2", "Y3"],
            "group X-witnesses 2 X1 X2 X3\ngroup Y-witnesses any Y1 Y2 Y3\n\
             group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n",
        );
        assert!(met(&policy, &["X1", "X3", "Y2"]));
        assert!(!met(&policy, &["X1", "Y1", "Y2", "Y3"]));
        assert!(!met(&policy, &["X1", "X2", "X3"]));
        assert!(!met(&policy, &[]));
    }

    #[test]
    fn a_quorum_is_none_or_one_witness_or_a_group() {
        assert!(met(&policy(&[], "quorum none"), &[]));
        let one = policy(&["a", "b"], "quorum b\n");
        assert!(met(&one, &["b"]) && !met(&one, &["a"]));
        let all = policy(&["a", "b"], "group g all a b\nquorum g");
        assert!(met(&all, &["a", "b"]) && !met(&all, &["a"]));
    }

    #[test]
    fn names_are_compared_byte_by_byte() {
        let kelvin = policy(&["K", "\u{212a}"], "quorum \u{212a}\n");
        assert!(met(&kelvin, &["\u{212a}"]) && !met(&kelvin, &["K"]));
    }

    #[test]
    fn thirty_two_of_everything_and_a_chain_of_groups_are_read() {
        let names: Vec<_> = (0..32).map(|i| format!("w{i}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let mut rest = String::from("group g0 all w0\n");
        for i in 1..32 {
            rest += &format!("group g{i} all w{i} g{}\n", i - 1);
        }
        let policy = policy(&names, &(rest + "quorum g31\n"));
        assert!(met(&policy, &names));
        assert!(!met(&policy, &names[1..]));
    }

    proptest! {
        #[test]
        fn a_group_is_met_by_any_k_of_its_members(cosigned in 0_u32..32, k in 1_u32..=5) {
            let names = ["a", "b", "c", "d", "e"];
            let policy = policy(&names, &format!("group g {k} a b c d e\nquorum g\n"));
            let cosigners: Vec<_> = (0..5).filter(|i| cosigned >> i & 1 == 1).map(|i| names[i]).collect();
            prop_assert_eq!(met(&policy, &cosigners), cosigned.count_ones() >= k);
        }
    }
}
