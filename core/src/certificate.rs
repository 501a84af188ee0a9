//! The certificate of a key, with those that lead from it to an authority's own.

use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::spki::Spki;
use crate::x509;

/// Most certificates that go with a key, its own included.
pub const CHAIN_MAX: usize = 8;

/// Why certificates do not go with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// None, or too many.
    #[error("{0} certificates; one is needed, the key's own, and at most {CHAIN_MAX} are taken")]
    Count(usize),
    /// Not X.509.
    #[error("certificate {0} is not X.509")]
    NotX509(usize),
    /// The first is for another key.
    #[error("the first certificate is for another public key")]
    OtherKey,
    /// One does not follow from the next.
    #[error(
        "certificate {0} was not issued by the one after it; give the key's own first, then its issuer's, and so on"
    )]
    NotIssued(usize),
}

/// Checks a key's certificates (DER): its own first, each issued by the next.
///
/// # Errors
/// [`ChainError`], with the position from 1.
pub fn check_chain(spki: &Spki, chain: &[impl AsRef<[u8]>]) -> Result<(), ChainError> {
    if !(1..=CHAIN_MAX).contains(&chain.len()) {
        return Err(ChainError::Count(chain.len()));
    }
    let mut certificates = Vec::with_capacity(chain.len());
    for (position, der) in (1..).zip(chain) {
        let parsed = Certificate::from_der(der.as_ref());
        certificates.push(parsed.map_err(|_| ChainError::NotX509(position))?);
    }
    let own = certificates.first().and_then(x509::spki);
    if own.is_none_or(|own| own != spki.der()) {
        return Err(ChainError::OtherKey);
    }
    for (position, (certificate, issuer)) in
        (1..).zip(certificates.iter().zip(certificates.iter().skip(1)))
    {
        if !x509::has_issued(issuer, certificate) {
            return Err(ChainError::NotIssued(position));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// Leaf and anchor of the fixture's time stamp authority.
    fn chain() -> [Vec<u8>; 2] {
        let text = include_str!("../../fixtures/private-log/trusted_root.json");
        let root: serde_json::Value = serde_json::from_str(text).unwrap();
        [0, 1].map(|i| {
            let chain = &root["timestampAuthorities"][0]["certChain"]["certificates"];
            STANDARD
                .decode(chain[i]["rawBytes"].as_str().unwrap())
                .unwrap()
        })
    }

    #[test]
    fn certificates_lead_from_the_key_up() {
        let [leaf, anchor] = chain();
        let key =
            |der: &[u8]| Spki::from_der(x509::spki(&Certificate::from_der(der).unwrap()).unwrap());
        let own = key(&leaf);
        check_chain(&own, &[&leaf]).unwrap();
        check_chain(&own, &[&leaf, &anchor]).unwrap();
        // An anchor that issued itself may stand at the end.
        check_chain(&own, &[&leaf, &anchor, &anchor]).unwrap();
        let of = |chain: &[&Vec<u8>]| check_chain(&own, chain).unwrap_err();
        assert_eq!(of(&[]), ChainError::Count(0));
        assert_eq!(
            of(&[&leaf; CHAIN_MAX + 1]),
            ChainError::Count(CHAIN_MAX + 1)
        );
        assert_eq!(of(&[&anchor, &anchor]), ChainError::OtherKey);
        assert_eq!(of(&[&leaf, &leaf]), ChainError::NotIssued(1));
        assert_eq!(of(&[&leaf, &anchor, &leaf]), ChainError::NotIssued(2));
        assert_eq!(of(&[&leaf, &b"x".to_vec()]), ChainError::NotX509(2));
    }
}
