//! Which witnesses a log relies on, how many of them are enough, and what their cosignatures are worth.

use super::note::NoteSignature;
use super::vkey::{KeyType, VerifierKey, VkeyError};

/// The most witnesses of a log.
pub const MAX_WITNESSES: usize = 32;

/// Any `needed` of these witnesses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quorum {
    witnesses: Vec<VerifierKey>,
    needed: usize,
}

/// A cosignature that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    /// Position of its witness in [`Quorum::witnesses`].
    pub witness: usize,
    /// When it was made, in Unix seconds by the witness's clock.
    pub time: u64,
    /// Its line.
    pub line: NoteSignature,
}

/// Why witnesses cannot be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// Too many.
    #[error("there are {0} witnesses: at most {MAX_WITNESSES} are read")]
    TooMany(usize),
    /// A key does not parse.
    #[error("witness {key:?}: {error}")]
    Key {
        /// The text.
        key: String,
        /// What is wrong with it.
        error: VkeyError,
    },
    /// A key of another type.
    #[error("witness {0:?} has no key of type 0x04 (cosignature/v1)")]
    Kind(String),
    /// The same key pair twice.
    #[error("witness {0:?} has the key of an earlier one: it must count once")]
    Twice(String),
    /// Not from one to the number of witnesses.
    #[error("the quorum of {witnesses} witnesses is a number from 1 to {witnesses}, not {needed}")]
    Needed {
        /// How many there are.
        witnesses: usize,
        /// How many are asked for.
        needed: usize,
    },
}

/// Why cosignature lines are refused, all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CosignatureError {
    /// No configured witness.
    #[error("{0:?} is no witness of this log, or has another key: compare its verifier key")]
    Unknown(String),
    /// It does not verify.
    #[error("the cosignature of {0:?} does not verify over this checkpoint")]
    Bad(String),
}

impl Quorum {
    /// Any `needed` of the witnesses with these verifier keys; without witnesses, none are needed.
    ///
    /// # Errors
    /// [`QuorumError`], naming the key.
    pub fn new(keys: &[String], needed: usize) -> Result<Self, QuorumError> {
        if keys.len() > MAX_WITNESSES {
            return Err(QuorumError::TooMany(keys.len()));
        }
        let mut witnesses: Vec<VerifierKey> = Vec::with_capacity(keys.len());
        for text in keys {
            let key: VerifierKey = text.parse().map_err(|error| QuorumError::Key {
                key: text.clone(),
                error,
            })?;
            if key.kind() != KeyType::CosignatureV1 {
                return Err(QuorumError::Kind(key.name().to_owned()));
            }
            if witnesses.iter().any(|other| other.same_key_pair(&key)) {
                return Err(QuorumError::Twice(key.name().to_owned()));
            }
            witnesses.push(key);
        }
        let fits = match witnesses.len() {
            0 => needed == 0,
            count => (1..=count).contains(&needed),
        };
        if !fits {
            return Err(QuorumError::Needed {
                witnesses: witnesses.len(),
                needed,
            });
        }
        Ok(Self { witnesses, needed })
    }

    /// The witnesses, as configured.
    pub fn witnesses(&self) -> &[VerifierKey] {
        &self.witnesses
    }

    /// How many of them are enough; 0 where there are none.
    pub fn needed(&self) -> usize {
        self.needed
    }

    /// Checks every line as a cosignature over `body`, the whole text of a checkpoint.
    ///
    /// # Errors
    /// [`CosignatureError`] for the first line that is not a good cosignature of one of the witnesses: who
    /// brings one such line is not believed about the others.
    pub fn verify(
        &self,
        body: &str,
        lines: &[NoteSignature],
    ) -> Result<Vec<Cosignature>, CosignatureError> {
        lines
            .iter()
            .map(|line| self.verify_one(body, line))
            .collect()
    }

    fn verify_one(
        &self,
        body: &str,
        line: &NoteSignature,
    ) -> Result<Cosignature, CosignatureError> {
        let is_by = |key: &VerifierKey| key.name() == line.name() && key.id() == line.key_id();
        let candidates = self.witnesses.iter().enumerate();
        let mut candidates = candidates.filter(|(_, key)| is_by(key)).peekable();
        if candidates.peek().is_none() {
            return Err(CosignatureError::Unknown(line.name().to_owned()));
        }
        // Key ids are four bytes: two keys of one name may share one, and either may have signed.
        candidates
            .find_map(|(witness, key)| {
                let time = key.verify(body, line.signature()).ok().flatten()?;
                let line = line.clone();
                Some(Cosignature {
                    witness,
                    time,
                    line,
                })
            })
            .ok_or_else(|| CosignatureError::Bad(line.name().to_owned()))
    }

    /// When a checkpoint with these cosignatures had the quorum, in Unix seconds: the latest time at which
    /// enough different witnesses still vouched for it. `None` where too few do, or none are configured.
    pub fn reached(&self, cosignatures: &[Cosignature]) -> Option<u64> {
        let newest = |witness| {
            let by_it = cosignatures.iter().filter(|c| c.witness == witness);
            by_it.map(|c| c.time).max()
        };
        let mut times: Vec<u64> = (0..self.witnesses.len()).filter_map(newest).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        times.get(self.needed.checked_sub(1)?).copied()
    }

    /// `new` with those of `old` whose witness did not sign again; of each witness the latest, in the order of
    /// the witnesses.
    pub fn merge(&self, old: Vec<Cosignature>, new: Vec<Cosignature>) -> Vec<Cosignature> {
        let mut latest: Vec<Option<Cosignature>> = vec![None; self.witnesses.len()];
        for cosignature in old.into_iter().chain(new) {
            if let Some(slot) = latest.get_mut(cosignature.witness)
                && slot
                    .as_ref()
                    .is_none_or(|have| have.time <= cosignature.time)
            {
                *slot = Some(cosignature);
            }
        }
        latest.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::signers::TestKey;
    use super::*;

    const BODY: &str = "log.example\n7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn witnesses(count: u8) -> Vec<TestKey> {
        (1..=count).map(|n| TestKey::witness("w", n)).collect()
    }

    fn keys(witnesses: &[TestKey]) -> Vec<String> {
        witnesses.iter().map(|w| w.public.to_string()).collect()
    }

    fn quorum(witnesses: &[TestKey], needed: usize) -> Quorum {
        Quorum::new(&keys(witnesses), needed).expect("a good quorum")
    }

    #[test]
    fn cosignatures_of_the_witnesses_over_this_very_text_count() {
        let w = witnesses(3);
        let quorum = quorum(&w, 2);
        let lines = [w[2].sign(BODY, 30), w[0].sign(BODY, 10)];
        let found = quorum.verify(BODY, &lines).expect("both verify");
        assert_eq!((found[0].witness, found[0].time), (2, 30));
        assert_eq!(quorum.reached(&found), Some(10));
        assert_eq!(quorum.reached(&found[..1]), None);
    }

    #[test]
    fn one_line_that_is_not_a_witnesss_refuses_all() {
        let w = witnesses(3);
        let quorum = quorum(&w[..2], 1);
        let good = w[0].sign(BODY, 1);
        let refused = |line| {
            quorum
                .verify(BODY, &[good.clone(), line])
                .expect_err("refused")
        };
        assert_eq!(
            refused(w[2].sign(BODY, 1)),
            CosignatureError::Unknown("w".into())
        );
        let other = w[1].sign("another text\n", 1);
        assert_eq!(refused(other), CosignatureError::Bad("w".into()));
        let log = TestKey::log("w", 1).sign(BODY, 0);
        assert_eq!(refused(log), CosignatureError::Unknown("w".into()));
    }

    #[test]
    fn each_mistake_in_the_configuration_is_named() {
        let w = witnesses(2);
        let refused = |keys: &[String], needed| Quorum::new(keys, needed).expect_err("refused");
        let needed = |witnesses, needed| QuorumError::Needed { witnesses, needed };
        assert_eq!(refused(&keys(&w), 0), needed(2, 0));
        assert_eq!(refused(&keys(&w), 3), needed(2, 3));
        assert_eq!(refused(&[], 1), needed(0, 1));
        let log = TestKey::log("l", 1).public.to_string();
        assert_eq!(refused(&[log], 1), QuorumError::Kind("l".into()));
        let twice = [&keys(&w)[..], &keys(&w)[..1]].concat();
        assert_eq!(refused(&twice, 1), QuorumError::Twice("w".into()));
        assert!(matches!(refused(&["x".into()], 1), QuorumError::Key { .. }));
        let many = keys(&witnesses(33));
        assert_eq!(refused(&many, 1), QuorumError::TooMany(33));
        assert_eq!(Quorum::new(&[], 0), Ok(Quorum::default()));
    }

    #[test]
    fn without_witnesses_no_quorum_is_ever_reached() {
        assert_eq!(Quorum::default().reached(&[]), None);
    }

    proptest! {
        #[test]
        fn any_k_different_witnesses_reach_the_quorum_at_the_kth_latest_time(
            needed in 1_usize..=5, times in proptest::collection::vec((0_usize..5, 0_u64..100), 0..12),
        ) {
            let w = witnesses(5);
            let quorum = quorum(&w, needed);
            let lines: Vec<_> = times.iter().map(|(n, time)| w[*n].sign(BODY, *time)).collect();
            let found = quorum.verify(BODY, &lines).expect("all verify");
            let vouching = |at: u64| (0..5).filter(|n| times.iter().any(|(m, t)| m == n && *t >= at)).count();
            let expected = (0..100).rev().find(|at| vouching(*at) >= needed);
            prop_assert_eq!(quorum.reached(&found), expected);
            let (old, new) = found.split_at(found.len() / 2);
            let merged = quorum.merge(old.to_vec(), new.to_vec());
            prop_assert!(merged.len() <= 5);
            prop_assert_eq!(quorum.reached(&merged), expected);
        }
    }
}
