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

/// What an admitted request is known by until it is over.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    pub(crate) id: u64,
    pub(crate) deadline: Instant,
    pub(crate) cancelled: Arc<AtomicBool>,
}

/// A request that is ready for a worker.
pub(crate) struct Job {
    pub(crate) ticket: Ticket,
    pub(crate) task: Task,
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
    ticket: Ticket,
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
    /// Makes room for a request with a message of `message_bytes` (0: none).
    pub(crate) fn admit(
        &self,
        id: u64,
        deadline: Instant,
        message_bytes: usize,
    ) -> Result<Ticket, NotAdmitted> {
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
        state.message_bytes += message_bytes;
        let ticket = Ticket {
            id,
            deadline,
            cancelled: Arc::default(),
        };
        state.flights.insert(
            id,
            Flight {
                ticket: ticket.clone(),
                message_bytes,
                started: false,
            },
        );
        Ok(ticket)
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
                if let Some(flight) = state.flights.get_mut(&job.ticket.id) {
                    flight.started = true;
                }
                self.watch_until(&mut state, job.ticket.deadline + GRACE);
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
            flight.ticket.cancelled.store(true, Ordering::Relaxed);
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
    if job.ticket.cancelled.load(Ordering::Relaxed) {
        let detail = "cancelled before it reached the device";
        return Some(DriverError::new(ErrorClass::Cancelled, "", detail));
    }
    (job.ticket.deadline <= Instant::now()).then(|| {
        let detail = "its deadline passed before it reached the device";
        DriverError::new(ErrorClass::Transient, "", detail)
    })
}

fn earliest(state: &State) -> Option<Instant> {
    let started = state.flights.values().filter(|flight| flight.started);
    started
        .map(|flight| flight.ticket.deadline + GRACE)
        .chain(state.opening)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    const LONG: Duration = Duration::from_secs(60);

    fn job(work: &Work, id: u64, deadline: Instant) -> Job {
        let ticket = work.admit(id, deadline, 0).unwrap();
        let (stream, _) = UnixStream::pair().unwrap();
        let replies =
            Arc::new(Replies::new(stream.try_clone().unwrap(), Box::new(stream)).unwrap());
        Job {
            ticket,
            task: Task::Health,
            replies,
        }
    }

    #[test]
    fn an_id_may_be_used_again_once_its_request_is_over() {
        let work = Work::default();
        let deadline = Instant::now() + LONG;
        assert!(work.admit(7, deadline, 0).is_ok());
        assert_eq!(
            work.admit(7, deadline, 0).unwrap_err(),
            NotAdmitted::Repeated
        );
        work.finish(7, false);
        assert!(work.admit(7, deadline, 0).is_ok());
    }

    #[test]
    fn requests_and_bytes_of_messages_are_bounded() {
        let work = Work::default();
        let deadline = Instant::now() + LONG;
        assert!(work.admit(0, deadline, MESSAGE_BYTES_MAX).is_ok());
        assert_eq!(
            work.admit(1, deadline, 1).unwrap_err(),
            NotAdmitted::Full("bytes of messages")
        );
        work.finish(0, false);
        for id in 0..IN_FLIGHT_MAX as u64 {
            assert!(work.admit(id, deadline, 1).is_ok());
        }
        assert_eq!(
            work.admit(u64::MAX, deadline, 0).unwrap_err(),
            NotAdmitted::Full("requests")
        );
    }

    #[test]
    fn only_a_request_at_the_device_is_overdue() {
        let work = Work::default();
        let passed = Instant::now() - GRACE - Duration::from_millis(1);
        let queued = job(&work, 1, passed);
        work.enqueue(queued);
        assert!(!work.wait_overdue(Some(Duration::ZERO)), "it is queued");
        let (late, refusal) = work.take();
        assert_eq!(
            refusal.map(|error| error.class),
            Some(ErrorClass::Transient)
        );
        assert!(
            !work.wait_overdue(Some(Duration::ZERO)),
            "it never got to the device"
        );
        work.finish(late.ticket.id, false);
        let soon = Instant::now() + Duration::from_millis(20);
        work.enqueue(job(&work, 2, soon));
        assert!(work.take().1.is_none());
        assert!(work.wait_overdue(None));
        assert!(Instant::now() >= soon + GRACE);
    }

    #[test]
    fn a_watchdog_that_sleeps_is_woken_for_an_earlier_deadline() {
        let work = Arc::new(Work::default());
        work.enqueue(job(&work, 1, Instant::now() + LONG));
        assert!(work.take().1.is_none());
        let watching = Arc::clone(&work);
        let watchdog = std::thread::spawn(move || watching.wait_overdue(None));
        work.enqueue(job(&work, 2, Instant::now() + Duration::from_millis(20)));
        assert!(work.take().1.is_none());
        assert!(watchdog.join().unwrap());
    }

    #[test]
    fn opening_that_takes_too_long_is_overdue() {
        let work = Work::default();
        assert!(work.opening(Duration::ZERO, || work.wait_overdue(None)));
        assert!(!work.wait_overdue(Some(Duration::ZERO)), "it is over");
    }
}
