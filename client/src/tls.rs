//! Mutual TLS 1.3 towards the daemon.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::error::ClientError;
use crate::settings::Settings;

/// Reads the caller's certificate and key and the daemon's roots. No resumption: the daemon offers none.
pub(crate) fn connector(settings: &Settings) -> Result<TlsConnector, ClientError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(&settings.ca)? {
        roots
            .add(root)
            .map_err(|e| bad(&settings.ca, e.to_string()))?;
    }
    let chain = certificates(&settings.cert)?;
    let key = private_key(&settings.key)?;
    // The provider is named: whichever one another crate installed as the process default does not matter.
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| ClientError::Request(e.to_string()))?
        .with_root_certificates(roots);
    let mut config = builder.with_client_auth_cert(chain, key).map_err(|e| {
        bad(
            &settings.key,
            format!("does not fit {}: {e}", settings.cert.display()),
        )
    })?;
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

pub(crate) fn bad(path: &Path, reason: impl Into<String>) -> ClientError {
    ClientError::Pem {
        path: path.to_owned(),
        reason: reason.into(),
    }
}

pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(bad(path, "holds no CERTIFICATE in PEM")),
        Ok(found) => Ok(found),
        Err(error) => Err(bad(path, pem_reason(&error))),
    }
}

pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ClientError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        pem::Error::NoItemsFound => bad(path, "holds no PRIVATE KEY in PEM"),
        other => bad(path, pem_reason(&other)),
    })
}

fn pem_reason(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(source) => format!("cannot be read: {source}"),
        other => format!("is not PEM: {other}"),
    }
}
