//! Between pcscd's virtual reader and a virtual card: hands messages on, and does to the card's answers what a test
//! wants. A message is its length as two bytes, the higher one first, and as many bytes.
//!
//! A reader asks and waits. Readers on USB give up on a card that stays silent and take it for removed; the virtual one
//! waits for ever, so the proxy gives up in its place.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::fault::{Faults, readable};

/// How long a reader waits for an answer that does not come.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a test has in hand while the card is in or out.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) faults: Faults,
    /// The card is taken out in the place of its n-th answer from now on; 0: it stays.
    pub(super) removed_in: Arc<AtomicU32>,
}

/// The wire of a card that is in the reader. The card is out once this is dropped, or one end is gone.
#[derive(Debug)]
pub(super) struct Proxy {
    port: u16,
    seen: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A way to the reader behind `reader`, for one card.
    pub(super) fn start(reader: u16, plan: &Plan) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port for the proxy");
        let port = listener.local_addr().expect("its port").port();
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(AtomicBool::new(false));
        let (plan, sight, end) = (plan.clone(), Arc::clone(&seen), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            // Ends with one of its two ends; whoever held the other one sees that.
            let _ = carry(&listener, reader, &plan, (&sight, &end));
            end.store(true, Ordering::Release);
        });
        Self {
            port,
            seen,
            ended,
            thread: Some(thread),
        }
    }

    /// Where the card has to connect to.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Whether the reader has had an answer to a reset.
    pub(super) fn has_been_seen(&self) -> bool {
        self.seen.load(Ordering::Acquire)
    }

    /// Whether the card is not in the reader any more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn carry(
    listener: &TcpListener,
    reader: u16,
    plan: &Plan,
    (seen, end): (&AtomicBool, &AtomicBool),
) -> io::Result<()> {
    let card = accept(listener, end)?;
    let reader = TcpStream::connect(("127.0.0.1", reader))?;
    let mut wire = Wire {
        card,
        reader,
        plan,
        seen,
        asked: None,
        silent_since: None,
    };
    let mut ended = Ok(());
    while ended.is_ok() && !end.load(Ordering::Acquire) {
        ended = wire.turn();
    }
    // Before the two ends learn it: whoever sees an error of the wire finds the card out.
    end.store(true, Ordering::Release);
    ended
}

fn accept(listener: &TcpListener, end: &AtomicBool) -> io::Result<TcpStream> {
    while !end.load(Ordering::Acquire) {
        if matches!(readable([listener]), Ok([true])) {
            return listener.accept().map(|(card, _)| card);
        }
    }
    Err(io::ErrorKind::Interrupted.into())
}

/// What a reader waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The answer to a reset: it always comes, or the card would not be in the reader at all.
    Reset,
    Command,
}

struct Wire<'a> {
    card: TcpStream,
    reader: TcpStream,
    plan: &'a Plan,
    seen: &'a AtomicBool,
    asked: Option<Asked>,
    silent_since: Option<Instant>,
}

impl Wire<'_> {
    fn turn(&mut self) -> io::Result<()> {
        if self
            .silent_since
            .is_some_and(|since| since.elapsed() > PATIENCE)
        {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let [from_reader, from_card] = readable([&self.reader, &self.card])?;
        if from_reader {
            let message = receive(&mut self.reader)?;
            self.asked = match message[..] {
                [4] => Some(Asked::Reset),
                [_] => None,
                _ => Some(Asked::Command),
            };
            send(&mut self.card, &message)?;
        }
        if from_card {
            let answer = receive(&mut self.card)?;
            self.answer(&answer)?;
        }
        Ok(())
    }

    fn answer(&mut self, answer: &[u8]) -> io::Result<()> {
        if self.asked.take() == Some(Asked::Reset) {
            send(&mut self.reader, answer)?;
            self.seen.store(true, Ordering::Release);
            return Ok(());
        }
        if self.is_removed_now() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let arrive = self.plan.faults.strike(answer, of_another_command);
        if arrive.is_empty() {
            self.silent_since = Some(Instant::now());
        }
        arrive
            .iter()
            .try_for_each(|message| send(&mut self.reader, message))
    }

    fn is_removed_now(&self) -> bool {
        let count = &self.plan.removed_in;
        let left = count.load(Ordering::Acquire);
        // Only this thread counts; a test sets it while nothing is asked.
        count.store(left.saturating_sub(1), Ordering::Release);
        left == 1
    }
}

/// What a card says to a command that it does not know.
fn of_another_command(_: &[u8]) -> Vec<u8> {
    vec![0x6d, 0x00]
}

fn receive(end: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    end.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    end.read_exact(&mut message)?;
    Ok(message)
}

fn send(end: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    end.write_all(&[&length.to_be_bytes(), message].concat())
}
