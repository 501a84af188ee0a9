//! From socket to request: accept, handshake, one identity per connection, bounds on all of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use sealwright_core::identity::PeerCred;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::api;
use crate::authn::{ClientIdentity, Peer};
use crate::daemon::Daemon;

/// Largest request head in bytes.
const HEAD_MAX: usize = 32 << 10;
/// Pause after a failed accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long requests have for their record and answer once they were given up.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Accepts until `stop` changes, then lets requests in flight finish for `limits.drain_ms`. What still waits for
/// a token then is given up: recorded and answered like any other failure.
pub async fn serve(listener: UnixListener, daemon: Arc<Daemon>, mut stop: watch::Receiver<bool>) {
    let limits = &daemon.config.limits;
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.changed() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            daemon.metrics.connections_refused.inc();
            continue;
        };
        let (daemon, stop) = (Arc::clone(&daemon), stop.clone());
        connections.spawn(async move {
            connection(stream, daemon, stop).await;
            drop(place);
        });
    }
    drop(listener);
    if all_ended(&mut connections, Duration::from_millis(limits.drain_ms)).await {
        return;
    }
    tracing::warn!("requests still wait for a token when the drain time runs out: given up");
    daemon.tokens.give_up();
    if !all_ended(&mut connections, LAST_WORDS).await {
        tracing::warn!("connections were still busy at the end");
    }
}

async fn all_ended(connections: &mut JoinSet<()>, limit: Duration) -> bool {
    let ended = async { while connections.join_next().await.is_some() {} };
    tokio::time::timeout(limit, ended).await.is_ok()
}

async fn connection(stream: UnixStream, daemon: Arc<Daemon>, mut stop: watch::Receiver<bool>) {
    let Some((stream, peer)) = handshake(stream, &daemon).await else {
        return;
    };
    let peer = Arc::new(peer);
    let service = {
        let daemon = Arc::clone(&daemon);
        service_fn(move |request| one_request(Arc::clone(&daemon), Arc::clone(&peer), request))
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(daemon.config.limits.idle())
        .max_buf_size(HEAD_MAX);
    let mut serving = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let served = tokio::select! {
        served = serving.as_mut() => served,
        _ = stop.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

type TlsStream = tokio_rustls::server::TlsStream<UnixStream>;

/// Nothing that fails here reaches the journal: whoever it was has not shown who it is.
async fn handshake(stream: UnixStream, daemon: &Daemon) -> Option<(TlsStream, Peer)> {
    let refused = |reason: &str| {
        daemon.metrics.handshakes_failed.inc();
        tracing::info!(reason, "connection refused");
    };
    let cred = stream
        .peer_cred()
        .inspect_err(|e| refused(&e.to_string()))
        .ok()?;
    let (config, verifier) = daemon
        .tls
        .for_connection()
        .inspect_err(|e| refused(&e.to_string()))
        .ok()?;
    let accept = TlsAcceptor::from(config).accept(stream);
    let stream = match tokio::time::timeout(daemon.config.limits.handshake(), accept).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            refused(&error.to_string());
            return None;
        }
        Err(_) => {
            refused("the handshake took too long");
            return None;
        }
    };
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first());
    let identity = certificate.and_then(|leaf| ClientIdentity::of(leaf, &verifier));
    let Some(identity) = identity else {
        refused("the client certificate cannot be read");
        return None;
    };
    if let Ok(caller) = &identity.identity {
        let now = daemon.clock.now();
        daemon
            .expiries
            .note(caller.to_string(), &identity.tenant, identity.life, now);
    }
    let cred = PeerCred {
        uid: cred.uid(),
        gid: cred.gid(),
        pid: cred.pid().unwrap_or(0),
    };
    Some((stream, Peer { identity, cred }))
}

/// A request runs in a task of its own: a caller that hangs up must not keep its record from being written.
async fn one_request(
    daemon: Arc<Daemon>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Result<crate::http::Answer, Infallible> {
    let request_id = uuid::Uuid::now_v7().to_string();
    let task = tokio::spawn(api::handle(daemon, peer, request, request_id.clone()));
    let mut answer = task.await.unwrap_or_else(|error| {
        tracing::error!(%request_id, %error, "a request panicked");
        let refusal = crate::refusal::Refusal::failed(
            sealwright_core::error::Code::Internal,
            "the request panicked",
        );
        crate::http::problem(&refusal, &request_id)
    });
    crate::http::set(&mut answer, crate::http::REQUEST_ID, &request_id);
    Ok::<Response<_>, _>(answer)
}
