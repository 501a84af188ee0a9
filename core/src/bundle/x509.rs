//! The little of RFC 5280 that a time stamp authority's chain needs.

use const_oid::db::rfc5280::ID_KP_TIME_STAMPING;
use const_oid::db::rfc5912::{ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, SHA_256_WITH_RSA_ENCRYPTION};
use der::oid::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage};

use crate::scheme::{HashAlg, Scheme};
use crate::time::Timestamp;
use crate::verify::{EcdsaForm, PublicKey, verify_ecdsa_with_hash};

/// The certificate's public key as DER.
pub(super) fn spki(certificate: &Certificate) -> Option<Vec<u8>> {
    certificate
        .tbs_certificate()
        .subject_public_key_info()
        .to_der()
        .ok()
}

/// Verifies `signature` over `message` with an X.509 signature algorithm, by a certificate's key.
pub(super) fn verifies(
    by: &Certificate,
    algorithm: ObjectIdentifier,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let Some(spki) = spki(by) else { return false };
    match algorithm {
        ECDSA_WITH_SHA_256 => {
            verify_ecdsa_with_hash(&spki, HashAlg::Sha256, &[message], signature).is_ok()
        }
        ECDSA_WITH_SHA_384 => {
            verify_ecdsa_with_hash(&spki, HashAlg::Sha384, &[message], signature).is_ok()
        }
        SHA_256_WITH_RSA_ENCRYPTION => PublicKey::from_spki_der(&spki).is_ok_and(|key| {
            key.verify(
                Scheme::RsaPkcs1Sha256,
                &[message],
                signature,
                EcdsaForm::Der,
            )
            .is_ok()
        }),
        _ => false,
    }
}

/// Whether a path leads from `signer` over certificates of `chain` to its last one, all valid at `time`.
pub(super) fn leads_to_anchor(
    signer: &Certificate,
    chain: &[Certificate],
    time: Timestamp,
) -> bool {
    let Some(anchor) = chain.last() else {
        return false;
    };
    let mut current = signer;
    // Each step uses another certificate of the chain, so this many steps are enough.
    for _ in 0..=chain.len() {
        if !is_valid_at(current, time) {
            return false;
        }
        if current == anchor {
            return true;
        }
        match chain
            .iter()
            .find(|issuer| *issuer != current && has_issued(issuer, current))
        {
            Some(issuer) => current = issuer,
            None => return false,
        }
    }
    false
}

/// Whether the certificate may sign time stamps, and nothing else (RFC 3161 section 2.3).
pub(super) fn is_for_time_stamping(certificate: &Certificate) -> bool {
    match certificate
        .tbs_certificate()
        .get_extension::<ExtendedKeyUsage>()
    {
        Ok(Some((true, usage))) => usage.0 == [ID_KP_TIME_STAMPING],
        _ => false,
    }
}

fn has_issued(issuer: &Certificate, certificate: &Certificate) -> bool {
    let constraints = issuer.tbs_certificate().get_extension::<BasicConstraints>();
    let is_ca = matches!(
        constraints,
        Ok(Some((_, BasicConstraints { ca: true, .. })))
    );
    let names_match = issuer.tbs_certificate().subject() == certificate.tbs_certificate().issuer();
    let Ok(message) = certificate.tbs_certificate().to_der() else {
        return false;
    };
    let Some(signature) = certificate.signature().as_bytes() else {
        return false;
    };
    is_ca
        && names_match
        && verifies(
            issuer,
            certificate.signature_algorithm().oid,
            &message,
            signature,
        )
}

fn is_valid_at(certificate: &Certificate, time: Timestamp) -> bool {
    let validity = certificate.tbs_certificate().validity();
    let seconds = |time: &x509_cert::time::Time| time.to_unix_duration().as_secs();
    u64::try_from(time.unix_seconds()).is_ok_and(|now| {
        (seconds(&validity.not_before)..=seconds(&validity.not_after)).contains(&now)
    })
}

/// Reads certificates; one that does not parse is left out, so it can neither sign nor be an anchor.
pub(super) fn parse_all<'a>(ders: impl IntoIterator<Item = &'a [u8]>) -> Vec<Certificate> {
    ders.into_iter()
        .filter_map(|der| Certificate::from_der(der).ok())
        .collect()
}
