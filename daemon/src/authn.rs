//! Who is calling: trust domains, the TLS side of them, and the directory of known principals.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use sealwright_core::digest::Sha256Digest;
use sealwright_core::error::Code;
use sealwright_core::identity::{Identity, IdentityError, PeerCred, Principal, Role, identity_of};
use sealwright_core::name::Tenant;
use sealwright_core::permit::Shown;
use sealwright_core::time::Timestamp;
use sealwright_core::token::BoundToken;
use x509_cert::der::{Decode as _, Encode as _};

use crate::config::{Api, Domain as DomainConfig, PrincipalEntry};
use crate::expiry::{Life, OwnCertificate, Use};
use crate::refusal::Refusal;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read.
    #[error("{path}: {reason}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key do not go together, or rustls does not take them.
    #[error("{certificate} and {key} cannot be used: {reason}")]
    Identity {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A domain's roots cannot be used.
    #[error("domain {domain}: {path}: {reason}")]
    Roots {
        /// The domain.
        domain: String,
        /// Its CA file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// One trust domain with its verifier.
#[derive(Debug)]
struct Domain {
    name: String,
    tenant: Tenant,
    dns_identities: bool,
    deny: Vec<Sha256Digest>,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// The daemon's TLS settings: own certificate, and the domains' roots.
pub struct Tls {
    provider: Arc<CryptoProvider>,
    own: Arc<dyn ResolvesServerCert>,
    domains: Arc<Vec<Domain>>,
}

impl Tls {
    /// Reads certificates and keys.
    pub fn new(api: &Api, domains: &[DomainConfig]) -> Result<Self, TlsError> {
        let provider = Arc::new(default_provider());
        let domains: Result<Vec<_>, _> = domains
            .iter()
            .map(|domain| Domain::new(domain, &provider))
            .collect();
        let chain = certificates(&api.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&api.key).map_err(|e| TlsError::Pem {
            path: api.key.clone(),
            reason: e.to_string(),
        })?;
        let own =
            CertifiedKey::from_der(chain, key, &provider).map_err(|e| TlsError::Identity {
                certificate: api.certificate.clone(),
                key: api.key.clone(),
                reason: e.to_string(),
            })?;
        let own = Arc::new(SingleCertAndKey::from(own));
        Ok(Self {
            provider,
            own,
            domains: Arc::new(domains?),
        })
    }

    /// Settings for one connection, and the verifier that will know which domain the peer belongs to.
    /// TLS 1.3 only; no session outlives its connection.
    pub fn for_connection(
        &self,
    ) -> Result<(Arc<ServerConfig>, Arc<ConnectionVerifier>), rustls::Error> {
        let verifier = Arc::new(ConnectionVerifier {
            domains: Arc::clone(&self.domains),
            found: OnceLock::new(),
        });
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::clone(&verifier) as Arc<dyn ClientCertVerifier>)
            .with_cert_resolver(Arc::clone(&self.own));
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((Arc::new(config), verifier))
    }

    /// Whose certificates these are, the holder's first, if they lead to the roots of a domain at `now`.
    pub fn identify(
        &self,
        chain: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<ClientIdentity, rustls::Error> {
        let nobody = || rustls::Error::General("no certificate that names anybody".to_owned());
        let (own, intermediates) = chain.split_first().ok_or_else(nobody)?;
        let verifier = ConnectionVerifier {
            domains: Arc::clone(&self.domains),
            found: OnceLock::new(),
        };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.seconds()));
        verifier.verify_client_cert(own, intermediates, now)?;
        ClientIdentity::of(own, &verifier).ok_or_else(nobody)
    }
}

impl Domain {
    fn new(config: &DomainConfig, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let bad = |reason: String| TlsError::Roots {
            domain: config.name.clone(),
            path: config.ca.clone(),
            reason,
        };
        let mut roots = RootCertStore::empty();
        for root in certificates(&config.ca)? {
            roots.add(root).map_err(|e| bad(e.to_string()))?;
        }
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build()
                .map_err(|e| bad(e.to_string()))?;
        Ok(Self {
            name: config.name.clone(),
            tenant: config.tenant.clone(),
            dns_identities: config.dns_identities,
            deny: config.deny.clone(),
            verifier,
        })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |reason: String| TlsError::Pem {
        path: path.to_owned(),
        reason,
    };
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|e| bad(e.to_string()))?
        .collect();
    let all = all.map_err(|e| bad(e.to_string()))?;
    if all.is_empty() {
        Err(bad("it holds no certificate".to_owned()))
    } else {
        Ok(all)
    }
}

/// Verifies a client certificate against each domain's own roots and remembers whose it was.
#[derive(Debug)]
pub struct ConnectionVerifier {
    domains: Arc<Vec<Domain>>,
    found: OnceLock<usize>,
}

impl ConnectionVerifier {
    /// Any of the verifiers, for what does not depend on roots.
    fn any(&self) -> Option<&Arc<dyn ClientCertVerifier>> {
        self.domains.first().map(|domain| &domain.verifier)
    }
}

impl ClientCertVerifier for ConnectionVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Hints may be left out (RFC 8446 section 4.2.4); clients here have one certificate each.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let mut first_error = None;
        for (index, domain) in self.domains.iter().enumerate() {
            match domain
                .verifier
                .verify_client_cert(end_entity, intermediates, now)
            {
                Ok(verified) => {
                    let _ = self.found.set(index);
                    return Ok(verified);
                }
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(first_error.unwrap_or(rustls::Error::General("no trust domain".to_owned())))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.any() {
            Some(verifier) => verifier.verify_tls13_signature(message, certificate, signature),
            None => Err(rustls::Error::General("no trust domain".to_owned())),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.any()
            .map(|verifier| verifier.supported_verify_schemes())
            .unwrap_or_default()
    }
}

/// What a connection's certificate says: fixed for its life, judged anew for every request.
#[derive(Debug, Clone)]
pub struct ClientIdentity {
    /// The trust domain.
    pub domain: String,
    /// The domain's tenant.
    pub tenant: Tenant,
    /// The one identity, or why there is none.
    pub identity: Result<Identity, IdentityError>,
    /// SHA-256 of the certificate (RFC 8705 `x5t#S256`, here in hex).
    pub certificate_sha256: Sha256Digest,
    /// From when until when the certificate is good.
    pub life: Life,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki_sha256: Sha256Digest,
    /// Whether the domain denies this certificate.
    pub is_denied: bool,
}

impl ClientIdentity {
    /// Reads the certificate that `verifier` accepted in the handshake.
    pub fn of(certificate: &CertificateDer<'_>, verifier: &ConnectionVerifier) -> Option<Self> {
        let domain = verifier
            .found
            .get()
            .and_then(|index| verifier.domains.get(*index))?;
        let parsed = x509_cert::Certificate::from_der(certificate).ok()?;
        let certificate_sha256 = Sha256Digest::of(&[certificate]);
        let spki = parsed.tbs_certificate().subject_public_key_info();
        let spki = spki.to_der().ok()?;
        Some(Self {
            domain: domain.name.clone(),
            tenant: domain.tenant.clone(),
            identity: identity_of(certificate, domain.dns_identities),
            certificate_sha256,
            spki_sha256: Sha256Digest::of(&[&spki]),
            life: life(&parsed),
            is_denied: domain.deny.contains(&certificate_sha256),
        })
    }
}

fn life(certificate: &x509_cert::Certificate) -> Life {
    let validity = certificate.tbs_certificate().validity();
    let timestamp = |time: &x509_cert::time::Time| {
        let millis = time.to_unix_duration().as_millis();
        Timestamp::from_unix_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    };
    Life {
        from: timestamp(&validity.not_before),
        until: timestamp(&validity.not_after),
    }
}

/// The certificates of the daemon's own files, as far as they can be read; [`Tls::new`] says what cannot.
pub fn own_certificates(api: &Api, domains: &[DomainConfig]) -> Vec<OwnCertificate> {
    let server = [(Use::Server, &api.certificate)];
    let roots = domains.iter().map(|domain| (Use::Ca, &domain.ca));
    let files = server.into_iter().chain(roots);
    files
        .flat_map(|(kind, path)| {
            let all = certificates(path).unwrap_or_default();
            let parsed = all
                .into_iter()
                .filter_map(|certificate| x509_cert::Certificate::from_der(&certificate).ok());
            let own = parsed.map(|parsed| OwnCertificate {
                kind,
                path: path.clone(),
                life: life(&parsed),
            });
            own.collect::<Vec<_>>()
        })
        .collect()
}

/// Who is at the other end of a connection.
#[derive(Debug)]
pub struct Peer {
    /// From the certificate.
    pub identity: ClientIdentity,
    /// From the kernel.
    pub cred: PeerCred,
}

/// A caller that the directory knows, on a connection whose certificate still counts.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub principal: Arc<Principal>,
    /// The process behind the socket.
    pub peer: PeerCred,
    /// SHA-256 of the public key in its certificate.
    pub spki_sha256: Sha256Digest,
    /// The access token that it showed and that is bound to it.
    pub token: Option<Arc<BoundToken>>,
}

impl Caller {
    /// For a question to the policy.
    pub fn shown(&self) -> Shown<'_> {
        Shown::of(self.token.as_deref())
    }
}

/// The known principals.
#[derive(Debug, Default)]
pub struct Directory(HashMap<String, Entry>);

#[derive(Debug)]
struct Entry {
    domain: String,
    tenant: Tenant,
    uid: Option<u32>,
    roles: Vec<Role>,
}

impl Directory {
    /// The directory of the configuration; an entry of an unknown domain, which the configuration's check
    /// refuses, is left out.
    pub fn new(entries: &[PrincipalEntry], domains: &[DomainConfig]) -> Self {
        let entry = |e: &PrincipalEntry| {
            let domain = e.domain_of(domains)?;
            let entry = Entry {
                domain: domain.name.clone(),
                tenant: e.tenant.clone().unwrap_or_else(|| domain.tenant.clone()),
                uid: e.uid,
                roles: e.roles.clone(),
            };
            Some((e.id.clone(), entry))
        };
        Self(entries.iter().filter_map(entry).collect())
    }

    /// All principals: for the policy's entities.
    pub fn principals(&self) -> Vec<Principal> {
        let principal = |(id, entry): (&String, &Entry)| Principal {
            id: id.clone(),
            tenant: entry.tenant.clone(),
            roles: entry.roles.clone(),
        };
        self.0.iter().map(principal).collect()
    }

    /// Stage *authenticate*: the certificate is still good, its holder is known, and the process is the right user's.
    pub fn authenticate(
        &self,
        client: &ClientIdentity,
        peer: PeerCred,
        now: Timestamp,
    ) -> Result<Caller, Refusal> {
        let refused = |detail: String| Refusal::bad_input(Code::CertificateRefused, detail);
        let identity = client
            .identity
            .as_ref()
            .map_err(|e| refused(e.to_string()))?;
        if now > client.life.until {
            return Err(refused(format!(
                "the client certificate ran out at {}",
                client.life.until
            )));
        }
        if client.is_denied {
            return Err(refused(
                "the client certificate is on its domain's deny list".to_owned(),
            ));
        }
        let unknown = || {
            let reason = format!(
                "{identity} of domain {} is not in the directory",
                client.domain
            );
            Refusal::denied(Code::Denied, reason)
        };
        // Another domain's authority can issue any name: it means nobody of this one.
        let entry = self
            .0
            .get(identity.as_str())
            .filter(|entry| entry.domain == client.domain);
        let entry = entry.ok_or_else(unknown)?;
        if let Some(uid) = entry.uid.filter(|uid| *uid != peer.uid) {
            let reason = format!("{identity} must come from uid {uid}, not {}", peer.uid);
            return Err(Refusal::denied(Code::Denied, reason));
        }
        let principal = Principal {
            id: identity.to_string(),
            tenant: entry.tenant.clone(),
            roles: entry.roles.clone(),
        };
        Ok(Caller {
            principal: Arc::new(principal),
            peer,
            spki_sha256: client.spki_sha256,
            token: None,
        })
    }

    /// Whether `holder` is an approver of `tenant` whose certificate counts at `now`, wherever he is.
    pub fn is_approver(&self, holder: &ClientIdentity, tenant: &Tenant, now: Timestamp) -> bool {
        let Ok(identity) = &holder.identity else {
            return false;
        };
        let known = self.0.get(identity.as_str()).is_some_and(|entry| {
            entry.domain == holder.domain
                && entry.tenant == *tenant
                && entry.roles.contains(&Role::Approver)
        });
        known && !holder.is_denied && now <= holder.life.until
    }
}
