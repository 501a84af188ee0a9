//! The little of RFC 5280 that is needed here: time stamp authorities' chains, and whose certificate a key has.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use const_oid::db::rfc5280::ID_KP_TIME_STAMPING;
use const_oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, SHA_256_WITH_RSA_ENCRYPTION,
    SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
};
use const_oid::db::rfc8410::ID_ED_25519;
use der::oid::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use sha2::{Sha384, Sha512};
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage};

use crate::scheme::{HashAlg, Scheme};
use crate::time::Timestamp;
use crate::verify::{EcdsaForm, PublicKey, verify_ecdsa_with_hash, verify_pkcs1_with_hash};

/// The certificate's public key as DER.
pub(crate) fn spki(certificate: &Certificate) -> Option<Vec<u8>> {
    certificate
        .tbs_certificate()
        .subject_public_key_info()
        .to_der()
        .ok()
}

/// Verifies `signature` over `message` with an X.509 signature algorithm, by a certificate's key.
pub(crate) fn verifies(
    by: &Certificate,
    algorithm: ObjectIdentifier,
    message: &[u8],
    signature: &[u8],
) -> bool {
    spki(by).is_some_and(|spki| spki_verifies(&spki, algorithm, message, signature))
}

fn spki_verifies(
    spki: &[u8],
    algorithm: ObjectIdentifier,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let with = |scheme| {
        let key = PublicKey::from_spki_der(spki);
        key.is_ok_and(|key| {
            let verified = key.verify(scheme, &[message], signature, EcdsaForm::Der);
            verified.is_ok()
        })
    };
    match algorithm {
        ECDSA_WITH_SHA_256 => {
            verify_ecdsa_with_hash(spki, HashAlg::Sha256, &[message], signature).is_ok()
        }
        ECDSA_WITH_SHA_384 => {
            verify_ecdsa_with_hash(spki, HashAlg::Sha384, &[message], signature).is_ok()
        }
        SHA_256_WITH_RSA_ENCRYPTION => with(Scheme::RsaPkcs1Sha256),
        SHA_384_WITH_RSA_ENCRYPTION => {
            verify_pkcs1_with_hash::<Sha384>(spki, &[message], signature).is_ok()
        }
        SHA_512_WITH_RSA_ENCRYPTION => {
            verify_pkcs1_with_hash::<Sha512>(spki, &[message], signature).is_ok()
        }
        ID_ED_25519 => with(Scheme::Ed25519),
        _ => false,
    }
}

/// Whether the key in `spki` signed the certificate.
pub(crate) fn is_signed_by(certificate: &Certificate, spki: &[u8]) -> bool {
    let message = certificate.tbs_certificate().to_der();
    let signature = certificate.signature().as_bytes();
    let algorithm = certificate.signature_algorithm().oid;
    message.is_ok_and(|message| {
        signature.is_some_and(|signature| spki_verifies(spki, algorithm, &message, signature))
    })
}

/// A certificate as enrolments carry it: base64 of DER.
pub(crate) fn from_base64(text: &str) -> Option<Certificate> {
    Certificate::from_der(&STANDARD.decode(text).ok()?).ok()
}

/// The path from `leaf` over certificates of `chain` to the first that `ends` it, both ends included; `None` where there
/// is none.
pub(crate) fn path<'c>(
    leaf: &'c Certificate,
    chain: &'c [Certificate],
    ends: impl Fn(&Certificate) -> bool,
) -> Option<Vec<&'c Certificate>> {
    let mut path = Vec::new();
    let mut current = leaf;
    // Each step uses another certificate of the chain, so this many steps are enough.
    for _ in 0..=chain.len() {
        path.push(current);
        if ends(current) {
            return Some(path);
        }
        let mut issuers = chain.iter();
        current = issuers.find(|issuer| *issuer != current && has_issued(issuer, current))?;
    }
    None
}

/// Whether the certificate may sign time stamps, and nothing else (RFC 3161 section 2.3).
pub(crate) fn is_for_time_stamping(certificate: &Certificate) -> bool {
    match certificate
        .tbs_certificate()
        .get_extension::<ExtendedKeyUsage>()
    {
        Ok(Some((true, usage))) => usage.0 == [ID_KP_TIME_STAMPING],
        _ => false,
    }
}

/// Whether the certificate is an authority's with `below` other authorities between it and the end of the path (RFC 5280
/// section 4.2.1.9).
pub(crate) fn may_be_above(certificate: &Certificate, below: usize) -> bool {
    let constraints = certificate.tbs_certificate().get_extension();
    match constraints {
        Ok(Some((
            _,
            BasicConstraints {
                ca: true,
                path_len_constraint,
            },
        ))) => path_len_constraint.is_none_or(|most| below <= usize::from(most)),
        _ => false,
    }
}

/// Whether `issuer` is an authority of that name and its key signed the certificate.
pub(crate) fn has_issued(issuer: &Certificate, certificate: &Certificate) -> bool {
    let constraints = issuer.tbs_certificate().get_extension::<BasicConstraints>();
    let is_ca = matches!(
        constraints,
        Ok(Some((_, BasicConstraints { ca: true, .. })))
    );
    let names_match = issuer.tbs_certificate().subject() == certificate.tbs_certificate().issuer();
    is_ca && names_match && spki(issuer).is_some_and(|spki| is_signed_by(certificate, &spki))
}

/// Whether `time` lies in the certificate's validity.
pub(crate) fn is_valid_at(certificate: &Certificate, time: Timestamp) -> bool {
    let validity = certificate.tbs_certificate().validity();
    let seconds = |time: &x509_cert::time::Time| time.to_unix_duration().as_secs();
    u64::try_from(time.unix_seconds()).is_ok_and(|now| {
        (seconds(&validity.not_before)..=seconds(&validity.not_after)).contains(&now)
    })
}

/// Reads certificates; one that does not parse is left out, so it can neither sign nor be an anchor.
pub(crate) fn parse_all<'a>(ders: impl IntoIterator<Item = &'a [u8]>) -> Vec<Certificate> {
    ders.into_iter()
        .filter_map(|der| Certificate::from_der(der).ok())
        .collect()
}
