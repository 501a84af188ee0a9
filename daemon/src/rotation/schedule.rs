//! Rotations that were put off to a time: done when it comes, or at the start after it.
//!
//! What keeps one from being done (a token that is away, a freeze, a policy that has changed) is shown in status, and it
//! is tried again with back-off until it is done, cancelled, or no longer possible.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealwright_core::error::Code;
use sealwright_core::identity::Principal;
use sealwright_core::name::KeyName;
use sealwright_core::permit::Shown;
use sealwright_core::record::{RotationScheduled, Warrant};
use sealwright_core::state::Schedule;

use super::{Rotation, rotate};
use crate::daemon::Daemon;
use crate::refusal::Refusal;

/// Between two looks at the clock.
const LOOK: Duration = Duration::from_secs(1);
/// Before the second attempt; each further pause is twice as long.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest pause between attempts.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What went wrong with the rotations that are overdue.
#[derive(Default)]
pub struct Attempts(Mutex<BTreeMap<KeyName, Attempt>>);

struct Attempt {
    /// The schedule's record: another one begins anew.
    index: u64,
    pause: Duration,
    next: Instant,
    problem: String,
}

impl Attempts {
    /// Why the rotation that `schedule` asks for has not been done although it was tried.
    pub fn problem(&self, schedule: &Schedule) -> Option<String> {
        let attempts = self.lock();
        let attempt = attempts.get(&schedule.rotation.from.key)?;
        (attempt.index == schedule.index).then(|| attempt.problem.clone())
    }

    fn is_resting(&self, schedule: &Schedule, now: Instant) -> bool {
        let attempts = self.lock();
        let attempt = attempts.get(&schedule.rotation.from.key);
        attempt.is_some_and(|attempt| attempt.index == schedule.index && now < attempt.next)
    }

    /// Notes a failure; returns the pause that follows.
    fn failed(&self, schedule: &Schedule, problem: String, now: Instant) -> Duration {
        let mut attempts = self.lock();
        let key = &schedule.rotation.from.key;
        let earlier = attempts.get(key).filter(|a| a.index == schedule.index);
        let pause = earlier.map_or(RETRY_FIRST, |a| (a.pause * 2).min(RETRY_MAX));
        let attempt = Attempt {
            index: schedule.index,
            pause,
            next: now + pause,
            problem,
        };
        attempts.insert(key.clone(), attempt);
        pause
    }

    fn forget(&self, key: &KeyName) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<KeyName, Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does what is due until the daemon stops.
pub async fn run(daemon: Arc<Daemon>) {
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = daemon.stopped() => return,
        }
        for schedule in due(&daemon) {
            attempt(&daemon, &schedule).await;
        }
    }
}

fn due(daemon: &Daemon) -> Vec<Schedule> {
    // In doubt nothing is due; status and log say so.
    let Ok(now) = daemon.trusted_clock.now() else {
        return Vec::new();
    };
    let instant = Instant::now();
    daemon.journal.with_state(|state| {
        let due = state.schedules().filter(|schedule| {
            let has_come = schedule.rotation.at <= now;
            has_come && !daemon.scheduled.is_resting(schedule, instant)
        });
        due.cloned().collect()
    })
}

async fn attempt(daemon: &Daemon, schedule: &Schedule) {
    let RotationScheduled { from, to, .. } = &schedule.rotation;
    match carry_out(daemon, &schedule.rotation).await {
        Ok(record) => {
            daemon.scheduled.forget(&from.key);
            tracing::info!(%from, %to, record, "rotated as scheduled");
        }
        Err(refusal) => {
            daemon.mark_suspect(&refusal).await;
            let problem = refusal.reason;
            let pause = daemon
                .scheduled
                .failed(schedule, problem.clone(), Instant::now());
            tracing::warn!(%from, %to, problem, ?pause, "a scheduled rotation failed and is tried again");
        }
    }
}

async fn carry_out(daemon: &Daemon, scheduled: &RotationScheduled) -> Result<u64, Refusal> {
    let principal = who(daemon, &scheduled.by.principal)?;
    let rotation = Rotation {
        from: &scheduled.from,
        to: &scheduled.to,
        reason: scheduled.reason.clone(),
        principal: &principal,
        by: scheduled.by.clone(),
        token: Shown::Earlier,
        warrant: Warrant::default(),
    };
    Ok(rotate(daemon, rotation).await?.index())
}

fn who(daemon: &Daemon, id: &str) -> Result<Principal, Refusal> {
    let known = daemon.directory.principals();
    let found = known.into_iter().find(|principal| principal.id == id);
    found.ok_or_else(|| {
        let reason = format!(
            "{id}, who scheduled it, is no principal any more: cancel it, and let somebody else schedule it"
        );
        Refusal::denied(Code::Denied, reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sealwright_core::identity::PeerCred;
    use sealwright_core::record::Actor;
    use sealwright_core::time::Timestamp;

    fn schedule(index: u64) -> Schedule {
        let by = Actor {
            principal: "spiffe://test/op".to_owned(),
            peer: PeerCred {
                uid: 1,
                gid: 1,
                pid: 1,
            },
        };
        let rotation = RotationScheduled {
            from: "release#1".parse().unwrap(),
            to: "release#2".parse().unwrap(),
            at: Timestamp::default(),
            reason: String::new(),
            by,
            warrant: Warrant::default(),
        };
        Schedule { index, rotation }
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_another_schedule_begins_anew() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let pauses: Vec<u64> = (0..8)
            .map(|_| {
                attempts
                    .failed(&schedule(7), "away".to_owned(), now)
                    .as_secs()
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(attempts.is_resting(&schedule(7), now + RETRY_MAX / 2));
        assert!(!attempts.is_resting(&schedule(7), now + RETRY_MAX));
        assert_eq!(attempts.problem(&schedule(7)).as_deref(), Some("away"));
        assert!(!attempts.is_resting(&schedule(9), now));
        assert_eq!(attempts.problem(&schedule(9)), None);
        assert_eq!(
            attempts.failed(&schedule(9), String::new(), now),
            RETRY_FIRST
        );
    }
}
