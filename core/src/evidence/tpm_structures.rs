//! The structures of TPM 2.0 that evidence is made of (TPM 2.0 Library, part 2), as a TPM marshals them.

use rsa::BoxedUint;

use crate::scheme::{HashAlg, Scheme};
use crate::spki::Spki;
use crate::verify::{EcdsaForm, PublicKey, spki_of_ec, spki_of_rsa};

/// TPM_GENERATED_VALUE: what the TPM made itself begins with it, and a restricted key signs nothing else that does.
const GENERATED: u32 = 0xff54_4347;
const ATTEST_CERTIFY: u16 = 0x8017;
const ALG_NULL: u16 = 0x0010;
const ALG_RSA: u16 = 0x0001;
const ALG_ECC: u16 = 0x0023;
const ALG_SHA256: u16 = 0x000b;
const ALG_SHA384: u16 = 0x000c;
const ALG_RSASSA: u16 = 0x0014;
const ALG_RSAPSS: u16 = 0x0016;
const ALG_ECDSA: u16 = 0x0018;
const ALG_ECDAA: u16 = 0x001a;
const CURVE_P256: u16 = 0x0003;
const CURVE_P384: u16 = 0x0004;
/// Exponent that a TPM means by zero.
const RSA_EXPONENT: u32 = 65_537;

/// Object attributes (TPMA_OBJECT).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attributes(u32);

impl Attributes {
    const FIXED_TPM: u32 = 1 << 1;
    const FIXED_PARENT: u32 = 1 << 4;
    const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
    const RESTRICTED: u32 = 1 << 16;
    const DECRYPT: u32 = 1 << 17;
    const SIGN: u32 = 1 << 18;

    /// It can be in this TPM only.
    pub(super) fn stays(self) -> bool {
        self.has(Self::FIXED_TPM | Self::FIXED_PARENT)
    }

    /// The TPM made its private part.
    pub(super) fn was_made_inside(self) -> bool {
        self.has(Self::SENSITIVE_DATA_ORIGIN)
    }

    /// It signs only what the TPM itself says, or has hashed.
    pub(super) fn only_attests(self) -> bool {
        self.has(Self::RESTRICTED | Self::SIGN) && self.0 & Self::DECRYPT == 0
    }

    fn has(self, bits: u32) -> bool {
        self.0 & bits == bits
    }
}

/// A public area (TPMT_PUBLIC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicArea {
    pub(super) attributes: Attributes,
    pub(super) spki: Spki,
    /// Its TPM name: the hash's number and the hash of the area.
    pub(super) name: Vec<u8>,
}

/// What a TPM attests of an object (TPMS_ATTEST of type TPM_ST_ATTEST_CERTIFY).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certified<'a> {
    /// `extraData`: what the asker chose.
    pub(super) nonce: &'a [u8],
    /// The name of the object.
    pub(super) name: &'a [u8],
}

/// Why bytes are not the structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum StructureError {
    #[error("it ends too early")]
    Short,
    #[error("bytes follow it")]
    Long,
    #[error("its algorithm, curve or hash is none that is verified here")]
    Algorithm,
    #[error("its public key is none")]
    Key,
    #[error("the TPM did not make it: it does not begin with TPM_GENERATED_VALUE")]
    NotGenerated,
    #[error("it certifies no object")]
    NotCertify,
}

impl PublicArea {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, StructureError> {
        let mut reader = Reader(bytes);
        let kind = reader.u16()?;
        let name_alg = reader.u16()?;
        let attributes = Attributes(reader.u32()?);
        let _policy = reader.sized()?;
        if reader.u16()? != ALG_NULL {
            // The cipher of a storage key: bits and mode.
            reader.take(4)?;
        }
        let spki = match kind {
            ALG_RSA => rsa(&mut reader)?,
            ALG_ECC => ecc(&mut reader)?,
            _ => return Err(StructureError::Algorithm),
        };
        reader.end()?;
        let hash = hash_alg(name_alg)?;
        let name = [&name_alg.to_be_bytes()[..], &hash.digest(&[bytes])].concat();
        Ok(Self {
            attributes,
            spki,
            name,
        })
    }
}

fn rsa(reader: &mut Reader<'_>) -> Result<Spki, StructureError> {
    scheme_details(reader)?;
    let _bits = reader.u16()?;
    let exponent = match reader.u32()? {
        0 => RSA_EXPONENT,
        given => given,
    };
    let modulus = BoxedUint::from_be_slice_vartime(reader.sized()?);
    checked(spki_of_rsa(modulus, BoxedUint::from(exponent)).ok())
}

fn ecc(reader: &mut Reader<'_>) -> Result<Spki, StructureError> {
    scheme_details(reader)?;
    let curve = reader.u16()?;
    // The key derivation scheme: a hash, where there is one.
    if reader.u16()? != ALG_NULL {
        reader.u16()?;
    }
    let (x, y) = (reader.sized()?, reader.sized()?);
    let width = match curve {
        CURVE_P256 => 32,
        CURVE_P384 => 48,
        _ => return Err(StructureError::Algorithm),
    };
    let point = padded(x, width).zip(padded(y, width));
    checked(point.and_then(|(x, y)| spki_of_ec(&x, &y).ok()))
}

/// Only keys that are verified with leave here.
fn checked(spki: Option<Spki>) -> Result<Spki, StructureError> {
    let spki = spki.ok_or(StructureError::Key)?;
    PublicKey::from_spki_der(spki.der()).map_err(|_| StructureError::Key)?;
    Ok(spki)
}

/// Skips TPMT_RSA_SCHEME or TPMT_ECC_SCHEME.
fn scheme_details(reader: &mut Reader<'_>) -> Result<(), StructureError> {
    match reader.u16()? {
        ALG_NULL => Ok(()),
        ALG_ECDAA => reader.take(4).map(drop),
        ALG_RSASSA | ALG_RSAPSS | ALG_ECDSA => reader.u16().map(drop),
        _ => Err(StructureError::Algorithm),
    }
}

impl<'a> Certified<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, StructureError> {
        let mut reader = Reader(bytes);
        if reader.u32()? != GENERATED {
            return Err(StructureError::NotGenerated);
        }
        if reader.u16()? != ATTEST_CERTIFY {
            return Err(StructureError::NotCertify);
        }
        let _signer = reader.sized()?;
        let nonce = reader.sized()?;
        // clockInfo (clock, resetCount, restartCount, safe) and firmwareVersion.
        reader.take(8 + 4 + 4 + 1 + 8)?;
        let name = reader.sized()?;
        let _qualified_name = reader.sized()?;
        reader.end()?;
        Ok(Self { nonce, name })
    }
}

/// Whether `signature` (TPMT_SIGNATURE) is `key`'s over `message`.
pub(super) fn verifies(
    key: &Spki,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, StructureError> {
    let key = PublicKey::from_spki_der(key.der()).map_err(|_| StructureError::Key)?;
    let mut reader = Reader(signature);
    let (algorithm, hash) = (reader.u16()?, hash_alg(reader.u16()?)?);
    let (scheme, raw) = match (algorithm, hash, &key) {
        (ALG_ECDSA, HashAlg::Sha256, PublicKey::P256(_)) => {
            (Scheme::EcdsaP256Sha256, r_and_s(&mut reader, 32)?)
        }
        (ALG_ECDSA, HashAlg::Sha384, PublicKey::P384(_)) => {
            (Scheme::EcdsaP384Sha384, r_and_s(&mut reader, 48)?)
        }
        (ALG_RSASSA, HashAlg::Sha256, PublicKey::Rsa(_)) => {
            (Scheme::RsaPkcs1Sha256, reader.sized()?.to_vec())
        }
        (ALG_RSAPSS, HashAlg::Sha256, PublicKey::Rsa(_)) => {
            (Scheme::RsaPssSha256, reader.sized()?.to_vec())
        }
        _ => return Err(StructureError::Algorithm),
    };
    reader.end()?;
    Ok(key
        .verify(scheme, &[message], &raw, EcdsaForm::P1363)
        .is_ok())
}

fn r_and_s(reader: &mut Reader<'_>, width: usize) -> Result<Vec<u8>, StructureError> {
    let (r, s) = (reader.sized()?, reader.sized()?);
    let both = padded(r, width).zip(padded(s, width));
    let (r, s) = both.ok_or(StructureError::Key)?;
    Ok([r, s].concat())
}

fn hash_alg(number: u16) -> Result<HashAlg, StructureError> {
    match number {
        ALG_SHA256 => Ok(HashAlg::Sha256),
        ALG_SHA384 => Ok(HashAlg::Sha384),
        _ => Err(StructureError::Algorithm),
    }
}

/// Left-pads with zeros, which a TPM may leave away; `None` where it is longer.
fn padded(bytes: &[u8], width: usize) -> Option<Vec<u8>> {
    let missing = width.checked_sub(bytes.len())?;
    Some([vec![0; missing], bytes.to_vec()].concat())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], StructureError> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(StructureError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, StructureError> {
        let bytes = self.take(2)?;
        Ok(bytes.iter().fold(0, |n, b| n << 8 | u16::from(*b)))
    }

    fn u32(&mut self) -> Result<u32, StructureError> {
        let bytes = self.take(4)?;
        Ok(bytes.iter().fold(0, |n, b| n << 8 | u32::from(*b)))
    }

    /// A TPM2B: two bytes of length, and so many bytes.
    fn sized(&mut self) -> Result<&'a [u8], StructureError> {
        let len = self.u16()?;
        self.take(len.into())
    }

    fn end(self) -> Result<(), StructureError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(StructureError::Long)
        }
    }
}
