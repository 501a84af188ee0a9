//! The monitoring socket: no TLS, four paths. The socket file's group decides who may look.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

use crate::daemon::Daemon;
use crate::health::Health;
use crate::http::{Answer, answer};
use crate::metrics;

/// Connections at a time; the next is closed at accept.
const CONNECTIONS_MAX: usize = 32;
/// Time a connection may be without a request.
const IDLE: Duration = Duration::from_secs(10);

/// Answers until the process ends.
pub async fn serve(listener: UnixListener, daemon: Arc<Daemon>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let daemon = Arc::clone(&daemon);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let reply = one(&daemon, &request);
                async move { Ok::<_, Infallible>(reply) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(IDLE);
            // A monitor that hangs up early is its own business.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
            drop(place);
        });
    }
}

fn one(daemon: &Daemon, request: &Request<Incoming>) -> Answer {
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
    }
    match request.uri().path() {
        "/livez" => verdict(&[]),
        "/readyz" => verdict(&Health::of(daemon).unready),
        "/healthz" => verdict(&Health::of(daemon).all()),
        "/metrics" => {
            let body = Bytes::from(metrics::render(daemon));
            answer(StatusCode::OK, metrics::CONTENT_TYPE, body)
        }
        _ => text(
            StatusCode::NOT_FOUND,
            "known are /livez, /readyz, /healthz and /metrics\n".to_owned(),
        ),
    }
}

/// `200` where nothing is wrong, else `503` with a line for each thing.
fn verdict(wrong: &[String]) -> Answer {
    match wrong {
        [] => text(StatusCode::OK, "ok\n".to_owned()),
        wrong => text(StatusCode::SERVICE_UNAVAILABLE, wrong.join("\n") + "\n"),
    }
}

fn text(status: StatusCode, body: String) -> Answer {
    answer(status, "text/plain; charset=utf-8", Bytes::from(body))
}
