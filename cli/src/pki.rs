//! A small CA without a network, for sites that have none: P-256, X.509, keys in files of mode 0600.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use sealwright_client::SERVER_NAME;
use sealwright_core::identity::{IdentityError, identity_of};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::files::{self, FileError};
use crate::owner::Owner;

/// How long a CA certificate is valid where nothing is said: ten years.
pub(crate) const CA_DAYS: u32 = 3650;

/// How long other certificates are valid where nothing is said.
pub(crate) const LEAF_DAYS: u32 = 397;

/// Longest validity that can be asked for: a hundred years.
const DAYS_MAX: u32 = 36_500;

/// Certificates are valid from a little before their making, for clients whose clock is behind.
const BACKDATED: Duration = Duration::minutes(5);

/// Why a certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PkiError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{path} cannot be used as a CA: {reason}")]
    Ca { path: PathBuf, reason: String },
    #[error("{id:?} cannot be a client's identity: {source}; use a URI such as spiffe://site/ci")]
    Identity { id: String, source: IdentityError },
    #[error("{0:?} cannot be a client's identity: it is not ASCII")]
    NotAscii(String),
    #[error("--days {0} is not between 1 and {DAYS_MAX}")]
    Days(u32),
    #[error("cannot make the certificate: {0}")]
    Make(#[from] rcgen::Error),
}

impl From<PkiError> for Failure {
    fn from(error: PkiError) -> Self {
        Self::local(error)
    }
}

/// A CA with its key in memory.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: Zeroizing<String>,
}

impl Authority {
    /// Makes a CA called `name`.
    pub(crate) fn create(name: &str, days: u32) -> Result<(Self, Issued), PkiError> {
        let mut params = params(days)?;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, name);
        params.distinguished_name = subject;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.self_signed(&key)?;
        let issued = Issued {
            certificate: certificate.pem(),
            key: Zeroizing::new(key.serialize_pem()),
        };
        let issuer = Issuer::new(params, key);
        Ok((Self { issuer }, issued))
    }

    /// Reads `ca.pem` and `ca.key` of a folder.
    pub(crate) fn load(folder: &Path) -> Result<Self, PkiError> {
        let (certificate, key) = (folder.join("ca.pem"), folder.join("ca.key"));
        let ca = |path: &Path, e: &rcgen::Error| PkiError::Ca {
            path: path.to_owned(),
            reason: e.to_string(),
        };
        let pem = Zeroizing::new(files::read_text(&key)?);
        let pair = KeyPair::from_pem(&pem).map_err(|e| ca(&key, &e))?;
        let text = files::read_text(&certificate)?;
        let issuer = Issuer::from_ca_cert_pem(&text, pair).map_err(|e| ca(&certificate, &e))?;
        Ok(Self { issuer })
    }

    /// A certificate for the daemon.
    pub(crate) fn server(&self, days: u32) -> Result<Issued, PkiError> {
        let mut params = params(days)?;
        params.subject_alt_names = vec![SanType::DnsName(SERVER_NAME.try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Ok(self.issue(params)?.0)
    }

    /// A certificate for a caller: its identity is the only URI SAN.
    pub(crate) fn client(&self, id: &str, days: u32) -> Result<Issued, PkiError> {
        let mut params = params(days)?;
        let uri = id
            .try_into()
            .map_err(|_| PkiError::NotAscii(id.to_owned()))?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (issued, der) = self.issue(params)?;
        // What the daemon would read out of it, by the daemon's own rule.
        match identity_of(&der, false) {
            Ok(_) => Ok(issued),
            Err(source) => Err(PkiError::Identity {
                id: id.to_owned(),
                source,
            }),
        }
    }

    fn issue(&self, mut params: CertificateParams) -> Result<(Issued, Vec<u8>), PkiError> {
        params.distinguished_name = DistinguishedName::new();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let issued = Issued {
            certificate: certificate.pem(),
            key: Zeroizing::new(key.serialize_pem()),
        };
        Ok((issued, certificate.der().to_vec()))
    }
}

fn params(days: u32) -> Result<CertificateParams, PkiError> {
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(PkiError::Days(days));
    }
    let mut params = CertificateParams::default();
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BACKDATED;
    params.not_after = now + Duration::days(days.into());
    Ok(params)
}

/// The two files `<stem>.pem` and `<stem>.key` in `folder`.
pub(crate) fn paths(folder: &Path, stem: &str) -> [PathBuf; 2] {
    [
        folder.join(format!("{stem}.pem")),
        folder.join(format!("{stem}.key")),
    ]
}

impl Issued {
    /// Writes `<stem>.pem` and `<stem>.key`. With `reader`, the key is that group's to read, else nobody's.
    pub(crate) fn write(
        &self,
        folder: &Path,
        stem: &str,
        reader: Option<Owner>,
    ) -> Result<[PathBuf; 2], PkiError> {
        let [certificate, key] = paths(folder, stem);
        let (mode, owner) = match reader {
            Some(Owner { gid, .. }) => (
                0o640,
                Some(Owner {
                    uid: rustix::process::getuid().as_raw(),
                    gid,
                }),
            ),
            None => (0o600, None),
        };
        files::create(&key, self.key.as_bytes(), mode, owner)?;
        files::create(&certificate, self.certificate.as_bytes(), 0o644, None)?;
        Ok([certificate, key])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_certificate_carries_exactly_the_identity_asked_for() {
        let (ca, _) = Authority::create("test", 1).unwrap();
        ca.client("spiffe://site/ci", 1).unwrap();
        for bad in ["", "a b", "spiffe://site/\u{e4}"] {
            let error = ca.client(bad, 1).err().unwrap();
            assert!(error.to_string().contains("identity"), "{bad:?}: {error}");
        }
    }

    #[test]
    fn days_without_limit_are_refused() {
        for days in [0, DAYS_MAX + 1] {
            assert!(matches!(
                Authority::create("test", days),
                Err(PkiError::Days(_))
            ));
        }
    }

    #[test]
    fn a_ca_read_from_its_files_goes_on_issuing_and_foreign_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (_, issued) = Authority::create("test", 1).unwrap();
        issued.write(folder.path(), "ca", None).unwrap();
        Authority::load(folder.path()).unwrap().server(1).unwrap();
        std::fs::write(folder.path().join("ca.pem"), "nothing").unwrap();
        let error = Authority::load(folder.path()).err().unwrap();
        assert!(error.to_string().contains("ca.pem"), "{error}");
    }
}
