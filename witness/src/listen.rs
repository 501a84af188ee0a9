//! From socket to request, with bounds on connections and time.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Address;
use crate::http;
use crate::keeper::Keeper;

/// Connections at a time; the next is closed at accept.
const MAX_CONNECTIONS: usize = 64;

/// Longest request head.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// Time for a head to arrive, and between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after a failed accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why nobody can connect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("cannot listen on {address}: {source}")]
    Bind { address: String, source: io::Error },
    #[error("cannot wait for signals: {0}")]
    Signals(#[source] io::Error),
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Serves until SIGTERM or SIGINT. Nothing needs to be finished: what was answered is durable.
pub(crate) async fn serve(address: &Address, keeper: Keeper) -> Result<(), ListenError> {
    let listener = Listener::bind(address).await?;
    let mut term = signal(SignalKind::terminate()).map_err(ListenError::Signals)?;
    let mut int = signal(SignalKind::interrupt()).map_err(ListenError::Signals)?;
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept(&keeper, &places) => accepted,
            _ = term.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
        };
        if let Err(error) = accepted {
            tracing::warn!(%error, "accept failed");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

impl Listener {
    async fn bind(address: &Address) -> Result<Self, ListenError> {
        let failed = |address: String| |source| ListenError::Bind { address, source };
        match address {
            Address::Tcp(address) => {
                let listener = TcpListener::bind(address).await;
                let listener = listener.map_err(failed(address.to_string()))?;
                let bound = listener.local_addr().map_err(failed(address.to_string()))?;
                tracing::info!("listening on http://{bound}");
                Ok(Self::Tcp(listener))
            }
            Address::Unix(path) => {
                remove_stale(path);
                let listener = UnixListener::bind(path);
                let listener = listener.map_err(failed(path.display().to_string()))?;
                tracing::info!("listening on {}", path.display());
                Ok(Self::Unix(listener))
            }
        }
    }

    async fn accept(&self, keeper: &Keeper, places: &Arc<Semaphore>) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => start(listener.accept().await?.0, keeper, places),
            Self::Unix(listener) => start(listener.accept().await?.0, keeper, places),
        }
        Ok(())
    }
}

/// The state folder's lock is held already, so a socket that is there was left behind by a witness that is gone.
fn remove_stale(path: &Path) {
    // A file that is not there is as good as removed.
    let _ = std::fs::remove_file(path);
}

fn start<S>(stream: S, keeper: &Keeper, places: &Arc<Semaphore>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Ok(place) = Arc::clone(places).try_acquire_owned() else {
        tracing::warn!("more than {MAX_CONNECTIONS} connections: one was closed");
        return;
    };
    tokio::spawn(connection(stream, keeper.clone(), place));
}

async fn connection<S>(stream: S, keeper: Keeper, _place: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(move |request| http::answer(keeper.clone(), request));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "connection ended");
    }
}
