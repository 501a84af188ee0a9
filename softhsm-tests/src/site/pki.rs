//! A small PKI: authorities, and certificates that are right, or wrong in one way each.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType,
    SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A trust domain's authority.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

/// What a certificate says. Begin with [`Leaf::uri`] and change what shall be wrong.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// URI subject alternative names.
    pub uris: Vec<String>,
    /// DNS subject alternative names.
    pub dns: Vec<String>,
    /// The common name.
    pub common_name: String,
    /// When it begins to be valid.
    pub from: SystemTime,
    /// When it ends.
    pub until: SystemTime,
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Identity {
    certificate: Certificate,
    key: KeyPair,
}

/// Certificates are good for so long into both directions: some tests set a daemon's clock by a year.
const YEARS: Duration = Duration::from_secs(2 * 366 * 86_400);

impl Leaf {
    /// A certificate for one URI.
    #[must_use]
    pub fn uri(uri: &str) -> Self {
        Self {
            uris: vec![uri.to_owned()],
            ..Self::cn("a client")
        }
    }

    /// A certificate with a common name and no other.
    #[must_use]
    pub fn cn(name: &str) -> Self {
        let now = SystemTime::now();
        Self {
            uris: Vec::new(),
            dns: Vec::new(),
            common_name: name.to_owned(),
            from: now - YEARS,
            until: now + YEARS,
        }
    }

    /// A certificate for one DNS name.
    #[must_use]
    pub fn dns(name: &str) -> Self {
        Self {
            dns: vec![name.to_owned()],
            ..Self::cn("a host")
        }
    }

    /// The same until another time.
    #[must_use]
    pub fn until(mut self, until: SystemTime) -> Self {
        self.until = until;
        self
    }

    fn params(&self, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
        let mut params = CertificateParams::new(self.dns.clone()).expect("DNS names");
        for uri in &self.uris {
            let uri = uri.as_str().try_into().expect("a URI in ASCII");
            params.subject_alt_names.push(SanType::URI(uri));
        }
        params
            .distinguished_name
            .push(DnType::CommonName, self.common_name.as_str());
        params.not_before = self.from.into();
        params.not_after = self.until.into();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params
    }
}

impl Authority {
    /// A fresh authority.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a P-256 key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).expect("a self-signed certificate");
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// Its own certificate.
    #[must_use]
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Its own certificate, DER.
    #[must_use]
    pub fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// A client certificate.
    #[must_use]
    pub fn client(&self, leaf: &Leaf) -> Identity {
        self.issue(leaf, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A client certificate for the key of another one.
    #[must_use]
    pub fn client_with_key(&self, leaf: &Leaf, of: &Identity) -> Identity {
        let key = KeyPair::from_pem(&of.key_pem()).expect("a key");
        self.certify(leaf, ExtendedKeyUsagePurpose::ClientAuth, key)
    }

    /// A client certificate, PEM, for a P-256 key of which only the public half is at hand.
    #[must_use]
    pub fn client_of_key(&self, leaf: &Leaf, spki: &[u8]) -> String {
        // The last of SubjectPublicKeyInfo: an uncompressed point on P-256.
        let (_, point) = spki.split_last_chunk::<65>().expect("a point");
        let params = leaf.params(ExtendedKeyUsagePurpose::ClientAuth);
        let signed = params.signed_by(&PublicPoint(*point), &self.issuer);
        signed.expect("a certificate").pem()
    }

    /// A server certificate.
    #[must_use]
    pub fn server(&self, name: &str) -> Identity {
        self.issue(&Leaf::dns(name), ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn issue(&self, leaf: &Leaf, usage: ExtendedKeyUsagePurpose) -> Identity {
        self.certify(leaf, usage, KeyPair::generate().expect("a P-256 key"))
    }

    fn certify(&self, leaf: &Leaf, usage: ExtendedKeyUsagePurpose, key: KeyPair) -> Identity {
        let certificate = leaf
            .params(usage)
            .signed_by(&key, &self.issuer)
            .expect("a certificate");
        Identity { certificate, key }
    }
}

/// A public key on P-256.
struct PublicPoint([u8; 65]);

impl PublicKeyData for PublicPoint {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl Identity {
    /// The certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> String {
        self.certificate.pem()
    }

    /// The private key, PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// Its SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }

    /// The certificate as a chain of one.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone()]
    }

    /// The private key.
    #[must_use]
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }
}
