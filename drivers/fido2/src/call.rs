//! A call that may wait for a person: on a thread of its own, so that this one can cancel it.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use sealwright_driver_api::{DriverError, ErrorClass, Progress, SignContext};

use crate::device::Device;
use crate::fault::{self, fault};

/// How often it is looked whether anybody still waits.
const LOOK: Duration = Duration::from_millis(20);
/// Between two attempts to cancel: what comes before the security key works on the call is lost.
const AGAIN: Duration = Duration::from_millis(200);
/// How long before the deadline a call is cancelled: its end takes about that long, and comes before the host's grace is
/// over.
const MARGIN: Duration = Duration::from_millis(250);
/// Longest call. The library takes in the security key's signs of life more slowly than they come, and an answer stands
/// behind them: after this time by a second or two. So a longer wait is several calls.
const TURN: Duration = Duration::from_secs(8);

/// Why a call was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Nobody waits any more.
    Cancelled,
    /// The deadline is near.
    Deadline,
    /// The next call goes on waiting.
    Turn,
}

/// Has the security key do `work`, which waits for a touch, until the deadline. `what` says for messages what it is.
pub(crate) fn touched<T: Send>(
    device: &Device,
    ctx: &SignContext<'_>,
    what: &str,
    work: impl Fn() -> Result<T, String> + Sync,
) -> Result<T, DriverError> {
    ctx.progress(Progress::Touch);
    let deadline = ctx.deadline();
    // Where there is little time, most of it is still for the touch.
    let margin = MARGIN.min(deadline.saturating_duration_since(Instant::now()) / 2);
    let last = deadline.checked_sub(margin).unwrap_or(deadline);
    loop {
        let (result, why) = turn(device, ctx, last, &work);
        let text = match result {
            Ok(done) => return Ok(done),
            Err(text) => text,
        };
        let ended = |class, how: &str| Err(DriverError::new(class, "", format!("{what}: {how}")));
        match (fault::code(&text), why) {
            (Some(fault::CANCELLED), Some(Why::Cancelled)) => {
                return ended(ErrorClass::Cancelled, "cancelled");
            }
            (Some(fault::CANCELLED | fault::TOUCH_TIMEOUT), Some(Why::Deadline)) => {
                return ended(ErrorClass::TouchTimeout, "nobody touched it in time");
            }
            (Some(fault::CANCELLED), Some(Why::Turn)) | (Some(fault::TOUCH_TIMEOUT), _)
                if Instant::now() < last && !ctx.cancelled() => {}
            _ => return Err(fault(what, &text)),
        }
    }
}

/// One call, and why it was cancelled if it was.
fn turn<T: Send>(
    device: &Device,
    ctx: &SignContext<'_>,
    last: Instant,
    work: &(impl Fn() -> Result<T, String> + Sync),
) -> (Result<T, String>, Option<Why>) {
    let turn_ends = Instant::now() + TURN;
    thread::scope(|scope| {
        let (done, answer) = channel();
        let worker = scope.spawn(move || done.send(work()));
        let (mut why, mut next) = (None, Instant::now());
        loop {
            match answer.recv_timeout(LOOK) {
                Ok(result) => return (result, why),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    // In a driver's process a panic has ended everything by now.
                    let _ = worker.join();
                    return (Err("the library panicked".to_owned()), why);
                }
            }
            let now = Instant::now();
            why = why.or_else(|| why_now(ctx, now, (last, turn_ends)));
            if why.is_some() && now >= next {
                next = now + AGAIN;
                // Waits where the security key says nothing at all; then the host ends the process.
                let _ = device.key.cancel_selection();
            }
        }
    })
}

fn why_now(
    ctx: &SignContext<'_>,
    now: Instant,
    (last, turn_ends): (Instant, Instant),
) -> Option<Why> {
    if ctx.cancelled() {
        Some(Why::Cancelled)
    } else if now >= last {
        Some(Why::Deadline)
    } else if now >= turn_ends {
        Some(Why::Turn)
    } else {
        None
    }
}
