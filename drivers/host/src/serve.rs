//! Serving the daemon: open the token, greet, work, and end when there is doubt.

use std::convert::Infallible;
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use sealwright_driver_api::wire::{Hello, WIRE_VERSION};
use sealwright_driver_api::{Descriptor, DriverError, Token, TokenConfig};

use crate::listen::Listener;
use crate::reader::{End, Reader};
use crate::replies::Replies;
use crate::work::Work;
use crate::{Driver, Secrets, exit, watchdog, worker};

/// How long opening the token may take before the process gives up.
const OPEN_LIMIT: Duration = Duration::from_secs(60);

/// Serves one connection after the other for the life of the process. `prepared` is the outcome of what came
/// before; an error in it is told to the daemon like one of opening the token.
pub(crate) fn serve(
    driver: Driver,
    config: &TokenConfig,
    secrets: &Secrets,
    prepared: Result<(), DriverError>,
    listener: &Listener,
) -> ExitCode {
    let open = || prepared.and_then(|()| (driver.open)(config, secrets));
    match run(driver, config, open, listener) {
        Ok(never) => match never {},
        Err(error) => {
            tracing::error!(%error, "cannot serve");
            ExitCode::FAILURE
        }
    }
}

fn run(
    driver: Driver,
    config: &TokenConfig,
    open: impl FnOnce() -> Result<Box<dyn Token>, DriverError>,
    listener: &Listener,
) -> std::io::Result<Infallible> {
    let work = Arc::new(Work::default());
    watchdog::start(&work)?;
    let mut stream = listener.accept()?;
    let token: Arc<dyn Token> = match work.opening(OPEN_LIMIT, open) {
        Ok(token) => token.into(),
        Err(error) => refuse(driver, config, stream, error),
    };
    worker::start(&token, &work)?;
    loop {
        let end = connection(driver, config, stream, token.descriptor(), &work)?;
        end_if_in_doubt(&end, &work);
        stream = listener.accept()?;
    }
}

/// Ends the process unless the connection ended cleanly with nothing in hand.
fn end_if_in_doubt(end: &End, work: &Work) {
    if let End::Protocol(violation) = end {
        tracing::error!(
            violation,
            "the daemon broke the protocol; ending this process"
        );
        exit::now(exit::PROTOCOL);
    }
    if work.is_lost() {
        exit::now(exit::LOST);
    }
    let in_flight = work.in_flight();
    if in_flight > 0 {
        tracing::warn!(
            in_flight,
            "the daemon is gone with work in flight; ending this process"
        );
        exit::now(exit::PEER_GONE);
    }
}

/// Greets and reads until the connection ends.
fn connection(
    driver: Driver,
    config: &TokenConfig,
    stream: UnixStream,
    descriptor: &Descriptor,
    work: &Work,
) -> std::io::Result<End> {
    let replies = Arc::new(replies(driver, config, &stream)?);
    replies.hello(hello(Ok(descriptor.clone())));
    Ok(Reader::new(work, replies, descriptor.max_message).run(BufReader::new(stream)))
}

/// Tells the daemon why there is no token. The next process tries again with whatever has changed by then.
fn refuse(driver: Driver, config: &TokenConfig, stream: UnixStream, error: DriverError) -> ! {
    tracing::error!(class = ?error.class, "the token cannot be opened: {error}");
    match replies(driver, config, &stream) {
        Ok(replies) => replies.hello(hello(Err(error))),
        Err(error) => tracing::warn!(%error, "the daemon cannot be told"),
    }
    exit::now(exit::NOT_OPENED)
}

fn replies(driver: Driver, config: &TokenConfig, stream: &UnixStream) -> std::io::Result<Replies> {
    Replies::new(
        stream.try_clone()?,
        (driver.frames)(config, stream.try_clone()?),
    )
}

fn hello(token: Result<Descriptor, DriverError>) -> Hello {
    Hello {
        wire: WIRE_VERSION,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        token,
    }
}
