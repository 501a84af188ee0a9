//! What a TPM 2.0 says of a key: TPM2_Certify by an attestation key of the same TPM (TPM 2.0 Library, part 3,
//! section 18.2), beside the certificate by which its maker knows that TPM's endorsement key.
//!
//! Certifying proves that the object is in the TPM of the attestation key. That this is the TPM of the endorsement
//! key only the TPM can show, to whoever challenges it: [`super::activation`].

use serde::{Deserialize, Serialize};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::activation::{Activation, Entropy};
use super::tpm_structures::{Certified, PublicArea, verifies};
use super::{Bytes, EvidenceError, Exclusive, Finding, Nonce, Origin, Roots, malformed};
use crate::digest::Sha256Digest;
use crate::key::EvidenceGrade;
use crate::spki::Spki;
use crate::x509;

/// A key certified by its TPM. Structures are as the TPM marshals them, without the length in front of a TPM2B.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TpmStatement {
    /// X.509 DER of the endorsement key.
    pub ek_certificate: Bytes,
    /// TPMT_PUBLIC of the attestation key.
    pub attestation_key: Bytes,
    /// TPMT_PUBLIC of the key that is spoken of.
    pub object: Bytes,
    /// TPMS_ATTEST.
    pub attest: Bytes,
    /// TPMT_SIGNATURE of the attestation key over `attest`.
    pub signature: Bytes,
}

impl TpmStatement {
    /// What it is worth as a statement on the key `spki`, asked for with `nonce`.
    pub(super) fn judge(
        &self,
        spki: &Spki,
        nonce: Nonce,
        roots: &Roots,
    ) -> Result<Finding, EvidenceError> {
        self.check_device(roots)?;
        let attestation_key = self.attestation_key()?;
        let object = area("object", &self.object)?;
        if object.spki != *spki {
            return Err(EvidenceError::OtherKey {
                wanted: spki.sha256(),
                found: object.spki.sha256(),
            });
        }
        let signed = verifies(&attestation_key.spki, &self.attest.0, &self.signature.0);
        if !signed.map_err(|error| malformed("signature", error))? {
            return Err(EvidenceError::NotSigned);
        }
        let certified = Certified::parse(&self.attest.0).map_err(|e| malformed("attest", e))?;
        check_nonce(nonce, certified.nonce)?;
        if certified.name != object.name {
            return Err(EvidenceError::OtherObject);
        }
        Ok(finding(&object))
    }

    /// A challenge that the TPM of the endorsement key can answer, if the attestation key is in it.
    pub(super) fn activation(&self, entropy: Entropy) -> Result<Activation, EvidenceError> {
        let name = self.attestation_key()?.name;
        let key = x509::spki(&self.ek_certificate()?);
        let key = key.ok_or_else(|| malformed("ek-certificate", "no key"))?;
        Activation::new(&key, &name, entropy)
    }

    fn check_device(&self, roots: &Roots) -> Result<(), EvidenceError> {
        if roots.is_empty() {
            return Err(EvidenceError::NoRoots);
        }
        let certificate = self.ek_certificate()?;
        if roots.have_issued(&certificate) {
            return Ok(());
        }
        let issuer = certificate.tbs_certificate().issuer().to_string();
        Err(EvidenceError::UntrustedDevice { issuer })
    }

    fn ek_certificate(&self) -> Result<Certificate, EvidenceError> {
        Certificate::from_der(&self.ek_certificate.0)
            .map_err(|error| malformed("ek-certificate", error))
    }

    /// One that signs nothing but what its own TPM says, or its word would be anybody's.
    fn attestation_key(&self) -> Result<PublicArea, EvidenceError> {
        let key = area("attestation-key", &self.attestation_key)?;
        let attributes = key.attributes;
        if attributes.only_attests() && attributes.stays() && attributes.was_made_inside() {
            Ok(key)
        } else {
            Err(EvidenceError::NotAttestationKey)
        }
    }
}

fn area(member: &str, bytes: &Bytes) -> Result<PublicArea, EvidenceError> {
    PublicArea::parse(&bytes.0).map_err(|error| malformed(member, error))
}

fn check_nonce(wanted: Nonce, found: &[u8]) -> Result<(), EvidenceError> {
    let found: [u8; 32] = found
        .try_into()
        .map_err(|_| malformed("attest", "its nonce has not 32 bytes"))?;
    let found = Sha256Digest(found);
    if found == wanted {
        Ok(())
    } else {
        Err(EvidenceError::OtherNonce { wanted, found })
    }
}

fn finding(object: &PublicArea) -> Finding {
    let (stays, inside) = (
        object.attributes.stays(),
        object.attributes.was_made_inside(),
    );
    Finding {
        grade: EvidenceGrade::Attested,
        origin: if inside {
            Origin::Generated
        } else {
            Origin::Imported
        },
        exclusive: if stays && inside {
            Exclusive::Proven
        } else {
            Exclusive::No
        },
    }
}
