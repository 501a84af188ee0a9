//! Faults on a device's wire: what a proxy does to one message, and which messages it does it to.

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How often a proxy looks whether it is to end.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// What becomes of a message from a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is lost.
    Drop,
    /// It comes twice.
    Duplicate,
    /// Its second half is missing.
    Truncate,
    /// It comes late, and so does everything behind it.
    Delay(Duration),
    /// One for somebody else comes before it.
    Foreign,
    /// Its bits are turned over from the middle on.
    Garble,
}

/// Which messages suffer; shared between a test and its proxies.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    fault: Option<Fault>,
    every: u32,
    left: Option<u32>,
    seen: u32,
    done: u32,
}

impl Faults {
    /// The next message, and no other.
    pub fn once(&self, fault: Fault) {
        self.plan(fault, 1, Some(1));
    }

    /// The `nth` message from now on, and no other.
    pub fn at(&self, fault: Fault, nth: u32) {
        self.plan(fault, nth.max(1), Some(1));
    }

    /// Every `every`-th message until [`Faults::stop`].
    pub fn often(&self, fault: Fault, every: u32) {
        self.plan(fault, every.max(1), None);
    }

    /// From now on all goes well.
    pub fn stop(&self) {
        self.locked().fault = None;
    }

    /// How many messages have suffered.
    #[must_use]
    pub fn done(&self) -> u32 {
        self.locked().done
    }

    /// What arrives in the place of the next message. `foreign` makes a message for somebody else of it.
    pub(crate) fn strike(
        &self,
        message: &[u8],
        foreign: impl FnOnce(&[u8]) -> Vec<u8>,
    ) -> Vec<Vec<u8>> {
        match self.next() {
            Some(fault) => fault.apply(message, foreign),
            None => vec![message.to_vec()],
        }
    }

    /// What is to become of the next message.
    fn next(&self) -> Option<Fault> {
        let mut plan = self.locked();
        plan.seen += 1;
        let due = plan.every > 0 && plan.seen.is_multiple_of(plan.every) && plan.left != Some(0);
        let fault = plan.fault.filter(|_| due)?;
        plan.left = plan.left.map(|left| left - 1);
        plan.done += 1;
        Some(fault)
    }

    fn plan(&self, fault: Fault, every: u32, left: Option<u32>) {
        let mut plan = self.locked();
        (plan.fault, plan.every, plan.left, plan.seen) = (Some(fault), every, left, 0);
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault {
    fn apply(self, message: &[u8], foreign: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
        let whole = message.to_vec();
        let middle = message.len() / 2;
        match self {
            Self::Drop => Vec::new(),
            Self::Duplicate => vec![whole.clone(), whole],
            Self::Truncate => vec![message[..middle].to_vec()],
            Self::Delay(time) => {
                std::thread::sleep(time);
                vec![whole]
            }
            Self::Foreign => vec![foreign(message), whole],
            Self::Garble => {
                let mut garbled = whole;
                garbled[middle..].iter_mut().for_each(|byte| *byte = !*byte);
                vec![garbled]
            }
        }
    }
}

/// Whether the environment asks for the long run of a test of faults, by `SEALWRIGHT_FAULTS=long`.
#[must_use]
pub fn is_long() -> bool {
    std::env::var_os("SEALWRIGHT_FAULTS").is_some_and(|value| value == "long")
}

/// Which of a proxy's ends have something to read, after a short wait.
pub(crate) fn readable<const N: usize>(ends: [&impl AsFd; N]) -> rustix::io::Result<[bool; N]> {
    let mut waiting = ends.map(|end| PollFd::new(end, PollFlags::IN));
    poll(&mut waiting, Some(&LOOK))?;
    Ok(waiting.map(|end| !end.revents().is_empty()))
}
