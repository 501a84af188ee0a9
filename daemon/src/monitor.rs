//! The monitoring socket: no TLS, three paths. The socket file's group decides who may look.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use sealwright_core::record::FreezeScope;
use tokio::net::UnixListener;
use tokio::sync::Semaphore;

use crate::daemon::Daemon;
use crate::expiry::Use;
use crate::http::{Answer, answer};
use crate::rotation;
use crate::tokens::Service;

/// Connections at a time; the next is closed at accept.
const CONNECTIONS_MAX: usize = 32;
/// Time a connection may be without a request.
const IDLE: Duration = Duration::from_secs(10);

/// Answers until the process ends.
pub async fn serve(listener: UnixListener, daemon: Arc<Daemon>, metrics: PrometheusHandle) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            continue;
        };
        let (daemon, metrics) = (Arc::clone(&daemon), metrics.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let reply = one(&daemon, &metrics, &request);
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

fn one(daemon: &Daemon, metrics: &PrometheusHandle, request: &Request<Incoming>) -> Answer {
    let text =
        |status, body: String| answer(status, "text/plain; charset=utf-8", Bytes::from(body));
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
    }
    match request.uri().path() {
        "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => match not_ready(daemon) {
            None => text(StatusCode::OK, "ok\n".to_owned()),
            Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        },
        "/metrics" => {
            gauges(daemon);
            answer(
                StatusCode::OK,
                "text/plain; version=0.0.4",
                Bytes::from(metrics.render()),
            )
        }
        _ => text(
            StatusCode::NOT_FOUND,
            "known are /livez, /readyz and /metrics\n".to_owned(),
        ),
    }
}

fn not_ready(daemon: &Daemon) -> Option<String> {
    if let Err(refusal) = daemon.can_record() {
        return Some(refusal.reason);
    }
    if let Some(freeze) = frozen_altogether(daemon) {
        return Some(freeze);
    }
    daemon
        .tokens
        .statuses()
        .find_map(|(name, status)| match status.service() {
            Service::Ready(_) => None,
            Service::Connecting => Some(format!("token {name} is connecting")),
            Service::OutOfService(reason) => Some(format!("token {name}: {reason}")),
        })
}

/// A tenant's freeze leaves the others at work.
fn frozen_altogether(daemon: &Daemon) -> Option<String> {
    daemon.journal.with_state(|state| {
        let index = state.freeze_of(&FreezeScope::All)?.index;
        Some(format!("everything is frozen since record {index}"))
    })
}

/// One row per scope that was ever frozen: a row that only vanished would keep its last value.
fn freeze_gauges(daemon: &Daemon) {
    let freezes = daemon.journal.with_state(|state| {
        let freezes = state.freezes();
        let freezes = freezes.map(|(scope, freeze)| (scope.clone(), freeze.is_some()));
        freezes.collect::<Vec<_>>()
    });
    for (scope, is_frozen) in freezes {
        metrics::gauge!("sealwright_frozen", "scope" => String::from(scope))
            .set(f64::from(u8::from(is_frozen)));
    }
}

/// Counts, not names: a caller's row would stay after its certificate was renewed. Status names them.
#[expect(clippy::cast_precision_loss, reason = "Prometheus gauges are doubles")]
fn certificate_gauges(daemon: &Daemon) {
    let soon = daemon.expiries.soon(daemon.clock.now());
    for kind in [Use::Server, Use::Ca, Use::Caller] {
        let count = soon.iter().filter(|one| one.kind == kind).count();
        metrics::gauge!("sealwright_certificates_expiring", "use" => kind.as_str())
            .set(count as f64);
    }
    metrics::gauge!("sealwright_denied_keys").set(daemon.deny.current().count() as f64);
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus gauges are doubles")]
fn gauges(daemon: &Daemon) {
    let size = daemon.journal.with_state(|state| state.next_index());
    let checkpoint = daemon
        .checkpoints
        .borrow()
        .as_ref()
        .map_or(0, |newest| newest.size);
    metrics::gauge!("sealwright_log_size").set(size as f64);
    metrics::gauge!("sealwright_checkpoint_size").set(checkpoint as f64);
    metrics::gauge!("sealwright_checkpoint_lag_seconds").set(daemon.checkpoint_lag().as_secs_f64());
    if let Some(age) = daemon.witnesses.age(daemon.clock.now()) {
        metrics::gauge!("sealwright_witness_quorum_age_seconds").set(age as f64);
    }
    let is_doubted = daemon.trusted_clock.now().is_err();
    metrics::gauge!("sealwright_clock_in_doubt").set(f64::from(u8::from(is_doubted)));
    freeze_gauges(daemon);
    certificate_gauges(daemon);
    rotation::alerts::gauges(daemon);
    crate::approvals::gauges(daemon);
    for (name, status) in daemon.tokens.statuses() {
        let ready = matches!(status.service(), Service::Ready(_));
        let suspect = daemon.suspects.contains(name);
        let set = |metric: &'static str, value: f64| {
            metrics::gauge!(metric, "token" => name.to_owned()).set(value);
        };
        set("sealwright_token_ready", f64::from(u8::from(ready)));
        set("sealwright_token_suspect", f64::from(u8::from(suspect)));
        set("sealwright_token_queued", status.queued() as f64);
        set("sealwright_token_in_flight", status.in_flight() as f64);
    }
}
