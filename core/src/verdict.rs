//! What a signature that verifies is still worth, given what became of its key.
//!
//! The host's own clock can speak against a signature, never for it: whoever has the host has its clock. Only a
//! quorum of witnesses or a time stamp authority can show that a signature is older than the compromise of its key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::key::KeyState;
use crate::time::Timestamp;

/// The worth of a signature, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The key is in use and nothing is known against it.
    Good,
    /// The key is out of use and nothing is known against it.
    Superseded,
    /// The key is compromised; witnesses or a time stamp authority saw the signature before.
    BeforeCompromise,
    /// The key is compromised, or never signed here, and nobody but the host vouches for the signature.
    Suspect,
    /// Made when the key was compromised already.
    AfterRevocation,
}

impl Verdict {
    /// Whether to rely on the signature.
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Good | Self::Superseded | Self::BeforeCompromise)
    }

    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Superseded => "superseded",
            Self::BeforeCompromise => "before-compromise",
            Self::Suspect => "suspect",
            Self::AfterRevocation => "after-revocation",
        }
    }

    /// Why, in one sentence.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Good => "the key is in use and not compromised",
            Self::Superseded => "the key is out of use and was not compromised",
            Self::BeforeCompromise => {
                "the key is compromised; witnesses or a time stamp authority saw the signature before that"
            }
            Self::Suspect => {
                "the key is compromised, or never signed here, and nobody else shows that the signature is older; a log \
                 proof under a --policy with witnesses may, or a time stamp in the bundle with --tsa-roots"
            }
            Self::AfterRevocation => "the key was compromised when it signed",
        }
    }
}

/// What became of the key that signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Where it stands.
    pub state: KeyState,
    /// When it began to sign, by the host's clock; `None` if it never did.
    pub active_from: Option<Timestamp>,
    /// Since when it may be in other hands.
    pub compromised_from: Option<Timestamp>,
}

/// What is known of the time at which a signature existed; each from evidence that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evidence {
    /// When the host recorded it, by the host's clock.
    pub recorded: Option<Timestamp>,
    /// When a quorum of witnesses had seen its record, by their clocks
    /// ([`quorum_time`](crate::tlog::Policy::quorum_time)).
    pub witnessed: Option<Timestamp>,
    /// When a time stamp authority had seen it, by its clock and at the latest
    /// ([`Bundle::stamped`](crate::bundle::Bundle::stamped)).
    pub stamped: Option<Timestamp>,
}

/// The worth of a signature that verifies under a key with this `life`.
///
/// A key without compromise: `Suspect` if it never signed here, `Superseded` if it is out of use for good, else
/// `Good`. A suspension is no finding and changes nothing.
///
/// A key compromised from T on, the first that holds:
/// 1. `BeforeCompromise`: the quorum had seen the record, or an authority the signature, before T, whatever the host's
///    clock said.
/// 2. `AfterRevocation`: the host recorded it at T or later, or the key had not begun to sign before T.
/// 3. `Suspect`: all else. That others saw it only after T says nothing: they see old records again and again.
pub fn judge(life: Life, evidence: Evidence) -> Verdict {
    let Some(compromised_from) = life.compromised_from else {
        return match (life.active_from, life.state) {
            (None, _) => Verdict::Suspect,
            (_, KeyState::Deactivated | KeyState::Destroyed) => Verdict::Superseded,
            _ => Verdict::Good,
        };
    };
    let before = |time: Option<Timestamp>| time.is_some_and(|time| time < compromised_from);
    if before(evidence.witnessed) || before(evidence.stamped) {
        Verdict::BeforeCompromise
    } else if (evidence.recorded.is_some() && !before(evidence.recorded))
        || !before(life.active_from)
    {
        Verdict::AfterRevocation
    } else {
        Verdict::Suspect
    }
}

/// The verdict on a payload that `signers` signed and `threshold` of them were to sign: the worst among the
/// best signatures of that many signers. A signer counts once, with the best of its signatures.
/// `None`: too few signed, or the threshold is 0.
pub fn overall<S: Ord>(
    signers: impl IntoIterator<Item = (S, Verdict)>,
    threshold: usize,
) -> Option<Verdict> {
    let mut best: BTreeMap<S, Verdict> = BTreeMap::new();
    for (signer, verdict) in signers {
        let known = best.entry(signer).or_insert(verdict);
        *known = (*known).min(verdict);
    }
    let mut verdicts: Vec<_> = best.into_values().collect();
    verdicts.sort_unstable();
    verdicts.get(threshold.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use KeyState::*;
    use Verdict::*;

    const T: i64 = 1000;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    fn worth(
        state: KeyState,
        active_from: Option<i64>,
        compromised_from: Option<i64>,
        [recorded, witnessed]: [Option<i64>; 2],
    ) -> Verdict {
        let life = Life {
            state,
            active_from: active_from.map(at),
            compromised_from: compromised_from.map(at),
        };
        let evidence = Evidence {
            recorded: recorded.map(at),
            witnessed: witnessed.map(at),
            stamped: None,
        };
        let verdict = judge(life, evidence);
        // The time of an authority is worth what that of a quorum is.
        let evidence = Evidence {
            stamped: evidence.witnessed,
            witnessed: None,
            ..evidence
        };
        assert_eq!(judge(life, evidence), verdict, "{life:?} {evidence:?}");
        verdict
    }

    /// Each time that a record or a quorum can have: none, before T, at T, after T.
    const TIMES: [Option<i64>; 4] = [None, Some(T - 1), Some(T), Some(T + 1)];

    #[test]
    fn without_a_compromise_only_the_keys_life_counts() {
        let table = [
            (PreActive, None, Suspect),
            (Destroyed, None, Suspect),
            (Active, Some(1), Good),
            (Suspended, Some(1), Good),
            (Deactivated, Some(1), Superseded),
            (Destroyed, Some(1), Superseded),
        ];
        for (state, active_from, verdict) in table {
            for recorded in TIMES {
                for witnessed in TIMES {
                    let found = worth(state, active_from, None, [recorded, witnessed]);
                    assert_eq!(found, verdict, "{state:?} {recorded:?} {witnessed:?}");
                }
            }
        }
    }

    #[test]
    fn with_a_compromise_every_pair_of_times_is_decided() {
        // Columns: no witness time, before, at and after T. Rows: the record's time likewise.
        let table = [
            [Suspect, BeforeCompromise, Suspect, Suspect],
            [Suspect, BeforeCompromise, Suspect, Suspect],
            [
                AfterRevocation,
                BeforeCompromise,
                AfterRevocation,
                AfterRevocation,
            ],
            [
                AfterRevocation,
                BeforeCompromise,
                AfterRevocation,
                AfterRevocation,
            ],
        ];
        for (recorded, row) in TIMES.into_iter().zip(table) {
            for (witnessed, verdict) in TIMES.into_iter().zip(row) {
                for state in [Deactivated, Destroyed] {
                    let found = worth(state, Some(1), Some(T), [recorded, witnessed]);
                    assert_eq!(found, verdict, "{recorded:?} {witnessed:?}");
                }
            }
        }
    }

    #[test]
    fn a_key_that_was_compromised_before_it_signed_has_only_later_signatures() {
        for active_from in [None, Some(T), Some(T + 1)] {
            for recorded in TIMES {
                let found = worth(Deactivated, active_from, Some(T), [recorded, None]);
                assert_eq!(found, AfterRevocation, "{active_from:?} {recorded:?}");
            }
        }
    }

    #[test]
    fn the_weakest_of_the_signatures_that_are_needed_decides() {
        let signed = [("a", Good), ("b", Suspect), ("c", Superseded)];
        let expected = [None, Some(Good), Some(Superseded), Some(Suspect), None];
        for (threshold, verdict) in expected.into_iter().enumerate() {
            assert_eq!(overall(signed, threshold), verdict, "{threshold}");
        }
    }

    #[test]
    fn two_versions_of_one_key_are_one_signer_with_the_better_signature() {
        let signed = [("a", AfterRevocation), ("a", Good)];
        assert_eq!(overall(signed, 1), Some(Good));
        assert_eq!(overall(signed, 2), None);
    }

    #[test]
    fn a_verdict_is_spelled_the_same_in_text_and_json() {
        for verdict in [Good, Superseded, BeforeCompromise, Suspect, AfterRevocation] {
            let json = serde_json::to_string(&verdict).unwrap();
            assert_eq!(json, format!("\"{}\"", verdict.as_str()));
            assert_eq!(verdict.is_accepted(), verdict < Suspect);
        }
    }
}
