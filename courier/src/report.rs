//! What a round brought, for people, cron and tests.

use serde::Serialize;

/// A round.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The log.
    pub(crate) origin: String,
    /// Size of its newest checkpoint at the beginning of the round.
    pub(crate) size: u64,
    pub(crate) verdict: Verdict,
    /// Witnesses that were asked in this round.
    pub(crate) witnesses: Vec<Entry>,
}

/// A witness's part.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) url: String,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// How a submission ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The daemon has its cosignature; whether that made the quorum.
    Cosigned { size: u64, quorum: bool },
    /// Nobody answers.
    Unreachable { detail: String },
    /// It did not answer in time.
    Slow { detail: String },
    /// Its answer is not what the standard allows.
    Garbage { detail: String },
    /// 404: its operator has to add the log.
    UnknownLog,
    /// 403: its operator has another key of the log.
    LogKeyRefused,
    /// The daemon does not take its cosignature.
    RefusedByDaemon { detail: String },
    /// It has seen another tree of `size` records under our name. `evidence` is a checkpoint of it that our
    /// log's key signed.
    SplitView {
        size: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        evidence: Option<String>,
    },
    /// It has seen more records than our log has. `evidence` is a checkpoint of them that our log's key signed.
    Rollback {
        ours: u64,
        theirs: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        evidence: Option<String>,
    },
}

/// The worst of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The daemon has a quorum for the newest checkpoint.
    Quorum,
    /// Too few cosigned.
    NoQuorum,
    /// A witness has seen more than our log has.
    Rollback,
    /// A witness has seen another history.
    SplitView,
}

impl Report {
    /// One line.
    pub(crate) fn to_json(&self) -> String {
        // Strings and numbers serialise; an empty line is what is left if they ever did not.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What the outcomes amount to.
    pub(crate) fn judge(witnesses: &[Entry]) -> Verdict {
        let any = |is: fn(&Outcome) -> bool| witnesses.iter().any(|entry| is(&entry.outcome));
        if any(|outcome| matches!(outcome, Outcome::SplitView { .. })) {
            Verdict::SplitView
        } else if any(|outcome| matches!(outcome, Outcome::Rollback { .. })) {
            Verdict::Rollback
        } else if any(|outcome| matches!(outcome, Outcome::Cosigned { quorum: true, .. })) {
            Verdict::Quorum
        } else {
            Verdict::NoQuorum
        }
    }
}

impl Verdict {
    /// Of `--once`.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Quorum => 0,
            Self::NoQuorum => 3,
            Self::Rollback | Self::SplitView => 4,
        }
    }
}

impl Entry {
    /// One line in the courier's own log, as loud as it is bad.
    pub(crate) fn log(&self) {
        let (name, url) = (&self.name, &self.url);
        match &self.outcome {
            Outcome::Cosigned { size, quorum } => tracing::info!(name, size, quorum, "cosigned"),
            Outcome::SplitView { size, evidence } => tracing::error!(
                name,
                url,
                size,
                proved = evidence.is_some(),
                "SPLIT VIEW: the witness has seen another log of {size} records under our name; stop signing and follow docs/runbooks/witnesses.md"
            ),
            Outcome::Rollback {
                ours,
                theirs,
                evidence,
            } => tracing::error!(
                name,
                url,
                ours,
                theirs,
                proved = evidence.is_some(),
                "ROLLBACK: the witness has seen {theirs} records and our log has {ours}; stop signing and follow docs/runbooks/witnesses.md"
            ),
            Outcome::UnknownLog => tracing::warn!(
                name,
                url,
                "the witness does not know this log: give its operator the origin and the key of `GET /v1/log/key`"
            ),
            Outcome::LogKeyRefused => tracing::warn!(
                name,
                url,
                "the witness has another key of this log: give its operator that of `GET /v1/log/key`"
            ),
            Outcome::Unreachable { detail } => tracing::warn!(name, url, detail, "unreachable"),
            Outcome::Slow { detail } => tracing::warn!(name, url, detail, "too slow"),
            Outcome::Garbage { detail } => {
                tracing::warn!(name, url, detail, "not a witness's answer")
            }
            Outcome::RefusedByDaemon { detail } => tracing::warn!(
                name,
                detail,
                "the daemon refuses this witness: compare [log] witnesses in sealwright.toml with the courier's"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(outcome: Outcome) -> Entry {
        Entry {
            name: "w".to_owned(),
            url: "http://w".to_owned(),
            outcome,
        }
    }

    #[test]
    fn another_history_outweighs_a_quorum() {
        let cosigned = |quorum| entry(Outcome::Cosigned { size: 7, quorum });
        let split = entry(Outcome::SplitView {
            size: 7,
            evidence: None,
        });
        let rollback = entry(Outcome::Rollback {
            ours: 7,
            theirs: 9,
            evidence: None,
        });
        let judge = |entries: &[Entry]| Report::judge(entries).exit_code();
        assert_eq!(judge(&[cosigned(false), cosigned(true)]), 0);
        assert_eq!(judge(&[cosigned(false), entry(Outcome::UnknownLog)]), 3);
        assert_eq!(judge(&[]), 3);
        assert_eq!(judge(&[cosigned(true), rollback]), 4);
        assert_eq!(judge(&[cosigned(true), split]), 4);
    }
}
