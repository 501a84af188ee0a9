//! One connection to the daemon, renewed when it has been closed.

use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, LOCATION};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use sealwright_core::error::Code;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{ApiError, ClientError};
use crate::settings::{SERVER_NAME, Settings};
use crate::tls;
use crate::token::Token;

/// Longest answer that is read: 64 MiB, several times the largest envelope a daemon with default limits makes.
pub const RESPONSE_MAX: usize = 64 << 20;

/// Time for connecting and the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for the daemon to close its side after this one has.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Time for an answer: longer than the daemon gives a token to make an RSA key.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(180);

/// A caller's connection to the daemon. One request at a time; for several at once, open several.
pub struct Client {
    settings: Settings,
    connector: TlsConnector,
    token: Option<Token>,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    // Ends with the connection, and knows why it ended; `sender` only knows that it did.
    driver: JoinHandle<Result<(), Cause>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

type Stream = TokioIo<TlsStream<UnixStream>>;

type Cause = Box<dyn StdError + Send + Sync>;

/// An answer with a success status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    /// Reads the PEM files and connects.
    ///
    /// With TLS 1.3 the daemon's verdict on the client certificate arrives with the first answer: a refused
    /// certificate shows as [`ClientError::Certificate`] of the first call.
    pub async fn connect(settings: Settings) -> Result<Self, ClientError> {
        let connector = tls::connector(&settings)?;
        let token = Token::open(&settings.token)?;
        let open = Some(open(&settings, &connector).await?);
        Ok(Self {
            settings,
            connector,
            token,
            open,
        })
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sends a request and reads the whole answer; a refusal becomes [`ClientError::Api`].
    ///
    /// An access token goes along, and where the daemon wants a newer nonce in the proof, once more: it has done nothing
    /// before it asks.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, ClientError> {
        let again = self.token.is_some().then(|| request.clone());
        match (self.send_once(request).await, again) {
            (Err(ClientError::Api(error)), Some(again))
                if error.known_code() == Some(Code::UseDpopNonce) =>
            {
                self.send_once(again).await
            }
            (answer, _) => answer,
        }
    }

    async fn send_once(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        // The daemon closes idle connections: the next call opens another one. A request that was sent is
        // never sent again by itself, whatever happened to its answer.
        let mut open = match self.reusable().await {
            Some(open) => open,
            None => open(&self.settings, &self.connector).await?,
        };
        let mut request = request;
        request
            .headers_mut()
            .insert(HOST, HeaderValue::from_static(SERVER_NAME));
        if let Some(token) = &self.token {
            token.add_to(&mut request)?;
        }
        let token = &mut self.token;
        let exchange = async {
            let response = open.sender.send_request(request).await?;
            if let Some(token) = token {
                token.note(response.headers());
            }
            read(response).await
        };
        match timeout(ANSWER_TIMEOUT, exchange).await {
            Ok(Ok(answer)) => {
                self.open = Some(open);
                Ok(answer)
            }
            Ok(Err(Failure::Final(error))) => {
                self.open = Some(open);
                Err(error)
            }
            Ok(Err(Failure::Connection(error))) => Err(self.broken(open, error).await),
            Err(_) => Err(self.timed_out(ANSWER_TIMEOUT)),
        }
    }

    /// The open connection, once it can take a request: just after an answer it may not yet.
    async fn reusable(&mut self) -> Option<Open> {
        let mut open = self.open.take()?;
        match timeout(CONNECT_TIMEOUT, open.sender.ready()).await {
            Ok(Ok(())) => Some(open),
            _ => None,
        }
    }

    async fn broken(&self, open: Open, error: hyper::Error) -> ClientError {
        drop(open.sender);
        let ended = timeout(CONNECT_TIMEOUT, open.driver).await;
        let error = match ended {
            Ok(Ok(Err(cause))) => cause,
            _ => error.into(),
        };
        match tls_error(&*error) {
            Some(rustls::Error::AlertReceived(alert)) => ClientError::Certificate {
                cert: self.settings.cert.clone(),
                reason: format!("TLS alert {alert:?}"),
            },
            _ => ClientError::Broken {
                socket: self.settings.socket.clone(),
                reason: with_source(&*error),
            },
        }
    }

    fn timed_out(&self, limit: Duration) -> ClientError {
        ClientError::Timeout {
            socket: self.settings.socket.clone(),
            seconds: limit.as_secs(),
        }
    }
}

async fn open(settings: &Settings, connector: &TlsConnector) -> Result<Open, ClientError> {
    let socket = || settings.socket.clone();
    let expired = |_| ClientError::Timeout {
        socket: socket(),
        seconds: CONNECT_TIMEOUT.as_secs(),
    };
    let stream = timeout(CONNECT_TIMEOUT, UnixStream::connect(&settings.socket))
        .await
        .map_err(expired)?
        .map_err(|source| ClientError::Connect {
            socket: socket(),
            source,
        })?;
    let name =
        ServerName::try_from(SERVER_NAME).map_err(|e| ClientError::Request(e.to_string()))?;
    let stream = timeout(CONNECT_TIMEOUT, connector.connect(name, stream))
        .await
        .map_err(expired)?
        .map_err(|error| handshake_failed(settings, &error))?;
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| ClientError::Broken {
                socket: socket(),
                reason: with_source(&e),
            })?;
    Ok(Open {
        sender,
        driver: tokio::spawn(drive(connection)),
    })
}

/// Runs the connection to its end, and closes it.
///
/// A daemon that refuses the client certificate sends its alert and closes. Where the request is written
/// after that, the write fails first; the alert is still there to be read, and it is what matters.
async fn drive(mut connection: Connection<Stream, Full<Bytes>>) -> Result<(), Cause> {
    let ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let mut stream = connection.into_parts().io.into_inner();
    let last_words = async {
        // Fails where the daemon has gone already, which is no reason not to read.
        let _ = stream.shutdown().await;
        stream.read(&mut [0]).await
    };
    match timeout(CLOSE_TIMEOUT, last_words).await {
        Ok(Err(alert)) if tls_error(&alert).is_some() => Err(alert.into()),
        _ => Ok(ended?),
    }
}

fn handshake_failed(settings: &Settings, error: &std::io::Error) -> ClientError {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let socket = settings.socket.clone();
    match tls {
        Some(rustls::Error::InvalidCertificate(_)) => ClientError::Server {
            socket,
            ca: settings.ca.clone(),
            reason: error.to_string(),
        },
        _ => ClientError::Broken {
            socket,
            reason: format!("during the TLS handshake: {error}"),
        },
    }
}

enum Failure {
    /// The connection is of no more use.
    Connection(hyper::Error),
    /// An answer came, and it is this.
    Final(ClientError),
}

impl From<hyper::Error> for Failure {
    fn from(error: hyper::Error) -> Self {
        Self::Connection(error)
    }
}

async fn read(response: Response<hyper::body::Incoming>) -> Result<Answer, Failure> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, RESPONSE_MAX)
        .collect()
        .await
        .map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => Failure::Connection(*error),
            Err(error) if error.is::<LengthLimitError>() => Failure::Final(ClientError::TooLarge),
            Err(error) => Failure::Final(ClientError::Unexpected(error.to_string())),
        })?;
    let body = body.to_bytes();
    // Without the location of an operation, the work was recorded and goes on by itself.
    if head.status == StatusCode::ACCEPTED && head.headers.contains_key(LOCATION) {
        return Err(Failure::Final(waits(&body)));
    }
    if head.status.is_success() {
        return Ok(Answer {
            headers: head.headers,
            body,
        });
    }
    Err(Failure::Final(refusal(head.status, &head.headers, &body)))
}

fn waits(body: &[u8]) -> ClientError {
    if let Ok(working) = serde_json::from_slice(body) {
        return ClientError::Working(Box::new(working));
    }
    match serde_json::from_slice(body) {
        Ok(operation) => ClientError::Waits(Box::new(operation)),
        Err(e) => ClientError::Unexpected(format!("202 without an operation: {e}")),
    }
}

fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ClientError {
    let is_problem = headers
        .get(CONTENT_TYPE)
        .is_some_and(|t| t == "application/problem+json");
    match serde_json::from_slice::<ApiError>(body) {
        Ok(error) if is_problem => error.into(),
        _ => ClientError::Unexpected(format!("status {status} without a problem document")),
    }
}

fn tls_error<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        // std::io::Error::source() passes its own payload over.
        let payload = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        let inner = payload.and_then(|payload| payload.downcast_ref::<rustls::Error>());
        if let Some(found) = error.downcast_ref::<rustls::Error>().or(inner) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn with_source(error: &dyn StdError) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
