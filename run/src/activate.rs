//! The loop: wait for a connection, run the program, wait for its end.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::program::Program;
use crate::socket::Socket;
use crate::{Args, RunError};

/// A program that ended sooner than this is started again only after a pause.
const FAST_EXIT: Duration = Duration::from_secs(1);
/// The first pause; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(args: &Args) -> Result<(), RunError> {
    let stop = stop_signal()?;
    let socket = Socket::bind(args)?;
    eprintln!("sealwright-run: listening on {}", args.socket.display());
    let mut pause = Duration::ZERO;
    loop {
        if wait(&socket, &stop, None)? == Event::Stop {
            return Ok(());
        }
        let started = Instant::now();
        let mut program = Program::start(args, &socket)?;
        eprintln!("sealwright-run: started process {}", program.id());
        if wait(&program, &stop, None)? == Event::Stop {
            program.stop()?;
            return Ok(());
        }
        let status = program.wait()?;
        pause = next_pause(pause, started.elapsed());
        eprintln!("sealwright-run: {status}; ready again after {pause:?}");
        if !pause.is_zero() && wait_stop(&stop, pause)? {
            return Ok(());
        }
    }
}

fn next_pause(last: Duration, lived: Duration) -> Duration {
    if lived >= FAST_EXIT {
        return Duration::ZERO;
    }
    (last * 2).clamp(PAUSE_FIRST, PAUSE_MAX)
}

/// A stream that becomes readable on SIGTERM or SIGINT.
fn stop_signal() -> std::io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGTERM, write.try_clone()?)?;
    signal_hook::low_level::pipe::register(SIGINT, write)?;
    Ok(read)
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Ready,
    Stop,
    Timeout,
}

/// Waits until `what` is readable: a connection on a socket, the end of a program.
fn wait(what: &impl AsFd, stop: &UnixStream, limit: Option<Duration>) -> std::io::Result<Event> {
    let mut fds = [
        PollFd::new(stop, PollFlags::IN),
        PollFd::new(what, PollFlags::IN),
    ];
    let ready = poll_uninterrupted(&mut fds, limit)?;
    Ok(match (ready, fds[0].revents().is_empty()) {
        (0, _) => Event::Timeout,
        (_, false) => Event::Stop,
        (_, true) => Event::Ready,
    })
}

fn wait_stop(stop: &UnixStream, limit: Duration) -> std::io::Result<bool> {
    Ok(wait(stop, stop, Some(limit))? == Event::Stop)
}

fn poll_uninterrupted(fds: &mut [PollFd<'_>], limit: Option<Duration>) -> std::io::Result<usize> {
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    loop {
        match poll(fds, limit.as_ref()) {
            // Our own signal handler: the stream is readable in the next round.
            Err(rustix::io::Errno::INTR) => {}
            ready => return Ok(ready?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_end_with_a_long_run() {
        let fast = Duration::from_millis(10);
        assert_eq!(next_pause(Duration::ZERO, fast), PAUSE_FIRST);
        assert_eq!(next_pause(PAUSE_FIRST, fast), PAUSE_FIRST * 2);
        assert_eq!(next_pause(PAUSE_MAX, fast), PAUSE_MAX);
        assert_eq!(next_pause(PAUSE_MAX, FAST_EXIT), Duration::ZERO);
    }
}
