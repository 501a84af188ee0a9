//! Certificate revocation lists (RFC 5280 section 5) for an authority whose key is enrolled here.
//!
//! A list is made from the state and nothing else: an `x509` key signs no other message. It holds every certificate of
//! the tenant that the authority issued for a key that is compromised by now.

mod encode;

use x509_cert::Certificate;

use crate::key::{Enrolment, KeyState, KeyVersion, Purpose};
use crate::name::{KeyName, KeyVersionId, Tenant};
use crate::scheme::Scheme;
use crate::state::State;
use crate::time::Timestamp;
use crate::x509;

pub use encode::UnsignedCrl;

/// Why there is no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrlError {
    /// Nothing to revoke for others.
    #[error("key {0} was enrolled without a certificate: there is nothing that a CRL could list")]
    NoCertificate(KeyVersionId),
    /// The authority is not here.
    #[error(
        "no active x509 key of the tenant issued the certificate of {key}; send its authority ({issuer}) a revocation \
         request"
    )]
    NoIssuer {
        /// The key with the certificate.
        key: KeyVersionId,
        /// Who the certificate says issued it.
        issuer: String,
    },
    /// Another authority issued it.
    #[error("{ca} did not issue the certificate of {key}: {issuer} did")]
    OtherIssuer {
        /// The key that was named.
        ca: KeyName,
        /// The key with the certificate.
        key: KeyVersionId,
        /// Who the certificate says issued it.
        issuer: String,
    },
    /// The authority may issue certificates and no lists.
    #[error(
        "the certificate of {0} has a key usage without cRLSign: verifiers would not take its CRL"
    )]
    KeyUsage(KeyVersionId),
    /// The key's scheme has no place in a list here.
    #[error("{key} signs with {scheme}; CRLs are signed with ecdsa, rsa-pkcs1 or ed25519")]
    Scheme {
        /// The authority's key.
        key: KeyVersionId,
        /// Its scheme.
        scheme: Scheme,
    },
    /// A name or number that cannot be encoded.
    #[error("the CRL cannot be encoded: {0}")]
    Encoding(String),
}

/// What one list is about.
#[derive(Debug, Clone, Copy)]
pub struct Edition {
    /// CRL number, never the same for two lists of an authority.
    pub number: u64,
    /// When it was made.
    pub this_update: Timestamp,
    /// When there will be a newer one at the latest.
    pub next_update: Timestamp,
}

/// The active authority that issued the certificate of `revoked`, and the certificate. With `named`, only that one
/// will do.
pub(crate) fn issuer_of<'s>(
    state: &'s State,
    revoked: &KeyVersionId,
    enrolment: &Enrolment,
    named: Option<&KeyName>,
) -> Result<(KeyVersionId, &'s KeyVersion, Certificate), CrlError> {
    let certificate = certificate_of(enrolment);
    let certificate = certificate.ok_or_else(|| CrlError::NoCertificate(revoked.clone()))?;
    let mut authorities = authorities(state, revoked.key.tenant())
        .filter(|(id, _)| named.is_none_or(|name| *name == id.key));
    let found = authorities.find(|(_, ca)| has_issued(&ca.enrolment, &certificate));
    if let Some((id, authority)) = found {
        return Ok((id, authority, certificate));
    }
    let (key, issuer) = (
        revoked.clone(),
        certificate.tbs_certificate().issuer().to_string(),
    );
    Err(match named {
        Some(ca) => CrlError::OtherIssuer {
            ca: ca.clone(),
            key,
            issuer,
        },
        None => CrlError::NoIssuer { key, issuer },
    })
}

/// The list of an authority over the tenant's compromised keys; `certificate` is one that it issued.
pub(crate) fn make(
    state: &State,
    id: &KeyVersionId,
    authority: &KeyVersion,
    certificate: &Certificate,
    edition: Edition,
) -> Result<UnsignedCrl, CrlError> {
    let ca = &authority.enrolment;
    if certificate_of(ca).is_some_and(|own| !encode::may_sign_lists(&own)) {
        return Err(CrlError::KeyUsage(id.clone()));
    }
    let algorithm = encode::algorithm(ca.scheme).ok_or_else(|| CrlError::Scheme {
        key: id.clone(),
        scheme: ca.scheme,
    })?;
    let tenant = id.key.tenant();
    let compromised = state.keys().filter(|(id, _)| id.key.tenant() == tenant);
    let revoked = compromised.filter_map(|(_, version)| {
        let compromise = version.compromise.as_ref()?;
        let certificate = certificate_of(&version.enrolment)?;
        has_issued(ca, &certificate).then_some((certificate, compromise))
    });
    let key_identifier = encode::key_identifier(certificate_of(ca).as_ref(), certificate);
    let issuer = certificate.tbs_certificate().issuer().clone();
    encode::list(algorithm, issuer, key_identifier, edition, revoked)
        .map_err(|e| CrlError::Encoding(e.to_string()))
}

fn authorities<'s>(
    state: &'s State,
    tenant: &Tenant,
) -> impl Iterator<Item = (KeyVersionId, &'s KeyVersion)> {
    state.keys().filter(move |(id, version)| {
        id.key.tenant() == tenant
            && version.enrolment.purpose == Purpose::X509
            && version.state == KeyState::Active
    })
}

fn certificate_of(enrolment: &Enrolment) -> Option<Certificate> {
    x509::from_base64(enrolment.certificate.as_deref()?)
}

/// By name, where the authority's own certificate is known, and by signature.
fn has_issued(ca: &Enrolment, certificate: &Certificate) -> bool {
    let issuer = certificate.tbs_certificate().issuer();
    let has_name = certificate_of(ca).is_none_or(|own| own.tbs_certificate().subject() == issuer);
    has_name && x509::is_signed_by(certificate, ca.spki.der())
}
