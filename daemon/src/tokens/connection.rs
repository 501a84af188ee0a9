//! One connection to a driver: frames over a Unix socket, beginning with a `Hello` that must be the right one.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use sealwright_core::sign::SignInput;
use sealwright_driver_api::wire::{
    self, CHUNK_MAX, Call, FromDriver, ToDriver, WIRE_VERSION, WireError, WireInput,
};
use sealwright_driver_api::{Descriptor, KeyUri, Scheme, TokenConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long a driver may take for connect and `Hello`: opening a token can mean loading a module and a login.
const HELLO_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a driver may leave its socket unread.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no connection, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody listens, or the peer is gone.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The frames are wrong: this driver is broken or not ours.
    #[error("the driver broke the protocol: {0}")]
    Protocol(String),
    /// Another token, kind or version than configured.
    #[error("the driver is not the configured one: {0}")]
    Mismatch(String),
    /// The driver runs and says why it cannot serve.
    #[error("the driver cannot open the token: {0}")]
    Token(sealwright_driver_api::DriverError),
    /// No answer in time.
    #[error("the driver did not {0} in time")]
    Timeout(&'static str),
}

impl From<WireError> for LinkError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Io(e) => Self::Io(e),
            WireError::Closed => Self::Io(std::io::ErrorKind::UnexpectedEof.into()),
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// A request as the actor sends it.
#[derive(Debug)]
pub enum Outgoing {
    /// A call that fits one frame.
    Plain(Call),
    /// A signature; a message follows in chunks.
    Sign {
        /// The key.
        key: KeyUri,
        /// Its scheme.
        scheme: Scheme,
        /// What to sign.
        input: SignInput,
    },
}

/// An open connection.
pub struct Connection {
    stream: UnixStream,
    received: BytesMut,
    out: Vec<u8>,
}

impl Connection {
    /// Connects to the token's driver and checks its `Hello`.
    pub async fn open(config: &TokenConfig) -> Result<(Self, Descriptor), LinkError> {
        timeout(HELLO_TIMEOUT, Self::connect(config))
            .await
            .unwrap_or(Err(LinkError::Timeout("say hello")))
    }

    async fn connect(config: &TokenConfig) -> Result<(Self, Descriptor), LinkError> {
        let socket = &config.socket;
        let stream = UnixStream::connect(socket).await.map_err(|error| {
            // Whoever reads it has to find the unit that should be listening there.
            std::io::Error::new(error.kind(), format!("{}: {error}", socket.display()))
        })?;
        let mut this = Self {
            stream,
            received: BytesMut::new(),
            out: Vec::new(),
        };
        let FromDriver::Hello(hello) = this.next().await? else {
            return Err(LinkError::Protocol(
                "the first frame is not a hello".to_owned(),
            ));
        };
        if hello.wire != WIRE_VERSION {
            return Err(LinkError::Mismatch(format!(
                "it speaks wire version {}, this daemon {WIRE_VERSION}; install both from one release",
                hello.wire
            )));
        }
        let descriptor = hello.token.map_err(LinkError::Token)?;
        check(config, &descriptor)?;
        Ok((this, descriptor))
    }

    /// The next frame. Safe to drop and call again: what has been read so far is kept.
    pub async fn next(&mut self) -> Result<FromDriver, LinkError> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(frame);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(LinkError::Io(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    fn take_frame(&mut self) -> Result<Option<FromDriver>, LinkError> {
        let Some(prefix) = self.received.first_chunk::<4>() else {
            return Ok(None);
        };
        let len = wire::frame_len(*prefix)?;
        let Some(bytes) = self.received.get(4..4 + len) else {
            return Ok(None);
        };
        let frame = wire::decode(bytes)?;
        self.received.advance(4 + len);
        Ok(Some(frame))
    }

    /// Queues the frames of one request; [`Connection::flush`] sends them.
    pub fn push_request(
        &mut self,
        id: u64,
        remaining_ms: u32,
        request: &Outgoing,
    ) -> Result<(), LinkError> {
        let (call, message) = match request {
            Outgoing::Plain(call) => (call.clone(), None),
            Outgoing::Sign { key, scheme, input } => {
                let (input, message) = match input {
                    SignInput::Digest { hash, bytes } => (
                        WireInput::Digest {
                            hash: *hash,
                            bytes: bytes.clone(),
                        },
                        None,
                    ),
                    SignInput::Message(message) => {
                        let len = u32::try_from(message.len())
                            .map_err(|_| LinkError::Protocol("message over 4 GiB".to_owned()))?;
                        (WireInput::Message { len }, Some(message))
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
        };
        self.push(&ToDriver::Request {
            id,
            remaining_ms,
            call,
        })?;
        for chunk in message
            .into_iter()
            .flat_map(|message| message.chunks(CHUNK_MAX))
        {
            self.push(&ToDriver::Chunk {
                id,
                bytes: chunk.to_vec(),
            })?;
        }
        Ok(())
    }

    /// Queues a cancellation.
    pub fn push_cancel(&mut self, id: u64) -> Result<(), LinkError> {
        self.push(&ToDriver::Cancel { id })
    }

    fn push(&mut self, frame: &ToDriver) -> Result<(), LinkError> {
        self.out.extend(wire::encode(frame)?);
        Ok(())
    }

    /// Sends what is queued.
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        if self.out.is_empty() {
            return Ok(());
        }
        let sent = timeout(SEND_TIMEOUT, self.stream.write_all(&self.out)).await;
        self.out.clear();
        sent.map_err(|_| LinkError::Timeout("read its socket"))?
            .map_err(LinkError::Io)
    }
}

fn check(config: &TokenConfig, descriptor: &Descriptor) -> Result<(), LinkError> {
    let pairs = [
        ("kind", &config.kind, &descriptor.kind),
        ("label", &config.label, &descriptor.label),
        ("serial", &config.serial, &descriptor.serial),
    ];
    for (what, want, got) in pairs {
        if want != got {
            return Err(LinkError::Mismatch(format!(
                "its {what} is {got:?}, configured is {want:?}"
            )));
        }
    }
    if descriptor.sessions == 0 {
        return Err(LinkError::Mismatch("it offers no session".to_owned()));
    }
    Ok(())
}
