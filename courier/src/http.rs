//! One HTTP request to a witness on a connection of its own, bounded in time and size.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sealwright_core::tlog::witness_answer::MAX_ANSWER_BYTES;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How to speak to an https witness; `None` for http.
pub(crate) type Tls = Option<Arc<ClientConfig>>;

/// A witness's answer, not yet believed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) media_type: Option<String>,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("cannot connect to {host}: {reason}")]
    Connect { host: String, reason: String },
    #[error("no whole answer within {} ms", .0.as_millis())]
    Slow(Duration),
    #[error("no HTTP answer: {0}")]
    Broken(String),
    #[error("an answer of more than {MAX_ANSWER_BYTES} bytes")]
    TooLarge,
}

/// The authorities in a PEM file.
pub(crate) fn tls_config(ca: &Path) -> Result<ClientConfig, String> {
    let bad = |reason: String| format!("{}: {reason}", ca.display());
    let mut roots = RootCertStore::empty();
    let read = CertificateDer::pem_file_iter(ca).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    roots.add_parsable_certificates(read.map_err(|e| bad(e.to_string()))?);
    if roots.is_empty() {
        return Err(bad("holds no CERTIFICATE in PEM".to_owned()));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|e| e.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Sends `request`, whose URI is absolute. Redirects are not followed: a witness is where it is configured.
pub(crate) async fn send(
    request: Request<Full<Bytes>>,
    tls: &Tls,
    limit: Duration,
) -> Result<Answer, HttpError> {
    let sent = tokio::time::timeout(limit, exchange(request, tls));
    sent.await.unwrap_or(Err(HttpError::Slow(limit)))
}

async fn exchange(request: Request<Full<Bytes>>, tls: &Tls) -> Result<Answer, HttpError> {
    let uri = request.uri().clone();
    let host = uri.host().unwrap_or_default().to_owned();
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let refused = |reason: String| HttpError::Connect {
        host: format!("{host}:{port}"),
        reason,
    };
    // An IPv6 address stands in brackets in a URL and nowhere else.
    let name = host.trim_matches(['[', ']']).to_owned();
    let stream = TcpStream::connect((name.as_str(), port)).await;
    let stream = stream.map_err(|e| refused(e.to_string()))?;
    if !is_tls {
        return over(stream, request, &uri).await;
    }
    let config = tls
        .clone()
        .ok_or_else(|| refused("no authorities are configured".into()))?;
    let server = ServerName::try_from(name).map_err(|e| refused(e.to_string()))?;
    let stream = TlsConnector::from(config).connect(server, stream).await;
    over(stream.map_err(|e| refused(e.to_string()))?, request, &uri).await
}

async fn over<S>(
    stream: S,
    mut request: Request<Full<Bytes>>,
    uri: &Uri,
) -> Result<Answer, HttpError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let broken = |e: hyper::Error| HttpError::Broken(e.to_string());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if let Ok(host) = HeaderValue::from_str(authority) {
        request.headers_mut().insert(HOST, host);
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().unwrap_or_default();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let driver = AbortOnDrop(tokio::spawn(connection));
    let answer = sender.send_request(request).await.map_err(broken)?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
    drop(driver);
    let media_type = head.headers.get(CONTENT_TYPE);
    let media_type = media_type.and_then(|value| value.to_str().ok());
    let body = body.map_err(|e| match e.downcast::<hyper::Error>() {
        Ok(e) => broken(*e),
        Err(_) => HttpError::TooLarge,
    })?;
    Ok(Answer {
        status: head.status.as_u16(),
        media_type: media_type.map(str::to_owned),
        body: body.to_bytes(),
    })
}

/// The connection must not outlive a request that ran out of time.
struct AbortOnDrop(tokio::task::JoinHandle<Result<(), hyper::Error>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
