//! Checkpoints that a policy accepts.

use super::checkpoint::{Checkpoint, CheckpointError};
use super::note::{Note, NoteError};
use super::policy::Policy;
use super::vkey::VerifierKey;
use crate::time::Timestamp;

/// A checkpoint signed by a known log and cosigned by a quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessedCheckpoint {
    /// What the log committed to.
    pub checkpoint: Checkpoint,
    /// Every known witness that cosigned, whether the quorum needed it or not.
    pub cosigners: Vec<Cosigner>,
}

/// A witness that vouches for a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigner {
    /// Its name in the policy.
    pub name: String,
    /// The name of its key.
    pub key_name: String,
    /// When it cosigned, in Unix seconds by its own clock.
    pub time: u64,
}

impl Cosigner {
    /// The last moment of the second in which it cosigned; `None` where it says none (0).
    fn latest(&self) -> Option<Timestamp> {
        let millis = i64::try_from(self.time).ok()?.checked_mul(1000)?;
        (millis > 0).then(|| Timestamp::from_unix_millis(millis.saturating_add(999)))
    }
}

/// Why a checkpoint is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessedError {
    /// The note is malformed, or a signature of a known key does not verify.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The signed text is no checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// No known log of this origin signed.
    #[error("no known log called {0:?} signed the checkpoint: add its verifier key to the policy")]
    UnknownLog(String),
    /// Too few of the right witnesses cosigned.
    #[error(
        "the cosignatures of {cosigners:?} do not meet the quorum: get a checkpoint with more of them"
    )]
    NoQuorum {
        /// Names, in the policy, of those that cosigned.
        cosigners: Vec<String>,
    },
}

impl Policy {
    /// Accepts `note` where a known log signed it under its origin and the quorum cosigned it.
    ///
    /// # Errors
    /// [`WitnessedError`]: the note or the checkpoint in it is malformed, a known key's signature does not
    /// verify, no known log of that origin signed, or the quorum is not met.
    pub fn accept(&self, note: &str) -> Result<WitnessedCheckpoint, WitnessedError> {
        let note = Note::parse(note)?;
        let logs = self.logs().iter().map(|log| &log.key);
        let witnesses = self.witnesses().iter().map(|witness| &witness.key);
        let signed = note.verify(logs.chain(witnesses))?;
        let checkpoint: Checkpoint = note.text().parse()?;
        let by_its_log = self.logs().iter().any(|log| {
            log.key.name() == checkpoint.origin() && signed.iter().any(|s| *s.key == log.key)
        });
        if !by_its_log {
            return Err(WitnessedError::UnknownLog(checkpoint.origin().to_owned()));
        }
        let time_of = |key: &VerifierKey| signed.iter().find(|s| s.key == key)?.time;
        let cosigners: Vec<_> = self
            .witnesses()
            .iter()
            .filter_map(|witness| {
                Some(Cosigner {
                    name: witness.name.clone(),
                    key_name: witness.key.name().to_owned(),
                    time: time_of(&witness.key)?,
                })
            })
            .collect();
        if !self.quorum_met(|witness| time_of(&witness.key).is_some()) {
            let cosigners = cosigners
                .into_iter()
                .map(|cosigner| cosigner.name)
                .collect();
            return Err(WitnessedError::NoQuorum { cosigners });
        }
        Ok(WitnessedCheckpoint {
            checkpoint,
            cosigners,
        })
    }

    /// The earliest moment by which the quorum had cosigned, each witness by its own clock: what fewer witnesses
    /// say counts for nothing. Times are whole seconds and count as their end. `None` where the policy asks for
    /// no witness: then there is nobody whose time it relies on.
    pub fn quorum_time(&self, cosigners: &[Cosigner]) -> Option<Timestamp> {
        if self.quorum_met(|_| false) {
            return None;
        }
        let mut times: Vec<_> = cosigners.iter().filter_map(Cosigner::latest).collect();
        times.sort_unstable();
        let had = |name: &str, time| {
            let mut named = cosigners.iter().filter(|cosigner| cosigner.name == name);
            named.any(|cosigner| cosigner.latest().is_some_and(|latest| latest <= time))
        };
        times
            .into_iter()
            .find(|time| self.quorum_met(|witness| had(&witness.name, *time)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::signers::{TestKey, signed};
    use super::*;

    struct Setting {
        log: TestKey,
        witnesses: [TestKey; 3],
        policy: Policy,
        body: String,
    }

    /// One log, three witnesses, any two of which are enough.
    fn setting() -> Setting {
        let log = TestKey::log("log.example", 1);
        let witnesses = [2, 3, 4].map(|number| TestKey::witness("witness.example", number));
        let [a, b, c] = &witnesses;
        let policy = format!(
            "log {}\nwitness a {}\nwitness b {}\nwitness c {}\ngroup g 2 a b c\nquorum g\n",
            log.public, a.public, b.public, c.public
        );
        let checkpoint = Checkpoint::new("log.example", 7, [9; 32]).expect("a good origin");
        Setting {
            log,
            witnesses,
            policy: policy.parse().expect("a good policy"),
            body: checkpoint.to_string(),
        }
    }

    #[test]
    fn a_checkpoint_with_its_log_and_a_quorum_is_accepted_and_names_the_cosigners() {
        let Setting {
            log,
            witnesses: [a, _, c],
            policy,
            body,
        } = setting();
        let note = signed(&body, [&log, &c, &a]).to_string();
        let accepted = policy.accept(&note).expect("accepted");
        assert_eq!(accepted.checkpoint.size(), 7);
        let cosigner = |name: &str, time| Cosigner {
            name: name.into(),
            key_name: "witness.example".into(),
            time,
        };
        assert_eq!(accepted.cosigners, [cosigner("a", 3), cosigner("c", 2)]);
    }

    #[test]
    fn one_witness_that_signs_twice_is_no_quorum_of_two() {
        let Setting {
            log,
            witnesses: [a, ..],
            policy,
            body,
        } = setting();
        let note = signed(&body, [&log, &a, &a]).to_string();
        let cosigners = vec!["a".to_owned()];
        assert_eq!(
            policy.accept(&note),
            Err(WitnessedError::NoQuorum { cosigners })
        );
    }

    #[test]
    fn witnesses_without_the_log_are_not_enough() {
        let s = setting();
        let note = signed(&s.body, &s.witnesses).to_string();
        let expected = WitnessedError::UnknownLog("log.example".into());
        assert_eq!(s.policy.accept(&note), Err(expected));
    }

    #[test]
    fn a_known_log_cannot_sign_for_another_origin() {
        let s = setting();
        let body = s.body.replace("log.example", "other.example");
        let note = signed(&body, s.witnesses.iter().chain([&s.log])).to_string();
        let expected = WitnessedError::UnknownLog("other.example".into());
        assert_eq!(s.policy.accept(&note), Err(expected));
    }

    #[test]
    fn one_wrong_cosignature_of_a_known_witness_rejects_even_with_a_quorum() {
        let s = setting();
        let [a, b, c] = &s.witnesses;
        let mut lines: Vec<_> = [&s.log, a, b].map(|key| key.sign(&s.body, 1)).into();
        lines.push(c.sign("another text\n", 1));
        let note = Note::new(s.body, lines).expect("well-formed").to_string();
        let expected = NoteError::BadSignature("witness.example".into());
        assert_eq!(s.policy.accept(&note), Err(WitnessedError::Note(expected)));
    }

    #[test]
    fn a_signed_text_that_is_no_checkpoint_is_refused() {
        let s = setting();
        let note = signed("log.example\n007\n", [&s.log]).to_string();
        assert_eq!(
            s.policy.accept(&note),
            Err(WitnessedError::Checkpoint(CheckpointError::Lines))
        );
    }

    #[test]
    fn the_quorums_time_is_that_of_the_last_witness_it_needed() {
        let s = setting();
        let cosigner = |name: &str, time| Cosigner {
            name: name.into(),
            key_name: "witness.example".into(),
            time,
        };
        let end = |second: i64| Some(Timestamp::from_unix_millis(second * 1000 + 999));
        let three = [cosigner("a", 30), cosigner("b", 10), cosigner("c", 20)];
        assert_eq!(s.policy.quorum_time(&three), end(20));
        assert_eq!(s.policy.quorum_time(&three[..2]), end(30));
        assert_eq!(s.policy.quorum_time(&three[1..2]), None);
        let strangers = [cosigner("x", 1), cosigner("b", 10)];
        assert_eq!(s.policy.quorum_time(&strangers), None);
        // A witness that names no time, or one that is none, vouches for no time.
        for none in [0, u64::MAX] {
            let times = [cosigner("a", none), cosigner("b", 10)];
            assert_eq!(s.policy.quorum_time(&times), None);
        }
        let no_quorum = Policy::of_log(s.log.public);
        assert_eq!(no_quorum.quorum_time(&three), None);
    }

    #[test]
    fn a_policy_of_one_log_needs_no_witness() {
        let s = setting();
        let note = signed(&s.body, [&s.log]).to_string();
        let policy = Policy::of_log(s.log.public.clone());
        assert!(policy.accept(&note).expect("accepted").cosigners.is_empty());
        assert!(s.policy.accept(&note).is_err());
    }
}
