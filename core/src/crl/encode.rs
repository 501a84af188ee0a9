//! Lists as DER.

use const_oid::AssociatedOid as _;
use const_oid::db::rfc5280::ID_CE_INVALIDITY_DATE;
use const_oid::db::rfc5912::{ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, SHA_256_WITH_RSA_ENCRYPTION};
use const_oid::db::rfc8410::ID_ED_25519;
use der::asn1::{BitString, GeneralizedTime, Null, OctetString};
use der::pem::LineEnding;
use der::{Any, DateTime, Encode as _, EncodePem as _};
use spki::AlgorithmIdentifierOwned;
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, CrlNumber, CrlReason, KeyUsage, SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::time::Time;
use x509_cert::{Certificate, Version};

use super::Edition;
use crate::digest::Sha256Digest;
use crate::key::Compromise;
use crate::scheme::Scheme;
use crate::time::Timestamp;

/// A list that nobody signed yet. Made only in this module's parent, from the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsignedCrl {
    tbs: TbsCertList,
    der: Vec<u8>,
}

impl UnsignedCrl {
    /// What is signed: TBSCertList in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of it.
    pub fn sha256(&self) -> Sha256Digest {
        Sha256Digest::of(&[&self.der])
    }

    /// How many certificates it lists.
    pub fn len(&self) -> usize {
        self.tbs.revoked_certificates.as_ref().map_or(0, Vec::len)
    }

    /// Whether it lists none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The signed list, PEM; `signature` in the encoding of X.509 (ECDSA: DER).
    ///
    /// # Errors
    /// [`der::Error`]: none that is known.
    pub fn with_signature(self, signature: &[u8]) -> Result<String, der::Error> {
        let list = CertificateList {
            signature_algorithm: self.tbs.signature.clone(),
            tbs_cert_list: self.tbs,
            signature: BitString::from_bytes(signature)?,
        };
        list.to_pem(LineEnding::LF)
    }
}

/// Puts a list together. Extensions as RFC 5280 section 5.2 wants them.
pub(super) fn list<'c>(
    algorithm: AlgorithmIdentifierOwned,
    issuer: Name,
    key_identifier: Option<OctetString>,
    edition: Edition,
    revoked: impl Iterator<Item = (Certificate, &'c Compromise)>,
) -> Result<UnsignedCrl, der::Error> {
    let mut extensions = vec![extension(
        CrlNumber::OID,
        &CrlNumber::try_from(edition.number)?,
    )?];
    if key_identifier.is_some() {
        let identifier = AuthorityKeyIdentifier {
            key_identifier,
            ..Default::default()
        };
        extensions.push(extension(AuthorityKeyIdentifier::OID, &identifier)?);
    }
    let revoked: Vec<RevokedCert> = revoked
        .map(|(certificate, compromise)| entry(&certificate, compromise))
        .collect::<Result<_, _>>()?;
    let tbs = TbsCertList {
        version: Version::V2,
        signature: algorithm,
        issuer,
        this_update: time(edition.this_update)?,
        next_update: Some(time(edition.next_update)?),
        // An empty SEQUENCE OF is none (section 5.1.2.6).
        revoked_certificates: Some(revoked).filter(|revoked| !revoked.is_empty()),
        crl_extensions: Some(extensions),
    };
    let der = tbs.to_der()?;
    Ok(UnsignedCrl { tbs, der })
}

fn entry(certificate: &Certificate, compromise: &Compromise) -> Result<RevokedCert, der::Error> {
    let since = GeneralizedTime::from_date_time(date_time(compromise.effective_time)?);
    Ok(RevokedCert {
        serial_number: certificate.tbs_certificate().serial_number().clone(),
        revocation_date: time(compromise.decided_at.unwrap_or(compromise.effective_time))?,
        crl_entry_extensions: Some(vec![
            extension(CrlReason::OID, &CrlReason::KeyCompromise)?,
            extension(ID_CE_INVALIDITY_DATE, &since)?,
        ]),
    })
}

fn extension(
    oid: der::oid::ObjectIdentifier,
    value: &impl der::Encode,
) -> Result<Extension, der::Error> {
    Ok(Extension {
        extn_id: oid,
        critical: false,
        extn_value: OctetString::new(value.to_der()?)?,
    })
}

/// X.509's identifier of the scheme; `None` for RSA-PSS, whose parameters few readers of CRLs take,
/// and for assertions, for which there is none.
pub(super) fn algorithm(scheme: Scheme) -> Option<AlgorithmIdentifierOwned> {
    let (oid, parameters) = match scheme {
        Scheme::EcdsaP256Sha256 => (ECDSA_WITH_SHA_256, None),
        Scheme::EcdsaP384Sha384 => (ECDSA_WITH_SHA_384, None),
        Scheme::RsaPkcs1Sha256 => (SHA_256_WITH_RSA_ENCRYPTION, Some(Any::from(Null))),
        Scheme::Ed25519 => (ID_ED_25519, None),
        Scheme::RsaPssSha256 | Scheme::WebAuthnP256Sha256 | Scheme::WebAuthnP256Sha256Uv => {
            return None;
        }
    };
    Some(AlgorithmIdentifierOwned { oid, parameters })
}

/// A certificate without key usage may sign anything (RFC 5280 section 4.2.1.3).
pub(super) fn may_sign_lists(own: &Certificate) -> bool {
    match own.tbs_certificate().get_extension::<KeyUsage>() {
        Ok(Some((_, usage))) => usage.crl_sign(),
        Ok(None) => true,
        Err(_) => false,
    }
}

/// The authority's key identifier: as its own certificate gives it, else as one that it issued does.
pub(super) fn key_identifier(
    own: Option<&Certificate>,
    issued: &Certificate,
) -> Option<OctetString> {
    let own = own.and_then(|own| {
        let extension = own
            .tbs_certificate()
            .get_extension::<SubjectKeyIdentifier>();
        extension.ok().flatten().map(|(_, identifier)| identifier.0)
    });
    own.or_else(|| {
        let extension = issued
            .tbs_certificate()
            .get_extension::<AuthorityKeyIdentifier>();
        extension
            .ok()
            .flatten()
            .and_then(|(_, identifier)| identifier.key_identifier)
    })
}

fn time(at: Timestamp) -> Result<Time, der::Error> {
    date_time(at).map(Time::from)
}

/// Whole seconds, rounded down.
fn date_time(at: Timestamp) -> Result<DateTime, der::Error> {
    DateTime::from_unix_duration(std::time::Duration::from_secs(at.seconds()))
}
