//! The way back to the daemon: one frame at a time.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sealwright_driver_api::wire::{self, Answer, FromDriver, Hello, WireError};
use sealwright_driver_api::{DriverError, Progress, ProgressSink};

/// How long the daemon may leave a frame unread before the connection counts as dead.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// The writing half of a connection.
pub(crate) struct Replies {
    // Held over a socket write, so that frames do not mix; never over a device call, and at most WRITE_LIMIT.
    frames: Mutex<Box<dyn Write + Send>>,
    stream: UnixStream,
}

impl Replies {
    /// Replies on `stream`, written through `frames`.
    pub(crate) fn new(stream: UnixStream, frames: Box<dyn Write + Send>) -> std::io::Result<Self> {
        stream.set_write_timeout(Some(WRITE_LIMIT))?;
        Ok(Self {
            frames: Mutex::new(frames),
            stream,
        })
    }

    pub(crate) fn hello(&self, hello: Hello) {
        self.send(&FromDriver::Hello(hello));
    }

    pub(crate) fn reply(&self, id: u64, result: Result<Answer, DriverError>) {
        self.send(&FromDriver::Reply { id, result });
    }

    fn send(&self, frame: &FromDriver) {
        let bytes = match wire::encode(frame) {
            Ok(bytes) => bytes,
            Err(error) => match too_large(frame, &error) {
                Some(bytes) => bytes,
                None => return self.give_up(&error),
            },
        };
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = frames.write_all(&bytes).and_then(|()| frames.flush()) {
            self.give_up(&WireError::Io(error));
        }
    }

    /// Half a frame may be out, so nothing more can be said; the reader sees the end and decides.
    fn give_up(&self, error: &WireError) {
        tracing::warn!(%error, "cannot answer the daemon, closing the connection");
        // Fails only where the peer is gone already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// The answer to send instead of one that fits no frame.
fn too_large(frame: &FromDriver, error: &WireError) -> Option<Vec<u8>> {
    let FromDriver::Reply { id, .. } = frame else {
        return None;
    };
    let detail = format!("the token's answer cannot be sent: {error}");
    let result = Err(DriverError::unsupported(detail));
    wire::encode(&FromDriver::Reply { id: *id, result }).ok()
}

/// Progress of one request.
pub(crate) struct WireProgress<'a> {
    pub(crate) id: u64,
    pub(crate) replies: &'a Replies,
}

impl ProgressSink for WireProgress<'_> {
    fn progress(&self, progress: Progress) {
        self.replies.send(&FromDriver::Progress {
            id: self.id,
            progress,
        });
    }
}
