//! A daemon of a few lines: mutual TLS on a Unix socket, answering from a function.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sealwright_client::Settings;
use tokio::net::UnixListener;
use tokio_rustls::TlsAcceptor;

pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

pub(crate) struct Leaf {
    der: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

impl Ca {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        let (der, pem) = (cert.der().clone(), cert.pem());
        Self {
            issuer: Issuer::new(params, key),
            der,
            pem,
        }
    }

    pub(crate) fn server(&self, name: &str) -> Leaf {
        self.issue(CertificateParams::new([name.to_owned()]).unwrap())
    }

    pub(crate) fn client(&self) -> Leaf {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI("spiffe://test/ci".try_into().unwrap())];
        self.issue(params)
    }

    fn issue(&self, params: CertificateParams) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Leaf {
            der: cert.der().clone(),
            pem: cert.pem(),
            key,
        }
    }
}

/// Writes what a client needs into `folder`.
pub(crate) fn settings(folder: &Path, trusted: &Ca, client: &Leaf) -> Settings {
    let file = |name: &str, text: &str| -> PathBuf {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name)
    };
    Settings {
        socket: folder.join("api.sock"),
        cert: file("client.pem", &client.pem),
        key: file("client.key", &client.key.serialize_pem()),
        ca: file("ca.pem", &trusted.pem),
        token: sealwright_client::TokenFiles::default(),
    }
}

pub(crate) type Answer = fn(&str, Bytes) -> Response<Full<Bytes>>;

/// Serves until the test ends; each connection is closed after `per_connection` answers.
pub(crate) fn serve(
    folder: &Path,
    clients: &Ca,
    server: Leaf,
    per_connection: usize,
    answer: Answer,
) {
    let mut roots = RootCertStore::empty();
    roots.add(clients.der.clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = PrivateKeyDer::try_from(server.key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![server.der], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = UnixListener::bind(folder.join("api.sock")).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else {
                continue;
            };
            tokio::spawn(connection(TokioIo::new(stream), per_connection, answer));
        }
    });
}

async fn connection(
    stream: TokioIo<tokio_rustls::server::TlsStream<tokio::net::UnixStream>>,
    per_connection: usize,
    answer: Answer,
) {
    let left = AtomicUsize::new(per_connection);
    let service = service_fn(|request: Request<Incoming>| {
        let last = left.fetch_sub(1, Ordering::Relaxed) == 1;
        async move {
            let target = format!(
                "{} {} {:?}",
                request.method(),
                request.uri(),
                request.headers().get("host")
            );
            let body = request.into_body().collect().await?.to_bytes();
            let mut response = answer(&target, body);
            if last {
                response
                    .headers_mut()
                    .insert("connection", "close".parse().unwrap());
            }
            Ok::<_, hyper::Error>(response)
        }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(stream, service)
        .await;
}
