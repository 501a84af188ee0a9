//! What a YubiKey's PIV application says of a key: a certificate for it that the card's own attestation key signed, and
//! the certificates that lead from that key to its maker
//! (<https://developers.yubico.com/PIV/Introduction/PIV_attestation.html>).
//!
//! A card makes such a certificate only for a key that it made itself, and no key ever leaves it. No nonce is in it: it
//! says where the key was made, not when somebody asked.

mod facts;

use serde::{Deserialize, Serialize};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::{Bytes, EvidenceError, Exclusive, Finding, Origin, Roots, malformed};
use crate::certificate::CHAIN_MAX;
use crate::key::EvidenceGrade;
use crate::spki::Spki;
use crate::x509;

pub use self::facts::PivFacts;

/// A key attested by its card. All certificates are X.509 DER.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PivStatement {
    /// For the key, made and signed by the card.
    pub certificate: Bytes,
    /// For the card's attestation key (slot F9), then those that lead to the maker, each issued by the next. The
    /// maker's own may be left out; whoever verifies has it, or believes nothing.
    pub device_chain: Vec<Bytes>,
}

impl PivStatement {
    /// What it is worth as a statement on the key `spki` of the card with this serial number. Dates are not judged: see
    /// [`Roots`].
    pub(super) fn judge(
        &self,
        spki: &Spki,
        serial: &str,
        roots: &Roots,
    ) -> Result<Finding, EvidenceError> {
        let (certificate, chain) = self.parse()?;
        let found = x509::spki(&certificate).map(Spki::from_der);
        let found = found.ok_or_else(|| malformed("certificate", "no public key"))?;
        if found != *spki {
            return Err(EvidenceError::OtherKey {
                wanted: spki.sha256(),
                found: found.sha256(),
            });
        }
        check_card(&certificate, &chain)?;
        let told = PivFacts::of(&certificate)?.serial;
        if let Some(found) = told
            .map(|told| told.to_string())
            .filter(|told| told != serial)
        {
            let wanted = serial.to_owned();
            return Err(EvidenceError::OtherDevice { wanted, found });
        }
        check_maker(&chain, roots)?;
        Ok(Finding {
            grade: EvidenceGrade::Attested,
            origin: Origin::Generated,
            exclusive: Exclusive::Proven,
        })
    }

    /// What the card says besides. Nothing of it is verified here.
    ///
    /// # Errors
    /// [`EvidenceError::Malformed`].
    pub fn facts(&self) -> Result<PivFacts, EvidenceError> {
        PivFacts::of(&parse("certificate", &self.certificate)?)
    }

    fn parse(&self) -> Result<(Certificate, Vec<Certificate>), EvidenceError> {
        let count = self.device_chain.len();
        if !(1..=CHAIN_MAX).contains(&count) {
            let why = format!("{count} certificates; 1 to {CHAIN_MAX} are taken");
            return Err(malformed("device-chain", why));
        }
        let chain = self.device_chain.iter();
        let chain = chain.map(|der| parse("device-chain", der));
        let certificate = parse("certificate", &self.certificate)?;
        Ok((certificate, chain.collect::<Result<_, _>>()?))
    }
}

/// Whether the card's attestation key signed, and not one of its other keys: those sign whatever they are given, also
/// what looks like an attestation, and their own attestations lead to the same maker.
fn check_card(certificate: &Certificate, chain: &[Certificate]) -> Result<(), EvidenceError> {
    let device = chain.first().ok_or(EvidenceError::NotSigned)?;
    let names_match = device.tbs_certificate().subject() == certificate.tbs_certificate().issuer();
    let signed = x509::spki(device).is_some_and(|spki| x509::is_signed_by(certificate, &spki));
    if !(names_match && signed) {
        return Err(EvidenceError::NotSigned);
    }
    if PivFacts::of(device)?.policy.is_some() {
        return Err(EvidenceError::OrdinaryKey);
    }
    Ok(())
}

/// Whether the chain ends at somebody who is trusted. Cards before firmware 5 may have a certificate that does not say it
/// is an authority's; those come straight from their maker.
fn check_maker(chain: &[Certificate], roots: &Roots) -> Result<(), EvidenceError> {
    for (position, pair) in (1..).zip(chain.windows(2)) {
        let [certificate, issuer] = pair else {
            continue;
        };
        // All of them stand above the attestation, the card's own with nothing between.
        let may_issue = x509::may_be_above(certificate, position - 1);
        if !(may_issue && x509::has_issued(issuer, certificate)) {
            return Err(EvidenceError::BrokenChain(position));
        }
    }
    if roots.is_empty() {
        return Err(EvidenceError::NoRoots);
    }
    // A single one need not be an authority, see above.
    let last_may_issue = |last| chain.len() == 1 || x509::may_be_above(last, chain.len() - 1);
    match chain.last() {
        Some(last) if !last_may_issue(last) => Err(EvidenceError::BrokenChain(chain.len())),
        Some(last) if !roots.have_issued(last) => {
            let issuer = last.tbs_certificate().issuer().to_string();
            Err(EvidenceError::UntrustedDevice { issuer })
        }
        _ => Ok(()),
    }
}

fn parse(member: &str, der: &Bytes) -> Result<Certificate, EvidenceError> {
    Certificate::from_der(&der.0).map_err(|error| malformed(member, error))
}

#[cfg(test)]
mod tests;
