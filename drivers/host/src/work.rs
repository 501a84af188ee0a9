//! The requests of one process: admitted, queued, taken by a worker, done.
//!
//! One lock guards all of it and is held for table operations only, never over I/O or a device call.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealwright_driver_api::wire::IN_FLIGHT_MAX;
use sealwright_driver_api::{DriverError, ErrorClass, Task};

use crate::replies::Replies;

/// Bytes of messages (of schemes without a prehash) that one process holds at a time: one of the longest
/// that a configuration may allow.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// How long after its deadline a request may still run, so that a driver that minds the deadline can answer.
pub(crate) const GRACE: Duration = Duration::from_millis(500);

/// A request that is ready for a worker.
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) task: Task,
    pub(crate) deadline: Instant,
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) replies: Arc<Replies>,
}

/// Why a request is not admitted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// Its id is in use: the daemon is broken.
    Repeated,
    /// Too many requests, or too many bytes of messages.
    Full(&'static str),
}

struct Flight {
    deadline: Instant,
    cancelled: Arc<AtomicBool>,
    message_bytes: usize,
    // Only a request at the device counts for the watchdog; one that waits behind others is not stuck.
    started: bool,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    flights: HashMap<u64, Flight>,
    message_bytes: usize,
    opening: Option<Instant>,
    lost: bool,
    // What the watchdog sleeps until; `None` means until it is woken.
    watched: Option<Instant>,
}

/// See the module's text.
#[derive(Default)]
pub(crate) struct Work {
    state: Mutex<State>,
    ready: Condvar,
    watch: Condvar,
}

impl Work {
    /// Makes room for a request with a message of `message_bytes` (0: none) and returns its cancel flag.
    pub(crate) fn admit(
        &self,
        id: u64,
        deadline: Instant,
        message_bytes: usize,
    ) -> Result<Arc<AtomicBool>, NotAdmitted> {
        let mut state = self.lock();
        if state.flights.contains_key(&id) {
            return Err(NotAdmitted::Repeated);
        }
        if state.flights.len() >= IN_FLIGHT_MAX {
            return Err(NotAdmitted::Full("requests"));
        }
        if state.message_bytes + message_bytes > MESSAGE_BYTES_MAX {
            return Err(NotAdmitted::Full("bytes of messages"));
        }
        let cancelled = Arc::new(AtomicBool::new(false));
        state.message_bytes += message_bytes;
        let flight = Flight {
            deadline,
            cancelled: Arc::clone(&cancelled),
            message_bytes,
            started: false,
        };
        state.flights.insert(id, flight);
        Ok(cancelled)
    }

    /// Hands an admitted request to the workers.
    pub(crate) fn enqueue(&self, job: Job) {
        self.lock().queue.push_back(job);
        self.ready.notify_one();
    }

    /// Waits for the next job, and says why it must not reach the device any more. If it may, the watchdog
    /// minds its deadline from here: decided under one lock, or one that is late already would end the process.
    pub(crate) fn take(&self) -> (Job, Option<DriverError>) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                if let Some(refusal) = refusal(&job) {
                    return (job, Some(refusal));
                }
                if let Some(flight) = state.flights.get_mut(&job.id) {
                    flight.started = true;
                }
                self.watch_until(&mut state, job.deadline + GRACE);
                return (job, None);
            }
            state = self
                .ready
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The request is over. Called before its reply is written, because the daemon may then use the id again.
    ///
    /// `lost`: so is the device, and the process with it. Said before the reply too, so that a daemon which
    /// connects again at once is not accepted by a process that is about to end.
    pub(crate) fn finish(&self, id: u64, lost: bool) {
        let mut state = self.lock();
        state.lost |= lost;
        if let Some(flight) = state.flights.remove(&id) {
            state.message_bytes -= flight.message_bytes;
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lock().lost
    }

    /// Nobody waits for the request any more. An id that is over already is no error: the two crossed.
    pub(crate) fn cancel(&self, id: u64) {
        if let Some(flight) = self.lock().flights.get(&id) {
            flight.cancelled.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        self.lock().flights.contains_key(&id)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.lock().flights.len()
    }

    /// Runs `open` with the watchdog minding `limit`.
    pub(crate) fn opening<T>(&self, limit: Duration, open: impl FnOnce() -> T) -> T {
        let deadline = Instant::now() + limit;
        {
            let mut state = self.lock();
            state.opening = Some(deadline);
            self.watch_until(&mut state, deadline);
        }
        let opened = open();
        self.lock().opening = None;
        opened
    }

    /// Sleeps until something at the device is overdue (`true`) or `tick` has passed (`false`).
    pub(crate) fn wait_overdue(&self, tick: Option<Duration>) -> bool {
        let tick_at = tick.map(|tick| Instant::now() + tick);
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let earliest = earliest(&state);
            if earliest.is_some_and(|at| at <= now) {
                return true;
            }
            if tick_at.is_some_and(|at| at <= now) {
                return false;
            }
            state.watched = earliest;
            let until = earliest.into_iter().chain(tick_at).min();
            state = match until {
                None => self
                    .watch
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let waited = self.watch.wait_timeout(state, at - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn watch_until(&self, state: &mut State, at: Instant) {
        // Woken only for an earlier time: with deadlines of equal length that is about once per deadline.
        if state.watched.is_none_or(|watched| at < watched) {
            state.watched = Some(at);
            self.watch.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panicked worker ends the process; until then the table is whole, no operation leaves it halfway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests that nobody waits for any more never reach the device.
fn refusal(job: &Job) -> Option<DriverError> {
    if job.cancelled.load(Ordering::Relaxed) {
        let detail = "cancelled before it reached the device";
        return Some(DriverError::new(ErrorClass::Cancelled, "", detail));
    }
    (job.deadline <= Instant::now()).then(|| {
        let detail = "its deadline passed before it reached the device";
        DriverError::new(ErrorClass::Transient, "", detail)
    })
}

fn earliest(state: &State) -> Option<Instant> {
    let started = state.flights.values().filter(|flight| flight.started);
    started
        .map(|flight| flight.deadline + GRACE)
        .chain(state.opening)
        .min()
}
