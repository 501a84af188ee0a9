//! The one place that reads clocks, and what is decided by time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sealwright_core::clock::{Basis, Doubt, Reading};
use sealwright_core::error::Code;
use sealwright_core::record::{ClockBelieved, ClockDoubted, Event, SinceBoot};
use sealwright_core::time::Timestamp;

use crate::audit::writer::{Journal, RecordError};
use crate::daemon::Daemon;
use crate::refusal::Refusal;

/// Wall time and time since boot, as parameters.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// CLOCK_BOOTTIME in milliseconds, suspend included: tells a clock step from downtime.
    fn boottime_ms(&self) -> u64 {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let millis = u64::try_from(time.tv_nsec / 1_000_000).unwrap_or(0);
        seconds.saturating_mul(1000).saturating_add(millis)
    }

    /// The kernel's name for the boot since which that counts; `None` where it does not say.
    fn boot_id(&self) -> Option<String> {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let id = text.trim();
        (!id.is_empty()).then(|| id.to_owned())
    }
}

/// The system's clocks.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_unix_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// How long a believed moment is compared with: long enough that a clock is not led away in many small steps, short
/// enough that one which is slewed (at most 500 in a million) stays within what is allowed.
const BELIEVED_FOR: Duration = Duration::from_secs(60 * 60);

/// The wall clock and how far it is believed.
pub struct TrustedClock {
    clock: Arc<dyn Clock>,
    boot_id: Option<String>,
    // Held for the comparison only.
    basis: Mutex<Basis>,
}

impl TrustedClock {
    /// A clock in a daemon that starts with `basis` from its log.
    pub fn starting(clock: Arc<dyn Clock>, basis: Basis) -> Self {
        Self {
            boot_id: clock.boot_id(),
            clock,
            basis: Mutex::new(basis),
        }
    }

    /// Wall time, or why it is not believed.
    pub fn now(&self) -> Result<Timestamp, Doubt> {
        self.look().map(|now| now.wall)
    }

    /// Both clocks, or why the wall clock is not believed.
    fn look(&self) -> Result<Reading, Doubt> {
        let now = self.reading();
        let mut basis = self.basis.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(doubt) = basis.judge(now) {
            return Err(doubt);
        }
        let is_old = match *basis {
            Basis::Recorded(_) | Basis::Doubted(_) => true,
            Basis::Believed(then) => {
                let age = now.boottime_ms.saturating_sub(then.boottime_ms);
                u128::from(age) > BELIEVED_FOR.as_millis()
            }
        };
        if is_old {
            *basis = Basis::Believed(now);
        }
        Ok(now)
    }

    /// What the clocks say now, for a record by which [`TrustedClock::accept`] believes them.
    pub fn reading(&self) -> Reading {
        Reading {
            wall: self.clock.now(),
            boottime_ms: self.clock.boottime_ms(),
        }
    }

    /// The other clock as records have it.
    pub fn since_boot(&self, now: Reading) -> Option<SinceBoot> {
        let boottime_ms = now.boottime_ms;
        self.boot_id.clone().map(|boot_id| SinceBoot {
            boot_id,
            boottime_ms,
        })
    }

    /// Believes the wall clock since `now`.
    pub fn accept(&self, now: Reading) {
        *self.basis.lock().unwrap_or_else(PoisonError::into_inner) = Basis::Believed(now);
    }
}

impl From<Doubt> for Refusal {
    fn from(doubt: Doubt) -> Self {
        Self::bad_input(Code::ClockInDoubt, doubt.to_string())
    }
}

/// Between two looks at the clock.
const LOOK: Duration = Duration::from_secs(10);

/// Records when the clock stops being believed, and when it is again, until the daemon stops.
pub async fn watch(daemon: Arc<Daemon>) {
    let mut tick = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = daemon.stopped() => return,
        }
        if let Err(error) = note(&daemon.journal, &daemon.trusted_clock).await {
            tracing::error!(%error, "what is wrong with the clock cannot be recorded");
        }
    }
}

/// Records what changed about the clock, if anything did. A start does it before its own record, whose time may be as
/// wrong as the clock: without the doubt in front of it the next start would take that time for true.
pub async fn note(journal: &Journal, clock: &TrustedClock) -> Result<(), RecordError> {
    let now = clock.look();
    let boot_id = clock.boot_id.as_deref();
    let (is_doubted, is_adrift) = journal.with_state(|state| {
        let adrift = now.map(|now| state.is_clock_adrift(boot_id, now));
        (state.is_clock_doubted(), adrift == Ok(true))
    });
    let event = match now {
        Err(doubt) if !is_doubted => {
            tracing::error!(%doubt, "what depends on the time waits");
            Event::ClockDoubted(ClockDoubted { doubt })
        }
        Ok(now) if is_doubted || is_adrift => {
            let (wall, boot) = (now.wall, clock.since_boot(now));
            tracing::info!(%wall, is_doubted, "the host's clock was set, and is believed");
            Event::ClockBelieved(ClockBelieved { wall, boot })
        }
        _ => return Ok(()),
    };
    journal.record(event).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

    /// Both clocks in milliseconds.
    #[derive(Default)]
    struct Hands {
        wall: AtomicI64,
        boot: AtomicI64,
    }

    impl Hands {
        fn pass(&self, millis: i64) {
            self.wall.fetch_add(millis, Relaxed);
            self.boot.fetch_add(millis, Relaxed);
        }
    }

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_millis(self.wall.load(Relaxed))
        }

        fn boottime_ms(&self) -> u64 {
            self.boot.load(Relaxed).unsigned_abs()
        }
    }

    const YEAR: i64 = 365 * 24 * 60 * 60 * 1000;

    fn running() -> (Arc<Hands>, TrustedClock) {
        let hands = Arc::new(Hands::default());
        hands.pass(50 * YEAR);
        let recorded = hands.now();
        let basis = Basis::Recorded(recorded);
        let clock = TrustedClock::starting(Arc::clone(&hands) as Arc<dyn Clock>, basis);
        assert_eq!(clock.now(), Ok(recorded));
        (hands, clock)
    }

    #[test]
    fn a_clock_that_is_set_by_a_year_is_doubted_until_it_is_set_back_or_accepted() {
        for step in [YEAR, -YEAR] {
            let (hands, clock) = running();
            hands.wall.fetch_add(step, Relaxed);
            assert!(clock.now().is_err());
            hands.wall.fetch_sub(step, Relaxed);
            assert!(clock.now().is_ok());
            hands.wall.fetch_add(step, Relaxed);
            clock.accept(clock.reading());
            assert!(clock.now().is_ok());
        }
    }

    #[test]
    fn a_clock_that_is_led_away_in_small_steps_is_doubted() {
        let (hands, clock) = running();
        let mut doubted = false;
        for _ in 0..5 {
            hands.pass(60_000);
            hands.wall.fetch_add(50_000, Relaxed);
            doubted |= clock.now().is_err();
        }
        assert!(doubted);
    }

    #[test]
    fn a_clock_that_is_slewed_for_a_month_is_believed() {
        let (hands, clock) = running();
        for _ in 0..30 * 24 * 60 {
            hands.pass(60_000);
            hands.wall.fetch_add(30, Relaxed);
            assert!(clock.now().is_ok());
        }
    }
}
