//! The driver row: requests multiplexed over the driver's socket, as the daemon does it.

use std::io::{self, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Instant;

use sealwright_driver_api::wire::{self, Answer, Call, FromDriver, ToDriver, WireInput};
use sealwright_driver_api::{KeyUri, SignInput};

use crate::sample::{Sample, Tally, Window};
use crate::{child, raw};

/// Milliseconds a request may take; longer than any here.
const LIMIT_MS: u32 = 60_000;

/// The child that takes the daemon's place.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The driver's socket.
    #[arg(long)]
    socket: PathBuf,
    /// The key.
    #[arg(long)]
    key: KeyUri,
}

/// Connects once and measures what is ordered.
pub fn run(args: &Args) -> io::Result<()> {
    let mut link = Link::open(args)?;
    child::serve(|order| {
        let window = Window::of(order.time);
        let load = || link.closed_loop(order.connections, window);
        Ok(Sample::measure(window, &order.meter(), load))
    })
}

struct Link {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    call: Call,
    out: Vec<u8>,
}

impl Link {
    fn open(args: &Args) -> io::Result<Self> {
        let writer = UnixStream::connect(&args.socket)?;
        let mut reader = BufReader::new(writer.try_clone()?);
        match wire::read(&mut reader).map_err(io::Error::other)? {
            FromDriver::Hello(hello) => hello.token.map_err(io::Error::other)?,
            other => return Err(io::Error::other(format!("no hello but {other:?}"))),
        };
        let request = raw::request(&args.key);
        let SignInput::Digest { hash, bytes } = request.input else {
            return Err(io::Error::other("the bench signs digests"));
        };
        Ok(Self {
            reader,
            writer,
            call: Call::Sign {
                key: request.key,
                scheme: request.scheme,
                input: WireInput::Digest { hash, bytes },
            },
            out: Vec::new(),
        })
    }

    fn closed_loop(&mut self, waiting: usize, window: Window) -> Tally {
        let mut tally = Tally::new(window);
        if let Err(error) = self.run(waiting, window, &mut tally) {
            eprintln!("driver: {error}");
            tally.note(window.begin, false);
        }
        tally
    }

    /// A request's id is its place: an answered request's id may be used again.
    fn run(&mut self, waiting: usize, window: Window, tally: &mut Tally) -> io::Result<()> {
        let mut begun = vec![window.begin; waiting];
        for id in 0..waiting {
            self.push(id as u64)?;
        }
        let mut in_flight = waiting;
        while in_flight > 0 {
            self.flush()?;
            let (id, ok) = self.reply()?;
            let place = usize::try_from(id).ok().and_then(|id| begun.get_mut(id));
            let place = place.ok_or_else(|| io::Error::other(format!("a reply to {id}")))?;
            if tally.note(*place, ok) {
                *place = Instant::now();
                self.push(id)?;
            } else {
                in_flight -= 1;
            }
        }
        Ok(())
    }

    fn push(&mut self, id: u64) -> io::Result<()> {
        let request = ToDriver::Request {
            id,
            remaining_ms: LIMIT_MS,
            call: self.call.clone(),
        };
        self.out
            .extend(wire::encode(&request).map_err(io::Error::other)?);
        Ok(())
    }

    /// Sends what is queued, unless there are answers to take in first.
    fn flush(&mut self) -> io::Result<()> {
        if self.reader.buffer().is_empty() {
            self.writer.write_all(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }

    fn reply(&mut self) -> io::Result<(u64, bool)> {
        loop {
            match wire::read(&mut self.reader).map_err(io::Error::other)? {
                FromDriver::Reply { id, result } => {
                    if let Err(error) = &result {
                        eprintln!("driver: {error}");
                    }
                    return Ok((id, matches!(result, Ok(Answer::Signature(_)))));
                }
                FromDriver::Progress { .. } => {}
                FromDriver::Hello(_) => return Err(io::Error::other("a second hello")),
            }
        }
    }
}
