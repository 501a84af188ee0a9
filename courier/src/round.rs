//! Rounds: every witness that is due gets the newest checkpoint, all at the same time.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealwright_client::Client;
use sealwright_core::tlog::VerifierKey;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::config::{Config, Witness};
use crate::report::{Entry, Outcome, Report};
use crate::submit::{DaemonError, Newest, Submission};

/// The longest pause after failures of a witness.
const MAX_BACKOFF: Duration = Duration::from_secs(600);

/// Why a round did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoundError {
    #[error(transparent)]
    Daemon(#[from] DaemonError),
}

/// What is remembered of each witness, in memory only: after a restart the first 409 tells.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    /// The size it is believed to store.
    stored: u64,
    cosigned: Option<Instant>,
    failures: u32,
    not_before: Option<Instant>,
}

/// Goes round.
pub(crate) struct Courier {
    config: Config,
    memory: Vec<Memory>,
}

impl Courier {
    pub(crate) fn new(config: Config) -> Self {
        let memory = vec![Memory::default(); config.witnesses.len()];
        Self { config, memory }
    }

    /// Rounds until SIGTERM or SIGINT; `show` gets each one that had something to do.
    pub(crate) async fn run(&mut self, show: impl Fn(&Report)) -> io::Result<()> {
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        let mut tick = tokio::time::interval(self.config.interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = term.recv() => return Ok(()),
                _ = int.recv() => return Ok(()),
                // A round that is broken off leaves nothing half done: each step is one request.
                () = async { tick.tick().await; self.one(&show).await } => {}
            }
        }
    }

    async fn one(&mut self, show: &impl Fn(&Report)) {
        match self.round().await {
            Ok(report) if report.witnesses.is_empty() => {}
            Ok(report) => show(&report),
            Err(error) => tracing::warn!(%error, "no round this time"),
        }
    }

    /// One round.
    pub(crate) async fn round(&mut self) -> Result<Report, RoundError> {
        let (log, newest) = self.ask_daemon().await?;
        let size = newest.checkpoint.size();
        let log = Arc::new(log);
        let mut submissions = JoinSet::new();
        for index in self.due(size) {
            let stored = self.memory.get(index).map_or(0, |memory| memory.stored);
            if let Some(witness) = self.config.witnesses.get(index) {
                let (witness, log) = (Arc::clone(witness), Arc::clone(&log));
                let (settings, newest) = (self.config.daemon.clone(), newest.clone());
                submissions.spawn(async move {
                    let submission = Submission {
                        settings: &settings,
                        witness: &witness,
                        log: &log,
                        newest,
                        stored,
                    };
                    let outcome = submission.run().await;
                    (index, witness, outcome)
                });
            }
        }
        let mut witnesses = Vec::new();
        let mut failed = None;
        while let Some(ended) = submissions.join_next().await {
            match ended {
                Ok((index, witness, Ok(outcome))) => {
                    witnesses.push(self.note(index, &witness, outcome));
                }
                // The daemon failed, not the witness: the others' cosignatures were delivered all the same.
                Ok((_, _, Err(error))) => failed = Some(error),
                Err(error) => tracing::error!(%error, "a submission panicked"),
            }
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        witnesses.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Report {
            origin: log.name().to_owned(),
            size,
            verdict: Report::judge(&witnesses),
            witnesses,
        })
    }

    async fn ask_daemon(&self) -> Result<(VerifierKey, Newest), DaemonError> {
        let connected = Client::connect(self.config.daemon.clone()).await;
        let mut client = connected?;
        let log = client.log_key().await?;
        let log = log.trim_end().parse::<VerifierKey>();
        let log = log.map_err(|e| DaemonError::Unexpected(e.to_string()))?;
        let newest = Newest::fetch(&mut client, &log).await?;
        Ok((log, newest))
    }

    /// Witnesses that have not seen this size, or saw it too long ago, and do not need a pause.
    fn due(&self, size: u64) -> Vec<usize> {
        let now = Instant::now();
        let is_due = |memory: &Memory| {
            let rested = memory.not_before.is_none_or(|time| now >= time);
            let fresh = memory.cosigned.is_some_and(|then| {
                memory.stored == size && now.duration_since(then) < self.config.refresh
            });
            rested && !fresh
        };
        let memory = self.memory.iter().enumerate();
        memory
            .filter(|(_, m)| is_due(m))
            .map(|(index, _)| index)
            .collect()
    }

    fn note(&mut self, index: usize, witness: &Witness, outcome: Outcome) -> Entry {
        if let Some(memory) = self.memory.get_mut(index) {
            memory.learn(&outcome, self.config.interval);
        }
        let entry = Entry {
            name: witness.name.clone(),
            url: witness.url.to_string(),
            outcome,
        };
        entry.log();
        entry
    }
}

impl Memory {
    fn learn(&mut self, outcome: &Outcome, interval: Duration) {
        let now = Instant::now();
        if let Outcome::Cosigned { size, .. } = outcome {
            *self = Self {
                stored: *size,
                cosigned: Some(now),
                ..Self::default()
            };
            return;
        }
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + backoff(interval, self.failures));
    }
}

/// Twice as long after each failure in a row.
fn backoff(interval: Duration, failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    interval.saturating_mul(factor).min(MAX_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_minutes_and_a_cosignature_ends_them() {
        let second = Duration::from_secs(1);
        assert_eq!(backoff(second, 1), 2 * second);
        assert_eq!(backoff(second, 5), 32 * second);
        assert_eq!(backoff(second, 100), MAX_BACKOFF);
        let mut memory = Memory::default();
        memory.learn(&Outcome::UnknownLog, second);
        assert!(memory.not_before.is_some() && memory.failures == 1);
        memory.learn(
            &Outcome::Cosigned {
                size: 7,
                quorum: true,
            },
            second,
        );
        assert!(memory.not_before.is_none() && memory.stored == 7);
    }
}
