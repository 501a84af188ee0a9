//! `POST /add-checkpoint`, and `GET /<SHA-256 of the origin>/checkpoint` for monitors.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use sealwright_core::tlog::add_checkpoint::{AddCheckpoint, MAX_REQUEST_BYTES, WitnessRefusal};

use crate::keeper::{Keeper, Refused};

/// Time for a whole body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

const TEXT: &str = "text/plain; charset=utf-8";

type Answer = Response<Full<Bytes>>;

/// Answers one request.
pub(crate) async fn answer(
    keeper: Keeper,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let method = request.method().clone();
    Ok(match (segments.as_slice(), method) {
        (["add-checkpoint"], Method::POST) => add_checkpoint(&keeper, request.into_body()).await,
        ([log, "checkpoint"], Method::GET) => match keeper.newest(log).await {
            Some(note) => text(StatusCode::OK, TEXT, note),
            None => text(
                StatusCode::NOT_FOUND,
                TEXT,
                "no such log, or nothing seen of it yet\n",
            ),
        },
        (["add-checkpoint"] | [_, "checkpoint"], _) => text(
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT,
            "POST /add-checkpoint, GET /<log>/checkpoint\n",
        ),
        _ => text(StatusCode::NOT_FOUND, TEXT, "there is nothing here\n"),
    })
}

async fn add_checkpoint(keeper: &Keeper, body: Incoming) -> Answer {
    let body = match read(body).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let request: AddCheckpoint = match body.parse() {
        Ok(request) => request,
        Err(error) => return refuse(&WitnessRefusal::Malformed(error)),
    };
    match keeper.cosign(request).await {
        Ok(lines) => text(StatusCode::OK, TEXT, lines),
        Err(Refused::Refusal(refusal)) => refuse(&refusal),
        Err(busy @ Refused::Busy) => {
            text(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{busy}\n"))
        }
        Err(failed @ Refused::Failed) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            TEXT,
            format!("{failed}\n"),
        ),
    }
}

async fn read(body: Incoming) -> Result<String, Answer> {
    let body = Limited::new(body, MAX_REQUEST_BYTES).collect();
    let refuse = |status, why: &str| text(status, TEXT, format!("{why}\n"));
    let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Err(_) => {
            return Err(refuse(
                StatusCode::REQUEST_TIMEOUT,
                "the body came too slowly",
            ));
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let why = format!("a request has at most {MAX_REQUEST_BYTES} bytes");
            return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, &why));
        }
        Ok(Err(_)) => return Err(refuse(StatusCode::BAD_REQUEST, "the body broke off")),
        Ok(Ok(body)) => body.to_bytes(),
    };
    String::from_utf8(body.into())
        .map_err(|_| refuse(StatusCode::BAD_REQUEST, "a request is UTF-8 text"))
}

fn refuse(refusal: &WitnessRefusal) -> Answer {
    tracing::info!(%refusal, status = refusal.status(), "refused");
    let status = StatusCode::from_u16(refusal.status());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    text(status, refusal.media_type(), format!("{refusal}\n"))
}

fn text(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let media_type = HeaderValue::from_static(media_type);
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    answer
}
