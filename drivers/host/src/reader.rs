//! One connection's incoming side: frames become jobs.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealwright_driver_api::wire::{self, Call, ToDriver, WireError, WireInput};
use sealwright_driver_api::{
    DriverError, ErrorClass, KeyUri, Scheme, SignInput, SignRequest, Task,
};

use crate::replies::Replies;
use crate::work::{Job, NotAdmitted, Ticket, Work};

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The daemon closed it, or it broke.
    Closed,
    /// The daemon sent what it must not; why.
    Protocol(String),
}

/// A call as it arrives.
enum Incoming {
    Complete(Task),
    /// Its message follows in chunks.
    Announced {
        key: KeyUri,
        scheme: Scheme,
        len: usize,
    },
}

/// A message whose chunks are still coming.
struct Assembly {
    ticket: Ticket,
    key: KeyUri,
    scheme: Scheme,
    len: usize,
    message: Vec<u8>,
}

/// The reading half of a connection.
pub(crate) struct Reader<'a> {
    work: &'a Work,
    replies: Arc<Replies>,
    max_message: u32,
    assemblies: HashMap<u64, Assembly>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(work: &'a Work, replies: Arc<Replies>, max_message: u32) -> Self {
        Self {
            work,
            replies,
            max_message,
            assemblies: HashMap::new(),
        }
    }

    /// Reads frames until the connection ends.
    pub(crate) fn run(mut self, mut stream: impl Read) -> End {
        loop {
            let handled = match wire::read(&mut stream) {
                Ok(ToDriver::Request {
                    id,
                    remaining_ms,
                    call,
                }) => self.request(id, remaining_ms, call),
                Ok(ToDriver::Chunk { id, bytes }) => self.chunk(id, &bytes),
                Ok(ToDriver::Cancel { id }) => {
                    self.cancel(id);
                    Ok(())
                }
                Err(WireError::Closed | WireError::Io(_)) => return End::Closed,
                Err(error) => Err(error.to_string()),
            };
            if let Err(violation) = handled {
                return End::Protocol(violation);
            }
        }
    }

    fn request(&mut self, id: u64, remaining_ms: u32, call: Call) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_millis(remaining_ms.into());
        let incoming = Incoming::from(call);
        let len = incoming.len();
        if len > self.max_message as usize {
            let error = format!(
                "the message has {len} bytes, this token takes {}",
                self.max_message
            );
            self.replies.reply(id, Err(DriverError::bad_request(error)));
            return Ok(());
        }
        match (self.work.admit(id, deadline, len), incoming) {
            (Ok(ticket), Incoming::Complete(task)) => self.enqueue(ticket, task),
            (Ok(ticket), Incoming::Announced { key, scheme, len }) => {
                let assembly = Assembly {
                    ticket,
                    key,
                    scheme,
                    len,
                    message: Vec::new(),
                };
                self.assemblies.insert(id, assembly);
            }
            (Err(NotAdmitted::Repeated), _) => return Err(format!("request id {id} is in use")),
            (Err(NotAdmitted::Full(what)), _) => {
                let error = format!("this driver has too many {what} in hand; try again");
                self.replies
                    .reply(id, Err(DriverError::new(ErrorClass::Transient, "", error)));
            }
        }
        Ok(())
    }

    fn enqueue(&self, ticket: Ticket, task: Task) {
        self.work.enqueue(Job {
            ticket,
            task,
            replies: Arc::clone(&self.replies),
        });
    }

    fn chunk(&mut self, id: u64, bytes: &[u8]) -> Result<(), String> {
        let Some(assembly) = self.assemblies.get_mut(&id) else {
            // Chunks of a request that was refused or cancelled were on their way: dropped. Chunks of one
            // that is complete are a broken peer's.
            return if self.work.contains(id) {
                Err(format!("a chunk for request {id}, which expects none"))
            } else {
                Ok(())
            };
        };
        if bytes.is_empty() || assembly.message.len() + bytes.len() > assembly.len {
            return Err(format!(
                "a chunk of {} bytes for request {id} does not fit",
                bytes.len()
            ));
        }
        assembly.message.extend_from_slice(bytes);
        if assembly.message.len() == assembly.len
            && let Some(Assembly {
                ticket,
                key,
                scheme,
                message,
                ..
            }) = self.assemblies.remove(&id)
        {
            let input = SignInput::Message(message);
            self.enqueue(ticket, Task::Sign(SignRequest { key, scheme, input }));
        }
        Ok(())
    }

    fn cancel(&mut self, id: u64) {
        self.work.cancel(id);
        // Its chunks may never come; a request that waits for them would stay for ever.
        if self.assemblies.remove(&id).is_some() {
            self.work.finish(id, false);
            let error = DriverError::new(
                ErrorClass::Cancelled,
                "",
                "cancelled before its message was complete",
            );
            self.replies.reply(id, Err(error));
        }
    }
}

impl Incoming {
    /// Bytes of message to come.
    fn len(&self) -> usize {
        match self {
            Self::Complete(_) => 0,
            Self::Announced { len, .. } => *len,
        }
    }
}

impl From<Call> for Incoming {
    fn from(call: Call) -> Self {
        let sign =
            |key, scheme, input| Self::Complete(Task::Sign(SignRequest { key, scheme, input }));
        match call {
            Call::Health => Self::Complete(Task::Health),
            Call::Describe { key } => Self::Complete(Task::Describe(key)),
            Call::Generate { spec } => Self::Complete(Task::Generate(spec)),
            Call::Attest { key, nonce } => Self::Complete(Task::Attest(key, nonce)),
            Call::Destroy { key, spki_sha256 } => Self::Complete(Task::Destroy(key, spki_sha256)),
            Call::Activate { challenge } => Self::Complete(Task::Activate(challenge)),
            Call::Sign { key, scheme, input } => match input {
                WireInput::Digest { hash, bytes } => {
                    sign(key, scheme, SignInput::Digest { hash, bytes })
                }
                WireInput::Message { len: 0 } => sign(key, scheme, SignInput::Message(Vec::new())),
                WireInput::Message { len } => Self::Announced {
                    key,
                    scheme,
                    len: len as usize,
                },
            },
        }
    }
}
