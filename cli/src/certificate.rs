//! Looking at certificates: whose they are, for which name and key, and until when.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rcgen::{KeyPair, PublicKeyData as _};
use sealwright_core::expiry::is_soon;
use sealwright_core::time::Timestamp;
use x509_cert::Certificate;
use x509_cert::der::Encode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use crate::files::{self, FileError};

/// A certificate that ends within this time is spoken of, while there is still time to renew it.
pub(crate) const EXPIRES_SOON_DAYS: u32 = 14;

/// A certificate or key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0} holds no CERTIFICATE in PEM")]
    NotCertificate(PathBuf),
    #[error("{path} holds no usable PRIVATE KEY in PEM: {reason}")]
    NotKey { path: PathBuf, reason: String },
}

/// What is of interest in a certificate.
#[derive(Debug)]
pub(crate) struct Facts {
    /// Its SubjectPublicKeyInfo.
    pub(crate) spki: Vec<u8>,
    /// Its DNS names.
    pub(crate) dns: Vec<String>,
    not_before: SystemTime,
    not_after: SystemTime,
}

/// Where a moment lies in a certificate's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validity {
    NotYet,
    Valid { days_left: u64 },
    Expired,
}

/// Reads every certificate in a PEM file, at least one.
pub(crate) fn read_all(path: &Path) -> Result<Vec<Facts>, CertificateError> {
    let bytes = files::read(path)?;
    let not_one = || CertificateError::NotCertificate(path.to_owned());
    let chain = Certificate::load_pem_chain(&bytes).map_err(|_| not_one())?;
    let facts: Option<Vec<Facts>> = chain.iter().map(facts).collect();
    facts.filter(|found| !found.is_empty()).ok_or_else(not_one)
}

/// Reads the first certificate of a PEM file.
pub(crate) fn read_first(path: &Path) -> Result<Facts, CertificateError> {
    let first = read_all(path)?.into_iter().next();
    first.ok_or_else(|| CertificateError::NotCertificate(path.to_owned()))
}

fn facts(certificate: &Certificate) -> Option<Facts> {
    let inner = certificate.tbs_certificate();
    let dns_names = match inner.get_extension::<SubjectAltName>() {
        Ok(Some((_, names))) => names.0,
        _ => Vec::new(),
    };
    let dns = dns_names.iter().filter_map(|name| match name {
        GeneralName::DnsName(dns) => Some(dns.as_str().to_owned()),
        _ => None,
    });
    Some(Facts {
        spki: inner.subject_public_key_info().to_der().ok()?,
        dns: dns.collect(),
        not_before: inner.validity().not_before.to_system_time(),
        not_after: inner.validity().not_after.to_system_time(),
    })
}

impl Facts {
    /// The days that are left, where they are few enough to speak of.
    pub(crate) fn days_left_if_soon(&self, now: SystemTime) -> Option<u64> {
        let Validity::Valid { days_left } = self.validity(now) else {
            return None;
        };
        let [now, from, until] = [now, self.not_before, self.not_after].map(|time| {
            let since = time
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default();
            Timestamp::from_unix_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
        });
        is_soon(now, from, until, EXPIRES_SOON_DAYS).then_some(days_left)
    }

    /// Where `now` lies in its life.
    pub(crate) fn validity(&self, now: SystemTime) -> Validity {
        if now < self.not_before {
            return Validity::NotYet;
        }
        match self.not_after.duration_since(now) {
            Ok(left) => Validity::Valid {
                days_left: left.as_secs() / 86_400,
            },
            Err(_) => Validity::Expired,
        }
    }
}

/// SubjectPublicKeyInfo of a private key file.
pub(crate) fn public_key_of(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let pem = zeroize::Zeroizing::new(files::read_text(path)?);
    let key = KeyPair::from_pem(&pem).map_err(|e| CertificateError::NotKey {
        path: path.to_owned(),
        reason: e.to_string(),
    })?;
    Ok(key.subject_public_key_info())
}
