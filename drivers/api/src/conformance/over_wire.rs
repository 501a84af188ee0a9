//! A driver's process, asked over its socket as the daemon would.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Event, Failure, Reaction, SLACK, Subject};
use crate::wire::{
    self, Answer, CHUNK_MAX, Call, FromDriver, ToDriver, WIRE_VERSION, WireError, WireInput,
};
use crate::{Descriptor, SignInput, SignRequest, Task};

/// How long a driver may take to greet: it opens its token meanwhile.
const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// See the module's text.
pub struct OverWire {
    connect: Box<dyn FnMut() -> io::Result<UnixStream>>,
    hello_limit: Duration,
    connection: Option<Connection>,
    last_id: u64,
}

struct Connection {
    stream: UnixStream,
    descriptor: Descriptor,
}

impl OverWire {
    /// A driver that is reached with `connect`, also after its process ended.
    pub fn new(connect: impl FnMut() -> io::Result<UnixStream> + 'static) -> Self {
        Self {
            connect: Box::new(connect),
            hello_limit: HELLO_LIMIT,
            connection: None,
            last_id: 0,
        }
    }

    /// A driver behind the socket at `path`.
    pub fn at(path: &Path) -> Self {
        let path = path.to_owned();
        Self::new(move || UnixStream::connect(&path))
    }

    /// Gives the driver less time to greet.
    pub fn hello_within(mut self, limit: Duration) -> Self {
        self.hello_limit = limit;
        self
    }

    fn connection(&mut self) -> Result<&mut Connection, Failure> {
        // Taken out and put back, because of an early return in between.
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.greet()?,
        };
        Ok(self.connection.insert(connection))
    }

    fn greet(&mut self) -> Result<Connection, Failure> {
        let mut stream = (self.connect)().map_err(broken)?;
        stream
            .set_write_timeout(Some(self.hello_limit))
            .map_err(broken)?;
        let hello = match read(&mut stream, Instant::now() + self.hello_limit)? {
            FromDriver::Hello(hello) => hello,
            other => {
                return Err(Failure::Broken(format!(
                    "it did not greet but sent {other:?}"
                )));
            }
        };
        if hello.wire != WIRE_VERSION {
            return Err(Failure::Broken(format!(
                "it speaks wire version {}",
                hello.wire
            )));
        }
        Ok(Connection {
            stream,
            descriptor: hello.token?,
        })
    }
}

impl Subject for OverWire {
    fn descriptor(&mut self) -> Result<Descriptor, Failure> {
        Ok(self.connection()?.descriptor.clone())
    }

    fn ask(
        &mut self,
        task: &Task,
        limit: Duration,
        watch: &mut dyn FnMut(Event) -> Reaction,
    ) -> Result<Answer, Failure> {
        self.last_id += 1;
        let id = self.last_id;
        let stream = &mut self.connection()?.stream;
        let answer = send(stream, id, task, limit).and_then(|()| follow(stream, id, limit, watch));
        if matches!(answer, Err(Failure::Overdue | Failure::Broken(_))) {
            // What comes after a broken or late frame cannot be told from its rest.
            self.connection = None;
        }
        answer
    }

    fn restart(&mut self) {
        self.connection = None;
    }
}

fn send(stream: &mut UnixStream, id: u64, task: &Task, limit: Duration) -> Result<(), Failure> {
    let remaining_ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
    let (call, message) = call_of(task);
    let mut put = |frame: ToDriver| wire::write(stream, &frame).map_err(broken);
    put(ToDriver::Request {
        id,
        remaining_ms,
        call,
    })?;
    for bytes in message.chunks(CHUNK_MAX) {
        put(ToDriver::Chunk {
            id,
            bytes: bytes.to_vec(),
        })?;
    }
    Ok(())
}

fn call_of(task: &Task) -> (Call, &[u8]) {
    match task {
        Task::Health => (Call::Health, &[]),
        Task::Describe(key) => (Call::Describe { key: key.clone() }, &[]),
        Task::Generate(spec) => (Call::Generate { spec: spec.clone() }, &[]),
        Task::Attest(key, nonce) => {
            let (key, nonce) = (key.clone(), *nonce);
            (Call::Attest { key, nonce }, &[])
        }
        Task::Destroy(key, spki_sha256) => {
            let (key, spki_sha256) = (key.clone(), *spki_sha256);
            (Call::Destroy { key, spki_sha256 }, &[])
        }
        Task::Activate(challenge) => {
            let challenge = challenge.clone();
            (Call::Activate { challenge }, &[])
        }
        Task::Sign(SignRequest { key, scheme, input }) => {
            let (input, message): (_, &[u8]) = match input {
                SignInput::Digest { hash, bytes } => (
                    WireInput::Digest {
                        hash: *hash,
                        bytes: bytes.clone(),
                    },
                    &[],
                ),
                SignInput::Message(message) => {
                    let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
                    (WireInput::Message { len }, message)
                }
            };
            (
                Call::Sign {
                    key: key.clone(),
                    scheme: *scheme,
                    input,
                },
                message,
            )
        }
    }
}

fn follow(
    stream: &mut UnixStream,
    id: u64,
    limit: Duration,
    watch: &mut dyn FnMut(Event) -> Reaction,
) -> Result<Answer, Failure> {
    let mut until = Instant::now() + limit + SLACK;
    let mut event = Event::Begun;
    let mut cancelled = false;
    loop {
        if watch(event) == Reaction::Cancel && !cancelled {
            cancelled = true;
            until = until.min(Instant::now() + SLACK);
            wire::write(stream, &ToDriver::Cancel { id }).map_err(broken)?;
        }
        match read(stream, until)? {
            FromDriver::Reply { id: of, result } if of == id => return Ok(result?),
            FromDriver::Progress { id: of, progress } if of == id => {
                event = Event::Progress(progress)
            }
            other => {
                return Err(Failure::Broken(format!(
                    "request {id} was answered with {other:?}"
                )));
            }
        }
    }
}

fn read(stream: &mut UnixStream, until: Instant) -> Result<FromDriver, Failure> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Failure::Overdue);
    }
    stream.set_read_timeout(Some(left)).map_err(broken)?;
    wire::read(stream).map_err(|error| match error {
        WireError::Io(io) if io.kind() == io::ErrorKind::WouldBlock => Failure::Overdue,
        other => broken(other),
    })
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::Broken(error.to_string())
}
